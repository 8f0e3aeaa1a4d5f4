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
}

func (j *judge) look(event cycle.Event, actions []cycle.Action) {
	j.asked = 0
	for _, asked := range j.w.asked {
		j.asked += len(asked)
	}
	switch e := event.(type) {
	case cycle.FragmentArrived:
		if e.FromOrigin {
			j.answered = j.w.now
		}
	case cycle.FragmentFailed:
		j.answered = j.w.now
	case cycle.RunFinished:
		j.running = 0
		delete(j.honest, e.ID)
	}
	for _, action := range actions {
		switch a := action.(type) {
		case cycle.AskOrigin:
			j.judgeAsk(a)
		case cycle.Run:
			j.judgeRun(a)
		}
	}
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
