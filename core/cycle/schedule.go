package cycle

import (
	"fmt"
	"slices"
	"time"

	"enjambre/core"
)

const (
	// MaxPackages is how many packages wait at once; more are refused. A stock server lists every package
	// that was affected to a computer and has no result, which is far below this in practice.
	MaxPackages = 4096
	// MinPause is the least time by which an ask or a run is postponed, so that a shell that has nothing
	// to do is not asked in a loop.
	MinPause = 100 * time.Millisecond
	// MaxPause is the most by which an ask is postponed, so that a wrong time does not hold a package up.
	MaxPause = time.Hour
	// MaxIdle is how long a cycle waits for a package whose asks are postponed while none of its fragments arrives: 20
	// times as long as a member waits for others before it asks the origin all the same.
	MaxIdle = 10 * time.Minute
	// MaxFailures is how many fragments of a package fail in a row before a cycle waits for it no longer: else one whose
	// fragments are all missing at the origin would fill a cycle of days with failures.
	MaxFailures = 3
)

// A Schedule decides when to ask the origin and when to run. Make one with [New]; one goroutine owns it.
type Schedule struct {
	options Options
	clock   clock
	turns   []*turn // in order of urgency, at most MaxPackages
	last    time.Time

	running    core.PackageID // ordered and not answered; 0 for none
	runsAfter  time.Time      // as all runs were held
	asked      int            // asks that are open, over all packages
	answeredAt time.Time      // when the origin last answered; zero before
	interrupts bool           // priority 0 is at work in a pause
	failures   uint64         // answers that were failures
	arrivedAt  uint64         // failures before the newest fragment that arrived from the origin
}

// New returns a Schedule without packages, or what [Options.Validate] says against the options.
func New(options Options) (*Schedule, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	return &Schedule{options: options}, nil
}

// Step applies events at the time now and returns what to do about them, in order: refused and expired packages, then a
// run, then asks. Nothing is ordered between the events of one Step: several packages that are told of together are all
// known before one of them asks or runs. Only the wall clock of now counts, so that a log of it replays the same.
func (s *Schedule) Step(now time.Time, events ...Event) []Action {
	now = now.Round(0)
	s.follow(now)
	var actions []Action
	for _, event := range events {
		actions = append(actions, s.apply(now, event)...)
	}
	return s.settle(now, actions)
}

// apply takes one event in.
func (s *Schedule) apply(now time.Time, event Event) []Action {
	switch event := event.(type) {
	case PackageAdded:
		return s.packageAdded(now, event)
	case PackageWithdrawn:
		s.drop(now, func(t *turn) bool { return t.id == event.ID })
	case FragmentArrived:
		s.fragmentArrived(now, event)
	case FragmentFailed:
		s.fragmentFailed(now, event)
	case TurnFailed:
		s.turnFailed(now, event)
	case AskPostponed:
		s.askPostponed(now, event)
	case JudgingFailed:
		if t := s.find(event.ID); t != nil {
			t.tried = true
		}
	case RunFinished:
		s.endRun(event.ID)
		s.drop(now, func(t *turn) bool { return t.id == event.ID })
	case RunPostponed:
		s.endRun(event.ID)
		if t := s.find(event.ID); t != nil {
			t.runAfter = later(event.Until.Round(0), now.Add(MinPause))
		}
	case RunsHeld:
		s.runsHeld(now, event)
	case OptionsChanged:
		s.optionsChanged(now, event.Options)
	case WakeDue:
	default:
		panic(fmt.Sprintf("cycle: event %T is not one of this package", event))
	}
	return nil
}

func (s *Schedule) runsHeld(now time.Time, event RunsHeld) {
	least := now
	if event.ID != 0 {
		s.endRun(event.ID)
		least = now.Add(MinPause)
	}
	s.runsAfter = earlier(later(event.Until.Round(0), least), now.Add(MaxPause))
}

// follow brings the clock to now and opens the turns that came due.
func (s *Schedule) follow(now time.Time) {
	if now.Before(s.last) {
		s.shift(now.Sub(s.last))
		s.date(now)
	}
	s.last = now
	for s.nextBegins() && !now.Before(s.clock.begins(s.options)) {
		to := now
		for _, t := range s.turns {
			if s.waits(t) {
				to = earlier(to, s.clock.next(t.priority, s.options))
			} else if s.clock.rests() && t.wants(s.options) {
				to = earlier(to, s.clock.begins(s.options))
			}
		}
		s.begin(to)
		if s.isAtWork(now) {
			s.clock.ended = time.Time{}
		} else if !to.Before(now) {
			return
		}
	}
}

// nextBegins reports whether the next cycle comes by the clock alone.
func (s *Schedule) nextBegins() bool { return s.clock.pauses() && !s.interrupts }

// waits reports whether the package has a closed turn that will open.
func (s *Schedule) waits(t *turn) bool { return !t.open && !s.options.NeverOpens(t.priority) }

// begin moves the clock on, and opens the turns that are due in the cycles until then.
func (s *Schedule) begin(to time.Time) {
	reached := s.clock.advance(to, s.options)
	for _, t := range s.turns {
		if reached.divides(t.priority) {
			s.enter(t)
		}
	}
}

// date makes no notification later than now: it is not ours to shift, but was not in the future. Without a Timeout it
// waits until there is one: whoever sets none does perhaps not know the time.
func (s *Schedule) date(now time.Time) {
	if s.options.Timeout == 0 {
		return
	}
	for _, t := range s.turns {
		t.notifiedAt = earlier(t.notifiedAt, now)
	}
}

// enter takes a package into a cycle that its priority divides.
func (s *Schedule) enter(t *turn) {
	if t.behind <= s.arrivedAt {
		t.behind = 0
	}
	t.failures = 0
	if !t.open {
		t.begin()
	}
}

// shift moves every time of ours, after the clock was set back.
func (s *Schedule) shift(by time.Duration) {
	s.answeredAt = s.answeredAt.Add(by)
	s.runsAfter = s.runsAfter.Add(by)
	if s.clock.pauses() {
		s.clock.ended = s.clock.ended.Add(by)
	}
	for _, t := range s.turns {
		if !t.idleSince.IsZero() {
			t.idleSince = t.idleSince.Add(by)
		}
		t.askAfter = t.askAfter.Add(by)
		t.runAfter = t.runAfter.Add(by)
	}
}

func (s *Schedule) packageAdded(now time.Time, event PackageAdded) []Action {
	s.checkMissing(event, event.Missing)
	if event.ID == 0 || event.Priority > core.MaxPriority || event.Unjudged && event.Missing > 0 {
		panic(fmt.Sprintf("cycle: %+v: no such ID or priority", event))
	}
	t := s.find(event.ID)
	switch {
	case t == nil && len(s.turns) >= MaxPackages:
		return []Action{Refuse{event.ID}}
	case t == nil:
		notifiedAt := event.NotifiedAt.Round(0)
		if notifiedAt.IsZero() || notifiedAt.After(now) && s.options.Timeout > 0 {
			notifiedAt = now
		}
		t = &turn{id: event.ID, priority: event.Priority, notifiedAt: notifiedAt}
		s.turns = append(s.turns, t)
	case t.priority == event.Priority:
		isJudged := t.unjudged && !event.Unjudged
		t.missing, t.unjudged = event.Missing, event.Unjudged
		if isJudged && !t.open {
			s.join(t)
		}
		return nil
	}
	t.priority, t.missing, t.unjudged, t.open = event.Priority, event.Missing, event.Unjudged, false
	slices.SortFunc(s.turns, compareTurns)
	s.start()
	s.join(t)
	return nil
}

// join opens the turn of a package that comes in the running cycle, if it belongs to it: in a pause only one that needs
// nothing from the origin, or of priority 0.
func (s *Schedule) join(t *turn) {
	needsNothing := t.missing == 0 && !t.unjudged
	if s.clock.divides(t.priority) && (!s.clock.rests() || needsNothing || t.priority == 0) {
		s.enter(t)
	}
}

// start begins a fresh period if the clock stands still and there is something to do.
func (s *Schedule) start() {
	if s.clock.cycle > 0 || s.options.Paused || len(s.turns) == 0 {
		return
	}
	s.clock = clock{cycle: 1}
	for _, t := range s.turns {
		if s.clock.divides(t.priority) {
			s.enter(t)
		}
	}
}

func (s *Schedule) fragmentArrived(now time.Time, event FragmentArrived) {
	s.checkMissing(event, event.Missing)
	s.checkIndex(event, event.Index)
	t := s.find(event.ID)
	if t == nil {
		return
	}
	if event.Missing < t.missing {
		t.progress()
	}
	t.missing = event.Missing
	t.failed.remove(event.Index)
	if event.FromOrigin {
		s.answer(now, t)
		t.answered++
		t.behind = 0
		s.arrivedAt = s.failures
	}
}

func (s *Schedule) fragmentFailed(now time.Time, event FragmentFailed) {
	s.checkIndex(event, event.Index)
	t := s.find(event.ID)
	if t == nil {
		return
	}
	s.answer(now, t)
	s.putBehind(t)
	s.clock.failed = true
	t.failures++
	t.answered++
	if !t.failed.add(event.Index) {
		t.open = false
	}
}

func (s *Schedule) turnFailed(now time.Time, event TurnFailed) {
	t := s.find(event.ID)
	if t == nil {
		return
	}
	if t.asked > 0 {
		s.answer(now, t)
	}
	s.putBehind(t)
	s.clock.failed = true
	t.open = false
}

// putBehind makes way for the other packages.
func (s *Schedule) putBehind(t *turn) {
	s.failures++
	t.behind = s.failures
}

func (s *Schedule) askPostponed(now time.Time, event AskPostponed) {
	t := s.find(event.ID)
	if t == nil {
		return
	}
	least := now
	if t.asked > 0 {
		t.asked--
		s.asked--
		least = now.Add(MinPause)
		if t.idleSince.IsZero() {
			t.idleSince = now
		}
	}
	t.askAfter = earlier(later(event.Until.Round(0), least), now.Add(MaxPause))
}

func (s *Schedule) optionsChanged(now time.Time, options Options) {
	if err := options.Validate(); err != nil {
		panic(fmt.Sprintf("cycle: %+v were not validated: %v", options, err))
	}
	s.options = options
	s.date(now)
	if options.Paused {
		s.stop()
		return
	}
	s.clock.adjust(now, options)
	s.follow(now) // a pause that became shorter may end just now
	s.start()
}

// stop makes the clock stand still.
func (s *Schedule) stop() {
	s.clock, s.interrupts = clock{}, false
	for _, t := range s.turns {
		t.open = false
	}
}

// answer ends one ask with an answer of the origin, which FragLatency follows.
func (s *Schedule) answer(now time.Time, t *turn) {
	if t.asked > 0 {
		t.asked--
		s.asked--
	}
	s.answeredAt = now
	s.clock.answered = s.clock.cycle > 0
}

// endRun frees the place of the one running package.
func (s *Schedule) endRun(id core.PackageID) {
	if id == 0 || id != s.running {
		panic(fmt.Sprintf("cycle: the run of package %v ended, but package %v runs", id, s.running))
	}
	s.running = 0
}

// drop forgets packages. An ask that it breaks off counts as answered: bytes may have been on the way.
func (s *Schedule) drop(now time.Time, chosen func(*turn) bool) {
	s.turns = slices.DeleteFunc(s.turns, func(t *turn) bool {
		if !chosen(t) {
			return false
		}
		for t.asked > 0 {
			s.answer(now, t)
		}
		return true
	})
	if len(s.turns) == 0 {
		s.stop()
	}
}

func (s *Schedule) find(id core.PackageID) *turn {
	if i := slices.IndexFunc(s.turns, func(t *turn) bool { return t.id == id }); i >= 0 {
		return s.turns[i]
	}
	return nil
}

func (s *Schedule) checkMissing(event Event, missing int) {
	if missing < 0 || missing > core.MaxFragments {
		panic(fmt.Sprintf("cycle: %T %+v: missing is not 0 to %d", event, event, core.MaxFragments))
	}
}

func (s *Schedule) checkIndex(event Event, index core.FragmentIndex) {
	if index >= core.MaxFragments {
		panic(fmt.Sprintf("cycle: %T %+v: index is not below %d", event, event, core.MaxFragments))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
