package cycle_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
)

// epoch is when every test begins.
var epoch = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * time.Hour
)

// A world is a shell on virtual time with an origin behind it, and writes down what happens.
type world struct {
	t        failer
	schedule *cycle.Schedule
	now      time.Time
	queue    []pending
	count    int
	missing  map[core.PackageID]map[core.FragmentIndex]bool
	asked    map[core.PackageID]map[core.FragmentIndex]bool
	trace    []string
	steps    []step // everything that happened, for a replay

	answers time.Duration                                             // how long the origin needs
	runs    time.Duration                                             // how long a run needs
	reply   func(core.PackageID, core.FragmentIndex) cycle.Event      // nil: the origin is honest
	stepped func(event cycle.Event, actions []cycle.Action)           // nil: nobody looks
	enough  func() bool                                               // nil: go on while anything happens
	probe   bool                                                      // look whether wakes too early do harm
	skew    func(virtual time.Time) time.Time                         // nil: the clock is right
	run     func(core.PackageID) (after time.Duration, e cycle.Event) // nil: it finishes
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

type pending struct {
	at    time.Time
	order int
	event cycle.Event
}

type step struct {
	at      time.Time
	event   cycle.Event
	actions []cycle.Action
}

func newWorld(t failer, options cycle.Options) *world {
	t.Helper()
	schedule, err := cycle.New(options)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return &world{
		t: t, schedule: schedule, now: epoch, answers: second, runs: second,
		missing: map[core.PackageID]map[core.FragmentIndex]bool{},
		asked:   map[core.PackageID]map[core.FragmentIndex]bool{},
	}
}

// at queues an event.
func (w *world) at(after time.Duration, event cycle.Event) {
	w.count++
	w.queue = append(w.queue, pending{epoch.Add(after), w.count, event})
	slices.SortFunc(w.queue, func(a, b pending) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order))
	})
}

func (w *world) after(delay time.Duration, event cycle.Event) { w.at(w.now.Sub(epoch)+delay, event) }

// until runs the world up to a time, or until nothing would happen any more.
func (w *world) until(end time.Duration) {
	w.t.Helper()
	for idle := 0; w.enough == nil || !w.enough(); {
		wake, due := w.schedule.NextWake()
		if w.skew != nil && due {
			wake = wake.Add(w.now.Sub(w.skew(w.now)))
		}
		next := pending{at: wake, event: cycle.WakeDue{}}
		if len(w.queue) > 0 && (!due || !w.queue[0].at.After(wake)) {
			next, w.queue = w.queue[0], w.queue[1:]
		} else if !due {
			return
		}
		if next.at.After(epoch.Add(end)) {
			if next.event != (cycle.WakeDue{}) {
				w.queue = slices.Insert(w.queue, 0, next)
			}
			w.now = epoch.Add(end)
			return
		}
		if idle++; idle > 200_000 {
			w.t.Fatalf("no end after %d steps; the last: %v", idle, w.trace[max(0, len(w.trace)-20):])
		}
		if w.probe {
			w.wakeEarly(next.at)
		}
		w.now = next.at
		w.step(next.event)
	}
}

// wakeEarly wakes the schedule half way to the next event, which must do nothing.
func (w *world) wakeEarly(next time.Time) {
	w.t.Helper()
	early := w.now.Add(next.Sub(w.now) / 2)
	if !early.After(w.now) || !early.Before(next) {
		return
	}
	actions := w.schedule.Step(early, cycle.WakeDue{})
	w.steps = append(w.steps, step{early, cycle.WakeDue{}, actions})
	if actions != nil {
		w.t.Fatalf("%v: a wake before the time gives %v", early, actions)
	}
}

// step hands over one event and carries out the actions.
func (w *world) step(event cycle.Event) {
	event, known := w.absorb(event)
	if !known {
		return
	}
	now := w.now
	if w.skew != nil {
		now = w.skew(now)
	}
	actions := w.schedule.Step(now, event)
	w.steps = append(w.steps, step{now, event, actions})
	if wake, due := w.schedule.NextWake(); due && !wake.After(now) {
		w.t.Fatalf("%v after %T: the next wake %v is not later", now, event, wake)
	}
	if w.stepped != nil {
		w.stepped(event, actions)
	}
	for _, action := range actions {
		w.carryOut(action)
	}
}

// absorb brings the shell's own state up to date, and completes an event with it. An answer of the origin
// is dropped if the package was dropped meanwhile.
func (w *world) absorb(event cycle.Event) (cycle.Event, bool) {
	switch e := event.(type) {
	case cycle.PackageAdded:
		w.missing[e.ID] = map[core.FragmentIndex]bool{}
		for i := range e.Missing {
			w.missing[e.ID][core.FragmentIndex(i)] = true
		}
		if e.NotifiedAt.IsZero() {
			e.NotifiedAt = w.now
		}
		return e, true
	case cycle.PackageWithdrawn:
		w.forget(e.ID)
	case cycle.FragmentArrived:
		if e.FromOrigin && !w.asked[e.ID][e.Index] {
			return nil, false
		}
		if e.FromOrigin {
			delete(w.asked[e.ID], e.Index)
		} else if w.missing[e.ID][e.Index] {
			w.note("take %v-%d", e.ID, e.Index+1)
		}
		delete(w.missing[e.ID], e.Index)
		e.Missing = len(w.missing[e.ID])
		return e, true
	case cycle.FragmentFailed:
		if !w.asked[e.ID][e.Index] {
			return nil, false
		}
		delete(w.asked[e.ID], e.Index)
		w.note("fail %v-%d", e.ID, e.Index+1)
	case cycle.TurnFailed:
		w.note("fail %v", e.ID)
		clear(w.asked[e.ID]) // tests of it have one ask open
	case cycle.AskPostponed:
		clear(w.asked[e.ID])
	case cycle.RunFinished:
		w.note("done %v", e.ID)
		w.forget(e.ID)
	}
	return event, true
}

func (w *world) forget(id core.PackageID) {
	delete(w.missing, id)
	delete(w.asked, id)
}

func (w *world) carryOut(action cycle.Action) {
	switch a := action.(type) {
	case cycle.AskOrigin:
		index, found := w.choose(a.ID)
		if !found {
			w.t.Fatalf("%v: ask %v, of which nothing is missing", w.now, a.ID)
		}
		w.note("ask %v-%d", a.ID, index+1)
		if w.asked[a.ID] == nil {
			w.asked[a.ID] = map[core.FragmentIndex]bool{}
		}
		w.asked[a.ID][index] = true
		var event cycle.Event = cycle.FragmentArrived{ID: a.ID, Index: index, FromOrigin: true}
		if w.reply != nil {
			event = cmp.Or(w.reply(a.ID, index), event)
		}
		w.after(w.answers, event)
	case cycle.Run:
		w.note("run %v", a.ID)
		after, event := w.runs, cycle.Event(cycle.RunFinished(a))
		if w.run != nil {
			after, event = w.run(a.ID)
		}
		w.after(after, event)
	case cycle.Expire:
		w.note("expire %v", a.ID)
		w.forget(a.ID)
	case cycle.Refuse:
		w.note("refuse %v", a.ID)
	}
}

// choose takes the first fragment that is missing, not asked for, and did not fail in this opening.
func (w *world) choose(id core.PackageID) (core.FragmentIndex, bool) {
	chosen, found := core.FragmentIndex(core.MaxFragments), false
	for index := range w.missing[id] {
		if !w.asked[id][index] && !w.schedule.HasFailed(id, index) {
			chosen, found = min(chosen, index), true
		}
	}
	return chosen, found
}

func (w *world) note(format string, args ...any) {
	at := w.now.Sub(epoch)
	w.trace = append(w.trace, fmt.Sprintf("%02d:%02d ", int(at.Minutes()), int(at.Seconds())%60)+
		fmt.Sprintf(format, args...))
}

// check compares the trace with the lines of want.
func (w *world) check(t *testing.T, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if !slices.Equal(w.trace, lines) {
		t.Errorf("got:\n\t%s\nwant:\n\t%s", strings.Join(w.trace, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// pack is a package that is added.
func pack(id core.PackageID, priority core.Priority, missing int) cycle.PackageAdded {
	return cycle.PackageAdded{ID: id, Priority: priority, Missing: missing}
}

// taken is a fragment that a member gave, counted from 1 as in the traces.
func taken(id core.PackageID, number core.FragmentIndex) cycle.FragmentArrived {
	return cycle.FragmentArrived{ID: id, Index: number - 1}
}
