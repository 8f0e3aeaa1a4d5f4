package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"enjambre/core/cycle"
	"enjambre/core/ocs"
)

// run orders a run, unless it must wait: for the user's delay, or for what all runs wait for, a command that was adopted or
// the server's word. While they do, none overtakes another.
func (p *Plan) run(now time.Time, t *task) []Action {
	if now.Before(t.RunAfter) {
		return p.steps(now, cycle.RunPostponed{ID: t.Package, Until: t.RunAfter})
	}
	until := now
	for _, other := range p.tasks {
		if other.adopted {
			until = now.Add(runPause)
		}
	}
	if until.Equal(now) {
		until = p.freshAt(now, t)
	}
	if now.Before(until) {
		p.heldUntil = until
		return p.steps(now, cycle.RunsHeld{ID: t.Package, Until: until})
	}
	t.running, t.phase, p.news = true, ocs.Installing, true
	return []Action{Run{t.Package}}
}

// freshAt returns until when a run waits because the server's last answer is old, or older than news. It makes a contact
// due.
func (p *Plan) freshAt(now time.Time, t *task) time.Time {
	switch {
	case !p.triedAt.IsZero() && now.Sub(p.answeredAt) < FreshFor && !p.answeredAt.Before(p.newsAt):
		return now
	case now.Sub(p.triedAt) >= FreshFor, p.triedAt.Before(p.newsAt): // the first since the start too
		p.calls.Hurry(now)
		return now.Add(runPause)
	case now.Sub(p.answeredAt) < RunOffline:
		return now
	}
	p.trouble(t, fmt.Sprintf("not started: the server has not answered for %v", RunOffline))
	return p.triedAt.Add(FreshFor)
}

// cancelRuns takes back the runs whose command has not started: a user may still be being asked.
func (p *Plan) cancelRuns() []Action {
	var actions []Action
	for _, id := range slices.Sorted(maps.Keys(p.tasks)) {
		if t := p.tasks[id]; t.running && !t.adopted && !t.dropped {
			actions = append(actions, CancelRun{id})
		}
	}
	return actions
}

func (p *Plan) runPostponed(now time.Time, event RunPostponed) []Action {
	t := p.tasks[event.Package]
	if t == nil {
		return nil
	}
	t.running = false
	if event.Delayed {
		t.Delays++
		t.RunAfter, t.phase = event.Until, ocs.Delayed
		p.news = true
	} else {
		t.phase = ocs.Downloading
		p.trouble(t, event.Problem)
	}
	if t.adopted {
		return p.released(now, t, event.Until)
	}
	actions := p.steps(now, cycle.RunPostponed{ID: t.Package, Until: event.Until})
	if t.dropped {
		actions = append(actions, p.drop(now, t)...)
	}
	return actions
}

// released takes over that a command that was adopted came to nothing. The schedule, which does not know of it, gets
// the package as any other.
func (p *Plan) released(now time.Time, t *task, until time.Time) []Action {
	t.adopted = false
	if t.dropped {
		return p.drop(now, t)
	}
	t.RunAfter = later(t.RunAfter, until)
	if t.download == nil {
		return p.foretell(now, t)
	}
	return p.schedules(now, t)
}
