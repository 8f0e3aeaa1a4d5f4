package cycle_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/cycle"
)

// A judge watches a world and knows only the laws.
type judge struct {
	w        *world
	options  cycle.Options
	priority map[core.PackageID]core.Priority
	broken   map[core.PackageID]bool // the origin has not got it
	honest   map[core.PackageID]bool // it is to end, and did not yet
	asked    int
	answered time.Time
	running  core.PackageID
	ran      map[core.PackageID]bool

	heard bool      // the origin has answered in this cycle
	last  int       // its number
	rests time.Time // since when nothing with an open turn is missing in it; zero while something is
}

func (j *judge) look(event cycle.Event, actions []cycle.Action) {
	j.asked = 0
	for _, asked := range j.w.asked {
		j.asked += len(asked)
	}
	switch e := event.(type) {
	case cycle.FragmentArrived:
		if e.FromOrigin {
			j.answered, j.heard = j.w.now, true
		}
	case cycle.FragmentFailed:
		j.answered, j.heard = j.w.now, true
	case cycle.RunFinished:
		j.running = 0
		delete(j.honest, e.ID)
	}
	for _, action := range actions {
		switch a := action.(type) {
		case cycle.AskOrigin:
			j.judgeAsk(a)
			j.judgePause(a)
		case cycle.Run:
			j.judgeRun(a)
		}
	}
	j.judgeEnd()
	if _, due := j.w.schedule.NextWake(); !due && len(j.w.missing) > 0 && j.asked == 0 && j.running == 0 && !j.allNever() {
		j.fail("packages are left and nothing would ever happen")
	}
	if again := j.w.schedule.Step(j.w.now, cycle.WakeDue{}); again != nil {
		j.fail("a second look gives %v", again)
	}
}

func (j *judge) judgeAsk(ask cycle.AskOrigin) {
	if j.asked++; j.asked > max(j.options.MaxOrigin, 1) {
		j.fail("%d asks are open", j.asked)
	}
	if j.w.now.Sub(j.answered) < j.options.FragLatency {
		j.fail("ask %v, and the origin answered at %v", ask.ID, j.answered)
	}
	if len(j.w.missing[ask.ID]) == 0 {
		j.fail("ask %v, which is complete", ask.ID)
	}
	j.judgeBlocking(ask.ID)
	// Among packages that never failed order is strict: only openness can put the less urgent first.
	for _, turn := range j.w.schedule.Turns() {
		moreUrgent := turn.Priority < j.priority[ask.ID] || turn.Priority == j.priority[ask.ID] && turn.ID < ask.ID
		wants := turn.Open && turn.Missing > len(j.w.asked[turn.ID]) && !j.broken[turn.ID]
		if moreUrgent && wants && j.options.FragsPerTurn == 0 && j.asked == 1 && turn.ID != ask.ID {
			j.fail("ask %v, although %v wants", ask.ID, turn.ID)
		}
	}
}

// judgePause: between the last fragment of a cycle and the first of the next lies the pause, for which priority 0 alone
// does not wait.
func (j *judge) judgePause(ask cycle.AskOrigin) {
	if j.rests.IsZero() {
		return
	}
	pause := j.options.CycleLatency
	if j.last == j.options.PeriodLength {
		pause += j.options.PeriodLatency
	}
	isOver := j.w.now.Sub(j.rests) >= pause
	if !isOver && j.priority[ask.ID] > 0 {
		j.fail("ask %v in the pause that began at %v", ask.ID, j.rests.Sub(epoch))
	}
	j.heard, j.rests = !isOver, time.Time{}
}

// judgeEnd notes when the work of a cycle ends: nothing that may be asked for is missing.
func (j *judge) judgeEnd() {
	if len(j.w.missing) == 0 { // the loop stops (T29)
		j.heard, j.rests = false, time.Time{}
	}
	blocked := false
	for other, missing := range j.w.missing {
		blocked = blocked || j.priority[other] == 0 && len(missing) > 0
	}
	atWork := j.asked > 0
	for _, turn := range j.w.schedule.Turns() {
		atWork = atWork || turn.Open && turn.Missing > 0 && (turn.Priority == 0 || !blocked)
	}
	if !atWork && j.heard && j.rests.IsZero() {
		j.rests, j.last = j.w.now, j.w.schedule.Cycle()
	}
}

func (j *judge) judgeRun(run cycle.Run) {
	if j.running != 0 || j.ran[run.ID] {
		j.fail("run %v, while %v runs; it ran before: %v", run.ID, j.running, j.ran[run.ID])
	}
	if missing := j.w.missing[run.ID]; missing == nil || len(missing) > 0 {
		j.fail("run %v, of which %d fragments are missing", run.ID, len(missing))
	}
	if j.options.NeverOpens(j.priority[run.ID]) {
		j.fail("run %v, whose priority is greater than the period", run.ID)
	}
	j.judgeBlocking(run.ID)
	j.running, j.ran[run.ID] = run.ID, true
}

// judgeBlocking: nothing but priority 0 goes on while one of them is incomplete.
func (j *judge) judgeBlocking(id core.PackageID) {
	for other, missing := range j.w.missing {
		if j.priority[id] > 0 && j.priority[other] == 0 && len(missing) > 0 {
			j.fail("%v goes on, although %v of priority 0 is incomplete", id, other)
		}
	}
}

func (j *judge) allNever() bool {
	for id := range j.w.missing {
		if !j.options.NeverOpens(j.priority[id]) {
			return false
		}
	}
	return true
}

func (j *judge) fail(format string, args ...any) {
	j.w.t.Fatalf("%v: %s\n%q", j.w.now.Sub(epoch), fmt.Sprintf(format, args...), j.w.trace)
}

// TestLaws runs whole deployments, with packages that fail for ever, and sees every other one to its end.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := cycle.Options{
			PeriodLength: rapid.IntRange(1, 10).Draw(t, "length"),
			CycleLatency: time.Duration(rapid.IntRange(0, 60).Draw(t, "cycle")) * second,
			FragLatency:  time.Duration(rapid.IntRange(0, 10).Draw(t, "fragment")) * second,
			FragsPerTurn: rapid.IntRange(0, 2).Draw(t, "per turn"),
			MaxOrigin:    rapid.IntRange(0, 3).Draw(t, "asks"),
		}
		options.PeriodLatency = options.CycleLatency / 2
		w := newWorld(t, options)
		w.probe = true
		w.answers = time.Duration(rapid.IntRange(0, 90).Draw(t, "answers")) * second
		w.runs = time.Duration(rapid.IntRange(0, 90).Draw(t, "runs")) * second
		j := &judge{w: w, options: options, priority: map[core.PackageID]core.Priority{},
			broken: map[core.PackageID]bool{}, honest: map[core.PackageID]bool{}, ran: map[core.PackageID]bool{}}
		w.enough = func() bool { return len(j.honest) == 0 }
		w.stepped = j.look
		w.reply = func(id core.PackageID, index core.FragmentIndex) cycle.Event {
			if j.broken[id] {
				return cycle.FragmentFailed{ID: id, Index: index}
			}
			return nil
		}
		packages, fragments, last := rapid.IntRange(1, 8).Draw(t, "packages"), 0, time.Duration(0)
		for id := core.PackageID(1); id <= core.PackageID(packages); id++ {
			priority := core.Priority(rapid.IntRange(0, 10).Draw(t, "priority"))
			missing := rapid.IntRange(0, 12).Draw(t, "missing")
			last = time.Duration(rapid.IntRange(0, 300).Draw(t, "at")) * second
			w.at(last, pack(id, priority, missing))
			if missing > 0 && rapid.Bool().Draw(t, "member") {
				w.at(last+minute, taken(id, core.FragmentIndex(rapid.IntRange(1, missing).Draw(t, "number"))))
			}
			j.priority[id] = priority
			j.broken[id] = priority > 0 && missing > 1 && rapid.IntRange(0, 2).Draw(t, "broken") == 0
			if !j.broken[id] && !options.NeverOpens(priority) {
				j.honest[id] = true
			}
			fragments += missing
		}
		// Each period brings every package a turn, and each answer or run of an honest one may have to wait
		// for an ask of every other.
		period := time.Duration(options.PeriodLength+1)*max(options.CycleLatency, second) + options.PeriodLatency
		turn := period + w.runs + time.Duration(packages+1)*(w.answers+options.FragLatency)
		w.until(6*minute + time.Duration(fragments+2*packages+2)*turn)

		if len(j.honest) > 0 {
			t.Fatalf("at %v these have not ended: %v\n%q", w.now.Sub(epoch), j.honest, w.trace)
		}
		replay(t, options, w.steps)
	})
}

// replay holds the schedule to giving the same actions for the same events and times. The second looks of
// the judge are not in it: they must not change anything either.
func replay(t *rapid.T, options cycle.Options, steps []step) {
	schedule, err := cycle.New(options)
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range steps {
		if got := schedule.Step(step.at, step.event); !slices.Equal(got, step.actions) {
			t.Fatalf("step %d of the replay: got %v, want %v", i, got, step.actions)
		}
	}
}

// TestRateHasNoPause: with latencies of 0, the origin is never without an ask while something can be asked for, but after
// failures; whatever the priorities and however few fragments a turn has.
func TestRateHasNoPause(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := cycle.Options{
			PeriodLength: rapid.IntRange(1, 10).Draw(t, "length"),
			FragsPerTurn: rapid.IntRange(0, 3).Draw(t, "per turn"),
		}
		w := newWorld(t, options)
		fragments := 0
		for id := core.PackageID(1); id <= core.PackageID(rapid.IntRange(1, 6).Draw(t, "packages")); id++ {
			priority := core.Priority(rapid.IntRange(0, options.PeriodLength).Draw(t, "priority"))
			missing := rapid.IntRange(0, 6).Draw(t, "missing")
			w.at(0, pack(id, priority, missing))
			fragments += missing
		}
		answered := epoch
		w.stepped = func(event cycle.Event, actions []cycle.Action) {
			if arrived, ok := event.(cycle.FragmentArrived); ok && arrived.FromOrigin {
				answered = w.now
			}
			for _, action := range actions {
				idle, most := w.now.Sub(answered), time.Duration(options.PeriodLength)*time.Millisecond
				if _, asks := action.(cycle.AskOrigin); asks && idle > most {
					t.Fatalf("%v: the origin was idle for %v\n%q", w.now.Sub(epoch), idle, w.trace)
				}
			}
		}
		w.until(hour)
		if len(w.missing) > 0 || fragments > 0 && answered == epoch {
			t.Fatalf("not ended: %v\n%q", w.missing, w.trace)
		}
	})
}

// TestHopelessPackages: a package that is postponed for ever, and one whose fragments are all missing, hold no cycle
// for ever: one that is due in another cycle completes.
func TestHopelessPackages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := cycle.DefaultOptions()
		options.PeriodLength = rapid.IntRange(2, 10).Draw(t, "length")
		options.FragLatency = time.Duration(rapid.IntRange(0, 10).Draw(t, "latency")) * second
		options.CycleLatency = time.Duration(rapid.IntRange(0, 60).Draw(t, "cycle")) * second
		w := newWorld(t, options)
		postponed := time.Duration(rapid.IntRange(1, 3000).Draw(t, "postponed")) * second
		w.reply = func(id core.PackageID, index core.FragmentIndex) cycle.Event {
			switch id {
			case 11:
				return cycle.AskPostponed{ID: id, Until: w.now.Add(postponed)}
			case 12:
				return cycle.FragmentFailed{ID: id, Index: index}
			}
			return nil
		}
		w.at(0, pack(11, 1, 3))
		w.at(0, pack(12, 1, 300))
		w.at(0, pack(21, core.Priority(rapid.IntRange(2, options.PeriodLength).Draw(t, "priority")), 2))
		done := false
		w.run = func(core.PackageID) (time.Duration, cycle.Event) {
			done = true
			return second, cycle.RunFinished{ID: 21}
		}
		w.enough = func() bool { return done }
		w.until(cycle.MaxIdle + 10*(2*minute) + hour)
		if !done {
			t.Fatalf("package 21 did not end\n%q", w.trace[max(0, len(w.trace)-30):])
		}
	})
}
