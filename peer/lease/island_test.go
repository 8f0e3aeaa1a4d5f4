package lease_test

import (
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/lease"
)

// declare is a member that says with whom it is in touch.
func (b *bench) declare(member int, with ...int) []lease.Action {
	b.t.Helper()
	event := lease.IslandDeclared{Member: name(member)}
	for _, other := range with {
		event.With = append(event.With, name(other))
	}
	return b.step(event)
}

// newParted is a bench with members 1 to 6, of which 4 to 6 are cut off and have said so. Fragment 0 is held
// by 1.
func newParted(t *testing.T) *bench {
	b := newBench(t)
	b.watcher.islands = func(id id.Peer) string {
		if id[31] >= 4 {
			return "cut off"
		}
		return "main"
	}
	b.hold(1, 0)
	for member := 2; member <= 6; member++ {
		b.acknowledge(member)
	}
	b.declare(4, 5, 6)
	return b
}

func TestIslands(t *testing.T) {
	b := newParted(t)
	b.want("in the main island", b.ask(2, 0), "held by 1")
	grant := b.granted(b.ask(4, 0))
	b.want("in the other", grant, "grant 0 island")
	b.want("once there too", b.ask(5, 0), "leased")
	first := b.granted(b.ask(1, 1)).Lease
	second := b.granted(b.ask(5, 1))
	b.want("a lease of each", second, "grant 1 island")
	b.send(grant.Lease)
	b.acknowledge(4, 0)
	b.want("its holder", b.ask(6, 0), "held by 4")
	b.want("and the other's", b.ask(3, 0), "held by 1")
	b.step(lease.BytesSent{Lease: second.Lease, Bytes: 40_000})
	b.step(lease.BytesSent{Lease: first, Bytes: size})
	b.step(lease.BodyEnded{Lease: first})
	b.step(lease.BytesSent{Lease: second.Lease, Bytes: size - 40_000})
	totals, _ := b.site.Totals(digest(1))
	if totals.First != 2*size || totals.Extra[lease.CauseIsland] != 2*size {
		t.Errorf("got %+v", totals)
	}
}

// TestIslandTakesItsLeases: what the cut off were to fetch for all is free for the others.
func TestIslandTakesItsLeases(t *testing.T) {
	b := newBench(t)
	for member := 1; member <= 4; member++ {
		b.acknowledge(member)
	}
	grant := b.granted(b.ask(4, 0))
	b.want("before", b.ask(1, 0), "leased")
	b.declare(3, 4)
	b.want("in its island", b.ask(3, 0), "leased")
	b.watcher.islands = func(id.Peer) string { return "other" }
	b.want("in the main one", b.ask(1, 0), "grant 0 island")
	b.send(grant.Lease)
	b.acknowledge(4, 0)
	b.want("its copy", b.ask(3, 0), "held by 4")
	b.want("is not the others'", b.ask(2, 0), "leased")
}

// TestIslandTakesItsHolders: what the cut off hold is not there for the others.
func TestIslandTakesItsHolders(t *testing.T) {
	b := newBench(t)
	b.hold(4, 0)
	for member := 1; member <= 3; member++ {
		b.acknowledge(member)
	}
	b.want("before", b.ask(1, 0), "held by 4")
	b.declare(4, 3)
	b.want("after", b.ask(1, 0), "grant 0 island")
}

func TestIslandOfOne(t *testing.T) {
	b := newParted(t)
	b.declare(3)
	b.watcher.islands = func(id id.Peer) string { return string(id[31:]) }
	b.want("what is held elsewhere", b.ask(3, 0, 1), "grant 0 no-peers")
	b.granted(b.ask(1, 1))
	b.want("what is leased elsewhere", b.ask(3, 1), "grant 1 no-peers")
	b.want("what is new", b.say(lease.MemberAsked{Member: name(3), Want: []core.FragmentIndex{2}}), "waits") // 2 bodies
	b.want("nobody is served by it", b.ask(2, 2), "grant 2 none")
}

// TestMostStay: who does not reach a minority declares nothing; the cut off do.
func TestMostStay(t *testing.T) {
	b := newBench(t)
	b.hold(1, 0)
	for member := 2; member <= 7; member++ {
		b.acknowledge(member)
	}
	b.declare(2, 3, 4, 5)
	b.want("still together", b.ask(2, 0), "held by 1")
	b.declare(7, 6)
	b.want("apart", b.ask(6, 0), "grant 0 island")
}

func TestIslandsJoin(t *testing.T) {
	b := newParted(t)
	b.hold(5, 3)
	b.declare(4, 2)
	b.want("twice in a minute is not heeded", b.ask(4, 0), "grant 0 island")
	b.now = b.now.Add(second)
	b.step(lease.MemberSeen{Member: name(3)})
	b.step(lease.MemberSeen{Member: name(6)})
	var met []lease.Introduce
	for _, action := range b.declare(5, 4, 6, 2) {
		if introduce, is := action.(lease.Introduce); is {
			met = append(met, introduce)
		}
	}
	want := []lease.Introduce{{Member: name(3), To: name(5)}, {Member: name(6), To: name(5)}}
	if !slices.Equal(met, want) {
		t.Errorf("got %v, want %v", met, want)
	}
	b.watcher.islands = func(id.Peer) string { return "" }
	b.want("what one had", b.ask(6, 0), "held by 1")
	b.want("what the other had", b.ask(1, 3), "held by 5")
}

// TestYoungerLeaseEnds: when islands join, a fragment is on its way once.
func TestYoungerLeaseEnds(t *testing.T) {
	b := newBench(t)
	b.hold(1, 7)
	for member := 2; member <= 6; member++ {
		b.acknowledge(member)
	}
	b.declare(5, 6)
	b.watcher.islands = func(id id.Peer) string { return string(id[31:]) }
	first, second := b.granted(b.ask(1, 0)).Lease, b.granted(b.ask(5, 0)).Lease
	got := resets(b.declare(6, 5, 2))
	if len(got) != 1 || got[0] != second {
		t.Errorf("reset %v, want %v", got, second)
	}
	b.send(first)
	b.acknowledge(1, 0)
	b.want("then", b.ask(5, 0), "held by 1")
}

// TestCutOffIsNoLiar: who could not be reached because the site fell apart is trusted when it is whole again.
func TestCutOffIsNoLiar(t *testing.T) {
	b := newBench(t)
	b.hold(1, 0)
	for member := 2; member <= 6; member++ {
		b.acknowledge(member)
	}
	blame := func(member int) {
		b.say(lease.MemberAsked{Member: name(member), Failed: []lease.Complaint{{Fragment: 0, Holder: name(1)}}})
	}
	blame(4)
	blame(5)
	b.declare(4, 5, 6)
	b.now = b.now.Add(second)
	b.declare(5, 4, 6, 2)
	blame(2)
	b.want("one of six complains", b.ask(3, 0), "held by 1")
}

// TestIslandsEnd: after half an hour without a word an island is part of the main one.
func TestIslandsEnd(t *testing.T) {
	b := newParted(t)
	b.wake(29 * time.Minute)
	b.granted(b.ask(4, 0))
	b.wake(2 * time.Minute)
	b.watcher.islands = func(id.Peer) string { return "" }
	b.want("one of it", b.ask(5, 0), "held by 1")
	b.want("all of it", b.ask(6, 0), "held by 1")
}

// TestRosterIsFull: who has been silent the longest makes room, but not who was seen lately.
func TestRosterIsFull(t *testing.T) {
	b := newBench(t)
	b.hold(1, 0)
	b.now = b.now.Add(minute)
	for member := 2; member <= lease.MaxMembers; member++ {
		b.site.Step(b.now, lease.MemberAsked{Request: lease.RequestID(member + 10), Member: name(member), Package: digest(1)})
	}
	b.request = lease.MaxMembers + 100
	b.want("all are there", b.ask(5000, 0), "busy")
	b.want("one of them", b.ask(2, 0), "held by 1")
	b.now = b.now.Add(4*minute + second)
	b.want("1 is silent", b.ask(5000, 0), "grant 0 owner-lost")
}

// TestPackagesAreBounded: beyond the bound packages are unknown, until one is withdrawn.
func TestPackagesAreBounded(t *testing.T) {
	b := newBench(t)
	pack := func(number int) (d core.Digest) {
		d[0], d[1], d[2] = 7, byte(number>>8), byte(number)
		return d
	}
	for number := range lease.MaxPackages {
		b.site.Step(b.now, lease.PackageKnown{Package: pack(number), Plan: b.plans[digest(1)]})
	}
	last := pack(lease.MaxPackages - 1)
	want := lease.MemberAsked{Member: name(1), Package: last, Want: []core.FragmentIndex{0}}
	b.plans[last] = b.plans[digest(1)]
	b.want("one too many", b.say(want), "unknown")
	b.step(lease.PackageWithdrawn{Package: pack(0)})
	b.step(lease.PackageKnown{Package: last, Plan: b.plans[digest(1)]})
	b.want("with room", b.say(want), "grant 0 none")
}

// TestNonsense: what members say beyond the bounds is ignored.
func TestNonsense(t *testing.T) {
	b := newBench(t)
	long := make([]core.FragmentIndex, lease.MaxWant)
	for i := range long {
		long[i] = 8
	}
	b.want("no such fragment", b.ask(1, 8, 70_000), "complete")
	b.want("a list that is too long", b.ask(1, append(long, 0)...), "complete")
	b.want("a digest of another size", b.say(lease.MemberAsked{
		Member: name(1), Have: fragment.NewSet(9), Want: []core.FragmentIndex{0},
	}), "grant 0 none")
	b.want("complaints of nothing", b.say(lease.MemberAsked{
		Member: name(2), Failed: []lease.Complaint{{Fragment: 99, Holder: name(1)}, {Fragment: 1, Holder: name(98)}},
		Resume: lease.Resume{Fragment: 1, From: 1 << 40}, Want: []core.FragmentIndex{1},
	}), "grant 1 none")
}

// TestIslandPardons: two halves that cannot reach each other complain of each other, so all are distrusted that hold
// something. Once they are known to be islands, those complaints are nobody's: all are served, and each half's word counts
// in it. Complaints within a half stay.
func TestIslandPardons(t *testing.T) {
	b := newBench(t)
	b.watcher.islands = func(id id.Peer) string {
		if id[31] > 4 {
			return "one half"
		}
		return "the other"
	}
	b.hold(1, 0)
	b.hold(5, 1)
	for member := 2; member <= 8; member++ {
		b.ask(member, 0, 1)
	}
	failed := func(index core.FragmentIndex, holder int, by ...int) {
		for _, member := range by {
			b.say(lease.MemberAsked{Member: name(member), Failed: []lease.Complaint{{Fragment: index, Holder: name(holder)}}})
		}
	}
	failed(1, 5, 1, 2, 3, 4)
	failed(0, 1, 5, 6, 7, 8)
	b.want("the one is distrusted", b.ask(1, 7), "distrusted")
	b.want("and so is the other", b.ask(5, 7), "distrusted")
	b.declare(6, 5, 7, 8)
	b.want("the one is served", b.ask(1, 7), "grant 7 none")
	b.want("and so is the other", b.ask(5, 6), "grant 6 none")
	b.want("the one's word counts", b.ask(2, 0), "held by 1")
	b.want("the other's too", b.ask(7, 1), "held by 5")

	failed(1, 5, 6, 7, 8)
	b.declare(3, 4)
	b.want("within a half it stays", b.ask(5, 4), "distrusted")
}
