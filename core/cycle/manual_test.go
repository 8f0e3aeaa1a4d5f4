package cycle_test

import (
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
)

// timed is an event and when it comes.
type timed struct {
	at    time.Duration
	event cycle.Event
}

// missingAtOrigin answers that the fragments, counted from 1, cannot be had.
func missingAtOrigin(id core.PackageID, numbers ...core.FragmentIndex) func(
	core.PackageID, core.FragmentIndex) cycle.Event {
	return func(asked core.PackageID, index core.FragmentIndex) cycle.Event {
		for _, number := range numbers {
			if asked == id && index == number-1 {
				return cycle.FragmentFailed{ID: id, Index: index}
			}
		}
		return nil
	}
}

// TestManual holds the machine to the manual's rules. The first digits of a package's ID are its priority;
// the origin answers after a second, a run takes a second.
func TestManual(t *testing.T) {
	for _, test := range []struct {
		name    string
		options func(*cycle.Options)
		events  []timed
		reply   func(core.PackageID, core.FragmentIndex) cycle.Event
		until   time.Duration
		want    string
	}{{
		name:    "T25 the default period has ten cycles, in which priority 5 has two turns",
		options: func(o *cycle.Options) { o.FragsPerTurn = 1 },
		events:  []timed{{0, pack(51, 5, 3)}},
		want: `04:00 ask 51-1
			09:01 ask 51-2
			14:02 ask 51-3
			19:03 run 51
			19:04 done 51`,
	}, {
		name:    "T26 priority 7 has one turn in a period of eight",
		options: func(o *cycle.Options) { o.FragsPerTurn, o.PeriodLength = 1, 8 },
		events:  []timed{{0, pack(71, 7, 2)}},
		want: `06:00 ask 71-1
			14:01 ask 71-2
			22:02 run 71
			22:03 done 71`,
	}, {
		name: "T26 packages are due in order of priority, then ID, with a latency after each fragment",
		events: []timed{
			{0, pack(22, 2, 1)}, {0, pack(12, 1, 1)}, {0, pack(21, 2, 1)}, {50 * second, pack(11, 1, 2)},
		},
		want: `00:00 ask 12-1
			00:01 run 12
			00:02 done 12
			01:01 ask 11-1
			01:12 ask 11-2
			01:13 run 11
			01:14 done 11
			01:23 ask 21-1
			01:24 run 21
			01:25 done 21
			01:34 ask 22-1
			01:35 run 22
			01:36 done 22`,
	}, {
		name:   "T26 a failing package blocks nobody and is tried again in its next cycle",
		events: []timed{{0, pack(11, 1, 2)}, {0, pack(12, 1, 1)}, {0, pack(21, 2, 1)}},
		reply:  missingAtOrigin(11, 1, 2),
		until:  3 * minute,
		want: `00:00 ask 11-1
			00:01 fail 11-1
			00:11 ask 12-1
			00:12 run 12
			00:13 done 12
			00:22 ask 11-2
			00:23 fail 11-2
			01:23 ask 21-1
			01:24 run 21
			01:25 done 21
			01:34 ask 11-1
			01:35 fail 11-1
			01:45 ask 11-2
			01:46 fail 11-2
			02:46 ask 11-1
			02:47 fail 11-1
			02:57 ask 11-2
			02:58 fail 11-2`,
	}, {
		name:    "T26 stock pace: a failed fragment ends the turn like one that arrived",
		options: func(o *cycle.Options) { o.FragsPerTurn = 1 },
		events:  []timed{{0, pack(11, 1, 2)}},
		reply:   missingAtOrigin(11, 1),
		until:   2 * minute,
		want: `00:00 ask 11-1
			00:01 fail 11-1
			01:01 ask 11-1
			01:02 fail 11-1`,
	}, {
		name:   "T27 the command is run when the last fragment is there, or at once without an archive",
		events: []timed{{0, pack(12, 1, 2)}, {3 * second, pack(11, 1, 0)}},
		want: `00:00 ask 12-1
			00:03 run 11
			00:04 done 11
			00:11 ask 12-2
			00:12 run 12
			00:13 done 12`,
	}, {
		name:   "T28 a cycle is its work, however long, and then a pause",
		events: []timed{{0, pack(11, 1, 9)}, {0, pack(21, 2, 2)}, {0, pack(31, 3, 1)}},
		want: `00:00 ask 11-1
			00:11 ask 11-2
			00:22 ask 11-3
			00:33 ask 11-4
			00:44 ask 11-5
			00:55 ask 11-6
			01:06 ask 11-7
			01:17 ask 11-8
			01:28 ask 11-9
			01:29 run 11
			01:30 done 11
			02:29 ask 21-1
			02:40 ask 21-2
			02:41 run 21
			02:42 done 21
			03:41 ask 31-1
			03:42 run 31
			03:43 done 31`,
	}, {
		name: "T28 in a pause the origin is asked for nothing but priority 0, which prolongs it; commands run, members give",
		events: []timed{
			{0, pack(11, 1, 1)}, {0, pack(21, 2, 1)},
			{5 * second, pack(12, 1, 0)}, {6 * second, pack(13, 1, 2)}, {7 * second, taken(13, 2)},
			{40 * second, pack(1, 0, 2)},
		},
		want: `00:00 ask 11-1
			00:01 run 11
			00:02 done 11
			00:05 run 12
			00:06 done 12
			00:07 take 13-2
			00:40 ask 1-1
			00:51 ask 1-2
			00:52 run 1
			00:53 done 1
			01:52 ask 13-1
			01:53 run 13
			01:54 done 13
			02:03 ask 21-1
			02:04 run 21
			02:05 done 21`,
	}, {
		name: "T28 nothing was asked in a cycle: a package that comes belongs to it",
		events: []timed{
			{0, pack(11, 1, 0)}, {0, pack(51, 5, 1)}, {5 * second, pack(12, 1, 1)},
		},
		want: `00:00 run 11
			00:01 done 11
			00:05 ask 12-1
			00:06 run 12
			00:07 done 12
			04:06 ask 51-1
			04:07 run 51
			04:08 done 51`,
	}, {
		name:    "T31 a longer pause means less bandwidth at stock pace",
		options: func(o *cycle.Options) { o.FragsPerTurn, o.CycleLatency = 2, 10*minute },
		events:  []timed{{0, pack(11, 1, 5)}},
		want: `00:00 ask 11-1
			00:11 ask 11-2
			10:12 ask 11-3
			10:23 ask 11-4
			20:24 ask 11-5
			20:25 run 11
			20:26 done 11`,
	}, {
		name: "T28 the period latency follows the last cycle only",
		options: func(o *cycle.Options) {
			o.FragsPerTurn, o.PeriodLength, o.PeriodLatency = 1, 2, 30*second
		},
		events: []timed{{0, pack(21, 2, 2)}, {0, pack(11, 1, 3)}},
		want: `00:00 ask 11-1
			01:01 ask 11-2
			01:12 ask 21-1
			02:43 ask 11-3
			03:44 run 11
			03:44 ask 21-2
			03:45 done 11
			06:15 run 21
			06:16 done 21`,
	}, {
		name:   "T29 the loop stops when all is done, and a new package begins at cycle 1",
		events: []timed{{0, pack(11, 1, 1)}, {90 * second, pack(21, 2, 1)}},
		want: `00:00 ask 11-1
			00:01 run 11
			00:02 done 11
			02:30 ask 21-1
			02:31 run 21
			02:32 done 21`,
	}, {
		name:   "T30 all of priority 0 first, of which neither waits for a cycle",
		events: []timed{{0, pack(11, 1, 2)}, {5 * second, pack(2, 0, 1)}, {5 * second, pack(1, 0, 2)}},
		want: `00:00 ask 11-1
			00:11 ask 1-1
			00:22 ask 1-2
			00:23 run 1
			00:24 done 1
			00:33 ask 2-1
			00:34 run 2
			00:35 done 2
			00:44 ask 11-2
			00:45 run 11
			00:46 done 11`,
	}, {
		name:    "T30 at stock pace priority 0 still goes on without a cycle's pause",
		options: func(o *cycle.Options) { o.FragsPerTurn = 1 },
		events:  []timed{{0, pack(1, 0, 2)}, {0, pack(11, 1, 1)}},
		want: `00:00 ask 1-1
			00:11 ask 1-2
			00:12 run 1
			00:13 done 1
			00:22 ask 11-1
			01:23 run 11
			01:24 done 11`,
	}, {
		name: "T30 a failed fragment of priority 0 is retried every cycle, and others neither ask nor run",
		events: []timed{
			{0, pack(1, 0, 2)}, {0, pack(11, 1, 0)}, {0, pack(12, 1, 2)}, {30 * second, taken(12, 1)},
			{150 * second, taken(1, 1)},
		},
		reply: missingAtOrigin(1, 1),
		want: `00:00 ask 1-1
			00:01 fail 1-1
			00:11 ask 1-2
			00:30 take 12-1
			01:12 ask 1-1
			01:13 fail 1-1
			02:13 ask 1-1
			02:14 fail 1-1
			02:30 take 1-1
			02:30 run 1
			02:31 done 1
			02:31 run 11
			02:32 done 11
			03:14 ask 12-2
			03:15 run 12
			03:16 done 12`,
	}, {
		name:   "T30 only unfinished downloads block: a run of priority 0 does not",
		events: []timed{{0, pack(1, 0, 0)}, {0, pack(11, 1, 1)}},
		want: `00:00 run 1
			00:00 ask 11-1
			00:01 done 1
			00:01 run 11
			00:02 done 11`,
	}, {
		name:    "T31 half the latency is twice the pace",
		options: func(o *cycle.Options) { o.FragLatency = 5 * second },
		events:  []timed{{0, pack(11, 1, 3)}},
		want: `00:00 ask 11-1
			00:06 ask 11-2
			00:12 ask 11-3
			00:13 run 11
			00:14 done 11`,
	}, {
		name:    "T31 a period shorter than the priority: never asked, never run, until it expires",
		options: func(o *cycle.Options) { o.PeriodLength, o.Timeout = 5, 2*hour },
		events:  []timed{{0, pack(61, 6, 0)}, {0, pack(71, 7, 2)}, {minute, taken(71, 1)}, {minute, taken(71, 2)}},
		want: `01:00 take 71-1
			01:00 take 71-2
			120:00 expire 61
			120:00 expire 71`,
	}, {
		name:    "T32 the timeout counts from the first notification, kept over restarts",
		options: func(o *cycle.Options) { o.PeriodLength = 5 },
		events: []timed{
			{0, cycle.PackageAdded{ID: 61, Priority: 6, Missing: 1, NotifiedAt: epoch.Add(-30*day + 10*minute)}},
			{minute, pack(61, 6, 1)}, // told again
		},
		want: "10:00 expire 61",
	}, {
		name: "T32 an unfinished priority 0 stops blocking when it expires",
		events: []timed{
			{0, cycle.PackageAdded{ID: 1, Missing: 1, NotifiedAt: epoch.Add(-30*day + 70*second)}},
			{0, pack(11, 1, 0)},
		},
		reply: missingAtOrigin(1, 1),
		want: `00:00 ask 1-1
			00:01 fail 1-1
			01:01 ask 1-1
			01:02 fail 1-1
			01:10 expire 1
			01:10 run 11
			01:11 done 11`,
	}} {
		t.Run(test.name, func(t *testing.T) {
			options := cycle.DefaultOptions()
			if test.options != nil {
				test.options(&options)
			}
			w := newWorld(t, options)
			w.reply = test.reply
			for _, e := range test.events {
				w.at(e.at, e.event)
			}
			if test.until == 0 {
				test.until = 60 * day
			}
			w.until(test.until)
			w.check(t, test.want)
		})
	}
}

func TestNeverOpens(t *testing.T) {
	for _, test := range []struct {
		length   int
		priority core.Priority
		want     bool
	}{{0, 10, false}, {10, 10, false}, {9, 10, true}, {1, 0, false}, {1, 1, false}, {1, 2, true}} {
		options := cycle.Options{PeriodLength: test.length}
		if got := options.NeverOpens(test.priority); got != test.want {
			t.Errorf("period %d, priority %v: got %v, want %v", test.length, test.priority, got, test.want)
		}
	}
}
