package member

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"enjambre/agent/internal/swarm"
	"enjambre/core"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/link"
	"enjambre/peer/mesh"
	"enjambre/peer/owner"
	"enjambre/peer/wire"
)

// Times.
const (
	lookEvery     = time.Second     // at who is there
	rememberEvery = 5 * time.Minute // who is there
	formPause     = time.Minute     // after gossip could not begin
)

// A session is the time with one address and an open port. One goroutine owns it, in run.
type session struct {
	member *Member
	host   *link.Host
	at     netip.AddrPort // where others reach us
	ways   ways           // the same, and of the other family
	swarm  *swarm.Swarm
	mesh   *mesh.Mesh
	random *rand.Rand

	stop    chan struct{} // closed to end it
	done    chan struct{} // closed when it has ended
	woken   chan struct{} // the words have changed
	unmet   chan id.Peer
	shunned chan mesh.Shunned

	introduced  chan link.Member // one may wait
	met         chan struct{}    // the meeting with the one before has ended
	introducing bool             // it is under way

	slept      time.Duration // as it was last looked at
	formAfter  time.Time
	rememberAt time.Time

	// Written by the owner with the Member's mutex held, so that others may read them with it.
	formation            *formation              // nil: not joined
	rumours              map[id.Peer]link.Member // who is there, by gossip
	introduction         introduction            // the last
	believed, neighbours int                     // for display, as the next two
	found                int                     // by mDNS
	lonelySince          time.Time               // zero: there is a neighbour, or nobody to be one
	lonely               bool                    // for a minute
}

// maxShunned is how many neighbours wait to be shunned; more are not, and banned for fragments all the same.
const maxShunned = 64

func newSession(m *Member, host *link.Host, where ways) *session {
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	s := &session{
		member: m, host: host, at: netip.AddrPortFrom(where.first, host.Port()), ways: where, random: random, mesh: mesh.New(m.self, random),
		stop: make(chan struct{}), done: make(chan struct{}), woken: make(chan struct{}, 1),
		unmet: make(chan id.Peer, mesh.MaxMeetings), shunned: make(chan mesh.Shunned, maxShunned),
		introduced: make(chan link.Member, 1), met: make(chan struct{}, 1),
		slept: m.options.Slept(), rememberAt: m.options.Now().Add(rememberEvery),
	}
	s.swarm = swarm.New(swarm.Options{
		Host: host, Vault: m.options.Vault, Weight: m.weightOf, Log: m.options.Log,
		Random:   rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		Greeting: m.greeting, Takes: m.takes, Heard: m.heard,
	})
	return s
}

// greeting returns what a neighbour is told first: the newest notice and epoch.
func (m *Member) greeting() (frames []wire.Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notice.Number > 0 {
		frames = append(frames, wire.Notice{Signed: m.words.Notice})
	}
	if m.epoch.Number > 0 {
		frames = append(frames, wire.Epoch{Signed: m.words.Epoch})
	}
	return frames
}

// heard takes over news. Keys of others are not believed.
func (m *Member) heard(from id.Peer, said wire.Frame) {
	switch said := said.(type) {
	case wire.Notice:
		m.heed(said.Signed, from)
	case wire.Epoch:
		if _, err := m.learn(said.Signed, from); err != nil {
			m.options.Log.Debug("an epoch is not believed", "member", from, "reason", err)
		}
	}
}

// wake tells the session that the words have changed.
func (m *Member) wake() {
	if s := m.current(); s != nil {
		select {
		case s.woken <- struct{}{}:
		default: // it knows
		}
	}
}

// shun has a neighbour parted from.
func (s *session) shun(who id.Peer, until time.Time) {
	select {
	case s.shunned <- mesh.Shunned{Peer: who, Until: until}:
	default:
	}
}

// run works until ctx ends or the session is stopped.
func (s *session) run(outer context.Context) {
	ctx, cancel := context.WithCancel(outer)
	var running sync.WaitGroup
	running.Go(func() { s.swarm.Run(ctx) })
	running.Go(func() {
		defer cancel()
		select {
		case <-s.stop:
		case <-ctx.Done():
		}
	})
	s.own(ctx, &running)
	s.leave()
	s.remember()
	cancel()
	running.Wait()
	if err := s.host.Close(); err != nil {
		s.member.options.Log.Warn("the port is not closed well", "reason", err)
	}
	for _, gone := range s.mesh.Neighbours() { // the swarm that knew them has ended
		s.handOn(outer, swarm.Report{Event: peer.NeighbourLeft{Peer: gone}})
	}
}

// own owns the session.
func (s *session) own(ctx context.Context, running *sync.WaitGroup) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	s.form(ctx, running)
	for {
		select {
		case <-ctx.Done():
			return
		case report := <-s.swarm.Reports():
			s.take(ctx, running, report)
		case <-s.woken:
			s.form(ctx, running)
			s.expel()
		case gone := <-s.unmet:
			s.step(ctx, running, mesh.MeetFailed{Peer: gone})
		case one := <-s.shunned:
			s.step(ctx, running, one)
		case one := <-s.introductions():
			s.introduce(ctx, running, one)
		case <-s.met:
			s.introducing = false
		case <-ticker.C:
			s.look(ctx, running)
		}
	}
}

// take takes over a report for the mesh, and hands it on.
func (s *session) take(ctx context.Context, running *sync.WaitGroup, report swarm.Report) {
	if report.Came != (id.Peer{}) {
		s.step(ctx, running, mesh.Connected{Peer: report.Came})
	}
	if left, is := report.Event.(peer.NeighbourLeft); is && report.Info == (core.Digest{}) {
		s.step(ctx, running, mesh.Disconnected{Peer: left.Peer})
	}
	s.handOn(ctx, report)
}

func (s *session) handOn(ctx context.Context, report swarm.Report) {
	select {
	case s.member.reports <- report:
	case <-ctx.Done():
	}
}

// look looks at who is there, and at what is due.
func (s *session) look(ctx context.Context, running *sync.WaitGroup) {
	if slept := s.member.options.Slept(); slept-s.slept > mesh.SleepJump {
		s.member.options.Log.Info("the computer has slept; members are met anew", "for", slept-s.slept)
		s.step(ctx, running, mesh.Awoke{})
		s.slept = slept
		s.member.note() // whoever follows may have slept through something, too
	}
	s.form(ctx, running)
	s.heed()
	s.expel()
	var believed []mesh.Member
	var others []owner.Member
	rumours := map[id.Peer]link.Member{}
	if s.formation != nil {
		for _, rumour := range s.formation.gossip.Members() {
			if s.member.bars(rumour.ID) { // though it gossips, as long as it has the site's key
				continue
			}
			believed = append(believed, mesh.Member{Peer: rumour.ID, RTT: rumour.RTT})
			rumours[rumour.ID] = rumour.Member
			if meta, err := mesh.ParseMeta(rumour.Meta); err == nil {
				others = append(others, owner.Member{Peer: rumour.ID, Weight: meta.Weight})
			}
		}
	}
	s.member.mu.Lock()
	s.rumours = rumours
	isOther := !slices.Equal(others, s.member.others)
	s.member.others = others
	s.member.mu.Unlock()
	if isOther {
		s.member.note()
	}
	s.step(ctx, running, mesh.Believed{Members: believed})                                                 // which lets the mesh see to what is due, as WakeDue would
	if now := s.member.options.Now(); !now.Before(s.rememberAt) || s.rememberAt.Sub(now) > rememberEvery { // set back
		s.remember()
	}
}

// step tells the mesh an event and does what it orders.
func (s *session) step(ctx context.Context, running *sync.WaitGroup, event mesh.Event) {
	for _, action := range s.mesh.Step(s.member.options.Now(), event) {
		switch action := action.(type) {
		case mesh.Meet:
			member := s.rumours[action.Peer]
			member.ID = action.Peer
			running.Go(func() { s.meet(ctx, member) })
		case mesh.Part:
			s.disconnect(action.Peer)
		case mesh.Rejoin:
			s.rejoin(ctx, running)
		}
	}
	s.member.mu.Lock()
	defer s.member.mu.Unlock()
	s.believed, s.neighbours = len(s.rumours), len(s.mesh.Neighbours())
	s.feelLonely(s.member.options.Now())
}

// meet connects to a member; that it came is reported by the swarm. In the end it is called unmet in any case: whoever
// came is connected by then, to which that means nothing.
func (s *session) meet(ctx context.Context, member link.Member) {
	meeting, cancel := context.WithTimeout(ctx, MeetTime)
	defer cancel()
	if err := s.swarm.Meet(meeting, member); err == nil {
		<-meeting.Done()
	} else {
		s.member.options.Log.Debug("member not met", "member", member.ID, "address", member.Address, "reason", err)
	}
	select {
	case s.unmet <- member.ID:
	case <-ctx.Done():
	}
}

func (s *session) disconnect(member id.Peer) {
	if err := s.host.Disconnect(member); err != nil {
		s.member.options.Log.Debug("member not disconnected well", "member", member, "reason", err)
	}
}

// expel disconnects whoever was admitted to another site than the one we are in now, whose ticket was taken back, and who
// has outlived what it has shown: if it has newer words, it shows them when it is met again. It forgets who is gone.
func (s *session) expel() {
	m := s.member
	connected, now := s.host.Connected(), m.options.Now()
	m.mu.Lock()
	var strangers []id.Peer
	for _, one := range connected {
		shown := m.admitted[one]
		isOver := now.After(shown.until) || m.reached && now.After(shown.expires)
		if shown.site != m.words.Site || !m.words.isRight() || isOver || m.notice.Covers(one, shown.epoch) {
			strangers = append(strangers, one)
		}
	}
	if len(m.admitted) > 4*link.MaxPeers { // those being greeted now are told anew when they come again
		maps.DeleteFunc(m.admitted, func(one id.Peer, _ admitted) bool { return !slices.Contains(connected, one) })
	}
	m.mu.Unlock()
	for _, one := range strangers {
		s.disconnect(one)
	}
}
