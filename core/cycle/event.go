package cycle

import (
	"time"

	"enjambre/core"
)

// An Event is something that happened; the shell reports it.
type Event interface{ event() }

// PackageAdded reports a package that is to be downloaded and run. For a package already known it
// corrects Priority and Missing and keeps the first NotifiedAt, so that a server may repeat its list at
// every contact, and a shell that finds stored fragments broken may report them missing again.
type PackageAdded struct {
	ID         core.PackageID // not zero
	Priority   core.Priority  // to core.MaxPriority
	Missing    int            // fragments not held, 0 to core.MaxFragments; 0 if there is no archive
	NotifiedAt time.Time      // first notification, kept over restarts; zero or later than now: now

	// Unjudged says that only the priority is known yet, as its info file is still to be had: nothing less urgent asks
	// or runs until the package is added again without it, withdrawn, or JudgingFailed. Missing is then 0.
	Unjudged bool
}

// JudgingFailed reports that the info file of an unjudged package could not be had for now. As a failing package, it
// blocks nobody from then on, unless it is of priority 0.
type JudgingFailed struct{ ID core.PackageID }

// PackageWithdrawn reports that a package is not wanted any more: unaffected, or ended in another way
// than by a Run. If it is running, the Run still has to be answered.
type PackageWithdrawn struct{ ID core.PackageID }

// FragmentArrived reports a verified fragment, from the origin or from a member.
type FragmentArrived struct {
	ID         core.PackageID
	Index      core.FragmentIndex // below core.MaxFragments
	Missing    int                // fragments still missing after this one: a state, so a repeat does no harm
	FromOrigin bool               // it answers an AskOrigin; false if it came from a member
}

// FragmentFailed answers an AskOrigin: this one fragment could not be had from the origin or was corrupt.
// If it had failed in this opening before, the turn closes, as the shell then has nothing better to ask for.
type FragmentFailed struct {
	ID    core.PackageID
	Index core.FragmentIndex // below core.MaxFragments
}

// TurnFailed reports that nothing more can be had in this opening: the origin cannot be reached, has not
// got the package, or the disk takes no more. It counts as if every missing fragment had failed, and
// answers an AskOrigin if one is open.
type TurnFailed struct{ ID core.PackageID }

// AskPostponed reports that the package need not ask before Until, because the origin has lent
// what is missing to other members, or members hold it. It answers an AskOrigin if one is open, and then
// nothing was received, so that no latency follows and other packages may ask; Until is then at least
// MinPause away. Without an open ask it sets the time anew, which may be now. It is at most MaxPause away.
type AskPostponed struct {
	ID    core.PackageID
	Until time.Time
}

// RunFinished answers a Run: the package has its result, good or bad, and is dropped.
type RunFinished struct{ ID core.PackageID }

// RunPostponed answers a Run: there is no result yet, and the package is not to be run before Until, which
// is at least MinPause away. It keeps its turn and does not hold up others.
type RunPostponed struct {
	ID    core.PackageID
	Until time.Time
}

// RunsHeld reports that nothing is to be run before Until, since what one run waits for, all wait for. It answers the Run
// of ID, if that is not 0, which keeps its turn and its place: none overtakes it. Until is then at least MinPause away. With
// an ID of 0 it sets the time anew, which may be now. It is at most MaxPause away.
type RunsHeld struct {
	ID    core.PackageID
	Until time.Time
}

// OptionsChanged reports new options, as each contact with the server may bring. The running cycle keeps
// its number, a pause its beginning, and no turn is lost that still can open. Options must be valid.
type OptionsChanged struct{ Options Options }

// WakeDue reports that the time named by NextWake has come. It does nothing by itself, as every Step sees
// to what is due; too early or too often does no harm.
type WakeDue struct{}

func (PackageAdded) event()     {}
func (PackageWithdrawn) event() {}
func (JudgingFailed) event()    {}
func (FragmentArrived) event()  {}
func (FragmentFailed) event()   {}
func (TurnFailed) event()       {}
func (AskPostponed) event()     {}
func (RunFinished) event()      {}
func (RunPostponed) event()     {}
func (RunsHeld) event()         {}
func (OptionsChanged) event()   {}
func (WakeDue) event()          {}

// An Action is something the shell must do; it reports the outcome as an Event.
type Action interface{ action() }

// AskOrigin orders to ask the origin for one missing fragment of a package, now.
type AskOrigin struct{ ID core.PackageID }

// Run orders to build and run a package, all of whose fragments are there.
type Run struct{ ID core.PackageID }

// Expire orders to give up a package with ERR_TIMEOUT; the Schedule has dropped it.
type Expire struct{ ID core.PackageID }

// Refuse tells that a package was not taken, since MaxPackages are waiting already. The server's next list
// may offer it again.
type Refuse struct{ ID core.PackageID }

func (AskOrigin) action() {}
func (Run) action()       {}
func (Expire) action()    {}
func (Refuse) action()    {}
