package peer_test

import (
	"container/heap"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
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

// The modelled site.
const (
	pieceSize   = 16 << 10
	lanRate     = 12 << 20 // of one member's uploads together
	uploadSlots = 4
	lanDelay    = 2 * time.Millisecond
	gossipDelay = 8 * time.Second // until a member that died is missed
	packageID   = core.PackageID(1)
)

var (
	began = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	info  = core.Digest{42}
)

// A line is a site's WAN link, and how what crosses it is cut.
type line struct {
	fragment int64         // bytes
	rate     int64         // payload bytes a second
	delay    time.Duration // of one direction
}

// near is a line without much of a delay.
var near = line{fragment: 256 << 10, rate: 1 << 20, delay: 15 * time.Millisecond}

// A happening is something that is due.
type happening struct {
	at    time.Time
	order int
	do    func()
}

type agenda []happening

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].order < a[j].order
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(happening)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// A site is an origin and its members on virtual time: the real schedule, the real downloads, the real leases.
type site struct {
	t       *testing.T
	random  *rand.Rand
	now     time.Time
	agenda  agenda
	order   int
	plan    fragment.Plan
	line    line
	origin  *lease.Site
	members []*member
	bodies  map[lease.LeaseID]*body
	asks    map[lease.RequestID]*member
	request lease.RequestID
	first   time.Time // when the origin was first asked
	wakes   time.Time
	trace   [32]byte
	steps   int
}

// A member is one agent.
type member struct {
	number   int
	peer     id.Peer
	dead     bool
	schedule *cycle.Schedule
	download *peer.Download
	uploads  int
	knows    map[int]bool // neighbours
	options  cycle.Options
	doneAt   time.Time
	wakes    time.Time
}

// A body is one fragment on its way over the WAN.
type body struct {
	to       *member
	fragment core.FragmentIndex
	left     int64
	rate     int64
	reset    bool
}

func newSite(t *testing.T, seed uint64, members, fragments, views int, options cycle.Options) *site {
	t.Helper()
	return newSiteBehind(t, near, seed, members, fragments, views, options)
}

func newSiteBehind(t *testing.T, wan line, seed uint64, members, fragments, views int, options cycle.Options) *site {
	t.Helper()
	plan, err := fragment.NewPlan(int64(fragments)*wan.fragment, wan.fragment)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		t: t, random: rand.New(rand.NewPCG(seed, 9)), now: began, plan: plan, line: wan,
		origin: lease.New(rand.New(rand.NewPCG(seed, 10))), bodies: map[lease.LeaseID]*body{},
		asks: map[lease.RequestID]*member{},
	}
	s.lease(lease.PolicyChanged{Policy: lease.Policy{Rate: wan.rate * 1045 / 1000}})
	s.lease(lease.PackageKnown{Package: info, Plan: plan, Priority: 5})
	for n := range members {
		schedule, err := cycle.New(options)
		if err != nil {
			t.Fatal(err)
		}
		m := &member{number: n, peer: id.Peer{1, byte(n)}, schedule: schedule, options: options, knows: map[int]bool{}}
		m.download = peer.NewDownload(fragment.NewSet(fragments), peer.Options{
			Self: m.peer, Weight: owner.Medium, Info: info, Leases: true, Random: rand.New(rand.NewPCG(seed, uint64(n))),
		})
		s.members = append(s.members, m)
	}
	for _, m := range s.members { // each chooses some others, who then know it too
		for len(m.knows) < min(views, members-1) {
			other := s.members[s.random.IntN(members)]
			if other != m {
				m.knows[other.number], other.knows[m.number] = true, true
			}
		}
	}
	for _, m := range s.members {
		for n := range m.number {
			if m.knows[n] {
				age := time.Duration(s.random.Int64N(int64(5 * time.Second))) // it meets them one by one
				s.after(age, func() { s.join(m, s.members[n]) })
			}
		}
		told := time.Duration(s.random.Int64N(int64(time.Second)))
		s.after(told, func() {
			s.plans(m, cycle.PackageAdded{ID: packageID, Priority: 1, Missing: fragments})
		})
	}
	return s
}

// heldBy returns what a member holds now, as its bitmap says.
func (s *site) heldBy(m *member) *fragment.Set {
	held := fragment.NewSet(s.plan.Count())
	for index := range core.FragmentIndex(s.plan.Count()) {
		if m.download.Holds(index) {
			held.Add(index)
		}
	}
	return held
}

func (s *site) after(pause time.Duration, do func()) {
	s.order++
	heap.Push(&s.agenda, happening{s.now.Add(pause), s.order, do})
}

// note adds to the trace, by which two runs are compared.
func (s *site) note(what any) {
	s.trace = sha256.Sum256(fmt.Appendf(s.trace[:], "%v %T %v", s.now.Sub(began), what, what))
}

// plans feeds a member's schedule.
func (s *site) plans(m *member, event cycle.Event) {
	if m.dead {
		return
	}
	if asks := m.download.AsksAtOnce(); asks != m.options.MaxOrigin && m.options.FragLatency == 0 {
		m.options.MaxOrigin = asks
		s.plans(m, cycle.OptionsChanged{Options: m.options})
	}
	for _, action := range m.schedule.Step(s.now, event) {
		switch action.(type) {
		case cycle.AskOrigin:
			s.step(m, peer.OriginAllowed{})
		case cycle.Run:
			m.doneAt = s.now
			s.plans(m, cycle.RunFinished{ID: packageID})
		}
	}
	s.wake(m)
}

// step feeds a member's download.
func (s *site) step(m *member, event peer.Event) {
	if m.dead {
		return
	}
	for _, action := range m.download.Step(s.now, event) {
		s.note(action)
		switch action := action.(type) {
		case peer.AskOrigin:
			s.ask(m, action.Want, action.Acknowledged, action.Failed)
		case peer.Acknowledge:
			s.ask(m, nil, action.Indexes, nil)
		case peer.Postpone:
			s.plans(m, cycle.AskPostponed{ID: packageID, Until: action.Until})
		case peer.FetchFromMember:
			s.after(lanDelay, func() { s.upload(m, action) })
		case peer.Meet:
			s.after(2*lanDelay, func() { s.meet(m, action) })
		case peer.Announce:
			other := s.members[action.Peer[1]]
			s.after(lanDelay, func() { s.step(other, peer.NeighbourHas{Peer: m.peer, Indexes: action.Indexes}) })
		case peer.Report:
			s.t.Fatalf("an honest member is banned: %+v", action)
		}
	}
	s.wake(m)
}

// meet connects two members, if both live.
func (s *site) meet(m *member, meet peer.Meet) {
	other := s.members[meet.Peer[1]]
	if other.dead || m.dead {
		s.step(m, peer.MeetFailed(meet))
		return
	}
	m.knows[other.number], other.knows[m.number] = true, true
	s.join(m, other)
}

// join makes neighbours of two members: each says what it holds.
func (s *site) join(m, other *member) {
	if m.dead || other.dead { // who died before they met greets nobody
		return
	}
	for _, pair := range [][2]*member{{m, other}, {other, m}} {
		s.step(pair[0], peer.NeighbourJoined{
			Peer: pair[1].peer, Weight: owner.Medium, Wants: true, Held: s.heldBy(pair[1]),
		})
	}
}

// wake sees to it that a member is woken when it wants to be.
func (s *site) wake(m *member) {
	for _, next := range []func() (time.Time, bool){m.schedule.NextWake, m.download.NextWake} {
		if at, wants := next(); wants && (!m.wakes.After(s.now) || at.Before(m.wakes)) {
			m.wakes = at
			s.after(at.Sub(s.now), func() {
				s.step(m, peer.WakeDue{})
				s.plans(m, cycle.WakeDue{})
			})
		}
	}
}

// upload lets a member send a fragment to another.
func (s *site) upload(to *member, fetch peer.FetchFromMember) {
	from := s.members[fetch.Peer[1]]
	switch {
	case from.dead: // nothing comes; the download finds out
		return
	case !from.download.Holds(fetch.Index):
		s.step(to, peer.FetchFailed{Peer: from.peer, Index: fetch.Index, Why: peer.Absent})
		return
	case from.uploads == uploadSlots:
		pause := 20*time.Millisecond + time.Duration(s.random.Int64N(int64(80*time.Millisecond)))
		s.step(to, peer.FetchFailed{Peer: from.peer, Index: fetch.Index, Why: peer.Occupied, RetryAfter: pause})
		return
	}
	from.uploads++
	took := time.Duration(int64(time.Second) * s.line.fragment * uploadSlots / lanRate)
	s.after(took, func() {
		from.uploads--
		if !from.dead {
			s.arrived(to, fetch.Index, from.peer)
		}
	})
}

// arrived lets a member keep a fragment.
func (s *site) arrived(m *member, index core.FragmentIndex, from id.Peer) {
	if m.dead {
		return
	}
	s.step(m, peer.FragmentStored{Index: index, From: from})
	s.plans(m, cycle.FragmentArrived{
		ID: packageID, Index: index, Missing: m.download.Missing(), FromOrigin: from == (id.Peer{}),
	})
}

// ask sends a request to the origin.
func (s *site) ask(m *member, want, verified []core.FragmentIndex, failed []peer.Complaint) {
	s.request++
	request := s.request
	if s.first.IsZero() {
		s.first = s.now
	}
	var complaints []lease.Complaint
	for _, one := range failed {
		complaints = append(complaints, lease.Complaint{
			Fragment: one.Index, Holder: one.Peer, Corrupt: one.Corrupt,
		})
	}
	s.after(s.line.delay, func() {
		s.asks[request] = m
		s.lease(lease.MemberAsked{
			Request: request, Member: m.peer, Package: info, Want: want, Acknowledged: verified,
			Failed: complaints,
		})
	})
}

// lease feeds the origin.
func (s *site) lease(event lease.Event) {
	for _, action := range s.origin.Step(s.now, event) {
		s.note(action)
		switch action := action.(type) {
		case lease.Grant:
			one := &body{to: s.asks[action.Request], fragment: action.Fragment, left: s.line.fragment - action.From, rate: s.line.rate}
			s.bodies[action.Lease] = one
			s.after(0, func() { s.send(action.Lease, one) })
		case lease.Refuse:
			m := s.asks[action.Request]
			s.after(s.line.delay, func() {
				s.step(m, peer.OriginRefused{Index: action.Fragment, Holder: action.Holder})
				s.plans(m, cycle.AskPostponed{ID: packageID, Until: s.now.Add(action.RetryAfter)})
			})
		case lease.SetRate:
			if one := s.bodies[action.Lease]; one != nil {
				one.rate = action.BytesPerSecond
			}
		case lease.ResetBody:
			if one := s.bodies[action.Lease]; one != nil {
				one.reset = true
				s.after(0, func() { s.endBody(action.Lease, one, true) })
			}
		}
	}
	if at, wants := s.origin.NextWake(); wants && (!s.wakes.After(s.now) || at.Before(s.wakes)) {
		s.wakes = at
		s.after(at.Sub(s.now), func() { s.lease(lease.WakeDue{}) })
	}
}

// send drains the next piece of a body. To a member that died nothing drains.
func (s *site) send(number lease.LeaseID, one *body) {
	if one.reset || one.to.dead {
		return
	}
	piece := min(one.left, pieceSize)
	s.after(time.Duration(piece*int64(time.Second)/max(one.rate, 1)), func() {
		if one.reset || one.to.dead {
			return
		}
		one.left -= piece
		s.lease(lease.BytesSent{Lease: number, Bytes: piece})
		if one.left > 0 {
			s.send(number, one)
			return
		}
		s.endBody(number, one, false)
		s.after(s.line.delay, func() { s.arrived(one.to, one.fragment, id.Peer{}) })
	})
}

func (s *site) endBody(number lease.LeaseID, one *body, failed bool) {
	if s.bodies[number] != nil {
		delete(s.bodies, number)
		s.lease(lease.BodyEnded{Lease: number, Failed: failed})
	}
}

// kill ends a member without a word: the origin sees its bodies stand still, the neighbours miss it later.
func (s *site) kill(m *member) {
	m.dead = true
	for _, other := range s.members {
		if m.knows[other.number] {
			s.after(gossipDelay/4+time.Duration(s.random.Int64N(int64(gossipDelay))), func() {
				s.step(other, peer.NeighbourLeft{Peer: m.peer})
			})
		}
	}
}

// run lets things happen until every member that lives has the package, and returns how long that took.
func (s *site) run(seed uint64, most time.Duration) time.Duration {
	s.t.Helper()
	for len(s.agenda) > 0 {
		next := heap.Pop(&s.agenda).(happening)
		s.now = next.at
		if s.steps++; s.now.Sub(began) > most || s.steps > 5_000_000 {
			break
		}
		next.do()
		if s.isDone() {
			return s.now.Sub(began)
		}
	}
	missing := ""
	for _, m := range s.members {
		if !m.dead && m.doneAt.IsZero() {
			missing += fmt.Sprintf(" %d:%d", m.number, m.download.Missing())
		}
	}
	s.t.Fatalf("seed %d: after %v still missing (member:fragments)%s", seed, s.now.Sub(began), missing)
	return 0
}

func (s *site) isDone() bool {
	for _, m := range s.members {
		if !m.dead && m.doneAt.IsZero() {
			return false
		}
	}
	return true
}
