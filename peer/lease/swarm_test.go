package lease_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/lease"
)

// A swarm is a site on virtual time: honest agents, a LAN, a WAN with a rate and a latency, and the origin's shell.
type swarm struct {
	*watcher
	random  *rand.Rand
	pack    core.Digest
	plan    fragment.Plan
	latency time.Duration // of a request, one way
	spread  time.Duration // the longest time a fragment needs from one member to another
	agents  []*agent      // agent 0 is member 1
	queue   []pending
	count   int
	request lease.RequestID
	asks    map[lease.RequestID]*agent
	lost    int     // bodies that suffered something
	harm    float64 // the chance that a body suffers something
}

type pending struct {
	at    time.Time
	order int
	do    func()
}

// An agent is an honest member.
type agent struct {
	id       lease.MemberID
	held     *fragment.Set
	said     []core.FragmentIndex // verified, and not told to the origin
	failed   []lease.Complaint
	coming   map[core.FragmentIndex]bool // from a member or the origin
	requests int                         // open, bodies included
	dead     bool
	death    string // how it died
}

func newSwarm(t failer, seed uint64, members int, p fragment.Plan) *swarm {
	s := &swarm{
		watcher: newWatcher(t, seed), random: random(seed ^ 0x5eed), pack: digest(1), plan: p,
		latency: 20 * time.Millisecond, asks: map[lease.RequestID]*agent{},
	}
	for number := range members {
		s.agents = append(s.agents, &agent{
			id: name(number + 1), held: fragment.NewSet(p.Count()), coming: map[core.FragmentIndex]bool{},
		})
	}
	s.feed(lease.PackageKnown{Package: s.pack, Plan: p, Priority: 5})
	return s
}

func (s *swarm) after(delay time.Duration, do func()) {
	s.count++
	next := pending{s.now.Add(delay), s.count, do}
	place, _ := slices.BinarySearchFunc(s.queue, next, func(a, b pending) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.order, a.order)) // the next is the last
	})
	s.queue = slices.Insert(s.queue, place, next)
}

// run lets time pass until all agents have everything, and fails if they do not in time.
func (s *swarm) run(limit time.Duration) {
	s.t.Helper()
	end := s.now.Add(limit)
	for !s.isDone() {
		wake, due := s.site.NextWake()
		var do func()
		switch last := len(s.queue) - 1; {
		case last >= 0 && (!due || !s.queue[last].at.After(wake)):
			s.now, do = s.queue[last].at, s.queue[last].do
			s.queue = s.queue[:last]
		case due:
			s.now, do = wake, func() { s.feed(lease.WakeDue{}) }
		default:
			s.fail("nothing would ever happen")
		}
		if s.now.After(end) {
			s.fail("not done")
		}
		do()
	}
}

func (s *swarm) living() (count int) {
	for _, a := range s.agents {
		if !a.dead {
			count++
		}
	}
	return count
}

func (s *swarm) isDone() bool {
	return !slices.ContainsFunc(s.agents, func(a *agent) bool { return !a.held.Full() })
}

// feed is the origin's shell.
func (s *swarm) feed(event lease.Event) {
	s.t.Helper()
	for _, action := range s.step(event) {
		switch act := action.(type) {
		case lease.Grant:
			s.serve(act)
		case lease.Refuse:
			a := s.asks[act.Request]
			s.after(s.latency, func() { s.refused(a, act) })
		case lease.Complete:
			s.asks[act.Request].requests--
		case lease.ResetBody:
			id := act.Lease
			s.after(0, func() { s.end(id, true) })
		}
	}
}

// start makes an agent ask, with two requests at once if it may.
func (s *swarm) start(a *agent) {
	if a.dead || a.held.Full() && len(a.said) == 0 {
		return
	}
	var want []core.FragmentIndex
	for index := range a.held.Missing() {
		if !a.coming[index] {
			want = append(want, index)
		}
	}
	s.random.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	if len(want) > lease.MaxWant {
		want = want[:lease.MaxWant]
	}
	if a.requests >= 2 || len(want) == 0 && len(a.said) == 0 {
		return
	}
	a.requests++
	s.request++
	have, _ := fragment.ParseSet(a.held.Bytes(), a.held.Size())
	ask := lease.MemberAsked{
		Request: s.request, Member: a.id, Package: s.pack, Want: want, Acknowledged: a.said, Failed: a.failed, Have: have,
	}
	a.said, a.failed = nil, nil
	s.asks[ask.Request] = a
	s.after(s.latency, func() { s.feed(ask) })
}

func (s *swarm) refused(a *agent, act lease.Refuse) {
	a.requests--
	retry := act.RetryAfter
	if holder := s.agentOf(act.Holder); holder != nil {
		if holder.dead || !holder.held.Has(act.Fragment) {
			if !a.held.Has(act.Fragment) {
				a.failed = append(a.failed, lease.Complaint{Fragment: act.Fragment, Holder: act.Holder})
			}
		} else {
			s.copyTo(a, act.Fragment)
		}
		retry = s.latency
	}
	s.after(retry, func() { s.start(a) })
}

func (s *swarm) agentOf(id lease.MemberID) *agent {
	for _, a := range s.agents {
		if a.id == id {
			return a
		}
	}
	return nil
}

// copyTo brings a fragment from a neighbour.
func (s *swarm) copyTo(a *agent, index core.FragmentIndex) {
	if a.held.Has(index) || a.coming[index] {
		return
	}
	a.coming[index] = true
	delay := time.Duration(0)
	if s.spread > 0 {
		delay = time.Duration(s.random.Int64N(int64(s.spread)))
	}
	s.after(delay, func() { s.verified(a, index, false) })
}

// verified is an agent with a new fragment; its neighbours take it.
func (s *swarm) verified(a *agent, index core.FragmentIndex, fromOrigin bool) {
	delete(a.coming, index)
	if a.dead || !a.held.Add(index) {
		return
	}
	if fromOrigin {
		a.said = append(a.said, index)
		for _, other := range s.agents {
			if !other.dead {
				s.copyTo(other, index)
			}
		}
	}
}

// serve sends a body, piece by piece.
func (s *swarm) serve(act lease.Grant) {
	a := s.asks[act.Request]
	a.coming[act.Fragment] = true
	trouble := ""
	if kinds := []string{"kill", "stop", "slow", "broken"}; s.random.Float64() < s.harm {
		trouble = kinds[s.random.IntN(len(kinds))]
		if s.living() < 4 {
			trouble = kinds[2+s.random.IntN(2)] // what is spread stays in the site
		}
		s.lost++
	}
	s.after(0, func() { s.piece(act.Lease, trouble) }) // the socket's buffer takes it at once
}

// piece sends the next 16 KiB of a body, at its rate.
func (s *swarm) piece(id lease.LeaseID, trouble string) {
	b := s.bodies[id]
	if b == nil || !b.running {
		return
	}
	a := s.agentOf(b.member)
	size := s.plan.Size(b.fragment) - b.from
	bytes := min(16*kib, size-b.sent)
	half := b.sent+bytes >= size/2
	if a.dead && trouble == "" {
		trouble, half = a.death, true
		s.lost++
	}
	switch {
	case bytes == 0:
		s.end(id, false)
		return
	case half && trouble == "stop":
		s.crash(a, trouble) // nothing drains any more
		return
	case half && trouble == "kill":
		s.crash(a, trouble)
		s.end(id, true)
		return
	case half && trouble == "broken":
		s.end(id, true)
		return
	}
	rate := float64(max(b.rate, 1))
	if trouble == "slow" {
		rate /= 40
	}
	s.after(time.Duration(float64(bytes)/rate*float64(time.Second)), func() {
		if b.running {
			s.feed(lease.BytesSent{Lease: id, Bytes: bytes})
			s.piece(id, trouble)
		}
	})
}

func (s *swarm) end(id lease.LeaseID, failed bool) {
	b := s.bodies[id]
	if b == nil || !b.running {
		return
	}
	a, index, request := s.agentOf(b.member), b.fragment, b.request
	s.feed(lease.BodyEnded{Lease: id, Failed: failed})
	s.after(s.latency, func() {
		if a.dead && !failed {
			s.lost++
		}
		if s.asks[request] == a {
			delete(s.asks, request)
			a.requests--
		}
		delete(a.coming, index)
		if !failed {
			s.verified(a, index, true)
		}
		s.start(a)
		s.start(a)
	})
}

// crash kills an agent. It comes back with what it had stored, after a while.
func (s *swarm) crash(a *agent, death string) {
	if a.dead {
		return
	}
	a.dead, a.death = true, death
	s.after(time.Duration(10+s.random.IntN(60))*second, func() { s.revive(a) })
}

func (s *swarm) revive(a *agent) {
	if !a.dead {
		return
	}
	a.dead, a.requests, a.said, a.failed = false, 0, nil, nil
	a.coming = map[core.FragmentIndex]bool{}
	for request, other := range s.asks {
		if other == a {
			delete(s.asks, request)
			s.asks[request] = &agent{} // an answer that nobody hears
			if _, waits := s.asked[request]; waits {
				s.after(0, func() { s.feed(lease.ClientLeft{Request: request}) })
			}
		}
	}
	for _, other := range s.agents { // what it missed
		for index := range a.held.Missing() {
			if !other.dead && other.held.Has(index) {
				s.copyTo(a, index)
			}
		}
	}
	s.start(a)
}

// startAll begins, with the agents in some order and their doubles a moment later.
func (s *swarm) startAll() {
	for _, i := range s.random.Perm(len(s.agents)) {
		a := s.agents[i]
		s.after(time.Duration(s.random.IntN(50))*time.Millisecond, func() { s.start(a); s.start(a) })
	}
}

func (s *swarm) totals() lease.Totals {
	totals, _ := s.site.Totals(s.pack)
	return totals
}

func (s *swarm) traceHash() uint64 {
	sum := fnv.New64a()
	for _, step := range s.trace {
		fmt.Fprintln(sum, step)
	}
	return sum.Sum64()
}

func seeds(t *testing.T, long int) int {
	if testing.Short() {
		return long / 10
	}
	t.Helper()
	return long
}

// TestCalm: without crashes each fragment is granted exactly once, and the WAN is never idle for long.
func TestCalm(t *testing.T) {
	for seed := range uint64(seeds(t, 400)) {
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

// TestCrashes: whatever members suffer, all that live get everything, and each body that is lost costs a fragment at most.
func TestCrashes(t *testing.T) {
	for seed := range uint64(seeds(t, 600)) {
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
