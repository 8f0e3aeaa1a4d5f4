package plan

import (
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/fragment"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/lease"
	"enjambre/peer/owner"
)

// TestAsksAtOnce: without pauses some asks are open at once, fewer among neighbours that ask too, and one alone where
// each fragment is followed by a pause, or the origin grants no leases.
func TestAsksAtOnce(t *testing.T) {
	conf := quick()
	conf.MaxOrigin = 0
	slow := conf
	slow.FragLatency = time.Second
	for title, test := range map[string]struct {
		conf       cycle.Options
		origin     Origin
		neighbours int
		want       int
	}{
		"alone":              {conf, lender, 0, lease.MaxOfMember},
		"among four":         {conf, lender, 3, 5},
		"among 24":           {conf, lender, 23, 1},
		"with pauses":        {slow, lender, 0, 1},
		"at the site's rate": {slow, Origin{Address: lender.Address, AtRate: true}, 0, lease.MaxOfMember},
		"of plain files":     {conf, Origin{}, 0, 1},
	} {
		t.Run(title, func(t *testing.T) {
			p := newPlan(t, test.conf, false)
			p.options.Weight = owner.Medium
			p.Step(start, Resumed{Origin: test.origin, Answered: start, Assignments: []Assignment{{Package: 7, NotifiedAt: start}}})
			open := 0
			count := func(actions []Action) {
				for _, action := range actions {
					switch action.(type) {
					case AskNext, FetchFragment:
						open++
					}
				}
			}
			for n := range test.neighbours {
				count(p.Step(start, NeighbourReported{Event: peer.NeighbourJoined{
					Peer: id.Peer{byte(n + 1)}, Weight: owner.Medium, Wants: true,
				}}))
			}
			count(p.Step(start, InfoStored{Package: 7, Priority: 1, Held: fragment.NewSet(200)}))
			for n := range test.neighbours {
				count(p.Step(start, NeighbourReported{Package: 7, Event: peer.NeighbourJoined{
					Peer: id.Peer{byte(n + 1)}, Weight: owner.Medium, Wants: true,
				}}))
			}
			for range 40 { // answers, after which it is as wide as it is to be
				open--
				stored := core.FragmentIndex(p.tasks[7].download.Size() - p.tasks[7].download.Missing())
				count(p.Step(start, FragmentStored{Package: 7, Index: stored}))
				if test.conf.FragLatency > 0 && !test.origin.AtRate {
					break
				}
			}
			count(p.Step(start.Add(time.Second), WakeDue{}))
			if open != test.want {
				t.Errorf("%d asks are open, want %d", open, test.want)
			}
		})
	}
}
