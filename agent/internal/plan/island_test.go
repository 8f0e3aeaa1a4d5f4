package plan

import (
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/next"
)

func unmet(n byte) peer.Event { return peer.MeetFailed{Peer: id.Peer{n}} }

// TestReach: who fails to meet three others, and more than it exchanges with, takes itself for cut off for a while; one
// that fails over and over, or a few in a large neighbourhood, are others' trouble.
func TestReach(t *testing.T) {
	for name, c := range map[string]struct {
		near   byte // neighbours before
		events []peer.Event
		want   bool
	}{
		"three":    {0, []peer.Event{unmet(1), unmet(2), unmet(3)}, true},
		"two":      {0, []peer.Event{unmet(1), unmet(2)}, false},
		"the same": {0, []peer.Event{unmet(1), unmet(1), unmet(1), unmet(2)}, false},
		"of many":  {3, []peer.Event{unmet(1), unmet(2), unmet(3)}, false},
		"most":     {3, []peer.Event{unmet(1), unmet(2), unmet(3), unmet(4)}, true},
		"left":     {3, []peer.Event{peer.NeighbourLeft{Peer: id.Peer{101}}, unmet(1), unmet(2), unmet(3)}, true},
		"other":    {0, []peer.Event{unmet(1), unmet(2), peer.WakeDue{}, peer.NeighbourLeft{Peer: id.Peer{3}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var r reach
			for n := range c.near {
				r.came(id.Peer{n + 100})
			}
			for _, event := range c.events {
				r.note(start, event)
			}
			if got := r.isCutOff(start); got != c.want {
				t.Errorf("got %v", got)
			}
			if r.isCutOff(start.Add(islandTime)) {
				t.Error("for ever")
			}
		})
	}
	var r reach
	r.note(start, unmet(1))
	r.note(start, unmet(2))
	r.note(start.Add(islandTime+1), unmet(3))
	if r.isCutOff(start.Add(islandTime + 1)) {
		t.Error("what failed long ago counts")
	}
	for n := range byte(200) {
		r.note(start.Add(islandTime+1), unmet(n))
	}
	if len(r.unreached) != maxUnreached {
		t.Errorf("%d are remembered", len(r.unreached))
	}
	if r.came(id.Peer{250}); len(r.unreached) > 0 {
		t.Error("who has met somebody since goes on counting")
	}
}

// TestCutOff: the origin is told whom a lonely agent reaches, and still when it is lonely no more.
func TestCutOff(t *testing.T) {
	p, asked := lent(t, quick(), Origin{Address: lender.Address, AtRate: true}, 4)
	if asked.Request.CutOff {
		t.Error("cut off before anything failed")
	}
	now := start
	next := func() next.Request {
		t.Helper()
		now = now.Add(time.Second)
		p.Step(now, OriginRefused{Package: 7, RetryAfter: time.Second})
		now = now.Add(time.Second)
		return one[AskNext](t, p.Step(now, WakeDue{})).Request
	}
	p.Step(now, LonelinessChanged{On: true})
	if said := next(); !said.CutOff || said.Reached != nil {
		t.Errorf("alone: %+v", said)
	}
	p.Step(now, LonelinessChanged{})
	for _, n := range []byte{5, 3, 4} { // whether they have the package or not
		p.Step(now, NeighbourCame{id.Peer{n}})
	}
	p.Step(now, NeighbourReported{Event: peer.NeighbourLeft{Peer: id.Peer{4}}})
	p.Step(now, NeighbourReported{Package: 7, Event: peer.NeighbourLeft{Peer: id.Peer{5}}}) // only shares it no more
	if said := next(); !said.CutOff || !slices.Equal(said.Reached, []id.Peer{{3}, {5}}) {
		t.Errorf("afterwards: %+v", said)
	}
	now = now.Add(islandTime)
	if said := next(); said.CutOff {
		t.Errorf("long afterwards: %+v", said)
	}
}

// TestCutOffFits: what is said of the largest package by an agent that is cut off still fits into a request.
func TestCutOffFits(t *testing.T) {
	p, _ := lent(t, quick(), lender, core.MaxFragments)
	for n := range byte(next.MaxReached + 1) {
		p.Step(start, NeighbourCame{id.Peer{n + 1}})
	}
	p.Step(start, LonelinessChanged{On: true})
	task := p.tasks[7]
	for range next.MaxFailed {
		task.voice.complain(next.Complaint{Fragment: core.MaxFragments - 1, Holder: id.Peer{1, 31: 1}, Corrupt: true})
	}
	wishes := peer.AskOrigin{}
	for n := range core.FragmentIndex(next.MaxWant) {
		wishes.Want = append(wishes.Want, core.MaxFragments-1-n)
	}
	asked := p.askNext(start, task, wishes).(AskNext)
	asked.Request.Have, asked.Request.Acknowledged = asked.Have, nil
	asked.Request.Resume = next.Resume{Fragment: wishes.Want[0], From: core.MaxFragmentSize - 1}
	if err := asked.Request.Put(next.Header{}); err != nil || len(asked.Request.Reached) != next.MaxReached {
		t.Errorf("%d reached, %v", len(asked.Request.Reached), err)
	}
}
