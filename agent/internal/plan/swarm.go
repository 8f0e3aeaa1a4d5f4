package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"enjambre/core/cycle"
	"enjambre/peer"
)

// tell steps a package's download and turns what it orders into ours.
func (p *Plan) tell(now time.Time, t *task, event peer.Event) []Action {
	var actions []Action
	for _, action := range t.download.Step(now, event) {
		switch action := action.(type) {
		case peer.FetchFromOrigin:
			actions = append(actions, FetchFragment{t.Package, action.Index})
		case peer.Postpone:
			postponed := cycle.AskPostponed{ID: t.Package, Until: action.Until}
			actions = append(actions, p.steps(now, postponed)...)
		case peer.FetchFromMember:
			actions = append(actions, FetchFromMember{t.Package, action})
		case peer.CancelFetch:
			actions = append(actions, CancelFetch{t.Package, action})
		case peer.Announce:
			actions = append(actions, Announce{t.Package, action})
		case peer.Report:
			actions = append(actions, Misbehaved{t.Package, action})
		case peer.AskOrigin:
			actions = append(actions, p.askNext(now, t, action))
		case peer.Acknowledge:
			t.voice.verify(action.Indexes)
			t.voice.due = true
		case peer.Meet:
			actions = append(actions, Meet{t.Package, action})
		default:
			panic(fmt.Sprintf("plan: action %T is not known", action))
		}
	}
	return actions
}

// fragmentShared takes a fragment from a neighbour: it needs no turn and is followed by no latency.
func (p *Plan) fragmentShared(now time.Time, event FragmentShared) []Action {
	t := p.tasks[event.Package]
	if t == nil || t.download == nil {
		return nil
	}
	before := t.download.Missing()
	actions := p.tell(now, t, peer.FragmentStored{Index: event.Index, From: event.From})
	missing := t.download.Missing()
	p.news = p.news || missing < before
	return append(actions, p.steps(now, cycle.FragmentArrived{
		ID: t.Package, Index: event.Index, Missing: missing,
	})...)
}

// neighbourReported hands on what a neighbour says.
func (p *Plan) neighbourReported(now time.Time, event NeighbourReported) []Action {
	if _, left := event.Event.(peer.NeighbourLeft); !left || event.Package == 0 { // else it only shares the package no more
		p.reach.note(now, event.Event)
	}
	var actions []Action
	for _, id := range slices.Sorted(maps.Keys(p.tasks)) {
		t := p.tasks[id]
		if t.download != nil && (event.Package == 0 || event.Package == id) {
			actions = append(actions, p.tell(now, t, event.Event)...)
		}
	}
	return actions
}

// wakeDownloads lets downloads see to what has come due.
func (p *Plan) wakeDownloads(now time.Time) []Action {
	var actions []Action
	for _, id := range slices.Sorted(maps.Keys(p.tasks)) {
		t := p.tasks[id]
		if t == nil || t.download == nil {
			continue
		}
		if at, wakes := t.download.NextWake(); wakes && !now.Before(at) {
			actions = append(actions, p.tell(now, t, peer.WakeDue{})...)
		}
	}
	return actions
}
