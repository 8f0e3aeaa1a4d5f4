package cycle_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/cycle"
)

// unjudged is a package of which only the priority is known.
func unjudged(id core.PackageID, priority core.Priority) cycle.PackageAdded {
	return cycle.PackageAdded{ID: id, Priority: priority, Unjudged: true}
}

// TestUnjudged: nothing overtakes a package of higher urgency before it is known what that is.
func TestUnjudged(t *testing.T) {
	for _, test := range []struct {
		name   string
		events []timed
		want   string
	}{{
		name: "commands alone wait for the archive of priority 0, whose info file comes last",
		events: []timed{
			{0, unjudged(1, 0)}, {0, unjudged(11, 1)}, {0, unjudged(21, 2)},
			{second, pack(11, 1, 0)}, {second, pack(21, 2, 0)}, {2 * second, pack(1, 0, 2)},
		},
		want: `00:02 ask 1-1
			00:13 ask 1-2
			00:14 run 1
			00:15 done 1
			00:15 run 11
			00:16 done 11
			01:14 run 21
			01:15 done 21`,
	}, {
		name: "the same priority goes by the package's ID",
		events: []timed{
			{0, unjudged(11, 1)}, {0, unjudged(12, 1)}, {second, pack(12, 1, 1)}, {5 * second, pack(11, 1, 0)},
		},
		want: `00:05 run 11
			00:05 ask 12-1
			00:06 done 11
			00:06 run 12
			00:07 done 12`,
	}, {
		name: "priority 1 that cannot be judged blocks until then, and is no longer asked for by the cycle",
		events: []timed{
			{0, unjudged(11, 1)}, {0, pack(12, 1, 1)},
			{3 * second, cycle.JudgingFailed{ID: 11}}, {30 * second, pack(11, 1, 0)},
		},
		want: `00:03 ask 12-1
			00:04 run 12
			00:05 done 12
			00:30 run 11
			00:31 done 11`,
	}, {
		name: "priority 0 that cannot be judged blocks all but its like, until it is withdrawn",
		events: []timed{
			{0, unjudged(1, 0)}, {0, pack(2, 0, 0)}, {0, pack(11, 1, 0)},
			{3 * second, cycle.JudgingFailed{ID: 1}}, {hour / 2, cycle.PackageWithdrawn{ID: 1}},
		},
		want: `00:03 run 2
			00:04 done 2
			30:00 run 11
			30:01 done 11`,
	}, {
		name: "a priority that is never due blocks nobody",
		events: []timed{
			{0, change(func(o *cycle.Options) { o.PeriodLength = 8 })}, {0, unjudged(91, 9)}, {0, pack(101, 10, 0)},
			{0, pack(51, 5, 0)},
		},
		want: `04:00 run 51
			04:01 done 51`,
	}, {
		name:   "another priority than was said",
		events: []timed{{0, unjudged(11, 0)}, {0, pack(12, 1, 0)}, {second, pack(11, 2, 0)}},
		want: `00:01 run 12
			00:02 done 12
			01:01 run 11
			01:02 done 11`,
	}} {
		t.Run(test.name, func(t *testing.T) { scenario(t, hour, noChange, test.events, test.want) })
	}
}

// change is news of the default options, changed.
func change(set func(*cycle.Options)) cycle.Event {
	options := cycle.DefaultOptions()
	set(&options)
	return cycle.OptionsChanged{Options: options}
}

// TestToldTogether: packages that are told of in one step are in order, whichever comes first.
func TestToldTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, cycle.DefaultOptions())
		packages := []cycle.Event{pack(1, 0, 0), pack(11, 1, 0), pack(12, 1, 1), pack(21, 2, 0)}
		events := rapid.Permutation(packages).Draw(t, "order")
		actions := w.schedule.Step(epoch, events...)
		if len(actions) != 2 || actions[0] != (cycle.Run{ID: 1}) || actions[1] != (cycle.AskOrigin{ID: 12}) {
			t.Fatalf("got %v", actions)
		}
	})
}

// TestRunsHeld: what one run waits for all wait for, and none overtakes it.
func TestRunsHeld(t *testing.T) {
	w := newWorld(t, cycle.DefaultOptions())
	w.run = func(id core.PackageID) (time.Duration, cycle.Event) {
		if w.now.Before(epoch.Add(5 * second)) {
			return 0, cycle.RunsHeld{ID: id, Until: w.now.Add(2 * second)}
		}
		return second, cycle.RunFinished{ID: id}
	}
	for _, e := range []timed{
		{0, pack(12, 1, 0)}, {0, pack(13, 1, 0)}, {second, pack(11, 1, 0)}, {5 * second, cycle.RunsHeld{}},
	} {
		w.at(e.at, e.event)
	}
	w.until(minute)
	w.check(t, `00:00 run 12
		00:02 run 11
		00:04 run 11
		00:05 run 11
		00:06 done 11
		00:06 run 12
		00:07 done 12
		00:07 run 13
		00:08 done 13`)
}

// TestOrderOfOneReply: whatever the order in which info files come, and whichever cannot be had, for now or for good,
// nothing asks or runs before something more urgent is judged; and all that can be had ends.
func TestOrderOfOneReply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := cycle.DefaultOptions()
		options.PeriodLength = rapid.IntRange(1, 10).Draw(t, "length")
		options.FragsPerTurn = rapid.IntRange(0, 2).Draw(t, "per turn")
		w := newWorld(t, options)
		w.probe = true
		type known struct {
			priority    core.Priority
			waits, lost bool // its info file is awaited; it could not be had, so far
		}
		packages := map[core.PackageID]*known{}
		left := map[core.PackageID]bool{}
		for id := core.PackageID(1); id <= core.PackageID(rapid.IntRange(1, 7).Draw(t, "packages")); id++ {
			priority := core.Priority(rapid.IntRange(0, 10).Draw(t, "priority"))
			packages[id] = &known{priority: priority, waits: true}
			w.at(0, unjudged(id, priority))
			had := time.Duration(rapid.IntRange(1, 600).Draw(t, "had")) * second
			if rapid.Bool().Draw(t, "fails first") {
				w.at(had/2, cycle.JudgingFailed{ID: id})
			}
			if rapid.IntRange(0, 3).Draw(t, "for good") == 0 {
				w.at(had, cycle.PackageWithdrawn{ID: id})
				continue
			}
			w.at(had, pack(id, priority, rapid.IntRange(0, 3).Draw(t, "missing")))
			left[id] = !options.NeverOpens(priority)
		}
		w.stepped = func(event cycle.Event, actions []cycle.Action) {
			switch e := event.(type) {
			case cycle.PackageAdded:
				packages[e.ID].waits = e.Unjudged
				packages[e.ID].lost = false
			case cycle.JudgingFailed:
				packages[e.ID].waits, packages[e.ID].lost = false, true
			case cycle.PackageWithdrawn:
				delete(packages, e.ID)
			case cycle.RunFinished:
				delete(packages, e.ID)
				delete(left, e.ID)
			}
			for _, action := range actions {
				id := core.PackageID(0)
				switch a := action.(type) {
				case cycle.AskOrigin:
					id = a.ID
				case cycle.Run:
					id = a.ID
				}
				for other, one := range packages {
					mine := packages[id].priority
					isMoreUrgent := one.priority < mine || one.priority == mine && other < id
					isUrgent := one.lost && one.priority == 0 && mine > 0
					if !options.NeverOpens(one.priority) && (one.waits && isMoreUrgent || isUrgent) {
						t.Fatalf("%v: %T of %v, while %v is not judged\n%q", w.now.Sub(epoch), action, id, other, w.trace)
					}
				}
			}
		}
		w.until(3 * day)
		for id, wanted := range left {
			if wanted {
				t.Fatalf("%v has not ended\n%q", id, w.trace)
			}
		}
	})
}
