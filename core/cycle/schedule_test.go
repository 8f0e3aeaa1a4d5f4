package cycle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
)

// scenario runs events against the default options, as changed by set, and checks the trace.
func scenario(
	t *testing.T, until time.Duration, set func(*world, *cycle.Options), events []timed, want string,
) {
	t.Helper()
	options := cycle.DefaultOptions()
	w := newWorld(t, options)
	set(w, &options)
	var err error
	if w.schedule, err = cycle.New(options); err != nil {
		t.Fatalf("New: %v", err)
	}
	for _, e := range events {
		w.at(e.at, e.event)
	}
	w.until(until)
	w.check(t, want)
}

func noChange(*world, *cycle.Options) {}

func TestTurnStaysOpenOverCycles(t *testing.T) {
	scenario(t, hour, func(w *world, _ *cycle.Options) { w.answers = 50 * second },
		[]timed{{0, pack(11, 1, 2)}, {0, pack(21, 2, 2)}, {110 * second, pack(12, 1, 1)}},
		`00:00 ask 11-1
		01:00 ask 11-2
		01:50 run 11
		01:51 done 11
		02:00 ask 12-1
		02:50 run 12
		02:51 done 12
		03:50 ask 21-1
		04:50 ask 21-2
		05:40 run 21
		05:41 done 21`)
}

func TestMoreUrgentTakesOverAtTheNextFragment(t *testing.T) {
	scenario(t, hour, noChange,
		[]timed{{0, pack(31, 1, 3)}, {5 * second, pack(1, 0, 1)}, {5 * second, pack(11, 1, 1)}},
		`00:00 ask 31-1
		00:11 ask 1-1
		00:12 run 1
		00:13 done 1
		00:22 ask 11-1
		00:23 run 11
		00:24 done 11
		00:33 ask 31-2
		00:44 ask 31-3
		00:45 run 31
		00:46 done 31`)
}

func TestMembersNeedNoTurnButRunsDo(t *testing.T) {
	scenario(t, hour, noChange,
		[]timed{
			{0, pack(31, 3, 2)}, {0, pack(11, 1, 4)},
			{second, taken(31, 1)}, {second, taken(31, 2)}, {2 * second, taken(11, 2)}, {3 * second, taken(11, 3)},
		},
		`00:00 ask 11-1
		00:01 take 31-1
		00:01 take 31-2
		00:02 take 11-2
		00:03 take 11-3
		00:11 ask 11-4
		00:12 run 11
		00:13 done 11
		02:12 run 31
		02:13 done 31`)
}

func TestRunsOneAtATimeTheMostUrgentFirst(t *testing.T) {
	scenario(t, hour, func(w *world, _ *cycle.Options) { w.runs = 90 * second },
		[]timed{
			{0, pack(12, 1, 0)}, {second, pack(13, 1, 0)},
			{2 * second, pack(11, 1, 0)}, {2 * second, pack(21, 2, 0)},
		},
		`00:00 run 12
		01:30 done 12
		01:30 run 11
		03:00 done 11
		03:00 run 13
		04:30 done 13
		04:30 run 21
		06:00 done 21`)
}

func TestFailedTurn(t *testing.T) {
	scenario(t, 2*minute, func(w *world, _ *cycle.Options) {
		w.reply = func(id core.PackageID, index core.FragmentIndex) cycle.Event {
			if id == 11 && w.now.Before(epoch.Add(minute)) {
				return cycle.TurnFailed{ID: id}
			}
			return nil
		}
	}, []timed{{0, pack(11, 1, 2000)}, {0, pack(12, 1, 1)}, {150 * second, cycle.PackageWithdrawn{ID: 11}}},
		`00:00 ask 11-1
		00:01 fail 11
		00:11 ask 12-1
		00:12 run 12
		00:13 done 12
		01:12 ask 11-1
		01:23 ask 11-2
		01:34 ask 11-3
		01:45 ask 11-4
		01:56 ask 11-5`)
}

// TestFailingPackagesStarveNobody has more failing packages than fit into a cycle, all more urgent than
// the one that does not fail; they still cede to it.
func TestFailingPackagesStarveNobody(t *testing.T) {
	events := []timed{{0, pack(90, 2, 5)}}
	for id := core.PackageID(11); id < 21; id++ {
		events = append(events, timed{0, pack(id, 1, 100)})
	}
	options := cycle.DefaultOptions()
	w := newWorld(t, options)
	w.reply = func(id core.PackageID, index core.FragmentIndex) cycle.Event {
		if id != 90 {
			return cycle.FragmentFailed{ID: id, Index: index}
		}
		return nil
	}
	for _, e := range events {
		w.at(e.at, e.event)
	}
	w.until(15 * minute)
	if !slices.ContainsFunc(w.trace, func(line string) bool { return strings.HasSuffix(line, "done 90") }) {
		t.Errorf("package 90 did not end:\n\t%s", strings.Join(w.trace, "\n\t"))
	}
}

func TestSporadicFailureKeepsItsPlace(t *testing.T) {
	scenario(t, hour, func(w *world, _ *cycle.Options) {
		w.reply = func(id core.PackageID, index core.FragmentIndex) cycle.Event {
			if id == 11 && index == 0 && w.now == epoch {
				return cycle.FragmentFailed{ID: id, Index: index}
			}
			return nil
		}
	}, []timed{{0, pack(11, 1, 3)}, {0, pack(12, 1, 2)}, {80 * second, pack(13, 1, 1)}},
		`00:00 ask 11-1
		00:01 fail 11-1
		00:11 ask 12-1
		00:22 ask 12-2
		00:23 run 12
		00:24 done 12
		00:33 ask 11-2
		00:44 ask 11-3
		01:45 ask 11-1
		01:46 run 11
		01:47 done 11
		01:56 ask 13-1
		01:57 run 13
		01:58 done 13`)
}

func TestRepeatedFailureClosesTheTurn(t *testing.T) {
	w := newWorld(t, cycle.Options{})
	w.schedule.Step(epoch, pack(11, 1, 10))
	got := w.schedule.Step(epoch, cycle.FragmentFailed{ID: 11, Index: 3})
	if !slices.Equal(got, []cycle.Action{cycle.AskOrigin{ID: 11}}) {
		t.Errorf("after one failure: got %v, want an ask", got)
	}
	if got := w.schedule.Step(epoch, cycle.FragmentFailed{ID: 11, Index: 3}); got != nil {
		t.Errorf("after the same failure: got %v, want nothing", got)
	}
	if turn := w.schedule.Turns()[0]; turn.Open || !turn.OpensAt.Equal(epoch.Add(cycle.MinCycle)) {
		t.Errorf("got %+v, want a closed turn that opens after %v", turn, cycle.MinCycle)
	}
	if !w.schedule.HasFailed(11, 3) || w.schedule.HasFailed(11, 4) || w.schedule.HasFailed(12, 3) {
		t.Error("HasFailed is not true for fragment 3 of package 11 alone")
	}
}

func TestPostponedAskCedesToOthersWithoutLatency(t *testing.T) {
	scenario(t, hour, func(w *world, _ *cycle.Options) {
		w.reply = func(id core.PackageID, index core.FragmentIndex) cycle.Event {
			if id == 11 && w.now.Before(epoch.Add(20*second)) {
				return cycle.AskPostponed{ID: id, Until: epoch.Add(25 * second)}
			}
			return nil
		}
	}, []timed{{0, pack(11, 1, 2)}, {0, pack(12, 1, 2)}},
		`00:00 ask 11-1
		00:01 ask 12-1
		00:12 ask 12-2
		00:13 run 12
		00:14 done 12
		00:25 ask 11-1
		00:36 ask 11-2
		00:37 run 11
		00:38 done 11`)
}

func TestPostponedAskIsBounded(t *testing.T) {
	for _, test := range []struct {
		name  string
		asked bool // whether an ask is open
		until time.Duration
		want  time.Duration
	}{
		{"now, answering an ask", true, 0, cycle.MinPause},
		{"the past, answering an ask", true, -day, cycle.MinPause},
		{"soon", true, 3 * second, 3 * second},
		{"far too late", true, day, cycle.MaxPause},
		{"without an ask", false, 3 * second, 3 * second},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, cycle.Options{CycleLatency: day})
			missing := 0
			if test.asked {
				missing = 1
			}
			w.schedule.Step(epoch, pack(11, 1, missing))
			if !test.asked { // it runs: now let a fragment be lost, while the origin is busy with another
				w.schedule.Step(epoch, cycle.RunPostponed{ID: 11, Until: epoch.Add(hour)})
				w.schedule.Step(epoch, cycle.AskPostponed{ID: 11, Until: epoch.Add(test.until)})
				w.schedule.Step(epoch, pack(11, 1, 1))
			} else {
				w.schedule.Step(epoch, cycle.AskPostponed{ID: 11, Until: epoch.Add(test.until)})
			}
			if wake, due := w.schedule.NextWake(); !due || wake.Sub(epoch) != test.want {
				t.Errorf("got %v, %v, want %v", wake.Sub(epoch), due, test.want)
			}
		})
	}
}

func TestPostponedRunCedesToOthers(t *testing.T) {
	scenario(t, hour, func(w *world, _ *cycle.Options) {
		w.run = func(id core.PackageID) (time.Duration, cycle.Event) {
			if id == 11 && w.now == epoch {
				return second, cycle.RunPostponed{ID: id, Until: epoch.Add(30 * minute)}
			}
			return second, cycle.RunFinished{ID: id}
		}
	}, []timed{{0, pack(11, 1, 0)}, {0, pack(12, 1, 0)}},
		`00:00 run 11
		00:01 run 12
		00:02 done 12
		30:00 run 11
		30:01 done 11`)
}

func TestPostponedRunIsBounded(t *testing.T) {
	w := newWorld(t, cycle.DefaultOptions())
	w.schedule.Step(epoch, pack(11, 1, 0))
	if got := w.schedule.Step(epoch, cycle.RunPostponed{ID: 11, Until: epoch}); got != nil {
		t.Errorf("postponed to now: got %v, want nothing yet", got)
	}
	if wake, due := w.schedule.NextWake(); !due || wake.Sub(epoch) != cycle.MinPause {
		t.Errorf("got %v, %v, want %v", wake, due, cycle.MinPause)
	}
}

func TestRunThatFindsFragmentsBroken(t *testing.T) {
	scenario(t, hour, func(w *world, _ *cycle.Options) {
		w.run = func(id core.PackageID) (time.Duration, cycle.Event) {
			if w.now == epoch {
				return 2 * second, cycle.RunPostponed{ID: id}
			}
			return second, cycle.RunFinished{ID: id}
		}
	}, []timed{{0, pack(11, 1, 0)}, {second, pack(11, 1, 1)}},
		`00:00 run 11
		00:01 ask 11-1
		00:02 run 11
		00:03 done 11`)
}

func TestTimeoutSparesARun(t *testing.T) {
	scenario(t, hour, func(w *world, o *cycle.Options) {
		o.Timeout = 10 * minute
		w.run = func(id core.PackageID) (time.Duration, cycle.Event) {
			if id == 12 {
				return 10 * minute, cycle.RunPostponed{ID: id}
			}
			return 20 * minute, cycle.RunFinished{ID: id}
		}
	}, []timed{{0, pack(11, 1, 0)}, {15 * minute, pack(12, 1, 0)}},
		`00:00 run 11
		20:00 done 11
		20:00 run 12
		30:00 expire 12`)
}

func TestWithdrawal(t *testing.T) {
	for _, test := range []struct {
		name   string
		events []timed
		want   string
	}{{
		name: "breaks an ask off, which latency still follows",
		events: []timed{
			{0, pack(11, 1, 2)}, {0, pack(12, 1, 1)}, {500 * time.Millisecond, cycle.PackageWithdrawn{ID: 11}},
		},
		want: `00:00 ask 11-1
			00:10 ask 12-1
			00:11 run 12
			00:12 done 12`,
	}, {
		name: "leaves a run its place until it ends",
		events: []timed{
			{0, pack(11, 1, 0)}, {0, pack(12, 1, 0)}, {500 * time.Millisecond, cycle.PackageWithdrawn{ID: 11}},
		},
		want: `00:00 run 11
			00:01 done 11
			00:01 run 12
			00:02 done 12`,
	}, {
		name: "of an unknown package, and news of one, are ignored",
		events: []timed{
			{0, pack(12, 1, 0)}, {0, cycle.PackageWithdrawn{ID: 11}}, {0, taken(11, 1)},
			{0, cycle.TurnFailed{ID: 11}}, {0, cycle.AskPostponed{ID: 11}},
		},
		want: `00:00 run 12
			00:00 fail 11
			00:01 done 12`,
	}} {
		t.Run(test.name, func(t *testing.T) { scenario(t, hour, noChange, test.events, test.want) })
	}
}

func TestSeveralAsksAtOnce(t *testing.T) {
	scenario(t, hour, func(_ *world, o *cycle.Options) { o.MaxOrigin = 2 },
		[]timed{{0, pack(11, 1, 3)}},
		`00:00 ask 11-1
		00:00 ask 11-2
		00:11 ask 11-3
		00:12 run 11
		00:13 done 11`)
}

func TestTooManyPackages(t *testing.T) {
	w := newWorld(t, cycle.DefaultOptions())
	for id := core.PackageID(1); id <= cycle.MaxPackages; id++ {
		for _, action := range w.schedule.Step(epoch, pack(id, 2, 1)) {
			t.Fatalf("package %v: got %v, want no action", id, action)
		}
	}
	const more = cycle.MaxPackages + 1
	got := w.schedule.Step(epoch, pack(more, 2, 1))
	if want := []cycle.Action{cycle.Refuse{ID: more}}; !slices.Equal(got, want) {
		t.Errorf("one too many: got %v, want %v", got, want)
	}
	if got := w.schedule.Step(epoch, pack(7, 2, 1)); got != nil {
		t.Errorf("a known one again: got %v, want nothing", got)
	}
	if got := len(w.schedule.Turns()); got != cycle.MaxPackages {
		t.Errorf("got %d packages, want %d", got, cycle.MaxPackages)
	}
}

func TestImpossibleEventsPanic(t *testing.T) {
	for name, event := range map[string]cycle.Event{
		"no event":          nil,
		"no ID":             cycle.PackageAdded{},
		"priority":          cycle.PackageAdded{ID: 1, Priority: 11},
		"negative missing":  cycle.PackageAdded{ID: 1, Missing: -1},
		"too many missing":  cycle.FragmentArrived{ID: 1, Missing: core.MaxFragments + 1},
		"index":             cycle.FragmentFailed{ID: 1, Index: core.MaxFragments},
		"run not ordered":   cycle.RunFinished{ID: 1},
		"delay not ordered": cycle.RunPostponed{ID: 1},
		"invalid options":   cycle.OptionsChanged{Options: cycle.Options{PeriodLength: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, cycle.DefaultOptions())
			defer func() {
				if recover() == nil {
					t.Errorf("event %+v did not panic", event)
				}
			}()
			w.schedule.Step(epoch, event)
		})
	}
}
