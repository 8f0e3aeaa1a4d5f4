// Package plan decides what an agent does next: when it calls its server, which info files and fragments it
// fetches, what it runs, when it gives up.
//
// It decides and does nothing else. A shell feeds events to [Plan.Step] with the time at which they happened,
// carries out the actions it returns, in order, and calls again at [Plan.NextWake]. The same events, times and
// chance give the same actions. Below it, core/cycle says when the origin may be asked and what may run, peer
// which fragment comes from where, core/contact when the server is called.
//
// # A package's way
//
// A contact offers it, and it becomes a task. Its info file is fetched, again and again until it is had: at each
// cycle's pace, with what went wrong shown at once. Then it is in the schedule: fragments, run, result. It is
// dropped when a later contact does not offer it any more, unless it runs (T56); and it ends with ERR_TIMEOUT when
// it has not ended TIMEOUT days after its first notification (T32). What the server offers although it ended here
// and was acknowledged has been affected again: it is installed anew if that failed or if FORCE says so, otherwise
// it is reported as already set up (T37).
//
// A fragment that is corrupt [MaxCorrupt] times ends its package with ERR_BAD_DIGEST; an archive whose fragments
// go bad on the disk [MaxRebuilds] times, with ERR_BUILD.
//
// # Order
//
// The server says how urgent each package is. Until its info file is had, or has failed, nothing less urgent of the list
// runs or asks the origin; priority 0 blocks until it is downloaded. What runs wait for, the server's word or a command
// that was adopted, they wait for together, in order. All that one answer, or the start, brings is known to the schedule
// before it orders anything. A server that says no priorities gives no such order.
//
// # The origin
//
// An origin that grants leases ([Origin], peer/next) is asked for one of several fragments and decides which. What was
// verified and who failed goes with the request; what cannot wait for one, since a pause follows, is told at once, one
// [Acknowledge] of a package at a time. Whenever it is not certain what the origin knows (after the start, after a
// request that perhaps was not heard, after the disk has lost something) it is told all that is held. Where it does
// not speak this language, fragments are fetched as plain files until the next contact. A package that it says is
// withdrawn stops, and the server is asked what holds.
//
// # News
//
// A command starts on an answer of the server that is not older than [FreshFor] and than the last news (NewsHeard); else
// the server is asked first. If it does not answer, what it said last holds for [RunOffline].
//
// A computer that slept, or whose address is another, may be at another site ([Moved]). Its server is called at once, and
// until that has ended, whichever way, its origin is neither asked nor told anything: it would book for the one site what
// it sends into the other. What members give is taken, if there are any.
//
// # The shell's duties
//
//  1. One goroutine owns a Plan.
//  2. Each [Contact] is answered by exactly one ContactAnswered or ContactFailed, each [Report] by ReportAnswered or
//     ReportFailed, each [FetchInfo] by InfoStored, InfoFailed or Ended, each [FetchFragment] by FragmentStored,
//     FragmentFailed or OriginFailed, each [AskNext] by FragmentStored or FragmentFailed (of whichever fragment it
//     sent), OriginRefused, NextComplete, NextFailed, NextUnknown or NextGone, each [Acknowledge] by Acknowledged, each
//     [Meet] by NeighbourReported, each [Run] by Ended, RunPostponed or FragmentsLost. Answers about packages
//     that were dropped meanwhile are given all the same, but for an info file that was not had: the package may
//     have been offered again, and another fetch of it be under way.
//  3. A result is in the ledger before the shell reports Ended, and so is what [Conclude] orders.
package plan
