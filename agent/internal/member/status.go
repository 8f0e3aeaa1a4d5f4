package member

import (
	"fmt"
	"net/netip"
	"time"

	"enjambre/core"
)

// lonelyAfter is how long nobody may answer, of those who are said to be there, before that is a problem.
const lonelyAfter = time.Minute

// A Status is where the membership stands, for display.
type Status struct {
	Listen     netip.AddrPort `json:"listen,omitzero"`   // where members reach this agent
	Site       core.SiteName  `json:"site,omitempty"`    // whose swarm it is in
	Problem    string         `json:"problem,omitempty"` // why it does not listen, is in no swarm, or has no neighbours
	Weight     int            `json:"weight"`
	Epoch      uint64         `json:"epoch,omitempty"` // the newest that is known
	Members    int            `json:"members"`         // others that are believed to be there
	Neighbours int            `json:"neighbours"`
	Nearby     *int           `json:"nearby,omitempty"` // others that mDNS finds; nil: it is off
}

// Status returns where the membership stands.
func (m *Member) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	status := Status{Weight: int(m.weight), Epoch: m.epoch.Number}
	if m.session == nil {
		status.Problem = m.trouble
		return status
	}
	status.Listen = m.session.at
	status.Members, status.Neighbours = m.session.believed, m.session.neighbours
	if !m.words.isRight() {
		status.Problem = m.outside
		return status
	}
	status.Site = m.words.Site
	if m.options.MDNS {
		found := m.session.found
		status.Nearby = &found
	}
	if m.session.lonely {
		status.Problem = fmt.Sprintf("no other member answers, though there are %d: is UDP blocked between computers of this "+
			"site? Agents need port %d", max(m.named, status.Members), status.Listen.Port())
	}
	return status
}

// feelLonely notes since when there is no neighbour, of those who are there by the server's last word or by gossip; the
// Member's mutex is held.
func (s *session) feelLonely(now time.Time) {
	switch {
	case !s.member.words.isRight(), s.neighbours > 0, s.member.named == 0 && s.believed == 0:
		s.lonelySince = time.Time{}
	case s.lonelySince.IsZero() || s.lonelySince.After(now): // the clock may have been set back
		s.lonelySince = now
	}
	s.lonely = !s.lonelySince.IsZero() && now.Sub(s.lonelySince) >= lonelyAfter
}

// Lonely reports whether no other member can be reached: nobody answers of those who are there, or the agent takes no
// part.
func (m *Member) Lonely() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session == nil {
		return m.options.Off || m.cannot || m.nowhere && m.reached
	}
	return m.session.lonely
}

// String says it in one line.
func (s Status) String() string {
	switch {
	case !s.Listen.IsValid():
		return "no: " + s.Problem
	case s.Site == "":
		return fmt.Sprintf("listens at %v, in no swarm: %s", s.Listen, s.Problem)
	}
	text := fmt.Sprintf("site %s: %d other members, %d neighbours; reached at %v", s.Site, s.Members, s.Neighbours, s.Listen)
	if s.Nearby != nil {
		text += fmt.Sprintf("; %d found by mDNS", *s.Nearby)
	}
	if s.Problem != "" {
		text += "; " + s.Problem
	}
	return text
}
