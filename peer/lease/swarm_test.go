package lease_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/lease"
)

// A swarm is a site on virtual time: honest agents, a LAN, a WAN with a rate and a latency, and the origin's
// shell.
type swarm struct {
	*watcher
	random  *rand.Rand
	pack    core.Digest
	plan    fragment.Plan
	latency time.Duration // of a request, one way
	spread  time.Duration // the longest time a fragment needs from one member to another
	agents  []*agent      // agent 0 is member 1
	queue   []pending
	queued  int
	request lease.RequestID
	asks    map[lease.RequestID]*agent
	lost    int     // bodies that suffered something
	harm    float64 // the chance that a body suffers something
	line    int64   // bytes a second of a line without WAN_RATE; 0: it has a rate
	losing  bool    // a crash loses what is not synced
	missing int64   // bytes that crashes lost
}

type pending struct {
	at    time.Time
	order int
	do    func()
}

// An agent is an honest member.
type agent struct {
	id       id.Peer
	held     *fragment.Set
	said     []core.FragmentIndex // verified, and not told to the origin
	failed   []lease.Complaint
	coming   map[core.FragmentIndex]bool // from a member or the origin
	requests int                         // open, bodies included
	dead     bool
	start    lease.Start
	fresh    bool                 // it has not said yet, since its start, what it has
	unsynced []core.FragmentIndex // what a crash loses of held
	lies     bool                 // it says that it has everything, and serves wrong bytes
	group    int                  // who reaches whom
	missed   int                  // holders that could not be reached, in a row
	death    string               // how it died
}

func newSwarm(t failer, seed uint64, members int, p fragment.Plan) *swarm {
	s := &swarm{
		watcher: newWatcher(t, seed), random: random(seed ^ 0x5eed), pack: digest(1), plan: p,
		latency: 20 * time.Millisecond, asks: map[lease.RequestID]*agent{},
	}
	for number := range members {
		s.agents = append(s.agents, &agent{
			id: name(number + 1), held: fragment.NewSet(p.Count()), coming: map[core.FragmentIndex]bool{}, start: 1,
			fresh: true,
		})
	}
	s.feed(lease.PackageKnown{Package: s.pack, Plan: p, Priority: 5})
	return s
}

func (s *swarm) after(delay time.Duration, do func()) {
	s.queued++
	next := pending{s.now.Add(delay), s.queued, do}
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
	return !slices.ContainsFunc(s.agents, func(a *agent) bool { return !a.held.Full() && !a.lies })
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
			b := s.bodies[act.Lease]
			s.after(0, func() { s.end(act.Lease, b, true) })
		}
	}
}

// start makes an agent ask, with two requests at once if it may.
func (s *swarm) start(a *agent) {
	if a.dead || a.lies || a.held.Full() && len(a.said) == 0 {
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
	if a.requests >= s.atOnce() || len(want) == 0 && len(a.said) == 0 {
		return
	}
	a.requests++
	s.request++
	have, _ := fragment.ParseSet(a.held.Bytes(), a.held.Size())
	delay := s.latency
	switch {
	case s.losing && !a.fresh:
		have = nil // it is said once, as agents do
	case s.losing:
		delay *= time.Duration(1 + s.random.IntN(3)) // and may come after what was asked later
	}
	a.fresh = false
	ask := lease.MemberAsked{
		Request: s.request, Member: a.id, Package: s.pack, Want: want, Acknowledged: a.said, Failed: a.failed, Have: have,
		Start: a.start,
	}
	a.said, a.failed = nil, nil
	s.asks[ask.Request] = a
	s.after(delay, func() { s.feed(ask) })
}

func (s *swarm) refused(a *agent, act lease.Refuse) {
	a.requests--
	retry := act.RetryAfter
	if holder := s.agentOf(act.Holder); holder != nil {
		retry = s.latency
		switch {
		case holder.lies:
			a.failed = append(a.failed, lease.Complaint{Fragment: act.Fragment, Holder: act.Holder, Corrupt: true})
		case !holder.dead && holder.group == a.group && holder.held.Has(act.Fragment):
			a.missed = 0
			s.copyTo(a, act.Fragment)
		case !a.held.Has(act.Fragment):
			a.failed = append(a.failed, lease.Complaint{Fragment: act.Fragment, Holder: act.Holder})
			if a.missed++; a.missed >= 3 {
				a.missed = 0
				s.declare(a)
			}
		}
	}
	s.after(retry, func() { s.start(a) })
}

// declare is an agent that says whom it reaches.
func (s *swarm) declare(a *agent) {
	event := lease.IslandDeclared{Member: a.id}
	for _, other := range s.agents {
		if other != a && !other.dead && other.group == a.group {
			event.With = append(event.With, other.id)
		}
	}
	s.feed(event)
}

func (s *swarm) agentOf(id id.Peer) *agent {
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
	s.store(a, index)
	if fromOrigin {
		a.said = append(a.said, index)
		for _, other := range s.agents {
			if !other.dead && other.group == a.group {
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
	b := s.bodies[act.Lease]                              // its number may be another's after a restart
	s.after(0, func() { s.piece(act.Lease, b, trouble) }) // the socket's buffer takes it at once
}

// piece sends the next 16 KiB of a body, at its rate.
func (s *swarm) piece(id lease.LeaseID, b *body, trouble string) {
	if !b.running {
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
		s.end(id, b, false)
		return
	case half && trouble == "stop":
		s.crash(a, trouble) // nothing drains any more
		return
	case half && trouble == "kill":
		s.crash(a, trouble)
		s.end(id, b, true)
		return
	case half && trouble == "broken":
		s.end(id, b, true)
		return
	}
	rate := s.rateOf(b)
	if trouble == "slow" {
		rate /= 40
	}
	s.after(time.Duration(float64(bytes)/rate*float64(time.Second)), func() {
		if b.running {
			s.feed(lease.BytesSent{Lease: id, Bytes: bytes})
			s.piece(id, b, trouble)
		}
	})
}

func (s *swarm) end(id lease.LeaseID, b *body, failed bool) {
	if !b.running {
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
		s.startMore(a)
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
	a.dead = false
	if s.losing {
		for _, index := range a.unsynced {
			a.held.Remove(index)
			s.missing += s.plan.Size(index)
		}
	}
	a.unsynced = nil
	s.again(a)
}

// again is an agent that starts anew, with what it has stored.
func (s *swarm) again(a *agent) {
	a.requests, a.said, a.failed = 0, nil, nil
	a.start++
	a.fresh = true
	a.coming = map[core.FragmentIndex]bool{}
	for request, other := range s.asks {
		if other == a {
			delete(s.asks, request)
			s.asks[request] = &agent{ // an answer that nobody hears
				dead: true, held: fragment.NewSet(s.plan.Count()), coming: map[core.FragmentIndex]bool{},
			}
			if _, waits := s.asked[request]; waits {
				s.after(0, func() { s.feed(lease.ClientLeft{Request: request}) })
			}
		}
	}
	for _, other := range s.agents { // what it missed
		for index := range a.held.Missing() {
			if !other.dead && other.group == a.group && other.held.Has(index) {
				s.copyTo(a, index)
			}
		}
	}
	s.start(a)
	if s.losing {
		s.startMore(a)
	}
}

// startAll begins, with the agents in some order.
func (s *swarm) startAll() {
	for _, i := range s.random.Perm(len(s.agents)) {
		a := s.agents[i]
		s.after(time.Duration(s.random.IntN(50))*time.Millisecond, func() { s.startMore(a) })
	}
}

func (s *swarm) totals() lease.Totals {
	totals, _ := s.site.Totals(s.pack)
	return totals
}
