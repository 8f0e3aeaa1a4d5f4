package plan

import (
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/fragment"
	"enjambre/core/outcome"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/next"
)

// An Event is something that happened; the shell reports it.
type Event interface{ event() }

// Resumed reports, before all else, what is remembered from before the start.
type Resumed struct {
	Assignments []Assignment
	Stored      []InfoStored     // the packages whose info files are in the vault; those not assigned are dropped
	Running     []core.PackageID // whose commands run on since then; each is answered by Ended or RunPostponed
	Answered    time.Time        // when the server last answered a contact; zero if never
	Origin      Origin           // as it was then
}

// ContactAnswered reports the server's answer to a PROLOG.
type ContactAnswered struct {
	Interval time.Duration  // until the next; 0 when the server does not say
	Conf     *cycle.Options // nil: it says nothing about deployment, and everything goes on
	Offers   []Offer        // with Conf: what is to be installed
	Origin   Origin         // with Conf: what grants leases
	Partial  bool           // more is to be installed than the offers say; nothing is dropped then
	Left     int            // results that the server has not acknowledged by now
}

// Suspended reports an answer by which the agent must neither run nor report anything until a later one says
// otherwise: its identity is another computer's too.
type Suspended struct{}

// ContactFailed reports that the server gave no answer that could be used.
type ContactFailed struct{}

// ReportAnswered reports that results and progress were taken by the server.
type ReportAnswered struct {
	Left int // results that the server has not acknowledged by now: they are new since
}

// ReportFailed reports that some of them were not.
type ReportFailed struct{}

// InfoStored reports that a package's info file was verified and is in the vault.
type InfoStored struct {
	Package   core.PackageID
	Priority  core.Priority
	Info      core.Digest   // of the info file
	Held      *fragment.Set // which fragments are there; the Plan takes the set over
	NotBefore time.Time     // of the run, as the info file says
}

// InfoFailed reports that an info file could not be had for now, or the disk has no room for the package.
type InfoFailed struct {
	Package core.PackageID
	Problem string
}

// FragmentStored reports that a fragment from the origin was verified and kept.
type FragmentStored struct {
	Package core.PackageID
	Index   core.FragmentIndex
}

// FragmentShared reports that a fragment from a neighbour was verified and kept.
type FragmentShared struct {
	Package core.PackageID
	Index   core.FragmentIndex
	From    id.Peer
}

// NeighbourReported reports what a neighbour says or does, or what became of a fetch from it, as peer has it.
type NeighbourReported struct {
	Package core.PackageID // 0: all
	Event   peer.Event
}

// FragmentFailed reports that one fragment could not be had from the origin, or was corrupt.
type FragmentFailed struct {
	Package core.PackageID
	Index   core.FragmentIndex
	Corrupt bool
	Problem string
}

// OriginFailed reports that nothing can be had now: the origin cannot be reached, or the disk takes no more.
type OriginFailed struct {
	Package core.PackageID
	Index   core.FragmentIndex
	Problem string
}

// OriginRefused reports that an origin that grants leases has nothing for us now. Holder, unless zero, has Index.
// A package of which it gives no more today is fetched as plain files until the next contact.
type OriginRefused struct {
	Package    core.PackageID
	Index      core.FragmentIndex
	Holder     id.Peer
	RetryAfter time.Duration
	Reason     string // a word of lease.Reason
}

// NextComplete reports that the origin believes all that was asked for to be here.
type NextComplete struct{ Package core.PackageID }

// NextFailed reports that the origin could not be asked, or gave nothing that could be used.
type NextFailed struct {
	Package core.PackageID
	Problem string
}

// NextUnknown reports that what answers at the origin's place grants no leases.
type NextUnknown struct{ Package core.PackageID }

// NextGone reports that the origin says the package is withdrawn.
type NextGone struct{ Package core.PackageID }

// Acknowledged reports what came of an Acknowledge.
type Acknowledged struct {
	Package   core.PackageID
	Heard     bool // the origin has answered
	Withdrawn bool // that the package is withdrawn
}

// RunPostponed reports that a package was not run, and is not to be before Until.
type RunPostponed struct {
	Package core.PackageID
	Until   time.Time
	Problem string // "" if there is none, such as when the user delays
	Delayed bool   // the user wants it later; counted and remembered
}

// FragmentsLost reports that a package was not run because the disk does not hold what was stored.
type FragmentsLost struct {
	Package core.PackageID
	Held    *fragment.Set
}

// Ended reports that the ledger has a package's result.
type Ended struct {
	Package core.PackageID
	Left    int // results that the server has not acknowledged by now, this one among them
}

// NewsHeard reports that something has changed for the agents of the site after the last contact: what that has brought
// is old, and no command starts on it.
type NewsHeard struct{}

// CallDue reports that a contact is due, for news.
type CallDue struct{}

// TimeTold reports that the server has told the time since the start: the times given to Step are right from now on, as
// they are from the first ContactAnswered on. Before that they are the computer's word, by which nothing is given up.
type TimeTold struct{}

// Moved reports that the computer may be elsewhere than it was, since its address is another or it has slept. A contact is
// due, and until it has ended, the origin is asked for nothing.
type Moved struct{}

// NeighbourCame reports a member that is connected now, before all that it says. NeighbourReported says, of no package,
// that it left.
type NeighbourCame struct{ Peer id.Peer }

// LonelinessChanged reports whether no other member can be reached although some are there.
type LonelinessChanged struct{ On bool }

// WakeDue reports that the time named by NextWake has come.
type WakeDue struct{}

func (Resumed) event()           {}
func (ContactAnswered) event()   {}
func (Suspended) event()         {}
func (ContactFailed) event()     {}
func (ReportAnswered) event()    {}
func (ReportFailed) event()      {}
func (InfoStored) event()        {}
func (InfoFailed) event()        {}
func (FragmentStored) event()    {}
func (FragmentShared) event()    {}
func (NeighbourReported) event() {}
func (FragmentFailed) event()    {}
func (OriginFailed) event()      {}
func (OriginRefused) event()     {}
func (NextComplete) event()      {}
func (NextFailed) event()        {}
func (NextUnknown) event()       {}
func (NextGone) event()          {}
func (Acknowledged) event()      {}
func (RunPostponed) event()      {}
func (FragmentsLost) event()     {}
func (Ended) event()             {}
func (NewsHeard) event()         {}
func (CallDue) event()           {}
func (TimeTold) event()          {}
func (Moved) event()             {}
func (NeighbourCame) event()     {}
func (LonelinessChanged) event() {}
func (WakeDue) event()           {}

// An Action is something the shell must do; it reports the outcome as an Event.
type Action interface{ action() }

// Contact orders a PROLOG with all that belongs to it: renewal, results, inventory.
type Contact struct{}

// Report orders to send results and progress.
type Report struct{}

// FetchInfo orders to fetch a package's info file, verify it, and make room in the vault.
type FetchInfo struct{ Assignment Assignment }

// FetchFragment orders to fetch a fragment from the origin, verify and store it.
type FetchFragment struct {
	Package core.PackageID
	Index   core.FragmentIndex
}

// AskNext orders to ask the origin that grants leases for one of the wanted fragments, verify and store it. Over a new
// connection Have is said instead of what was verified: another server may be there than the last time.
type AskNext struct {
	Package core.PackageID
	Request next.Request // without Resume
	Have    []byte       // all that is held
}

// Acknowledge orders to tell that origin, now, what was verified. At most one of a package is under way.
type Acknowledge struct {
	Package core.PackageID
	Request next.Request // without wishes
	Have    []byte
}

// Meet orders to connect to a member that is no neighbour. It is answered by NeighbourReported with
// peer.NeighbourJoined or peer.MeetFailed.
type Meet struct {
	Package core.PackageID
	peer.Meet
}

// FetchFromMember orders to fetch a fragment from a neighbour, verify and store it. It is answered by FragmentShared,
// or by NeighbourReported with peer.FetchFailed, unless it is cancelled or the neighbour leaves.
type FetchFromMember struct {
	Package core.PackageID
	peer.FetchFromMember
}

// CancelFetch orders to break off a fetch from a neighbour.
type CancelFetch struct {
	Package core.PackageID
	peer.CancelFetch
}

// Announce orders to tell a neighbour of fragments that it lacks.
type Announce struct {
	Package core.PackageID
	peer.Announce
}

// Misbehaved tells of a neighbour that is banned.
type Misbehaved struct {
	Package core.PackageID
	peer.Report
}

// Run orders to run a package, all of whose fragments are there.
type Run struct{ Package core.PackageID }

// CancelRun orders not to start a package's command, if it has not been; the Run is answered all the same.
type CancelRun struct{ Package core.PackageID }

// Conclude orders to note a result without running anything. It is answered by Ended.
type Conclude struct {
	Package core.PackageID
	State   outcome.State
	Class   core.Class // "" when the state says all
	Detail  string
}

// Drop tells that a package is not wanted any more; its fragments may go.
type Drop struct{ Package core.PackageID }

func (Contact) action()         {}
func (Report) action()          {}
func (FetchInfo) action()       {}
func (FetchFragment) action()   {}
func (AskNext) action()         {}
func (Acknowledge) action()     {}
func (Meet) action()            {}
func (FetchFromMember) action() {}
func (CancelFetch) action()     {}
func (Announce) action()        {}
func (Misbehaved) action()      {}
func (Run) action()             {}
func (CancelRun) action()       {}
func (Conclude) action()        {}
func (Drop) action()            {}
