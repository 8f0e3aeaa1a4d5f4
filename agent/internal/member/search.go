package member

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"enjambre/agent/internal/nearby"
	"enjambre/peer/link"
)

// Times of what mDNS finds.
const (
	searchPause = 20 * time.Second // after mDNS could not begin, or ended
	heedPause   = 5 * time.Second  // between joining for one that was found and for the next
)

// finder returns what finds members by mDNS; nil where that is off.
func (s *session) finder(now words) *nearby.Finder {
	m := s.member
	if !m.options.MDNS {
		return nil
	}
	return nearby.New(nearby.Options{
		Self: nearby.Place{ID: m.self, Address: s.at}, Tag: nearby.TagOf(m.options.Deployment, now.Site),
		Alone: s.isAlone, Log: m.options.Log,
	})
}

// isAlone reports whether gossip knows of nobody.
func (s *session) isAlone() bool {
	s.member.mu.Lock()
	defer s.member.mu.Unlock()
	return s.believed == 0
}

// search announces and finds until ctx ends. What hinders it is logged once, and the swarm does without.
func (s *session) search(ctx context.Context, finder *nearby.Finder) {
	for ctx.Err() == nil {
		began := time.Now()
		err := finder.Run(ctx)
		if ctx.Err() == nil {
			s.member.cannotSearch(err, time.Since(began) > searchPause)
		}
		timer := time.NewTimer(searchPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// cannotSearch notes what hinders mDNS, and logs it once until it has worked for a while.
func (m *Member) cannotSearch(err error, hasWorked bool) {
	m.mu.Lock()
	isNew := !m.unheard || hasWorked
	m.unheard = true
	m.mu.Unlock()
	if isNew {
		m.options.Log.Warn("members are not found by mDNS; the swarm does without", "reason", err)
	}
}

// heed hurries joining when mDNS has found somebody whom gossip does not know.
func (s *session) heed() {
	f := s.formation
	if f == nil || f.finder == nil {
		s.setFound(0)
		return
	}
	places := f.finder.Places()
	s.setFound(len(places))
	select {
	case <-f.finder.Found():
		f.isFound = true
	default:
	}
	if now := time.Now(); f.isFound && !now.Before(f.hurryAfter) {
		f.isFound, f.hurryAfter = false, now.Add(heedPause)
		isStranger := func(one nearby.Place) bool { _, isThere := s.rumours[one.ID]; return !isThere }
		if slices.ContainsFunc(places, isStranger) {
			f.joinNow()
		}
	}
}

func (s *session) setFound(n int) {
	s.member.mu.Lock()
	defer s.member.mu.Unlock()
	s.found = n
}

// foundBy returns whom a finder has found; nobody without one.
func foundBy(finder *nearby.Finder) []link.Member {
	if finder == nil {
		return nil
	}
	var list []link.Member
	for _, one := range finder.Places() {
		list = append(list, link.Member{ID: one.ID, Address: one.Address})
	}
	return list
}

// inTurn returns one of the first, one of the second and so on, each in random order: many who do not answer in one
// cannot keep away those of the other. Who is in both is there once.
func inTurn(first, second []link.Member) []link.Member {
	second = slices.DeleteFunc(second, func(one link.Member) bool { return slices.Contains(first, one) })
	shuffle(first)
	shuffle(second)
	list := make([]link.Member, 0, len(first)+len(second))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			list = append(list, first[i])
		}
		if i < len(second) {
			list = append(list, second[i])
		}
	}
	return list
}

func shuffle(list []link.Member) {
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}
