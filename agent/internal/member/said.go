package member

import (
	"context"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/link"
	"enjambre/peer/wire"
)

// Bounds of what other members say of their packages. A site of 4096 says some 400 times in a second; verifying one
// takes 0.1 ms.
const (
	maxHeard = 256 // messages that wait to be read
	maxRead  = 512 // messages in a second
)

// Say signs how far packages are and sends it to members, as far as gossip reaches them; the zero Peer is nobody. There
// are at most wire.MaxTold packages, ascending by ID.
func (m *Member) Say(packages []wire.PackageProgress, to ...id.Peer) {
	m.mu.Lock()
	var gossip *link.Gossip
	if s := m.session; s != nil && s.formation != nil {
		gossip = s.formation.gossip
	}
	m.mu.Unlock()
	if gossip == nil {
		return
	}
	progress := wire.Progress{Issued: m.options.Now(), Packages: packages}
	err := progress.Sign(m.key)
	var message []byte
	if err == nil {
		message, err = wire.Append(nil, progress)
	}
	if err != nil {
		m.options.Log.Warn("how far the packages are cannot be said", "reason", err)
		return
	}
	for _, one := range to {
		if one == (id.Peer{}) {
			continue
		}
		if err := gossip.Send(one, message); err != nil {
			m.options.Log.Debug("not said how far the packages are", "to", one, "reason", err)
		}
	}
}

// Said returns what other members say of how far their packages are: those that gossip believes to be there, and their
// signature holds. Whoever does not receive misses it.
func (m *Member) Said() <-chan wire.Progress { return m.said }

// hear reads messages of other members until ctx ends.
func (s *session) hear(ctx context.Context, heard <-chan []byte) {
	var second time.Time // that is counted
	read := 0
	for {
		select {
		case <-ctx.Done():
			return
		case message := <-heard:
			if now := time.Now(); now.Sub(second) >= time.Second {
				second, read = now, 0
			}
			if read++; read > maxRead {
				continue
			}
			said, err := s.believe(message)
			if err != nil {
				s.member.options.Log.Debug("a message of a member is dropped", "reason", err)
				continue
			}
			select {
			case s.member.said <- said:
			case <-ctx.Done():
				return
			}
		}
	}
}

// believe reads a message: the word of a member that is there.
func (s *session) believe(message []byte) (wire.Progress, error) {
	frame, err := wire.ParseMessage(message, wire.KindProgress)
	if err != nil {
		return wire.Progress{}, err
	}
	said := frame.(wire.Progress)
	s.member.mu.Lock()
	_, isThere := s.rumours[said.Peer]
	s.member.mu.Unlock()
	if !isThere {
		return wire.Progress{}, core.Refuse(core.ClassIdent, "member %s is not there", said.Peer)
	}
	return said, said.Verify()
}
