package plan

import (
	"cmp"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
)

// steps tells the schedule and turns its orders into ours, unless it is told of other things together with these.
func (p *Plan) steps(now time.Time, events ...cycle.Event) []Action {
	if p.together != nil {
		p.together = append(p.together, events...)
		return nil
	}
	return p.carry(now, p.schedule.Step(now, events...))
}

// atOnce lets the schedule know all that a change tells it before it orders anything: else what comes first in a list
// would run before the more urgent package after it.
func (p *Plan) atOnce(now time.Time, change func() []Action) []Action {
	p.together = []cycle.Event{}
	actions := change()
	events := p.together
	p.together = nil
	if len(events) == 0 {
		return actions
	}
	return append(actions, p.steps(now, events...)...)
}

// foretell lets the schedule know of a package whose info file is still to be had, if the server has said its priority.
// Without that it is judged only when the info file comes, and holds nobody up until then.
func (p *Plan) foretell(now time.Time, t *task) []Action {
	if !t.Ranked || t.download != nil || t.running || t.dropped || t.expired {
		return nil
	}
	t.priority = t.Priority
	return p.steps(now, cycle.PackageAdded{
		ID: t.Package, Priority: t.priority, NotifiedAt: t.NotifiedAt, Unjudged: true,
	})
}

// byUrgency returns the tasks in the order in which their info files are fetched: by priority, as far as it is known, then
// by package.
func (p *Plan) byUrgency() []*task {
	tasks := p.sorted()
	slices.SortStableFunc(tasks, func(a, b *task) int { return cmp.Compare(a.rank(), b.rank()) })
	return tasks
}

// rank is the task's priority; what is not known comes last.
func (t *task) rank() core.Priority {
	if t.Ranked || t.download != nil {
		return t.priority
	}
	return core.MaxPriority + 1
}

// rank is the offer's priority; what is not said comes last.
func (o Offer) rank() core.Priority {
	if o.Ranked {
		return o.Priority
	}
	return core.MaxPriority + 1
}
