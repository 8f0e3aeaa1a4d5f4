package pulse

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"enjambre/core"
)

// Bounds of a Desk. An open ask costs the server a connection, of which it has thousands, and some 50 KB of memory.
const (
	MaxOpen       = 2048
	MaxOpenAtSite = 4 // the first reporter, the one that takes over from it, and those of two islands
)

// A Desk is the server's side of asks: it keeps them open until there is news at their site, or the time that they gave
// it has passed, and says which to answer. One that it has no place for is answered at once, as servers do that keep none
// open. Of each member one ask is open; whoever asks again has given the former one up.
//
// It decides and does nothing else; one goroutine owns it. Make one with NewDesk.
type Desk struct {
	numbers map[core.SiteName]uint64 // of all sites, as far as known
	open    map[uint64]Asked         // by ID
	sites   map[core.SiteName][]uint64
	ends    map[uint64]time.Time
	closed  bool
}

// NewDesk returns a Desk with nothing open.
func NewDesk() *Desk {
	return &Desk{
		numbers: map[core.SiteName]uint64{}, open: map[uint64]Asked{}, sites: map[core.SiteName][]uint64{},
		ends: map[uint64]time.Time{},
	}
}

// A DeskEvent is something that happened at the server.
type DeskEvent interface{ deskEvent() }

// Asked reports an ask.
type Asked struct {
	ID     uint64 // of the ask, never used before
	Member string // who asks
	Site   core.SiteName
	Number uint64 // of the site's news, as it was when the ask was judged
	Known  uint64 // to the member
	Wait   time.Duration
}

// Raised reports the number of a site's news, which may be as before.
type Raised struct {
	Site   core.SiteName
	Number uint64
}

// HungUp reports that nobody waits for the answer to an ask any more. One that is not open is nothing.
type HungUp struct{ ID uint64 }

// TimePassed lets the Desk see which asks have been open for long enough. It is to come several times a second.
type TimePassed struct{}

// Closing reports that the server ends: nothing stays open from now on.
type Closing struct{}

func (Asked) deskEvent()      {}
func (Raised) deskEvent()     {}
func (HungUp) deskEvent()     {}
func (TimePassed) deskEvent() {}
func (Closing) deskEvent()    {}

// Open returns how many asks are open.
func (d *Desk) Open() int { return len(d.open) }

// Number returns the number of a site's news as it was last reported; 0: never.
func (d *Desk) Number(site core.SiteName) uint64 { return d.numbers[site] }

// Step applies one event at the time now, and returns the IDs of the asks that are to be answered.
func (d *Desk) Step(now time.Time, event DeskEvent) (answer []uint64) {
	switch event := event.(type) {
	case Asked:
		return d.asked(now, event)
	case Raised:
		d.numbers[event.Site] = event.Number
		return d.close(d.sites[event.Site], func(one Asked) bool { return one.Known < event.Number })
	case HungUp:
		d.close([]uint64{event.ID}, func(Asked) bool { return true })
		return nil
	case TimePassed:
		return d.close(slices.Sorted(maps.Keys(d.open)), func(one Asked) bool {
			end := d.ends[one.ID]
			return !now.Before(end) || end.Sub(now) > HoldFor // the clock was set back
		})
	case Closing:
		d.closed = true
		return d.close(slices.Sorted(maps.Keys(d.open)), func(Asked) bool { return true })
	}
	panic(fmt.Sprintf("pulse: event %T is not one of a desk", event))
}

// asked keeps an ask open, or has it answered at once.
func (d *Desk) asked(now time.Time, event Asked) (answer []uint64) {
	answer = d.close(d.sites[event.Site], func(one Asked) bool { return one.Member == event.Member })
	isNews := max(event.Number, d.numbers[event.Site]) > event.Known
	isFull := len(d.open) >= MaxOpen || len(d.sites[event.Site]) >= MaxOpenAtSite
	if d.closed || isNews || isFull || event.Wait <= 0 {
		return append(answer, event.ID)
	}
	d.open[event.ID], d.ends[event.ID] = event, now.Add(min(event.Wait, HoldFor))
	d.sites[event.Site] = append(d.sites[event.Site], event.ID)
	return answer
}

// close closes those of some asks for which a condition holds, and returns them.
func (d *Desk) close(asks []uint64, holds func(Asked) bool) (closed []uint64) {
	for _, id := range slices.Clone(asks) {
		one, isOpen := d.open[id]
		if !isOpen || !holds(one) {
			continue
		}
		closed = append(closed, id)
		delete(d.open, id)
		delete(d.ends, id)
		left := slices.DeleteFunc(d.sites[one.Site], func(other uint64) bool { return other == id })
		if d.sites[one.Site] = left; len(left) == 0 {
			delete(d.sites, one.Site)
		}
	}
	return closed
}
