package member

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"enjambre/peer/id"
	"enjambre/peer/link"
)

// introducedTime is how long gossip tries to join a member that the server has introduced, before all others.
const introducedTime = 5 * time.Minute

// An introduction is to a member that gossip may not know of.
type introduction struct {
	member link.Member
	until  time.Time // that gossip tries to join it
}

// Introduce has the agent meet a member that reaches others of the site whom this agent does not reach, and gossip
// join it: so that the two parts of the site become one. The zero address is that nobody has said where it is. It
// does not wait. One meeting is under way at a time, one more may wait; what comes then is dropped, as the server
// says it again when the parts are found apart again.
func (m *Member) Introduce(to id.Peer, at netip.AddrPort) {
	s := m.current()
	if s == nil || to == m.self {
		return
	}
	select {
	case s.introduced <- link.Member{ID: to, Address: at}:
	default:
		m.options.Log.Debug("too many introductions at once", "member", to)
	}
}

// introductions returns those that are to be heeded now: nil while a meeting is under way.
func (s *session) introductions() <-chan link.Member {
	if s.introducing {
		return nil
	}
	return s.introduced
}

// introduce meets a member, and has gossip join it if it does not know it.
func (s *session) introduce(ctx context.Context, running *sync.WaitGroup, to link.Member) {
	m := s.member
	if s.formation == nil {
		m.options.Log.Debug("an introduction in no swarm means nothing", "member", to.ID)
		return
	}
	if there, isKnown := m.placeOf(s, to.ID); isKnown && (s.isThere(to.ID) || !to.Address.IsValid()) {
		to = there // what gossip says is newer than the server's word
	}
	if !s.ways.reach(to.Address.Addr()) && !s.ways.reach(to.Also.Addr()) {
		m.options.Log.Debug("an introduced member cannot be met: its address is not known, or of another family than ours",
			"member", to.ID, "address", to.Address)
		return
	}
	m.options.Log.Info("the server introduces a member", "member", to.ID, "address", to.Address)
	if !s.isThere(to.ID) {
		m.mu.Lock()
		s.introduction = introduction{to, m.options.Now().Add(introducedTime)}
		m.mu.Unlock()
		s.formation.joinNow()
	}
	s.introducing = true
	running.Go(func() {
		meeting, cancel := context.WithTimeout(ctx, MeetTime)
		defer cancel()
		if err := s.swarm.Meet(meeting, to); err != nil {
			m.options.Log.Debug("an introduced member is not met", "member", to.ID, "address", to.Address, "reason", err)
		}
		s.met <- struct{}{} // there is room for the one that is under way
	})
}

// isThere reports whether gossip knows a member; the session's owner asks.
func (s *session) isThere(who id.Peer) bool {
	_, isThere := s.rumours[who]
	return isThere
}

// first puts the member that was introduced before those that gossip may join.
func (s *session) first(others []link.Member) []link.Member {
	s.member.mu.Lock()
	one := s.introduction
	s.member.mu.Unlock()
	if !s.member.options.Now().Before(one.until) {
		return others
	}
	return append([]link.Member{one.member}, others...)
}
