package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/peer"
	"enjambre/peer/next"
)

func (p *Plan) resumed(now time.Time, event Resumed) []Action {
	p.answeredAt = event.Answered
	return p.atOnce(now, func() []Action { return p.recall(now, event) })
}

// recall takes over what is remembered.
func (p *Plan) recall(now time.Time, event Resumed) []Action {
	actions := p.setOrigin(now, event.Origin, false)
	actions = append(actions, p.steps(now, cycle.OptionsChanged{Options: p.paced()})...)
	for _, assignment := range event.Assignments {
		p.add(now, assignment)
	}
	for _, id := range event.Running {
		t := p.tasks[id]
		if t == nil { // it was unaffected while it ran
			t = p.add(now, Assignment{Package: id})
			t.dropped = true
		}
		t.running, t.adopted, t.phase = true, true, ocs.Installing
	}
	for _, stored := range event.Stored {
		actions = append(actions, p.infoStored(now, stored)...)
	}
	for _, t := range p.sorted() {
		actions = append(actions, p.foretell(now, t)...)
	}
	return actions
}

func (p *Plan) add(now time.Time, assignment Assignment) *task {
	if assignment.NotifiedAt.IsZero() || p.knowsTime && assignment.NotifiedAt.After(now) {
		assignment.NotifiedAt = now
	}
	t := &task{Assignment: assignment, phase: ocs.Downloading}
	p.tasks[assignment.Package] = t
	return t
}

func (p *Plan) contactAnswered(now time.Time, event ContactAnswered) []Action {
	p.talking, p.heard, p.silent = false, true, false
	p.answeredAt, p.triedAt = now, now
	p.told(now, event.Left)
	p.calls.Answered(now, event.Interval, p.options.Random)
	p.settle(now)
	if event.Conf == nil {
		return p.believe(now)
	}
	p.trust(now)
	p.conf = *event.Conf
	return p.atOnce(now, func() []Action { return p.takeOver(now, event) })
}

// takeOver makes what an answer says of deployment hold.
func (p *Plan) takeOver(now time.Time, event ContactAnswered) []Action {
	actions := p.setOrigin(now, event.Origin, false)
	actions = append(actions, p.steps(now, cycle.OptionsChanged{Options: p.paced()})...)
	if p.heldUntil.After(now.Add(runPause)) { // for want of this answer
		p.heldUntil = now
		actions = append(actions, p.steps(now, cycle.RunsHeld{Until: now})...)
	}
	if p.conf.Paused {
		actions = append(actions, p.cancelRuns()...)
	}
	offered := map[core.PackageID]bool{}
	offers := slices.Clone(event.Offers)
	slices.SortStableFunc(offers, func(a, b Offer) int { return cmp.Compare(a.rank(), b.rank()) }) // for MaxTasks
	for _, offer := range offers {
		offered[offer.Package] = true
		actions = append(actions, p.offered(now, offer)...)
	}
	for _, id := range slices.Sorted(maps.Keys(p.tasks)) {
		t := p.tasks[id]
		if takenBack := !p.conf.Paused && !event.Partial && !offered[id]; takenBack && !t.dropped && !t.expired {
			actions = append(actions, p.drop(now, t)...)
		}
	}
	return actions
}

// suspend stops everything but contacts. The server's schedule is asked for anew when it speaks again.
func (p *Plan) suspend(now time.Time) []Action {
	p.talking, p.heard, p.silent, p.triedAt = false, true, true, now
	p.calls.Answered(now, 0, p.options.Random)
	p.settle(now)
	p.conf.Paused = true
	return append(p.steps(now, cycle.OptionsChanged{Options: p.paced()}), p.cancelRuns()...)
}

// offered takes one package of the server's list.
func (p *Plan) offered(now time.Time, offer Offer) []Action {
	t := p.tasks[offer.Package]
	if t != nil && !t.dropped && !t.expired && t.isOther(offer) {
		actions := p.drop(now, t)
		if !t.dropped {
			actions = append(actions, p.offered(now, offer)...)
		}
		return actions
	}
	switch {
	case t != nil && t.dropped: // it is offered again before its run has come to its end
	case t != nil:
		t.Force, t.InfoDigest = offer.Force, offer.InfoDigest
		t.InfoLocation, t.FragmentsLocation = offer.InfoLocation, offer.FragmentsLocation
		t.Elsewhere = offer.Elsewhere
		if offer.Ranked {
			t.Priority, t.Ranked = offer.Priority, true
		}
		actions := append(p.setPlain(now, t, t.plain), p.back(now, t)...)
		return append(actions, p.foretell(now, t)...)
	case offer.Past == Open:
	case len(p.tasks) >= MaxTasks: // the server offers it again
	case offer.Past == Installed && !offer.Force:
		return []Action{Conclude{
			Package: offer.Package, State: outcome.AlreadySetup,
			Detail: "it was installed on this computer before",
		}}
	default:
		p.news = true
		return p.foretell(now, p.add(now, Assignment{
			Package: offer.Package, NotifiedAt: now, Force: offer.Force, InfoDigest: offer.InfoDigest,
			InfoLocation: offer.InfoLocation, FragmentsLocation: offer.FragmentsLocation, Elsewhere: offer.Elsewhere,
			Priority: offer.Priority, Ranked: offer.Ranked, Attempts: offer.Attempts,
		}))
	}
	return nil
}

// isOther reports whether an offer is of another info file than the task's: what was had of it is not what the server
// wants to be run.
func (t *task) isOther(offer Offer) bool {
	var unsaid core.Digest
	return t.InfoDigest != unsaid && offer.InfoDigest != unsaid && t.InfoDigest != offer.InfoDigest
}

// drop forgets a package that is not wanted any more; one that runs is forgotten when it has ended.
func (p *Plan) drop(now time.Time, t *task) []Action {
	if t.running {
		t.dropped = true
		return []Action{CancelRun{t.Package}}
	}
	delete(p.tasks, t.Package)
	actions := p.steps(now, cycle.PackageWithdrawn{ID: t.Package})
	return append(actions, Drop{t.Package})
}

func (p *Plan) infoStored(now time.Time, event InfoStored) []Action {
	t := p.tasks[event.Package]
	if t == nil { // dropped meanwhile
		return []Action{Drop{event.Package}}
	}
	t.fetching, t.problem = false, ""
	t.priority = event.Priority
	t.RunAfter = later(t.RunAfter, event.NotBefore)
	t.download = peer.NewDownload(heldSet(event.Held), peer.Options{
		Self: p.options.Self, Weight: p.options.Weight, Info: event.Info, Random: p.options.Random,
		Leases: p.leases() && !t.Elsewhere,
	})
	t.plain, t.voice, t.gone = false, voice{whole: true, start: p.drawStart()}, false
	t.lent = p.lends(t)
	if t.adopted {
		return nil
	}
	return p.schedules(now, t)
}

// drawStart draws the number of a beginning. What the agent had stored and not synced before is lost, or the package
// was dropped and is wanted again: the origin must not take that for a fault.
func (p *Plan) drawStart() uint64 { return 1 + p.options.Random.Uint64N(next.MaxStart) }

// schedules tells the schedule what is missing of a package, unless it is withdrawn.
func (p *Plan) schedules(now time.Time, t *task) []Action {
	if t.gone {
		return nil
	}
	return p.steps(now, cycle.PackageAdded{
		ID: t.Package, Priority: t.priority, Missing: t.download.Missing(), NotifiedAt: t.NotifiedAt,
	})
}

func (p *Plan) infoFailed(now time.Time, event InfoFailed) []Action {
	t := p.tasks[event.Package]
	if t == nil {
		return nil
	}
	t.fetching, t.fetchNext = false, now.Add(max(p.conf.CycleLatency, cycle.MinCycle))
	p.trouble(t, event.Problem)
	return p.steps(now, cycle.JudgingFailed{ID: t.Package})
}

// trouble notes what went wrong last.
func (p *Plan) trouble(t *task, problem string) {
	if problem != t.problem {
		t.problem, p.news = problem, true
	}
}

func (p *Plan) fragmentStored(now time.Time, event FragmentStored) []Action {
	t := p.tasks[event.Package]
	if t == nil || t.download == nil {
		return nil
	}
	before := t.download.Missing()
	actions := p.tell(now, t, peer.FragmentStored{Index: event.Index})
	delete(t.corrupt, event.Index)
	t.voice.asked, t.wasGone = voiceAsked{}, t.gone
	if !t.gone {
		t.problem = ""
	}
	missing := t.download.Missing()
	p.news = p.news || missing < before
	return append(actions, p.steps(now, cycle.FragmentArrived{
		ID: t.Package, Index: event.Index, Missing: missing, FromOrigin: true,
	})...)
}

func (p *Plan) fragmentFailed(now time.Time, event FragmentFailed) []Action {
	t := p.tasks[event.Package]
	if t == nil || t.download == nil {
		return nil
	}
	p.trouble(t, event.Problem)
	t.voice.asked = voiceAsked{}
	if event.Corrupt {
		t.corruptAtOrigin(event.Index)
	}
	actions := p.tell(now, t, peer.FragmentFailed{Index: event.Index})
	failed := cycle.FragmentFailed{ID: t.Package, Index: event.Index}
	actions = append(actions, p.steps(now, failed)...)
	if !event.Corrupt || t.expired || t.running { // what runs was whole: the answer is late
		return actions
	}
	if t.corrupt == nil {
		t.corrupt = map[core.FragmentIndex]int{}
	}
	if t.corrupt[event.Index]++; t.corrupt[event.Index] < MaxCorrupt {
		return actions
	}
	return append(actions, p.conclude(now, t, outcome.BadDigest, core.ClassHash, event.Problem)...)
}

// conclude takes a package out of the schedule and orders its result.
func (p *Plan) conclude(now time.Time, t *task, state outcome.State, class core.Class, detail string) []Action {
	t.expired = true
	actions := p.steps(now, cycle.PackageWithdrawn{ID: t.Package})
	return append(actions, Conclude{Package: t.Package, State: state, Class: class, Detail: detail})
}

func (p *Plan) originFailed(now time.Time, event OriginFailed) []Action {
	t := p.tasks[event.Package]
	if t == nil || t.download == nil {
		return nil
	}
	p.trouble(t, event.Problem)
	actions := p.tell(now, t, peer.AskAbandoned{Index: event.Index})
	return append(actions, p.steps(now, cycle.TurnFailed{ID: t.Package})...)
}

func (p *Plan) fragmentsLost(now time.Time, event FragmentsLost) []Action {
	t := p.tasks[event.Package]
	if t == nil {
		return nil
	}
	t.running, t.phase = false, ocs.Downloading
	t.voice.whole, t.voice.verified = true, nil
	var lost []Action
	for index := range heldSet(event.Held).Missing() {
		lost = append(lost, p.tell(now, t, peer.FragmentLost{Index: index})...)
	}
	t.rebuilds++
	problem := fmt.Sprintf("%d fragments have changed on the disk, time %d", t.download.Missing(), t.rebuilds)
	p.trouble(t, problem)
	postponed := cycle.RunPostponed{ID: t.Package, Until: now.Add(cycle.MinPause)}
	switch {
	case t.dropped:
		return append(p.steps(now, postponed), p.drop(now, t)...)
	case t.rebuilds >= MaxRebuilds:
		actions := p.steps(now, postponed)
		return append(actions, p.conclude(now, t, outcome.Build, core.ClassHash, problem)...)
	}
	actions := append(lost, p.schedules(now, t)...) // first what is missing, or it would run again at once
	return append(actions, p.steps(now, postponed)...)
}

// ended takes over that a package has its result, however it came to it.
func (p *Plan) ended(now time.Time, event Ended) []Action {
	p.unreported = event.Left
	p.reports.Hurry(now)
	t := p.tasks[event.Package]
	if t == nil {
		return nil
	}
	delete(p.tasks, t.Package)
	if t.running && !t.adopted {
		return p.steps(now, cycle.RunFinished{ID: t.Package})
	}
	return p.steps(now, cycle.PackageWithdrawn{ID: t.Package})
}

// Assignment returns what is remembered of a package, or false when it is not to be installed.
func (p *Plan) Assignment(id core.PackageID) (Assignment, bool) {
	t := p.tasks[id]
	if t == nil {
		return Assignment{}, false
	}
	return t.Assignment, true
}
