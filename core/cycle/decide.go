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
	return actions
}

// expires reports whether Timeout can end the package.
func (s *Schedule) expires(t *turn) bool { return s.options.Timeout > 0 && t.id != s.running }

// candidates returns the packages that may ask and run: those of priority 0 alone while one of them is
// incomplete. They come first in order.
func (s *Schedule) candidates() []*turn {
	blocked, urgent := false, 0
	for _, t := range s.turns {
		if t.priority > 0 {
			break
		}
		urgent++
		blocked = blocked || t.blocks()
	}
	if blocked {
		return s.turns[:urgent]
	}
	return s.turns
}

// ready reports whether the package could run if it was its time. Priority 0 waits for no cycle, even if
// its turn has closed by failures before members completed it: else less urgent ones would overtake it.
func (s *Schedule) ready(t *turn) bool {
	return s.running == 0 && t.missing == 0 && (t.open || t.priority == 0)
}

// nextRun returns the package to run now, or nil.
func (s *Schedule) nextRun(now time.Time) *turn {
	for _, t := range s.candidates() {
		if s.ready(t) && !now.Before(t.runAfter) {
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
		if t.wants(s.options) && !now.Before(t.askAfter) && (best == nil || t.behind < best.behind) {
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
	for _, t := range s.turns {
		if s.expires(t) {
			consider(t.notifiedAt.Add(s.options.Timeout))
		}
		if !t.open && !s.options.NeverOpens(t.priority) {
			consider(s.clock.next(t.priority, s.options))
		}
	}
	for _, t := range s.candidates() {
		if s.ready(t) {
			consider(t.runAfter)
		}
		if s.mayAsk() && t.wants(s.options) {
			consider(later(t.askAfter, s.answeredAt.Add(s.options.FragLatency)))
		}
	}
	return wake, !wake.IsZero()
}

// A Turn is where one package stands, for display.
type Turn struct {
	ID         core.PackageID
	Priority   core.Priority
	Missing    int       // fragments not yet there
	Open       bool      // it may ask or run when it is the most urgent to do so
	Running    bool      // a Run was ordered and is not answered
	NeverOpens bool      // its priority exceeds the period's length
	OpensAt    time.Time // when a closed turn opens; zero if it is open, never opens or the agent is paused
}

// Turns returns where all packages stand, the most urgent first. The slice is the caller's.
func (s *Schedule) Turns() []Turn {
	turns := make([]Turn, 0, len(s.turns))
	for _, t := range s.turns {
		shown := Turn{
			ID:         t.id,
			Priority:   t.priority,
			Missing:    t.missing,
			Open:       t.open,
			Running:    t.id == s.running,
			NeverOpens: s.options.NeverOpens(t.priority),
		}
		if !t.open && !shown.NeverOpens && s.clock.cycle > 0 {
			shown.OpensAt = s.clock.next(t.priority, s.options)
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
