package lease_test

import (
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
)

// BenchmarkStep measures one fragment's way: an ask with 64 wishes, the grant, one report of all its bytes,
// the body's end, and the acknowledgement that comes with the next ask; that is 3 steps. Of 50 members, those
// without a body wait or have just been refused.
func BenchmarkStep(b *testing.B) {
	b.Run("50-members-8000-fragments", func(b *testing.B) {
		const members, fragments = 50, 8000
		p := plan(b, fragments, 512*kib)
		now, request, pack := epoch, lease.RequestID(0), byte(0)
		var site *lease.Site
		next := fragments
		acknowledged := make([][]core.FragmentIndex, members)
		asks := map[lease.RequestID]int{}
		var running []lease.Grant
		ask := func(member int) {
			request++
			want := make([]core.FragmentIndex, 0, lease.MaxWant)
			for i := range lease.MaxWant {
				want = append(want, core.FragmentIndex((next+i*7+member)%fragments))
			}
			asks[request] = member
			for _, action := range site.Step(now, lease.MemberAsked{
				Request: request, Member: name(member + 1), Package: digest(pack), Want: want,
				Acknowledged: acknowledged[member],
			}) {
				if grant, is := action.(lease.Grant); is {
					running = append(running, grant)
				}
			}
			acknowledged[member] = nil
		}
		member := 0
		for b.Loop() {
			if next++; next >= fragments/2 { // a fresh package before all is held
				pack, next, running = pack+1, 0, nil
				site = lease.New(random(1))
				site.Step(now, lease.PackageKnown{Package: digest(pack), Plan: p, Priority: 5})
				for first := range members {
					ask(first)
				}
			}
			now = now.Add(10 * time.Millisecond)
			grant := running[0]
			running = running[1:]
			site.Step(now, lease.BytesSent{Lease: grant.Lease, Bytes: 512 * kib})
			for _, action := range site.Step(now, lease.BodyEnded{Lease: grant.Lease}) {
				if grant, is := action.(lease.Grant); is {
					running = append(running, grant)
				}
			}
			owner := asks[grant.Request]
			acknowledged[owner] = append(acknowledged[owner], grant.Fragment)
			ask(owner)
			member = (member + 1) % members
			ask(member)
		}
	})
}
