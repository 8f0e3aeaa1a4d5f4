package cycle

import (
	"time"

	"enjambre/core"
)

// settle orders everything that is due now, and leaves nothing that another Step at the same time would do.
func (s *Schedule) settle(now time.Time, actions []Action) []Action {
	if s.options.Paused {
		return actions
	}
	s.drop(now, func(t *turn) bool {
		expired := s.expires(t) && !now.Before(t.notifiedAt.Add(s.options.Timeout))
		if expired {
			actions = append(actions, Expire{t.id})
		}
		return expired
	})
	for _, t := range s.turns {
		if t.open && t.spent(s.options) {
			t.open = false
		}
	}
	s.turnClock(now)
	if t := s.nextRun(now); t != nil {
		s.running = t.id
		actions = append(actions, Run{t.id})
	}
	for s.mayAsk() && !now.Before(s.answeredAt.Add(s.options.FragLatency)) {
		t := s.nextAsk(now)
		if t == nil {
			break
		}
		t.asked++
		s.asked++
		actions = append(actions, AskOrigin{t.id})
	}
	s.turnClock(now) // a package for which no cycle waits may have asked all the same
	return actions
}

// turnClock ends the work of the running cycle when nothing is left of it. What comes in a pause that is none, as the
// origin has not been asked in this cycle, is its work. Priority 0 at work in any other prolongs it.
func (s *Schedule) turnClock(now time.Time) {
	switch atWork := s.isAtWork(now); {
	case s.clock.cycle == 0:
	case atWork && s.clock.rests():
		s.interrupts = true
	case atWork:
		s.clock.ended = time.Time{}
	case s.interrupts || !s.clock.pauses():
		s.clock.ended, s.interrupts = now, false
	}
}

// isAtWork reports whether something is asked of the origin or is to be, or it is not known yet.
func (s *Schedule) isAtWork(now time.Time) bool {
	if s.asked > 0 {
		return true
	}
	for _, t := range s.turns {
		if t.open && t.isAwaited(s.options) && (t.priority == 0 || !s.clock.rests()) {
			return true
		}
	}
	for _, t := range s.candidates() {
		if s.mayWant(t) && !t.hopeless(now) {
			return true
		}
	}
	return false
}

// mayWant reports whether a candidate is to ask for something in this opening, and not only after the pause.
func (s *Schedule) mayWant(t *turn) bool {
	return t.wants(s.options) && (t.priority == 0 || !s.clock.rests())
}

// expires reports whether Timeout can end the package. Who fetches its info file sees to one that is unjudged.
func (s *Schedule) expires(t *turn) bool {
	return s.options.Timeout > 0 && t.id != s.running && !t.unjudged
}

// candidates returns the packages that may ask and run: those that are more urgent than the first whose info file is
// awaited, and of these those of priority 0 alone while one of them is incomplete. They come first in order.
func (s *Schedule) candidates() []*turn {
	blocked, urgent := false, 0
	for i, t := range s.turns {
		if t.priority > 0 && blocked {
			break
		}
		if t.isAwaited(s.options) {
			return s.turns[:i]
		}
		if t.priority == 0 {
			urgent++
			blocked = blocked || t.blocks()
		}
	}
	if blocked {
		return s.turns[:urgent]
	}
	return s.turns
}

// ready reports whether the package could run if it was its time. Priority 0 waits for no cycle, even if
// its turn has closed by failures before members completed it: else less urgent ones would overtake it.
func (s *Schedule) ready(t *turn) bool {
	return s.running == 0 && t.missing == 0 && !t.unjudged && (t.open || t.priority == 0)
}

// runAt returns when a package may run, as its run and all were postponed.
func (s *Schedule) runAt(t *turn) time.Time { return later(t.runAfter, s.runsAfter) }

// nextRun returns the package to run now, or nil.
func (s *Schedule) nextRun(now time.Time) *turn {
	for _, t := range s.candidates() {
		if s.ready(t) && !now.Before(s.runAt(t)) {
			return t
		}
	}
	return nil
}

// mayAsk reports whether the origin is free for one more ask.
func (s *Schedule) mayAsk() bool { return s.asked < s.options.maxOrigin() }

// nextAsk returns the package that may ask the origin now, or nil: the most urgent of those that did not
// fail, else the one whose failure is the oldest.
func (s *Schedule) nextAsk(now time.Time) *turn {
	var best *turn
	for _, t := range s.candidates() {
		if s.mayWant(t) && !now.Before(t.askAfter) && (best == nil || t.behind < best.behind) {
			best = t
		}
	}
	return best
}

// NextWake returns when Step wants a WakeDue, or false for never: nothing then happens without another
// event. The time is always later than that of the last Step.
func (s *Schedule) NextWake() (time.Time, bool) {
	var wake time.Time
	consider := func(at time.Time) {
		if wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	if s.options.Paused {
		return time.Time{}, false
	}
	isAwaited := false // the end of the running cycle
	for _, t := range s.turns {
		isAwaited = isAwaited || s.waits(t)
		if s.expires(t) {
			consider(t.notifiedAt.Add(s.options.Timeout))
		}
		if s.nextBegins() && s.waits(t) {
			consider(s.clock.next(t.priority, s.options))
		}
	}
	for _, t := range s.candidates() {
		if s.ready(t) {
			consider(s.runAt(t))
		}
		if !s.mayWant(t) {
			if s.nextBegins() && t.wants(s.options) {
				consider(s.clock.begins(s.options))
			}
			continue
		}
		if s.mayAsk() {
			consider(later(t.askAfter, s.answeredAt.Add(s.options.FragLatency)))
		}
		if isAwaited && !t.idleSince.IsZero() && !t.hopeless(s.last) {
			consider(t.idleSince.Add(MaxIdle))
		}
	}
	return wake, !wake.IsZero()
}

// A Turn is where one package stands, for display.
type Turn struct {
	ID         core.PackageID
	Priority   core.Priority
	Missing    int            // fragments not yet there
	Open       bool           // it may ask or run when it is the most urgent to do so
	Running    bool           // a Run was ordered and is not answered
	Unjudged   bool           // only its priority is known
	NeverOpens bool           // its priority exceeds the period's length
	WaitsFor   core.PackageID // what is more urgent and keeps it from asking and running; 0 for nothing
	OpensIn    int            // the cycle in which a closed turn opens; 0 if it is open, never opens or the agent is paused
	OpensAt    time.Time      // when, if nothing is to do in the cycles before; zero while the running cycle is at work
}

// Turns returns where all packages stand, the most urgent first. The slice is the caller's.
func (s *Schedule) Turns() []Turn {
	turns := make([]Turn, 0, len(s.turns))
	var awaited, blocker core.PackageID // the first that all after it wait for, and the first that all but priority 0 do
	for _, t := range s.turns {
		shown := Turn{
			ID:         t.id,
			Priority:   t.priority,
			Missing:    t.missing,
			Open:       t.open,
			Running:    t.id == s.running,
			Unjudged:   t.unjudged,
			NeverOpens: s.options.NeverOpens(t.priority),
			WaitsFor:   awaited,
		}
		if t.priority > 0 {
			shown.WaitsFor = blocker
		}
		if awaited == 0 && t.isAwaited(s.options) {
			awaited = t.id
		}
		if blocker == 0 && (t.isAwaited(s.options) || t.blocks()) {
			blocker = t.id
		}
		if s.waits(t) && s.clock.cycle > 0 {
			shown.OpensIn, _ = s.clock.due(t.priority, s.options)
			if s.nextBegins() {
				shown.OpensAt = s.clock.next(t.priority, s.options)
			}
		}
		turns = append(turns, shown)
	}
	return turns
}

// Cycle returns the running cycle's number, from 1, as of the last Step; 0 while the clock stands still.
func (s *Schedule) Cycle() int { return s.clock.cycle }

// HasFailed reports whether a fragment has failed at the origin in the package's present or last opening.
// The shell does not ask for it again before the next one.
func (s *Schedule) HasFailed(id core.PackageID, index core.FragmentIndex) bool {
	t := s.find(id)
	return t != nil && t.failed.has(index)
}
