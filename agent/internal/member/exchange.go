package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"enjambre/agent/internal/swarm"
	"enjambre/core"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/link"
)

// errNoSession says that there is nobody to ask.
var errNoSession = errors.New("this agent takes no part in a swarm now")

// Times.
const (
	MeetTime  = 15 * time.Second       // that a meeting may take
	meetPause = 500 * time.Millisecond // until a meeting is tried again
	fullPause = 200 * time.Millisecond // until a neighbour is asked again for a fragment for which there was no room
)

// current returns the session, or nil.
func (m *Member) current() *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

// Share tells the neighbours, now and as they come, of a package in the vault, and returns what they have said of it so
// far, for its download.
func (m *Member) Share(info core.Digest) []peer.Event {
	m.mu.Lock()
	m.shared[info] = true
	s := m.session
	m.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.swarm.Share(info)
}

// Renew tells the neighbours anew what we hold of a package that is shared.
func (m *Member) Renew(info core.Digest) {
	if s := m.current(); s != nil {
		s.swarm.Renew(info)
	}
}

// Unshare tells the neighbours that we have nothing of a package any more.
func (m *Member) Unshare(info core.Digest) {
	m.mu.Lock()
	delete(m.shared, info)
	s := m.session
	m.mu.Unlock()
	if s != nil {
		s.swarm.Unshare(info)
	}
}

// Announce tells a neighbour of fragments that are new here.
func (m *Member) Announce(to id.Peer, info core.Digest, ascending []core.FragmentIndex) {
	if s := m.current(); s != nil {
		s.swarm.Announce(to, info, ascending)
	}
}

// Shun disconnects a neighbour that misbehaved, and does not meet it before a time.
func (m *Member) Shun(who id.Peer, until time.Time) {
	if s := m.current(); s != nil {
		s.shun(who, until)
	}
}

// Fetch fetches a fragment of size bytes from a neighbour, calling progress as bytes come, and lets take have the bytes,
// which are not verified and whose place is used again afterwards. Every error but take's is a *swarm.FetchError.
func (m *Member) Fetch(ctx context.Context, from id.Peer, info core.Digest, index core.FragmentIndex, size int64,
	progress func(), take func([]byte) error) error {
	s := m.current()
	if s == nil {
		return &swarm.FetchError{Why: peer.Broken, Err: errNoSession}
	}
	if !m.mayFetch(size) {
		return &swarm.FetchError{Why: peer.Occupied, RetryAfter: fullPause}
	}
	defer m.hasFetched(size)
	return s.swarm.Fetch(ctx, link.Member{ID: from}, info, index, size, progress, take)
}

// Meet connects to a member that the server names as the holder of a fragment, and waits, for at most [MeetTime], until it
// has said that it shares the package. Gossip may hear of it later than the server, which may have told us of it.
func (m *Member) Meet(ctx context.Context, who id.Peer, info core.Digest) error {
	ctx, cancel := context.WithTimeout(ctx, MeetTime)
	defer cancel()
	tick := time.NewTicker(meetPause)
	defer tick.Stop()
	var err error
	for {
		s := m.current()
		if s == nil {
			return errNoSession
		}
		if slices.Contains(s.swarm.Sharers(info), who) {
			return nil
		}
		if there, isKnown := m.placeOf(s, who); isKnown {
			err = s.swarm.Meet(ctx, there)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("member %v is not met: %w", who, errors.Join(ctx.Err(), err))
		}
	}
}

// placeOf returns where a member is: by gossip, else by the server's last word.
func (m *Member) placeOf(s *session, who id.Peer) (link.Member, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, isThere := s.rumours[who]; isThere {
		return there, true
	}
	for _, one := range m.words.Members {
		if one.ID == who {
			return link.Member{ID: who, Address: one.Address, Also: one.Also}, true
		}
	}
	return link.Member{}, false
}

func (m *Member) mayFetch(size int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fetching > 0 && m.fetching+size > MaxFetchBytes {
		return false
	}
	m.fetching += size
	return true
}

func (m *Member) hasFetched(size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fetching -= size
}

// Sharers returns neighbours that have a package's info file.
func (m *Member) Sharers(info core.Digest) []id.Peer {
	s := m.current()
	if s == nil {
		return nil
	}
	return s.swarm.Sharers(info)
}

// Info asks a neighbour for a package's sealed info file; nothing of it is verified.
func (m *Member) Info(ctx context.Context, from id.Peer, info core.Digest) ([]byte, error) {
	s := m.current()
	if s == nil {
		return nil, errNoSession
	}
	return s.swarm.Info(ctx, link.Member{ID: from}, info)
}

// Digests asks a neighbour for a package's digests file; nothing of it is verified.
func (m *Member) Digests(ctx context.Context, from id.Peer, info core.Digest) ([]byte, error) {
	s := m.current()
	if s == nil {
		return nil, errNoSession
	}
	return s.swarm.Digests(ctx, link.Member{ID: from}, info)
}
