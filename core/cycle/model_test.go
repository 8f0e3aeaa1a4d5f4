package cycle_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/cycle"
)

// A model is the schedule again, as plainly as possible: it counts cycle by cycle, keeps sets of fragments
// and the whole history of the origin's answers, and sorts whenever it chooses.
type model struct {
	options  cycle.Options
	packages map[core.PackageID]*modelPackage
	now      time.Time
	cycle    int
	ended    time.Time // when the work of that cycle did; zero while it goes on
	heard    bool      // the origin answered in this cycle
	failures bool      // and something failed
	urgent   bool      // priority 0 is at work in a pause
	history  []bool    // each answer of the origin: whether a fragment arrived
	answered time.Time
	running  core.PackageID
}

type modelPackage struct {
	id       core.PackageID
	priority core.Priority
	notified time.Time
	missing  map[core.FragmentIndex]bool
	failed   map[core.FragmentIndex]bool
	open     bool
	asked    int
	answered int
	behind   int // its failure's place in history, from 1
	askAfter time.Time
	runAfter time.Time
	failures int       // in a row
	idle     time.Time // since when asks are only postponed; zero: they are not
}

// begins returns when the pause is over.
func (m *model) begins() time.Time {
	pause := max(m.options.CycleLatency, time.Millisecond)
	if m.cycle == m.options.PeriodLength {
		pause += m.options.PeriodLatency
	}
	if m.failures {
		pause = max(pause, time.Second)
	}
	return m.ended.Add(pause)
}

func (m *model) goTo(now time.Time) {
	if back := now.Sub(m.now); back < 0 {
		m.answered = m.answered.Add(back)
		if !m.ended.IsZero() {
			m.ended = m.ended.Add(back)
		}
		for _, p := range m.packages {
			p.askAfter, p.runAfter = p.askAfter.Add(back), p.runAfter.Add(back)
			if !p.idle.IsZero() {
				p.idle = p.idle.Add(back)
			}
			if p.notified.After(now) {
				p.notified = now
			}
		}
	}
	m.now = now
	for m.cycle > 0 && !m.ended.IsZero() && !m.urgent && !m.begins().After(now) {
		m.ended = m.begins()
		m.cycle = m.cycle%m.options.PeriodLength + 1
		m.heard, m.failures = false, false
		for _, p := range m.packages {
			m.enter(p)
		}
		if m.works() {
			m.ended = time.Time{}
		}
	}
}

// blocked reports whether priority 0 holds all others up.
func (m *model) blocked() bool {
	for _, p := range m.packages {
		if p.priority == 0 && len(p.missing) > 0 {
			return true
		}
	}
	return false
}

// wants reports whether a package may ask the origin, now or after the latency.
func (m *model) wants(p *modelPackage) bool {
	limited := m.options.FragsPerTurn > 0 && p.priority > 0
	rests := !m.ended.IsZero() && m.heard
	return p.open && len(p.missing) > len(p.failed)+p.asked &&
		(!limited || p.answered+p.asked < m.options.FragsPerTurn) &&
		(p.priority == 0 || !m.blocked() && !rests)
}

// works reports whether the cycle is not over yet.
func (m *model) works() bool {
	for _, p := range m.packages {
		isIdle := !p.idle.IsZero() && !m.now.Before(p.idle.Add(10*time.Minute))
		if p.asked > 0 || m.wants(p) && !isIdle && p.failures < 3 {
			return true
		}
	}
	return false
}

// tick looks whether the cycle is over.
func (m *model) tick() {
	works := m.works()
	switch {
	case m.cycle == 0:
	case !works && (m.ended.IsZero() || m.urgent):
		m.ended, m.urgent = m.now, false
	case works && !m.ended.IsZero() && m.heard:
		m.urgent = true
	case works:
		m.ended = time.Time{}
	}
}

// enter tells a package that the running cycle begins for it.
func (m *model) enter(p *modelPackage) {
	if p.priority > 0 && m.cycle%int(p.priority) != 0 {
		return
	}
	if p.behind > 0 && slices.Contains(m.history[p.behind-1:], true) {
		p.behind = 0
	}
	p.failures = 0
	if !p.open {
		p.open, p.answered, p.idle = true, 0, time.Time{}
		clear(p.failed)
	}
}

func (m *model) start() {
	if m.cycle == 0 {
		m.cycle, m.ended, m.heard, m.failures, m.urgent = 1, time.Time{}, false, false, false
		for _, p := range m.packages {
			m.enter(p)
		}
	}
}

func (m *model) stop() {
	m.cycle, m.ended, m.urgent = 0, time.Time{}, false
	for _, p := range m.packages {
		p.open = false
	}
}

func (m *model) remove(id core.PackageID) {
	if p := m.packages[id]; p != nil && p.asked > 0 {
		m.answered, m.heard = m.now, true
	}
	delete(m.packages, id)
	if len(m.packages) == 0 {
		m.stop()
	}
}

func (m *model) answer(p *modelPackage, arrived bool) {
	p.asked = max(p.asked-1, 0)
	m.answered, m.heard = m.now, true
	m.failures = m.failures || !arrived
	m.history = append(m.history, arrived)
	p.answered++
	if p.behind = len(m.history); arrived {
		p.behind = 0
	}
}

func (m *model) step(now time.Time, event cycle.Event) []cycle.Action {
	m.goTo(now)
	switch e := event.(type) {
	case cycle.PackageAdded:
		p := &modelPackage{id: e.ID, priority: e.Priority, notified: now}
		p.missing, p.failed = map[core.FragmentIndex]bool{}, map[core.FragmentIndex]bool{}
		for i := range e.Missing {
			p.missing[core.FragmentIndex(i)] = true
		}
		m.packages[e.ID] = p
		rests := !m.ended.IsZero() && m.heard
		if m.cycle > 0 && (!rests || e.Missing == 0 || e.Priority == 0) {
			m.enter(p)
		} else if m.cycle == 0 && !m.options.Paused {
			m.start()
		}
	case cycle.PackageWithdrawn:
		m.remove(e.ID)
	case cycle.FragmentArrived:
		if p := m.packages[e.ID]; p != nil {
			if p.missing[e.Index] {
				p.idle, p.failures = time.Time{}, 0
			}
			delete(p.missing, e.Index)
			delete(p.failed, e.Index)
			if e.FromOrigin {
				m.answer(p, true)
			}
		}
	case cycle.FragmentFailed:
		if p := m.packages[e.ID]; p != nil {
			m.answer(p, false)
			p.failures++
			p.open = p.open && !p.failed[e.Index]
			p.failed[e.Index] = true
		}
	case cycle.TurnFailed:
		if p := m.packages[e.ID]; p != nil {
			answered, heard := m.answered, m.heard
			had := p.asked > 0
			m.answer(p, false)
			if !had {
				m.answered, m.heard = answered, heard
			}
			p.open = false
		}
	case cycle.AskPostponed:
		if p := m.packages[e.ID]; p != nil {
			p.askAfter = e.Until
			if p.asked > 0 {
				p.asked--
				if p.idle.IsZero() {
					p.idle = now
				}
			}
		}
	case cycle.RunFinished:
		m.running = 0
		m.remove(e.ID)
	case cycle.RunPostponed:
		m.running = 0
		if p := m.packages[e.ID]; p != nil {
			p.runAfter = e.Until
		}
	case cycle.OptionsChanged:
		m.options = e.Options // only Paused changes here
		if m.options.Paused {
			m.stop()
		} else if len(m.packages) > 0 {
			m.start()
		}
	}
	return m.decide()
}

// sorted returns the packages that pass, by urgency.
func (m *model) sorted(pass func(*modelPackage) bool) []*modelPackage {
	var chosen []*modelPackage
	for _, p := range m.packages {
		if pass(p) {
			chosen = append(chosen, p)
		}
	}
	slices.SortFunc(chosen, func(a, b *modelPackage) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.id, b.id))
	})
	return chosen
}

func (m *model) decide() (actions []cycle.Action) {
	if m.options.Paused {
		return nil
	}
	for _, p := range m.sorted(func(p *modelPackage) bool {
		return m.running != p.id && !m.now.Before(p.notified.Add(m.options.Timeout))
	}) {
		actions = append(actions, cycle.Expire{ID: p.id})
		m.remove(p.id)
	}
	open := 0
	for _, p := range m.packages {
		used := m.options.FragsPerTurn > 0 && p.priority > 0 && p.answered >= m.options.FragsPerTurn
		if used || len(p.missing) > 0 && len(p.failed) == len(p.missing) {
			p.open = false
		}
		p.open = p.open && int(p.priority) <= m.options.PeriodLength
		open += p.asked
	}
	m.tick()
	if ready := m.sorted(func(p *modelPackage) bool {
		mayRun := p.priority == 0 || p.open && !m.blocked()
		return m.running == 0 && mayRun && len(p.missing) == 0 && !m.now.Before(p.runAfter)
	}); len(ready) > 0 {
		m.running = ready[0].id
		actions = append(actions, cycle.Run{ID: m.running})
	}
	for ; open < m.options.MaxOrigin && !m.now.Before(m.answered.Add(m.options.FragLatency)); open++ {
		wanting := m.sorted(func(p *modelPackage) bool {
			return m.wants(p) && !m.now.Before(p.askAfter)
		})
		if len(wanting) == 0 {
			break
		}
		slices.SortStableFunc(wanting, func(a, b *modelPackage) int { return cmp.Compare(a.behind, b.behind) })
		wanting[0].asked++
		actions = append(actions, cycle.AskOrigin{ID: wanting[0].id})
	}
	m.tick()
	return actions
}

// event draws something that may happen now.
func (m *model) event(t *rapid.T, now time.Time) cycle.Event {
	id := core.PackageID(rapid.IntRange(1, 6).Draw(t, "id"))
	p := m.packages[id]
	if p == nil {
		priority := core.Priority(rapid.SampledFrom([]int{0, 1, 1, 2, 3, 5, 7}).Draw(t, "priority"))
		return cycle.PackageAdded{ID: id, Priority: priority, Missing: rapid.IntRange(0, 4).Draw(t, "missing")}
	}
	var fragments []core.FragmentIndex
	for index := range core.FragmentIndex(4) {
		if p.missing[index] {
			fragments = append(fragments, index)
		}
	}
	kinds := []string{"wake", "wake", "pause", "turn failed", "withdrawn"}
	if p.asked > 0 {
		kinds = append(kinds, "postponed", "postponed")
	}
	if len(fragments) > 0 {
		kinds = append(kinds, "member", "member", "failed", "failed", "failed")
		kinds = append(kinds, "origin", "origin", "origin")
	}
	if m.running != 0 {
		kinds = append(kinds, "run", "run", "run", "run postponed")
	}
	until := now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "until")) * time.Second)
	switch kind := rapid.SampledFrom(kinds).Draw(t, "kind"); kind {
	case "pause":
		options := m.options
		options.Paused = rapid.IntRange(0, 3).Draw(t, "paused") == 0
		return cycle.OptionsChanged{Options: options}
	case "turn failed":
		return cycle.TurnFailed{ID: id}
	case "withdrawn":
		return cycle.PackageWithdrawn{ID: id}
	case "postponed":
		return cycle.AskPostponed{ID: id, Until: until}
	case "member", "origin":
		index := rapid.SampledFrom(fragments).Draw(t, "index")
		return cycle.FragmentArrived{
			ID: id, Index: index, Missing: len(fragments) - 1, FromOrigin: kind == "origin",
		}
	case "failed":
		return cycle.FragmentFailed{ID: id, Index: rapid.SampledFrom(fragments).Draw(t, "index")}
	case "run":
		return cycle.RunFinished{ID: m.running}
	case "run postponed":
		return cycle.RunPostponed{ID: m.running, Until: until}
	}
	return cycle.WakeDue{}
}

// TestAgainstModel holds the schedule to the model, whatever happens.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := cycle.Options{
			PeriodLength:  rapid.IntRange(1, 8).Draw(t, "length"),
			CycleLatency:  time.Duration(rapid.SampledFrom([]int{0, 7, 60}).Draw(t, "cycle")) * time.Second,
			PeriodLatency: time.Duration(rapid.SampledFrom([]int{0, 90}).Draw(t, "period")) * time.Second,
			FragLatency:   time.Duration(rapid.SampledFrom([]int{0, 10}).Draw(t, "fragment")) * time.Second,
			FragsPerTurn:  rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "per turn"),
			Timeout:       time.Duration(rapid.SampledFrom([]int{200, 20_000}).Draw(t, "timeout")) * time.Second,
			MaxOrigin:     rapid.SampledFrom([]int{1, 1, 3}).Draw(t, "asks"),
		}
		schedule, err := cycle.New(options)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{options: options, packages: map[core.PackageID]*modelPackage{}, now: epoch}
		now := epoch
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			wake, due := schedule.NextWake()
			gap := rapid.SampledFrom([]int{0, 0, 1, 1, 2, 2, 5, 10, 10, 30, 60, 400, 3_000, -1, -100}).Draw(t, "gap")
			if options.CycleLatency == 0 { // the model counts a thousand cycles a second then
				gap = min(gap, 10)
				due = due && wake.Before(now.Add(10*time.Second))
			}
			if due && gap == 2 {
				now = wake
			} else {
				now = now.Add(time.Duration(gap) * time.Second)
			}
			event := m.event(t, now)
			got, want := schedule.Step(now, event), m.step(now, event)
			if !slices.Equal(got, want) {
				t.Fatalf("%v %T %+v: got %v, want %v", now, event, event, got, want)
			}
			if again := schedule.Step(now, cycle.WakeDue{}); again != nil {
				t.Fatalf("%v: a second look gives %v", now, again)
			}
			if schedule.Cycle() != m.cycle {
				t.Fatalf("%v: got cycle %d, want %d", now, schedule.Cycle(), m.cycle)
			}
		}
	})
}
