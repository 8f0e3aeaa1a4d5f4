package lease_test

import (
	"testing"

	"enjambre/core"
	"enjambre/peer/lease"
)

// restarted is a bench that begins with another's ledger, a minute later, its quiet over.
func restarted(t *testing.T, b *bench) *bench {
	again := &bench{watcher: newWatcher(t, 1)}
	again.now = b.now.Add(minute)
	again.gaps = true
	again.step(lease.PackageKnown{Package: digest(1), Plan: b.plans[digest(1)], Priority: 5})
	again.site.Replay(b.entries)
	again.sent[digest(1)] = b.sent[digest(1)]
	again.reached = b.reached
	again.step(lease.Restarted{})
	again.wake(10 * second)
	return again
}

// TestReplay: after a restart sums, holders and cost are as before.
func TestReplay(t *testing.T) {
	b := newBench(t)
	b.hold(1, 0)
	for range 2 { // a repeat that costs half a fragment
		grant := b.granted(b.ask(2, 1))
		b.step(lease.BytesSent{Lease: grant.Lease, Bytes: size / 2})
		b.step(lease.BodyEnded{Lease: grant.Lease, Failed: true})
	}
	b.send(b.granted(b.ask(3, 2)).Lease) // not acknowledged
	again := restarted(t, b)
	before, _ := b.site.Totals(digest(1))
	if after, _ := again.site.Totals(digest(1)); after != before {
		t.Errorf("got %+v, want %+v", after, before)
	}
	again.want("held", again.ask(4, 0), "held by 1")
	again.want("half sent", again.ask(5, 1), "grant 1 broken")
	again.want("nobody has it", again.ask(6, 2), "grant 2 owner-lost")
	again.want("new", again.ask(7, 3), "grant 3 none")
	for id, body := range again.bodies {
		if body.fragment == 1 {
			again.step(lease.BodyEnded{Lease: id, Failed: true})
		}
	}
	last := again.granted(again.ask(2, 1)) // its third time
	again.step(lease.BodyEnded{Lease: last.Lease, Failed: true})
	again.want("its fourth", again.ask(2, 1), "spent")
}

// TestReplayCost: who has cost too much before is slow after.
func TestReplayCost(t *testing.T) {
	b := newBench(t)
	for index := range core.FragmentIndex(5) {
		b.hold(1, index)
	}
	for index := range core.FragmentIndex(4) {
		b.send(b.granted(b.complain(2, index, 1)).Lease)
		b.acknowledge(2, index)
	}
	again := restarted(t, b)
	again.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 104_500}})
	grant := again.granted(again.ask(2, 6))
	again.granted(again.ask(3, 7))
	if rate := again.bodies[grant.Lease].rate; rate != 6_250 {
		t.Errorf("rate %d", rate)
	}
}

// TestReplayWithdrawn: a package that came back is sent again under that cause, also after a restart.
func TestReplayWithdrawn(t *testing.T) {
	b := newBench(t)
	b.hold(1, 0)
	b.step(lease.PackageWithdrawn{Package: digest(1)})
	b.step(lease.PackageKnown{Package: digest(1), Plan: b.plans[digest(1)], Priority: 5})
	b.hold(1, 1)
	b.step(lease.ServedOutside{Package: digest(1), Fragment: 3, Bytes: size})
	again := restarted(t, b)
	again.want("from before", again.ask(2, 0), "grant 0 withdrawn")
	again.want("from after", again.ask(3, 1), "held by 1")
	again.want("what stock agents took", again.ask(3, 3), "grant 3 no-peers")
}
