package lease_test

import (
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
)

func TestSlots(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 3}})
	first := b.granted(b.ask(1, 0, 1, 2, 3, 4, 5))
	b.want("two for one that is alone", b.ask(1, 0, 1, 2, 3, 4, 5), "grant 1 none")
	b.want("not three", b.ask(1, 0, 1, 2, 3, 4, 5), "waits")
	b.want("another member", b.ask(2, 0, 1, 2, 3, 4, 5), "grant 2 none")
	b.want("no fourth body", b.ask(3, 0, 1, 2, 3, 4, 5), "waits")
	actions := b.send(first.Lease)
	if got := answerOf(5, actions); got == nil || answerOf(3, actions) != nil {
		b.fail("got %v: as many ask as bodies may run, so member 1 is to wait for its second", actions)
	}
	b.want("while 5 is on its way", b.ask(2, 0, 1, 2), "leased")
}

func TestQueue(t *testing.T) {
	b := newBench(t)
	many := plan(t, 100, size)
	for number := range byte(3) {
		b.step(lease.PackageKnown{Package: digest(number + 2), Plan: many, Priority: core.Priority(number)})
	}
	all := make([]core.FragmentIndex, 60)
	for i := range all {
		all[i] = core.FragmentIndex(i)
	}
	member := 0
	wants := func(pack byte, weightless bool) lease.Action {
		member++
		return b.say(lease.MemberAsked{Member: name(member), Package: digest(pack), Want: all, Weightless: weightless})
	}
	var running []lease.LeaseID
	for range 4 {
		running = append(running, b.granted(wants(3, false)).Lease)
	}
	wants(4, false) // 5: of priority 2
	wants(3, true)  // 6: weight 0
	wants(3, false) // 7
	wants(3, false) // 8: hangs up
	wants(2, false) // 9: of priority 0
	wants(3, false) // 10
	b.step(lease.ClientLeft{Request: 8})
	var got []lease.RequestID
	for len(running) > 0 {
		actions := b.send(running[0])
		running = running[1:]
		for _, action := range actions {
			if grant, is := action.(lease.Grant); is {
				got, running = append(got, grant.Request), append(running, grant.Lease)
			}
		}
	}
	if want := []lease.RequestID{9, 7, 10, 6, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestOvertaken: who waits for a second body is told as soon as what it wants goes to one behind it.
func TestOvertaken(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 2}})
	b.granted(b.ask(1, 0))
	other := b.granted(b.ask(2, 1))
	b.want("a second body", b.ask(1, 5), "waits")
	b.want("a first one", b.ask(3, 5), "waits")
	actions := b.send(other.Lease)
	b.want("the first one", answerOf(4, actions), "grant 5 none")
	b.want("the second body", answerOf(3, actions), "leased")
}

func TestQueueIsFull(t *testing.T) {
	b := newBench(t)
	b.step(lease.PackageKnown{Package: digest(2), Plan: plan(t, 100, size), Priority: 0})
	for member := range 4 {
		b.granted(b.ask(member+1, 0, 1, 2, 3, 4))
	}
	for member := range lease.MaxWaiting {
		b.want("the queue", b.ask(member+5, 4), "waits")
	}
	b.want("one more", b.ask(50, 4), "busy")
	b.request++
	actions := b.step(lease.MemberAsked{
		Request: b.request, Member: name(51), Package: digest(2), Want: []core.FragmentIndex{0},
	})
	if b.want("the last makes room for the urgent", answerOf(20, actions), "busy"); answerOf(b.request, actions) != nil {
		b.fail("the urgent one does not wait")
	}
	b.want("none that is free", b.ask(52, 0, 1), "leased")
	// The bodies go on for 20 s, and stand in nobody's way.
	b.now = b.now.Add(4 * second)
	for range 5 {
		for id, body := range b.bodies {
			if body.running {
				b.step(lease.BytesSent{Lease: id, Bytes: 1})
			}
		}
		b.now = b.now.Add(4*second - time.Millisecond)
	}
	if b.step(lease.WakeDue{}); len(b.asked) > 0 {
		b.fail("%d requests wait for more than 20 s", len(b.asked))
	}
}

func TestMemberWaitsTwice(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 1}})
	b.granted(b.ask(1, 0, 1, 2, 3))
	for range lease.MaxOfMember - 2 {
		b.want("some", b.ask(1, 0, 1, 2, 3), "waits")
	}
	b.want("one more", b.ask(1, 0, 1, 2, 3), "busy")
	b.want("nothing to wait for", b.ask(1), "complete")
}
