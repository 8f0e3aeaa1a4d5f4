package cycle_test

import (
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
)

func TestValidate(t *testing.T) {
	bad := cycle.Options{
		PeriodLength: -1, CycleLatency: -1, PeriodLatency: cycle.MaxLatency + 1, FragLatency: -1,
		FragsPerTurn: core.MaxFragments + 1, Timeout: -1, MaxOrigin: cycle.MaxAsks + 1,
	}
	err := bad.Validate()
	if core.ClassOf(err) != core.ClassLimit {
		t.Fatalf("got %v, want class %s", err, core.ClassLimit)
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 7 {
		t.Errorf("got %d mistakes, want 7:\n%v", got, err)
	}
	if _, err := cycle.New(bad); err == nil {
		t.Error("New takes bad options")
	}
	most := cycle.Options{
		PeriodLength: cycle.MaxPeriodLength, CycleLatency: cycle.MaxLatency, PeriodLatency: cycle.MaxLatency,
		FragLatency: cycle.MaxLatency, FragsPerTurn: core.MaxFragments, Timeout: cycle.MaxTimeout,
		MaxOrigin: cycle.MaxAsks,
	}
	for _, good := range []cycle.Options{{}, cycle.DefaultOptions(), most} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

// TestOptionsChanged changes options while package 51, of priority 5, waits for its turn or is in it.
func TestOptionsChanged(t *testing.T) {
	change := func(set func(*cycle.Options)) cycle.Event {
		options := cycle.DefaultOptions()
		set(&options)
		return cycle.OptionsChanged{Options: options}
	}
	for _, test := range []struct {
		name   string
		events []timed
		want   string
	}{{
		name: "a shorter pause ends the running one at once and skips none",
		events: []timed{
			{0, pack(51, 5, 1)},
			{110 * second, change(func(o *cycle.Options) { o.CycleLatency = 10 * second })}, // in cycle 2
		},
		want: `02:10 ask 51-1
			02:11 run 51
			02:12 done 51`,
	}, {
		name: "a pause that a shorter latency ends is followed at once by the next cycle",
		events: []timed{
			{0, pack(31, 3, 0)},
			{110 * second, change(func(o *cycle.Options) { o.CycleLatency = 10 * second })},
		},
		want: `01:50 run 31
			01:51 done 31`,
	}, {
		name: "a longer pause counts from where the running one began",
		events: []timed{
			{0, pack(51, 5, 1)},
			{110 * second, change(func(o *cycle.Options) { o.CycleLatency = 120 * second })},
		},
		want: `07:00 ask 51-1
			07:01 run 51
			07:02 done 51`,
	}, {
		name: "a shorter period makes a later cycle its last",
		events: []timed{
			{0, pack(101, 10, 1)}, {0, pack(51, 5, 0)},
			{6*minute + 30*second, change(func(o *cycle.Options) { o.PeriodLength = 6 })}, // in cycle 7
			{7 * minute, change(func(*cycle.Options) {})},                                 // in cycle 1
		},
		want: `04:00 run 51
			04:01 done 51
			16:00 ask 101-1
			16:01 run 101
			16:02 done 101`,
	}, {
		name: "a period too short for the priority closes an open turn",
		events: []timed{
			{0, pack(51, 5, 2)},
			{4*minute + 5*second, change(func(o *cycle.Options) { o.PeriodLength = 4 })},
		},
		want: `04:00 ask 51-1
			43200:00 expire 51`,
	}, {
		name: "a shorter latency counts from the last answer",
		events: []timed{
			{0, pack(11, 1, 2)},
			{7 * second, change(func(o *cycle.Options) { o.FragLatency = 0 })},
		},
		want: `00:00 ask 11-1
			00:07 ask 11-2
			00:08 run 11
			00:09 done 11`,
	}, {
		name: "fewer fragments in a turn close one that has had as many",
		events: []timed{
			{0, pack(11, 1, 3)},
			{15 * second, change(func(o *cycle.Options) { o.FragsPerTurn = 2 })},
		},
		want: `00:00 ask 11-1
			00:11 ask 11-2
			01:15 ask 11-3
			01:16 run 11
			01:17 done 11`,
	}, {
		name: "a pause holds everything, counts what arrives, and ends in cycle 1",
		events: []timed{
			{0, pack(11, 1, 3)}, {0, pack(21, 2, 0)},
			{500 * time.Millisecond, change(func(o *cycle.Options) { o.Paused = true })},
			{2 * second, pack(12, 1, 0)}, {2 * second, taken(11, 2)},
			{hour, change(func(*cycle.Options) {})},
		},
		want: `00:00 ask 11-1
			00:02 take 11-2
			60:00 run 12
			60:00 ask 11-3
			60:01 done 12
			60:01 run 11
			60:02 done 11
			61:01 run 21
			61:02 done 21`,
	}, {
		name: "a timeout that passed in a pause counts when it ends",
		events: []timed{
			{0, change(func(o *cycle.Options) { o.Paused = true })}, {0, pack(11, 1, 0)},
			{31 * day, change(func(*cycle.Options) {})},
		},
		want: `44640:00 expire 11`,
	}, {
		name: "no timeout",
		events: []timed{
			{0, change(func(o *cycle.Options) { o.Timeout, o.PeriodLength = 0, 4 })}, {0, pack(51, 5, 0)},
		},
		want: ``,
	}, {
		name: "a package's priority changes",
		events: []timed{
			{0, pack(51, 5, 1)}, {0, pack(21, 2, 0)}, {70 * second, pack(51, 2, 1)},
		},
		want: `01:00 run 21
			01:01 done 21
			01:10 ask 51-1
			01:11 run 51
			01:12 done 51`,
	}, {
		name: "a package's priority changes while its turn is open",
		events: []timed{
			{0, pack(11, 1, 2)}, {2 * second, pack(11, 3, 1)},
		},
		want: `00:00 ask 11-1
			02:02 ask 11-1
			02:03 run 11
			02:04 done 11`,
	}} {
		t.Run(test.name, func(t *testing.T) { scenario(t, 60*day, noChange, test.events, test.want) })
	}
}

// TestNoLatency: cycles of MinCycle, and neither a loop nor a wait where none is needed.
func TestNoLatency(t *testing.T) {
	scenario(t, 4*second, func(w *world, o *cycle.Options) {
		*o = cycle.Options{}
		w.answers, w.runs = 0, 0
		w.reply = missingAtOrigin(12, 1)
	}, []timed{{0, pack(12, 1, 1)}, {0, pack(11, 1, 2)}, {0, pack(31, 3, 1)}},
		`00:00 ask 12-1
		00:00 fail 12-1
		00:00 ask 11-1
		00:00 ask 11-2
		00:00 run 11
		00:00 done 11
		00:01 ask 12-1
		00:01 fail 12-1
		00:02 ask 31-1
		00:02 run 31
		00:02 ask 12-1
		00:02 done 31
		00:02 fail 12-1
		00:03 ask 12-1
		00:03 fail 12-1
		00:04 ask 12-1
		00:04 fail 12-1`)
}

// TestClockJumps sets the clock of the computer forward or back by much while packages wait.
func TestClockJumps(t *testing.T) {
	for _, test := range []struct {
		name string
		jump time.Duration
		want string
	}{{
		name: "ten years forward: a cycle at work is waited for all the same",
		jump: 10 * 365 * day,
		want: `00:00 ask 11-1
			00:05 ask 11-2
			00:06 run 11
			00:07 done 11
			04:06 ask 51-1
			04:07 run 51
			04:08 done 51`,
	}, {
		name: "a day back: as if no time had passed",
		jump: -day,
		want: `00:00 ask 11-1
			00:15 ask 11-2
			00:16 run 11
			00:17 done 11
			04:16 ask 51-1
			04:17 run 51
			04:18 done 51`,
	}} {
		t.Run(test.name, func(t *testing.T) {
			options := cycle.DefaultOptions()
			options.Timeout = 0
			w := newWorld(t, options)
			w.skew = func(virtual time.Time) time.Time {
				if virtual.Before(epoch.Add(5 * second)) {
					return virtual
				}
				return virtual.Add(test.jump)
			}
			w.at(0, pack(11, 1, 2))
			w.at(0, pack(51, 5, 1))
			w.at(5*second, cycle.WakeDue{})
			w.until(hour)
			w.check(t, test.want)
		})
	}
}

// TestNotifiedInTheFuture: a clock that ran ahead at the first notification puts the timeout off by
// no more than that the package counts as notified now.
func TestNotifiedInTheFuture(t *testing.T) {
	w := newWorld(t, cycle.Options{PeriodLength: 1, Timeout: hour})
	w.schedule.Step(epoch, cycle.PackageAdded{ID: 21, Priority: 2, NotifiedAt: epoch.Add(10 * day)})
	if wake, _ := w.schedule.NextWake(); !wake.Equal(epoch.Add(hour)) {
		t.Errorf("got %v, want %v", wake, epoch.Add(hour))
	}
	back := epoch.Add(-10 * day)
	w.schedule.Step(back, cycle.WakeDue{})
	if wake, _ := w.schedule.NextWake(); !wake.Equal(back.Add(hour)) {
		t.Errorf("set back: got %v, want %v", wake, back.Add(hour))
	}
}
