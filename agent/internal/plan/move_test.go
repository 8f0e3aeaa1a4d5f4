package plan

import (
	"testing"
	"time"

	"enjambre/core/fragment"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/owner"
)

// until steps a plan at its own pace until an action of a type comes, at most a minute.
func until[T Action](t *testing.T, p *Plan, now time.Time) (time.Time, T) {
	t.Helper()
	for most := now.Add(time.Minute); now.Before(most); {
		wake, wakes := p.NextWake()
		if !wakes {
			break
		}
		now = later(now, wake)
		for _, action := range p.Step(now, WakeDue{}) {
			if typed, is := action.(T); is {
				return now, typed
			}
		}
	}
	t.Fatalf("no %T", *new(T))
	panic("unreachable")
}

// TestMoved: who was carried elsewhere asks the server where that is, and until that has ended the origin for nothing; then
// the origin is told all that is held.
func TestMoved(t *testing.T) {
	conf := quick()
	for _, c := range []struct {
		name string
		end  Event
	}{
		{"answered", ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Unknown)}, Origin: lender}},
		{"failed", ContactFailed{}},
		{"without a word on packages", ContactAnswered{Interval: time.Hour}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, asked := lent(t, conf, lender, 4)
			asked = one[AskNext](t, p.Step(start, FragmentStored{7, asked.Request.Want[0]}))
			if asked.Request.Have != nil {
				t.Errorf("it says all that is held again: %+v", asked.Request)
			}
			one[Contact](t, p.Step(start, Moved{}))
			now := start.Add(time.Second)
			none[AskNext](t, p.Step(now, NextFailed{Package: 7, Problem: "the connection is gone"}))
			for ; now.Before(start.Add(20 * time.Second)); now = now.Add(movePause / 3) {
				actions := p.Step(now, WakeDue{})
				none[AskNext](t, actions)
				none[Acknowledge](t, actions)
			}
			p.Step(now, c.end)
			if _, asked = until[AskNext](t, p, now); asked.Request.Have == nil {
				t.Errorf("it does not say all that is held: %+v", asked.Request)
			}
		})
	}
}

// TestMovedWhileTalking: what was under way when the computer was carried says nothing of where it is: another contact
// follows at once, and only that ends the waiting.
func TestMovedWhileTalking(t *testing.T) {
	conf := quick()
	p, asked := lent(t, conf, lender, 4)
	p.Step(start, CallDue{})
	p.Step(start, FragmentStored{7, asked.Request.Want[0]})
	now := start.Add(time.Second)
	none[Contact](t, p.Step(now, Moved{}))
	one[Contact](t, p.Step(now, ContactFailed{}))
	none[AskNext](t, p.Step(now, NextFailed{Package: 7}))
	p.Step(now, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Unknown)}, Origin: lender})
	until[AskNext](t, p, now)
}

// TestMovedNeighbours: what members give is taken also before the server has said where the computer is.
func TestMovedNeighbours(t *testing.T) {
	p, _ := lent(t, quick(), lender, 4)
	p.Step(start, Moved{})
	held := fragment.NewSet(4)
	held.Add(3)
	joined := peer.NeighbourJoined{Peer: id.Peer{9}, Weight: owner.Medium, Wants: true, Held: held}
	one[FetchFromMember](t, p.Step(start, NeighbourReported{Event: joined}))
}
