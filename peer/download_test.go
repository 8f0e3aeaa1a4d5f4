package peer

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/fragment"
)

var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// ask steps an OriginAllowed and returns the fragment chosen, -1 for none.
func ask(d *Download) int {
	if fetch, is := d.Step(start, OriginAllowed{})[0].(FetchFromOrigin); is {
		return int(fetch.Index)
	}
	return -1
}

func TestOrder(t *testing.T) {
	held := fragment.NewSet(4)
	held.Add(1)
	d := NewDownload(held, Options{})
	for _, want := range []int{0, 2, 3, -1} {
		if got := ask(d); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	for _, event := range []Event{FragmentFailed{2}, FragmentStored{Index: 0}, FragmentFailed{3}} {
		d.Step(start, event)
	}
	if d.Missing() != 2 {
		t.Errorf("%d missing", d.Missing())
	}
	if got := ask(d); got != 2 {
		t.Errorf("got %d, want the oldest failure", got)
	}
	d.Step(start, FragmentFailed{2})
	d.Step(start, FragmentLost{1})
	for _, want := range []int{1, 3, 2, -1} {
		if got := ask(d); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	d.Step(start, AskAbandoned{3})
	if got := ask(d); got != 3 {
		t.Errorf("got %d, want what was abandoned", got)
	}
}

// TestWithSchedule: driven by the schedule, a download never asks for a fragment that failed in this opening while
// there is another, and it ends when the origin works again.
func TestWithSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const id = core.PackageID(1)
		size := rapid.IntRange(1, 12).Draw(t, "fragments")
		options := cycle.DefaultOptions()
		options.FragsPerTurn = rapid.IntRange(0, 3).Draw(t, "per turn")
		options.MaxOrigin = rapid.IntRange(1, 3).Draw(t, "asks")
		options.FragLatency = 0
		schedule, err := cycle.New(options)
		if err != nil {
			t.Fatal(err)
		}
		d := NewDownload(fragment.NewSet(size), Options{})
		now := start
		works := 60 // after so many answers the origin answers every time
		var open []core.FragmentIndex
		apply := func(actions []cycle.Action) (ran bool) {
			for _, action := range actions {
				switch action.(type) {
				case cycle.AskOrigin:
					chosen := d.Step(now, OriginAllowed{})
					if len(chosen) != 1 {
						t.Fatalf("the schedule allows an ask, but %d are made", len(chosen))
					}
					index := chosen[0].(FetchFromOrigin).Index
					if schedule.HasFailed(id, index) {
						t.Fatalf("fragment %d has failed in this opening", index)
					}
					open = append(open, index)
				case cycle.Run:
					ran = true
				}
			}
			return ran
		}
		if apply(schedule.Step(now, cycle.PackageAdded{ID: id, Priority: 1, Missing: size})) {
			t.Fatal("it runs without its fragments")
		}
		for range 500 {
			if len(open) == 0 {
				wake, wakes := schedule.NextWake()
				if !wakes {
					t.Fatal("nothing happens any more")
				}
				now = wake
				if apply(schedule.Step(now, cycle.WakeDue{})) {
					return
				}
				continue
			}
			index := open[0]
			open = open[1:]
			works--
			var event cycle.Event
			if works < 0 || rapid.Bool().Draw(t, "works") {
				d.Step(now, FragmentStored{Index: index})
				event = cycle.FragmentArrived{ID: id, Index: index, Missing: d.Missing(), FromOrigin: true}
			} else {
				d.Step(now, FragmentFailed{index})
				event = cycle.FragmentFailed{ID: id, Index: index}
			}
			if apply(schedule.Step(now, event)) {
				return
			}
		}
		t.Fatalf("%d fragments are still missing", d.Missing())
	})
}
