package member

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"enjambre/agent/internal/nearby"
	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/link"
	"enjambre/peer/mesh"
)

// A formation is our part in one site's gossip.
type formation struct {
	site   core.SiteName
	keys   [][]byte
	said   mesh.Meta
	known  []place       // that the server or the disk named when joining was last hurried
	hurry  chan struct{} // to join now
	gossip *link.Gossip
	cancel context.CancelFunc
	active sync.WaitGroup // joining again and again, hearing, and mDNS

	finder     *nearby.Finder // nil: mDNS is off
	isFound    bool           // by mDNS, and joining has not been hurried for it
	hurryAfter time.Time      // for somebody found
}

// form brings gossip into line with the words.
func (s *session) form(ctx context.Context, running *sync.WaitGroup) {
	m := s.member
	m.mu.Lock()
	now := m.words
	meta := mesh.Meta{Weight: m.weight, Epoch: m.epoch.Number, Also: s.ways.alsoAt(s.at.Port())}
	m.mu.Unlock()
	if f := s.formation; f != nil && (!now.isRight() || f.site != now.Site) {
		s.leave()
	}
	switch f := s.formation; {
	case !now.isRight():
	case f == nil:
		s.join(ctx, now, meta)
	default:
		s.adjust(running, f, now, meta)
	}
}

// join begins to gossip.
func (s *session) join(ctx context.Context, now words, meta mesh.Meta) {
	m := s.member
	if now := m.options.Now(); now.Before(s.formAfter) && s.formAfter.Sub(now) <= formPause { // else the clock was set back
		return
	}
	finder, heard := s.finder(now), make(chan []byte, maxHeard)
	gossip, err := s.host.Gossip(link.GossipOptions{
		Advertise: s.at.Addr(), Keys: now.Keys, Meta: meta.Append(nil), Random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		Known: func() []link.Member { return s.known(finder) },
		Also: func(said []byte) netip.AddrPort {
			other, _ := mesh.ParseMeta(said) // the zero one of what is none
			return other.Also
		},
		Heard: func(message []byte) {
			select {
			case heard <- message:
			default: // it is said again
			}
		},
	})
	if err != nil {
		s.formAfter = m.options.Now().Add(formPause)
		m.options.Log.Warn("the site's members are not found", "site", now.Site, "reason", err)
		return
	}
	joining, cancel := context.WithCancel(ctx)
	f := &formation{
		site: now.Site, keys: now.Keys, said: meta, known: now.Members, hurry: make(chan struct{}, 1), gossip: gossip,
		cancel: cancel, finder: finder,
	}
	f.active.Go(func() { gossip.Run(joining, f.hurry) }) // leave waits for all three
	f.active.Go(func() { s.hear(joining, heard) })
	if finder != nil {
		f.active.Go(func() { s.search(joining, finder) })
	}
	s.setFormation(f)
	m.options.Log.Info("in the site's swarm", "site", now.Site, "known", len(now.Members))
}

// setFormation changes the formation, which others may be about to look at.
func (s *session) setFormation(f *formation) {
	s.member.mu.Lock()
	defer s.member.mu.Unlock()
	s.formation = f
}

// adjust takes over new keys and what we say about ourselves.
func (s *session) adjust(running *sync.WaitGroup, f *formation, now words, meta mesh.Meta) {
	if !reflect.DeepEqual(f.keys, now.Keys) {
		if err := f.gossip.UseKeys(now.Keys); err != nil {
			s.member.options.Log.Warn("the site's new keys are not used", "reason", err)
		}
		f.keys = now.Keys
	}
	if !reflect.DeepEqual(f.known, now.Members) {
		f.known = now.Members
		f.joinNow()
	}
	if f.said == meta {
		return
	}
	f.said = meta
	running.Go(func() { // it waits until it has been said
		if err := f.gossip.Say(meta.Append(nil)); err != nil {
			s.member.options.Log.Debug("not said in gossip", "reason", err)
		}
	})
}

// joinNow has gossip join at once.
func (f *formation) joinNow() {
	select {
	case f.hurry <- struct{}{}:
	default: // it is about to
	}
}

// known returns whom gossip may join, in the order of trying: who was introduced lately, then those that the server
// or the disk names and those found by mDNS in turn, beginning with the former.
func (s *session) known(finder *nearby.Finder) []link.Member {
	s.member.mu.Lock()
	named := slices.DeleteFunc(s.member.words.known(s.ways), func(one link.Member) bool {
		return s.member.isBarred(one.ID)
	})
	s.member.mu.Unlock()
	return s.first(inTurn(named, foundBy(finder)))
}

// leave ends gossip, having told the others.
func (s *session) leave() {
	f := s.formation
	if f == nil {
		return
	}
	s.remember()
	s.member.end(f, func() error { return f.gossip.Leave() })
	s.setFormation(nil)
	s.member.mu.Lock()
	s.introduction = introduction{} // to a member of that site
	s.member.mu.Unlock()
	s.member.options.Log.Info("left the site's swarm", "site", f.site)
}

// rejoin begins gossip anew with whoever was there, without a word to those who have given this agent up.
func (s *session) rejoin(ctx context.Context, running *sync.WaitGroup) {
	f := s.formation
	if f == nil {
		return
	}
	s.remember()
	s.member.end(f, func() error { return nil })
	s.setFormation(nil)
	s.form(ctx, running)
}

// end ends gossip, having parted.
func (m *Member) end(f *formation, part func() error) {
	f.cancel()
	f.active.Wait()
	if err := part(); err != nil {
		m.options.Log.Debug("the others were not told that this agent leaves", "reason", err)
	}
	if err := f.gossip.Close(); err != nil {
		m.options.Log.Warn("gossip does not end well", "reason", err)
	}
}

// remember notes who is there, neighbours first, if it is the site that we are in.
func (s *session) remember() {
	m := s.member
	s.rememberAt = m.options.Now().Add(rememberEvery)
	if s.formation == nil {
		return
	}
	var there []place
	seen := map[id.Peer]bool{}
	add := func(member id.Peer) {
		if at, is := s.rumours[member]; is && !seen[member] && len(there) < MaxKnown {
			seen[member] = true
			there = append(there, place{member, at.Address, at.Also})
		}
	}
	for _, one := range s.mesh.Neighbours() {
		add(one)
	}
	for one := range s.rumours {
		add(one)
	}
	m.mu.Lock()
	if m.words.isRight() && m.words.Site == s.formation.site {
		m.words.Members = merged(there, m.words.Members)
	}
	m.mu.Unlock()
	m.save()
}
