// Package peer decides how a package's fragments spread among the agents of a site.
//
// It decides and does nothing else: it opens no socket, reads no clock, starts no goroutine. A shell feeds events
// to [Download.Step] and carries out the actions it returns. The same events and times always give the same
// actions.
//
// At present a swarm has one member: every fragment comes from the origin, whenever the schedule (core/cycle)
// allows it, in the order of the archive. A fragment that failed goes behind all that have not failed since, so
// that in one opening of a package's turn no fragment is asked for twice before all others were.
package peer

import (
	"fmt"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
)

// An Event is something that happened; the shell reports it.
type Event interface{ event() }

// OriginAllowed reports that the schedule allows one fragment from the origin now.
type OriginAllowed struct{}

// FragmentStored reports that a fragment was verified and kept.
type FragmentStored struct{ Index core.FragmentIndex }

// FragmentFailed reports that an asked fragment could not be had, or was not what it should be.
type FragmentFailed struct{ Index core.FragmentIndex }

// FragmentLost reports that a fragment thought to be kept is not: the disk has changed it.
type FragmentLost struct{ Index core.FragmentIndex }

// AskAbandoned reports that an ask came to nothing for a reason that is not the fragment's.
type AskAbandoned struct{ Index core.FragmentIndex }

func (OriginAllowed) event()  {}
func (FragmentStored) event() {}
func (FragmentFailed) event() {}
func (FragmentLost) event()   {}
func (AskAbandoned) event()   {}

// An Action is something the shell must do; it reports the outcome as an Event.
type Action interface{ action() }

// FetchFromOrigin orders to fetch a fragment from the origin. It is answered by exactly one of FragmentStored,
// FragmentFailed or AskAbandoned.
type FetchFromOrigin struct{ Index core.FragmentIndex }

func (FetchFromOrigin) action() {}

// A Download is one package's way to being complete. Make one with NewDownload; one goroutine owns it.
type Download struct {
	held     *fragment.Set
	asked    map[core.FragmentIndex]bool   // at most cycle.MaxAsks
	failed   map[core.FragmentIndex]uint64 // which failure was the fragment's last
	failures uint64
}

// NewDownload returns the download of a package of which some fragments are held already. It takes the set over.
func NewDownload(held *fragment.Set) *Download {
	return &Download{held: held, asked: map[core.FragmentIndex]bool{}, failed: map[core.FragmentIndex]uint64{}}
}

// Size returns how many fragments the package has.
func (d *Download) Size() int { return d.held.Size() }

// Missing returns how many of them are missing.
func (d *Download) Missing() int { return d.held.Size() - d.held.Count() }

// Step applies one event at the time now and returns what to do about it, in order.
func (d *Download) Step(_ time.Time, event Event) []Action {
	switch event := event.(type) {
	case OriginAllowed:
		return d.originAllowed()
	case FragmentStored:
		delete(d.asked, event.Index)
		delete(d.failed, event.Index)
		d.held.Add(event.Index)
	case FragmentFailed:
		delete(d.asked, event.Index)
		d.failures++
		d.failed[event.Index] = d.failures
	case FragmentLost:
		d.held.Remove(event.Index)
	case AskAbandoned:
		delete(d.asked, event.Index)
	default:
		panic(fmt.Sprintf("peer: event %T is not one of this package", event))
	}
	return nil
}

// originAllowed chooses the missing fragment whose last failure is the oldest, the first of the archive among
// those that never failed. It returns nothing when all that is missing is asked for.
func (d *Download) originAllowed() []Action {
	var best core.FragmentIndex
	found := false
	for index := range d.held.Missing() {
		if d.asked[index] || found && d.failed[index] >= d.failed[best] {
			continue
		}
		best, found = index, true
		if d.failed[index] == 0 {
			break
		}
	}
	if !found {
		return nil
	}
	d.asked[best] = true
	return []Action{FetchFromOrigin{best}}
}
