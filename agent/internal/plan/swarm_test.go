package plan

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/fragment"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/owner"
)

// TestNeighbours: what a neighbour holds is fetched from it, outside of turns and latencies, and the origin is asked
// for the rest alone.
func TestNeighbours(t *testing.T) {
	p := newPlan(t, quick(), false)
	conf := quick()
	conf.FragLatency = time.Hour
	neighbour := id.Peer{9}
	p.Step(start, Resumed{})
	p.Step(start, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Unknown)}})
	step(t, p, start, InfoStored{Package: 7, Priority: 1, Info: core.Digest{7}, Held: fragment.NewSet(4)}, FetchFragment{7, 0})
	held := fragment.NewSet(4)
	held.Add(1)
	held.Add(2)
	joined := peer.NeighbourJoined{Peer: neighbour, Weight: owner.Medium, Wants: true, Held: held}
	want := []Action{
		FetchFromMember{7, peer.FetchFromMember{Peer: neighbour, Index: 1}},
		FetchFromMember{7, peer.FetchFromMember{Peer: neighbour, Index: 2}},
	}
	if got := p.Step(start, NeighbourReported{7, joined}); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got)
	}
	// The origin's latency holds the last fragment up.
	step(t, p, start, FragmentStored{7, 0}, Announce{7, peer.Announce{Peer: neighbour, Indexes: []core.FragmentIndex{0}}})
	step(t, p, start, FragmentShared{7, 1, neighbour})
	step(t, p, start, NeighbourReported{7, peer.FetchFailed{Peer: neighbour, Index: 2, Why: peer.Corrupt}},
		Misbehaved{7, peer.Report{Peer: neighbour, Why: peer.Corrupt, Until: start.Add(time.Hour)}})
	if task := p.Tasks()[0]; task.Have != 2 {
		t.Errorf("got %+v", task)
	}
	now := start.Add(time.Hour)
	if got := p.Step(now, WakeDue{}); !slices.Contains(got, Action(FetchFragment{7, 2})) {
		t.Errorf("what nobody else has: got %+v", got)
	}
	p.Step(now, NeighbourReported{0, peer.NeighbourLeft{Peer: neighbour}})
	p.Step(now, FragmentStored{7, 2})
	p.Step(now, FragmentShared{7, 3, neighbour})
	if task := p.Tasks()[0]; task.Have != 4 {
		t.Errorf("got %+v", task)
	}
}

// TestNeighboursAlone: a package whose turn never opens is completed by members and waits.
func TestNeighboursAlone(t *testing.T) {
	conf := cycle.Options{PeriodLength: 3, CycleLatency: time.Second}
	p := newPlan(t, conf, false)
	p.Step(start, Resumed{})
	p.Step(start, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Unknown)}})
	p.Step(start, InfoStored{Package: 7, Priority: 9, Info: core.Digest{7}, Held: fragment.NewSet(1)})
	actions := p.Step(start, FragmentShared{7, 0, id.Peer{9}})
	for _, pause := range []time.Duration{1, 2, 3, 10, 100} {
		actions = append(actions, p.Step(start.Add(pause*time.Second), WakeDue{})...)
	}
	if slices.Contains(actions, Action(Run{7})) || p.Tasks()[0].Have != 1 {
		t.Errorf("got %+v, %+v", actions, p.Tasks())
	}
}
