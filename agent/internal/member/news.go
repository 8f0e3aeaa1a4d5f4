package member

import (
	"bytes"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/owner"
	"enjambre/peer/ticket"
	"enjambre/peer/wire"
)

// A View is what peer/pulse needs of the site.
type View struct {
	Site   core.SiteName // "": in no swarm
	Epoch  ticket.Epoch  // the newest that is known
	From   id.Peer       // who told of it; ourselves: the server
	Others []owner.Member

	Contacted ticket.Epoch // that the last contact brought; zero: none
}

// Changed tells that View says something else than before. A change that nobody has looked at yet is told once.
func (m *Member) Changed() <-chan struct{} { return m.changed }

// View returns what is known of the site now.
func (m *Member) View() View {
	m.mu.Lock()
	defer m.mu.Unlock()
	view := View{Epoch: m.epoch, From: m.toldBy, Others: m.others, Contacted: m.contacted}
	if m.words.isRight() {
		view.Site = m.words.Site
	}
	return view
}

// note tells of a change.
func (m *Member) note() {
	select {
	case m.changed <- struct{}{}:
	default: // it will be seen with the one before
	}
}

// Learn takes over an epoch that the server has signed and said.
func (m *Member) Learn(signed []byte) (ticket.Epoch, error) { return m.learn(signed, m.self) }

// learn takes over a signed epoch that is newer than the one we know.
func (m *Member) learn(signed []byte, from id.Peer) (ticket.Epoch, error) {
	m.mu.Lock()
	epoch, err := m.words.verifier(m.options.Deployment).Epoch(signed, m.options.Now())
	isNewer := err == nil && epoch.After(m.epoch)
	isNews := isNewer && epoch.Number > m.epoch.Number
	if isNewer {
		m.epoch, m.toldBy, m.words.Epoch = epoch, from, bytes.Clone(signed)
	}
	m.mu.Unlock()
	if isNewer {
		m.note()
	}
	if isNews {
		m.wake() // gossip says the number
	}
	return epoch, err
}

// Tell tells all neighbours but one the newest epoch.
func (m *Member) Tell(except id.Peer) {
	m.mu.Lock()
	s, signed := m.session, m.words.Epoch
	m.mu.Unlock()
	if s != nil && len(signed) > 0 {
		s.swarm.Tell(wire.Epoch{Signed: signed}, except)
	}
}
