// Package member is this agent's membership in its site's swarm: where it listens, what the server has said of the site,
// who is there, and who of them are its neighbours.
//
// A [Member] is told the address that leads to the server, and opens the one UDP port of agents, in both families if that
// address's interface has both ([Member.Listen]). It is told the server's words at each contact ([Member.Told]): site, ticket, epoch, keys and
// some members. While all of them are right it is joined: it gossips with the site's keys, admits who shows a certificate
// of the deployment and a ticket for the same site, and meets whom peer/mesh chooses. When they are not, it leaves: gossip
// ends, all connections are closed, nobody is admitted. What carries fragments is agent/internal/swarm, whose reports are
// handed on. Another address is another session: everything is closed and opened anew. If it is in another network, the
// agent is in no swarm until the server has said where it is now: it may have been carried to another site, from where
// it would take from its old neighbours over two WANs. After the computer's sleep the
// session stays, and gossip and connections are made anew, as peer/mesh orders.
//
// Where mDNS is enabled, members that it finds (agent/internal/nearby) are joined as those are that the server names.
// They are not remembered before they are seen in gossip: nobody has proven anything before.
//
// Whom the server introduces ([Member.Introduce]) reaches members that this agent does not know of. It is met, one
// after the other and for at most [MeetTime] each, and gossip joins it first, for five minutes, so that both parts of
// the site become one.
//
// # What is remembered
//
// site.json in the state folder: the last words that were right, with at most [MaxKnown] members, so that a site forms
// without its server after a restart. While the server is not reached, tickets count as long as certificates between
// members do (identity.MemberGrace); else not a moment longer than they say.
//
// # Bounds
//
// peer/link's and swarm's; fragments on their way to us take at most [MaxFetchBytes]. Of what other members say of their
// packages 256 messages wait, and 512 are read in a second; what is more is dropped, and said again.
package member

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"enjambre/agent/internal/nearby"
	"enjambre/agent/internal/state"
	"enjambre/agent/internal/swarm"
	"enjambre/agent/internal/vault"
	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/peer/id"
	"enjambre/peer/link"
	"enjambre/peer/owner"
	"enjambre/peer/ticket"
	"enjambre/peer/wire"
)

// DefaultPort is the UDP port of agents.
const DefaultPort = 4901

// Bounds.
const (
	MaxKnown      = 64       // members that are remembered
	MaxFetchBytes = 32 << 20 // of fragments on their way; a single one may be as large as fragments are
)

// Options say how to take part. All but Off, Port, Slept and Log are required.
type Options struct {
	State      *state.Folder
	Vault      *vault.Vault
	Deployment string
	Off        bool             // take no part
	MDNS       bool             // find members in the own broadcast domain too, and be found there
	Tunnels    bool             // be a member also by a tunnel or a metered line, with the least weight
	Port       uint16           // UDP; 0: any that is free
	Now        func() time.Time // the server's time as far as known
	Log        *slog.Logger     // nil discards

	Slept func() time.Duration // how long the computer has slept since it started; nil: it never does
}

// A Member is one run's membership. Safe for concurrent use.
type Member struct {
	options Options
	key     ed25519.PrivateKey
	self    id.Peer
	reports chan swarm.Report
	said    chan wire.Progress
	opened  chan *session // to Run
	changed chan struct{}

	listening sync.Mutex // held by Listen
	saving    sync.Mutex // guards saved
	saved     words      // as remembered on the disk

	mu          sync.Mutex
	session     *session // nil: not listening
	trouble     string   // why it does not listen
	cannot      bool     // although it was to
	nowhere     bool     // no address is known where it could be reached
	weight      owner.Weight
	words       words  // zero: not joined
	outside     string // why it is not joined
	epoch       ticket.Epoch
	notice      ticket.Notice
	told        ticket.Notice  // to neighbours
	contacted   ticket.Epoch   // that the last contact brought
	toldBy      id.Peer        // of the epoch
	others      []owner.Member // who is believed to be there
	unheard     bool           // mDNS does not work, which has been logged
	reached     bool           // the server answered the last contact
	named       int            // members that the server named then
	identity    identity.Verifier
	certificate []byte
	admitted    map[id.Peer]admitted
	shared      map[core.Digest]bool
	fetching    int64 // bytes on their way
}

// An admitted is what a member showed when it was admitted.
type admitted struct {
	site     core.SiteName
	weight   owner.Weight
	features wire.Features
	epoch    uint64    // of its ticket
	expires  time.Time // the ticket, unless the server is away
	until    time.Time // it counts at most
}

// New returns the membership of an enrolled agent, with what is remembered of its site.
func New(options Options) (*Member, error) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Slept == nil {
		options.Slept = func() time.Duration { return 0 }
	}
	key, err := options.State.Key()
	if err != nil {
		return nil, err
	}
	self, err := id.FromKey(key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	m := &Member{
		options: options, key: key, self: self, reports: make(chan swarm.Report), opened: make(chan *session),
		said: make(chan wire.Progress), changed: make(chan struct{}, 1),
		weight: owner.Medium, admitted: map[id.Peer]admitted{}, shared: map[core.Digest]bool{}, trouble: "no contact with the server has been tried yet",
		outside: "the server has not said anything of the site yet",
	}
	if options.Off {
		m.trouble = "it is switched off in the settings"
		return m, nil
	}
	if err := m.readIdentity(); err != nil { // it comes with the renewal of the certificate
		m.outside = err.Error()
		options.Log.Warn("no part in the site's swarm for now", "reason", err)
		return m, nil
	}
	m.recall()
	return m, nil
}

// readIdentity reads what says who we are and whose word counts: both change when the certificate is renewed.
func (m *Member) readIdentity() error {
	authorities, err := m.options.State.AgentAuthorities()
	if err != nil {
		return err
	}
	certificate, err := m.options.State.Certificate()
	if err != nil {
		return err
	}
	if err := m.options.State.Certified(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.identity = identity.Verifier{Deployment: m.options.Deployment, Authorities: authorities}
	m.certificate = certificate.Leaf.Raw
	return nil
}

// Self returns who this agent is among members.
func (m *Member) Self() id.Peer { return m.self }

// Weight returns the agent's share of what its site fetches, as its network is; Medium before an address is known.
func (m *Member) Weight() owner.Weight {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.weight
}

// See notes the address that leads to the server, before Listen is called: Weight depends on it.
func (m *Member) See(address netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.weight = m.classOf(address)
}

// Toward returns the address of this computer that leads to a member that was known last, else, where mDNS is enabled,
// to its group: for a site that is cut off from its server, perhaps before the agent started. No packet leaves.
func (m *Member) Toward(ctx context.Context) (netip.Addr, error) {
	m.mu.Lock()
	known := m.words.Members
	m.mu.Unlock()
	err := errors.New("no member is known")
	var places []netip.AddrPort
	for _, one := range known { // at most MaxKnown
		places = append(places, one.Address)
		if one.Also.IsValid() {
			places = append(places, one.Also)
		}
	}
	if m.options.MDNS {
		places = append(places, nearby.Group)
	}
	for _, place := range places {
		var conn net.Conn
		if conn, err = new(net.Dialer).DialContext(ctx, "udp", place.String()); err == nil {
			at, parseErr := netip.ParseAddrPort(conn.LocalAddr().String())
			return at.Addr().Unmap().WithZone(""), errors.Join(parseErr, conn.Close())
		}
	}
	return netip.Addr{}, fmt.Errorf("the address that leads to other members: %w", err)
}

// Aside returns an address of an interface that is no tunnel, for when neither server nor member tells, as where the proxy on
// the computer itself alone knows the server. Zero: there is none.
func (m *Member) Aside() netip.Addr { return aside(readCards(), isTunnel) }

// At returns where members reach the agent; the zero AddrPort while they cannot.
func (m *Member) At() netip.AddrPort {
	if s := m.current(); s != nil {
		return s.at
	}
	return netip.AddrPort{}
}

// Also returns where members of the other family reach the agent; the zero AddrPort if it has one family.
func (m *Member) Also() netip.AddrPort {
	if s := m.current(); s != nil {
		return s.ways.alsoAt(s.at.Port())
	}
	return netip.AddrPort{}
}

// IsAt reports whether an address that leads to the server is where members reach the agent.
func (m *Member) IsAt(address netip.Addr) bool {
	s := m.current()
	return s != nil && (s.ways.first == address || s.ways.also == address)
}

// Joined reports whether the server's last words make the agent a member of a site with a swarm.
func (m *Member) Joined() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.options.Off && m.words.isRight()
}

// Reports returns what neighbours say. Somebody must receive while Run runs.
func (m *Member) Reports() <-chan swarm.Report { return m.reports }

// Run takes part, once Listen has opened a port, until ctx ends; it returns when nothing of it runs.
func (m *Member) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-m.opened:
			s.run(ctx)
			m.mu.Lock()
			m.session, m.others = nil, nil
			m.mu.Unlock()
			m.note()
			close(s.done)
		}
	}
}

// Listen opens the port, if it is not open, for the address of this computer that leads to the server, and returns where
// others reach the agent and its weight; the zero AddrPort when it takes no part. Run must run.
func (m *Member) Listen(ctx context.Context, address netip.Addr) (netip.AddrPort, owner.Weight) {
	if m.options.Off {
		return netip.AddrPort{}, 0
	}
	m.listening.Lock()
	defer m.listening.Unlock()
	m.mu.Lock()
	before := m.session
	m.mu.Unlock()
	var former ways
	if before != nil {
		former = before.ways
	}
	where, err := waysOf(address, readCards(), former)
	if before != nil && err == nil && where == former {
		return before.at, m.Weight()
	}
	if before != nil {
		m.options.Log.Info("another address leads to the server", "before", before.at.Addr(), "now", address)
		close(before.stop)
		<-before.done
	}
	var s *session
	if err == nil {
		s, err = m.open(where)
	}
	if err != nil {
		m.cannotListen(err)
		return netip.AddrPort{}, 0
	}
	m.mu.Lock()
	m.session, m.trouble, m.cannot, m.nowhere, m.weight = s, "", false, false, m.classOf(address)
	m.words = m.words.at(where)
	if m.words.away {
		m.outside = fmt.Sprintf("this computer has come from network %v, and the server has not said yet which site is here",
			m.words.Network)
		m.options.Log.Info("the computer is not where it was; its site's swarm is left until the server has said where it is",
			"site", m.words.Site, "network", m.words.Network, "now", address)
	}
	weight, shared := m.weight, slices.Collect(maps.Keys(m.shared))
	m.mu.Unlock()
	for _, info := range shared {
		s.swarm.Share(info) // nobody is there yet who has said anything
	}
	m.note()
	select {
	case m.opened <- s:
	case <-ctx.Done():
		m.mu.Lock()
		m.session = nil
		m.mu.Unlock()
		if err := s.host.Close(); err != nil {
			m.options.Log.Warn("the port is not closed well", "reason", err)
		}
		return netip.AddrPort{}, 0
	}
	m.options.Log.Info("members reach this agent", "address", s.at, "also", m.Also(), "weight", weight)
	return s.at, weight
}

// cannotListen notes why, and logs it once.
func (m *Member) cannotListen(err error) {
	m.mu.Lock()
	isNew := m.trouble != err.Error()
	m.trouble, m.cannot = err.Error(), true
	m.mu.Unlock()
	if isNew {
		m.options.Log.Warn("this agent takes no part in its site's swarm", "reason", err)
	}
}

// Nowhere notes that nothing tells which address of this computer leads to others, so that it takes no part.
func (m *Member) Nowhere(reason error) {
	if m.options.Off || m.At().IsValid() { // where it listens it goes on
		return
	}
	text := "no address of this computer is known to lead to its server or to other members: " + reason.Error()
	m.mu.Lock()
	isNew := m.trouble != text
	m.trouble, m.nowhere = text, true
	m.mu.Unlock()
	if isNew {
		m.options.Log.Warn("this agent takes no part in its site's swarm", "reason", reason)
	}
}

// open opens the port for the families of addresses.
func (m *Member) open(where ways) (*session, error) {
	all := netip.IPv4Unspecified()
	if where.first.Is6() {
		all = netip.IPv6Unspecified()
	}
	host, err := link.Listen(link.Options{
		Key: m.key, Listen: netip.AddrPortFrom(all, m.options.Port), Both: where.also.IsValid(), Hello: m.hello, Judge: m.judge,
		Log: m.options.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("UDP port %d: %w; choose another with --listen", m.options.Port, err)
	}
	return newSession(m, host, where), nil
}
