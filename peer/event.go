package peer

import (
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/owner"
)

// An Event is something that happened; the shell reports it.
type Event interface{ event() }

// OriginAllowed reports that the schedule allows to ask the origin for one fragment now. It is answered at once by
// one FetchFromOrigin, AskOrigin or Postpone.
type OriginAllowed struct{}

// FragmentStored reports that a fragment was verified and kept.
type FragmentStored struct {
	Index core.FragmentIndex
	From  id.Peer // zero: the origin
}

// FragmentFailed reports that a fragment from the origin could not be had, or was not what it should be.
type FragmentFailed struct{ Index core.FragmentIndex }

// FragmentLost reports that a fragment thought to be kept is not: the disk has changed it.
type FragmentLost struct{ Index core.FragmentIndex }

// AskAbandoned reports that an ask of the origin came to nothing for a reason that is not the fragment's.
type AskAbandoned struct{ Index core.FragmentIndex }

// OriginRefused reports that an origin that grants leases has none for us now. Holder, unless zero, has Index.
type OriginRefused struct {
	Index  core.FragmentIndex
	Holder id.Peer
}

// MeetFailed reports that a member could not be reached.
type MeetFailed struct {
	Peer  id.Peer
	Index core.FragmentIndex // for which it was to be met
}

// NeighbourJoined reports a member that was greeted and wants this package or has some of it.
type NeighbourJoined struct {
	Peer   id.Peer
	Weight owner.Weight
	Wants  bool
	Held   *fragment.Set // of the package's size; nil: nothing. The Download takes it over
}

// NeighbourLeft reports that a neighbour is no more. What was asked of it has failed without blame.
type NeighbourLeft struct{ Peer id.Peer }

// NeighbourHas reports fragments that a neighbour has announced.
type NeighbourHas struct {
	Peer    id.Peer
	Indexes []core.FragmentIndex
}

// NeighbourDropped reports fragments that a neighbour has taken back.
type NeighbourDropped struct {
	Peer    id.Peer
	Indexes []core.FragmentIndex
}

// FetchProgressed reports that bytes of a fragment have come from a neighbour.
type FetchProgressed struct {
	Peer  id.Peer
	Index core.FragmentIndex
}

// A Failure says why a neighbour did not give a fragment.
type Failure uint8

// The failures.
const (
	Broken   Failure = iota + 1 // the stream ended; nobody is to blame
	Occupied                    // it has no slot free: RetryAfter says when to ask again
	Absent                      // it does not have what it announced
	Corrupt                     // the bytes are not the fragment
)

// FetchFailed reports that a neighbour did not give a fragment.
type FetchFailed struct {
	Peer       id.Peer
	Index      core.FragmentIndex
	Why        Failure
	RetryAfter time.Duration // of Occupied; held to 10 ms to MaxBusy
}

// LeasesChanged reports whether the origin grants leases from now on. What is under way is answered as it was asked.
type LeasesChanged struct{ Granted bool }

// Halted reports that the package is not to be fetched for now, or is again. What is under way from neighbours is
// broken off; the schedule's shell sees to the origin.
type Halted struct{ On bool }

// WakeDue reports that the time named by NextWake has come.
type WakeDue struct{}

func (OriginAllowed) event()    {}
func (FragmentStored) event()   {}
func (FragmentFailed) event()   {}
func (FragmentLost) event()     {}
func (AskAbandoned) event()     {}
func (OriginRefused) event()    {}
func (MeetFailed) event()       {}
func (NeighbourJoined) event()  {}
func (NeighbourLeft) event()    {}
func (NeighbourHas) event()     {}
func (NeighbourDropped) event() {}
func (FetchProgressed) event()  {}
func (FetchFailed) event()      {}
func (LeasesChanged) event()    {}
func (Halted) event()           {}
func (WakeDue) event()          {}

// An Action is something the shell must do; it reports the outcome as an Event.
type Action interface{ action() }

// FetchFromOrigin orders to fetch a fragment from an origin that grants no leases. It is answered by exactly one of
// FragmentStored, FragmentFailed or AskAbandoned.
type FetchFromOrigin struct{ Index core.FragmentIndex }

// AskOrigin orders to ask an origin that grants leases for one of these fragments, the dearest first. It is answered
// by exactly one of FragmentStored or FragmentFailed (for whichever it sent), OriginRefused, or AskAbandoned.
type AskOrigin struct {
	Want         []core.FragmentIndex
	Acknowledged []core.FragmentIndex // verified since the last
	Failed       []Complaint
}

// Acknowledge orders to tell an origin that grants leases, now, of fragments that were verified: its lease ends with
// that, and this member counts as a holder.
type Acknowledge struct{ Indexes []core.FragmentIndex }

// Meet orders to connect to a member that has a fragment and is no neighbour. It is answered by NeighbourJoined or
// MeetFailed.
type Meet struct {
	Peer  id.Peer
	Index core.FragmentIndex
}

// A Complaint is a holder that failed us since the last AskOrigin.
type Complaint struct {
	Peer    id.Peer
	Index   core.FragmentIndex
	Corrupt bool
}

// Postpone answers OriginAllowed when there is nothing to ask the origin for before Until.
type Postpone struct{ Until time.Time }

// FetchFromMember orders to fetch a fragment from a neighbour. It is answered by exactly one of FragmentStored,
// FetchFailed or NeighbourLeft, unless it is cancelled.
type FetchFromMember struct {
	Peer  id.Peer
	Index core.FragmentIndex
}

// CancelFetch orders to break off a fetch from a neighbour. It is not answered.
type CancelFetch struct {
	Peer  id.Peer
	Index core.FragmentIndex
}

// Announce orders to tell a neighbour of fragments that it lacks.
type Announce struct {
	Peer    id.Peer
	Indexes []core.FragmentIndex
}

// Report orders to tell the server of a neighbour that misbehaved, which is banned until then.
type Report struct {
	Peer  id.Peer
	Why   Failure // Absent, Corrupt, or Broken for one that made no progress
	Until time.Time
}

func (FetchFromOrigin) action() {}
func (AskOrigin) action()       {}
func (Acknowledge) action()     {}
func (Meet) action()            {}
func (Postpone) action()        {}
func (FetchFromMember) action() {}
func (CancelFetch) action()     {}
func (Announce) action()        {}
func (Report) action()          {}
