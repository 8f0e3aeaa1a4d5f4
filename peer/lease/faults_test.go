package lease_test

import (
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/lease"
)

// TestCalm: without crashes each fragment is granted exactly once, and the WAN is never idle for long.
func TestCalm(t *testing.T) {
	for seed := range uint64(600 / fewer) {
		rng := random(seed)
		members, fragments := 1+rng.IntN(30), 20+rng.IntN(80)
		s := newSwarm(t, seed, members, plan(t, fragments, 64*kib))
		s.feed(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 1 + rng.IntN(6), Rate: 1_000_000}})
		s.spread = time.Duration(rng.IntN(2)) * time.Duration(rng.IntN(3000)) * time.Millisecond
		s.startAll()
		s.run(time.Hour)
		want := lease.Totals{First: s.plan.ArchiveSize()}
		if s.totals() != want || s.grants != fragments {
			s.fail("seed %d: got %+v and %d grants, want %+v", seed, s.totals(), s.grants, want)
		}
		bound := time.Duration(float64(s.plan.ArchiveSize()) / float64(lease.PayloadRate(1_000_000)) * 1e9)
		if took := s.now.Sub(epoch); members > 1 && s.policy.Fetchers > 1 && took > bound*11/10+s.spread+second/2 {
			s.fail("seed %d: %d members took %v, bound %v", seed, members, took, bound)
		}
	}
}

// TestCrashes: whatever members suffer, all that live get everything, and each body that is lost costs a
// fragment at most.
func TestCrashes(t *testing.T) {
	for seed := range uint64(1000 / fewer) {
		rng := random(seed)
		s := newSwarm(t, seed, 4+rng.IntN(10), plan(t, 10+rng.IntN(40), 64*kib))
		s.feed(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 1 + rng.IntN(6), Rate: 1_000_000}})
		s.harm = 0.2
		s.startAll()
		s.after(30*second, func() { s.harm = 0 }) // act 2: faults end
		s.run(time.Hour)
		s.finishBodies()
		totals := s.totals()
		if extra := totals.Sent() - s.plan.ArchiveSize(); totals.First != s.plan.ArchiveSize() ||
			extra > int64(s.lost)*64*kib {
			s.fail("seed %d: %d bodies lost, %+v", seed, s.lost, totals)
		}
		if summed := s.summed(s.pack); summed != totals {
			s.fail("seed %d: the ledger says %+v, the site %+v", seed, summed, totals)
		}
	}
}

// finishBodies lets the bodies that run come to their end, so that all is in the ledger.
func (s *swarm) finishBodies() {
	for range 10_000 {
		if len(s.queue) == 0 || !slices.ContainsFunc(s.running(), func(b *body) bool { return b.running }) {
			return
		}
		last := len(s.queue) - 1
		s.now = s.queue[last].at
		do := s.queue[last].do
		s.queue = s.queue[:last]
		do()
	}
}

func (s *swarm) running() (all []*body) {
	for _, b := range s.bodies {
		all = append(all, b)
	}
	return all
}

// TestSameSeed: the same seed gives the same run, to the letter.
func TestSameSeed(t *testing.T) {
	run := func(seed uint64) uint64 {
		s := newSwarm(t, seed, 9, plan(t, 60, 32*kib))
		s.keepAll = true
		s.feed(lease.PolicyChanged{Policy: lease.Policy{Rate: 500_000}})
		s.harm, s.spread = 0.1, second
		s.startAll()
		s.after(30*second, func() { s.harm = 0 })
		s.run(time.Hour)
		return s.traceHash()
	}
	for seed := range uint64(20) {
		if first, second := run(seed), run(seed); first != second {
			t.Fatalf("seed %d: trace %x, then %x", seed, first, second)
		}
	}
}

func (s *swarm) traceHash() uint64 {
	sum := fnv.New64a()
	for _, step := range s.trace {
		fmt.Fprintln(sum, step)
	}
	return sum.Sum64()
}

// TestOriginRestarts: the origin dies with all its bodies and comes back with its ledger. What was lost of
// that is a body for each slot, once more.
func TestOriginRestarts(t *testing.T) {
	for seed := range uint64(300 / fewer) {
		rng := random(seed)
		s := newSwarm(t, seed, 2+rng.IntN(10), plan(t, 40+rng.IntN(40), 64*kib))
		policy := lease.Policy{Fetchers: 1 + rng.IntN(6), Rate: 500_000}
		s.feed(lease.PolicyChanged{Policy: policy})
		s.startAll()
		restarts := 1 + rng.IntN(2)
		for number := range restarts {
			s.after(time.Duration(number)*20*second+time.Duration(rng.IntN(3000))*time.Millisecond, func() {
				s.restart(seed, policy)
			})
		}
		s.run(time.Hour)
		s.finishBodies()
		totals := s.totals()
		extra := totals.Sent() - s.plan.ArchiveSize()
		if totals.First != s.plan.ArchiveSize() || extra > int64(restarts*policy.Fetchers)*64*kib {
			s.fail("seed %d: %d restarts, %+v", seed, restarts, totals)
		}
	}
}

// restart gives the origin a new Site. Every connection is gone, and what was not written down is forgotten.
func (s *swarm) restart(seed uint64, policy lease.Policy) {
	s.site = lease.New(random(seed + 1))
	clear(s.asked)
	clear(s.askedAt)
	for _, b := range s.bodies {
		b.running = false
	}
	clear(s.bodies)
	clear(s.reached)
	clear(s.sent)
	s.feed(lease.PackageKnown{Package: s.pack, Plan: s.plan, Priority: 5})
	s.site.Replay(s.entries)
	for _, e := range s.entries {
		if e.Kind == lease.KindSent {
			s.count(e.Package, e.Fragment, int64(e.From), int64(e.Bytes))
		}
	}
	s.feed(lease.PolicyChanged{Policy: policy})
	s.feed(lease.Restarted{})
	for _, a := range s.agents {
		s.again(a)
	}
}

// TestPartition: a site falls apart, and each part fetches what it lacks once.
func TestPartition(t *testing.T) {
	for seed := range uint64(300 / fewer) {
		rng := random(seed)
		members := 3 + rng.IntN(10)
		s := newSwarm(t, seed, members, plan(t, 20+rng.IntN(40), 64*kib))
		s.watcher.islands = func(id id.Peer) string { return string(id[30:]) } // only the Site knows
		s.feed(lease.PolicyChanged{Policy: lease.Policy{Rate: 1_000_000}})
		s.startAll()
		s.after(time.Duration(rng.IntN(2000))*time.Millisecond, func() {
			for _, i := range rng.Perm(members)[:1+rng.IntN(members-1)] {
				s.agents[i].group = 1
			}
		})
		s.run(10 * time.Minute)
		s.finishBodies()
		totals := s.totals()
		archive, extra := s.plan.ArchiveSize(), totals.Sent()-totals.First
		if totals.First != archive || extra > archive+8*64*kib {
			s.fail("seed %d: %d fragments, %+v", seed, s.plan.Count(), totals)
		}
	}
}

// TestLiars: members that claim to have everything hold the others up, but not for long, and cost little.
func TestLiars(t *testing.T) {
	for seed := range uint64(300 / fewer) {
		rng := random(seed)
		honest, liars := 1+rng.IntN(6), 1+rng.IntN(9)
		s := newSwarm(t, seed, honest+liars, plan(t, 30+rng.IntN(40), 64*kib))
		s.feed(lease.PolicyChanged{Policy: lease.Policy{Rate: 1_000_000}})
		everything := fragment.NewSet(s.plan.Count())
		for index := range core.FragmentIndex(s.plan.Count()) {
			everything.Add(index)
		}
		for _, liar := range s.agents[honest:] {
			liar.lies = true
			s.request++
			s.asks[s.request] = liar
			s.feed(lease.MemberAsked{Request: s.request, Member: liar.id, Package: s.pack, Have: everything})
		}
		s.startAll()
		s.run(10 * time.Minute)
		s.finishBodies()
		totals := s.totals()
		if totals.First != s.plan.ArchiveSize() || totals.Sent()-totals.First > int64(honest)*5*64*kib {
			s.fail("seed %d: %d honest, %d liars: %+v", seed, honest, liars, totals)
		}
	}
}
