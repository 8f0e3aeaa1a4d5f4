package member

import (
	"bytes"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
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
	Spread time.Duration // over which calls because of it are to be spread; 0: not known
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
	if m.notice.Number >= m.epoch.Number {
		view.Spread = m.notice.Spread
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

// Learn takes over what the server has said of news: its epoch and, where it says one, its notice.
func (m *Member) Learn(said ocs.ProgressReply) (ticket.Epoch, error) {
	m.heed(said.Notice, m.self)
	return m.learn(said.Epoch, m.self)
}

// heed takes over a signed notice that is newer than the one we know: whose tickets it takes back is no member from now
// on, also when the agent has been started anew.
func (m *Member) heed(signed []byte, from id.Peer) {
	if len(signed) == 0 {
		return
	}
	m.mu.Lock()
	notice, err := m.words.verifier(m.options.Deployment).Notice(signed, m.options.Now())
	isNewer := err == nil && notice.After(m.notice)
	isOther := !slices.Equal(notice.Voids, m.notice.Voids) || notice.Floor != m.notice.Floor
	if isNewer {
		m.notice, m.words.Notice = notice, bytes.Clone(signed)
	}
	m.mu.Unlock()
	if err != nil {
		m.options.Log.Debug("a notice is not believed", "from", from, "reason", err)
	}
	if isNewer && isOther {
		m.options.Log.Info("the server has taken tickets back", "members", len(notice.Voids), "before epoch", notice.Floor)
		m.save()
		m.wake() // whose they are is disconnected
	}
}

// isBarred reports whether a member has shown no ticket that counts, and others that it may have do not; m.mu is held.
func (m *Member) isBarred(member id.Peer) bool {
	return m.notice.Names(member) && m.notice.Covers(member, m.admitted[member].epoch)
}

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

// bars is isBarred for who does not hold m.mu.
func (m *Member) bars(member id.Peer) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isBarred(member)
}

// Tell tells all neighbours but one the newest epoch, and before it, since it says how to take that, the newest notice,
// unless they have been told.
func (m *Member) Tell(except id.Peer) {
	m.mu.Lock()
	s, signed, notice := m.session, m.words.Epoch, m.words.Notice
	if !m.notice.After(m.told) {
		notice = nil
	}
	m.told = m.notice
	m.mu.Unlock()
	if s == nil {
		return
	}
	if len(notice) > 0 {
		s.swarm.Tell(wire.Notice{Signed: notice}, except)
	}
	if len(signed) > 0 {
		s.swarm.Tell(wire.Epoch{Signed: signed}, except)
	}
}

// takes reports whether a member may be sent a frame.
func (m *Member) takes(member id.Peer, frame wire.Frame) bool {
	if frame.Kind() != wire.KindNotice {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.admitted[member].features.Has(wire.TakesNotice)
}
