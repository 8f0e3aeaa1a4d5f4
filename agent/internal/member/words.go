package member

import (
	"crypto/ed25519"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/ocs"
	"enjambre/peer/admit"
	"enjambre/peer/id"
	"enjambre/peer/link"
	"enjambre/peer/owner"
	"enjambre/peer/ticket"
	"enjambre/peer/wire"
)

// siteName is the file of the words, site.json.
const siteName = "site"

// words are the server's of a site, and who was there last. The zero words are none.
type words struct {
	Site       core.SiteName `json:"site,omitempty"`
	Ticket     []byte        `json:"ticket,omitempty"`
	Epoch      []byte        `json:"epoch,omitempty"`
	Notice     []byte        `json:"notice,omitempty"`
	OnlineKeys [][]byte      `json:"onlineKeys,omitempty"`
	Keys       [][]byte      `json:"keys,omitempty"` // of gossip; the first is used
	Members    []place       `json:"members,omitempty"`

	// Network is where this computer was when they were said, as its own address there tells; zero: not known. Once its
	// address is in another, it is away, perhaps at another site, and they do not count.
	Network netip.Prefix `json:"network,omitzero"`
	away    bool
}

// A place is where a member was.
type place struct {
	ID      id.Peer        `json:"id"`
	Address netip.AddrPort `json:"address"`
	Also    netip.AddrPort `json:"also,omitzero"` // of the other family
}

// isRight reports whether they make a member.
func (w words) isRight() bool { return w.Site != "" && !w.away }

// at returns the words as they count for who is reached somewhere: one of its addresses is in the network where they were
// said.
func (w words) at(where ways) words {
	w.away = w.Site != "" && w.Network.IsValid() && !w.Network.Contains(where.first) && !w.Network.Contains(where.also)
	return w
}

// isOf reports whether two words are of the same swarm, whoever is in it.
func (w words) isOf(other words) bool { return w.Site == other.Site }

// verifier returns whose word on the site counts.
func (w words) verifier(deployment string) ticket.Verifier {
	verifier := ticket.Verifier{Deployment: deployment, Site: w.Site}
	for _, key := range w.OnlineKeys {
		verifier.Keys = append(verifier.Keys, ed25519.PublicKey(key))
	}
	return verifier
}

// known returns the members that can be reached from somewhere: those with an address of a family that is there.
func (w words) known(from ways) []link.Member {
	var list []link.Member
	for _, one := range w.Members {
		if from.reach(one.Address.Addr()) || from.reach(one.Also.Addr()) {
			list = append(list, link.Member{ID: one.ID, Address: one.Address, Also: one.Also})
		}
	}
	return list
}

// recall takes over what is remembered, if it still holds.
func (m *Member) recall() {
	var kept words
	if err := m.options.State.Load(siteName, &kept); err != nil {
		m.options.Log.Warn("what was known of the site is forgotten", "reason", err)
		return
	}
	if !kept.isRight() {
		return
	}
	kept.Members = kept.Members[:min(len(kept.Members), MaxKnown)]
	if err := m.check(kept, identity.MemberGrace); err != nil {
		m.outside = "what was known of the site does not hold any more: " + err.Error()
		return
	}
	m.words, m.saved = kept, kept
	m.epoch, _ = kept.verifier(m.options.Deployment).Epoch(kept.Epoch, m.options.Now()) // zero if it does not hold
	m.notice, _ = kept.verifier(m.options.Deployment).Notice(kept.Notice, m.options.Now())
}

// check holds words to what makes a member of us.
func (m *Member) check(w words, grace time.Duration) error {
	if len(w.Keys) == 0 || len(w.Keys) > link.MaxKeys {
		return core.Refuse(core.ClassLimit, "%d gossip keys: there should be 1 to %d", len(w.Keys), link.MaxKeys)
	}
	for _, key := range w.Keys {
		if len(key) != link.KeySize {
			return core.Refuse(core.ClassField, "a gossip key has %d bytes, want %d", len(key), link.KeySize)
		}
	}
	_, err := w.verifier(m.options.Deployment).Ticket(w.Ticket, m.self, m.options.Now(), grace)
	return err
}

// Told takes over what the server says of the site: nil when it says nothing. What is not complete and right makes the
// agent leave.
func (m *Member) Told(said *ocs.Swarm) {
	if m.options.Off {
		return
	}
	fresh, reason := m.wordsOf(said)
	if err := m.readIdentity(); err != nil { // it was renewed just before, or a script is writing there
		m.options.Log.Warn("who this agent is among members is not read anew", "reason", err)
		m.mu.Lock()
		if m.certificate == nil { // nobody would believe it, and it could believe nobody
			fresh, reason = words{}, err.Error()
		}
		m.mu.Unlock()
	}
	if at := m.At(); at.IsValid() {
		fresh.Network = networkOf(at.Addr())
	}
	m.mu.Lock()
	before := m.words
	if !fresh.isRight() && m.outside != reason || fresh.Site != before.Site {
		m.options.Log.Info("the agent's site", "swarm", fresh.Site, "reason", reason)
	}
	m.outside, m.reached, m.named = reason, true, len(fresh.Members)
	if fresh.isRight() && fresh.isOf(before) {
		fresh.Members = merged(fresh.Members, before.Members)
		fresh.Epoch, fresh.Notice = before.Epoch, before.Notice // until they are compared with those of now
	} else {
		m.epoch, fresh.Epoch = ticket.Epoch{}, nil
		m.notice, m.told, fresh.Notice = ticket.Notice{}, ticket.Notice{}, nil
	}
	m.words, m.contacted = fresh, ticket.Epoch{}
	m.mu.Unlock()
	if fresh.isRight() {
		m.heed(said.Notice, m.self)
	}
	if fresh.isRight() && len(said.Epoch) > 0 {
		epoch, err := m.learn(said.Epoch, m.self)
		if err != nil {
			m.options.Log.Warn("the server's word on what is new at the site is not believed", "reason", err)
		}
		m.mu.Lock()
		m.contacted = epoch
		m.mu.Unlock()
	}
	m.save()
	m.wake()
}

// wordsOf returns what the server says, as far as it makes a member; else why it does not.
func (m *Member) wordsOf(said *ocs.Swarm) (words, string) {
	switch {
	case said == nil:
		return words{}, "the server says nothing of a site"
	case said.Site == "":
		return words{}, "the server knows of no site for this computer"
	case len(said.Keys) == 0 && m.Weight() == owner.Never:
		return words{}, "a tunnel or a metered line leads to the server, so this computer is a site of one; if that is as " +
			"good as a LAN, set tunnels = true in agent.toml"
	case len(said.Keys) == 0:
		return words{}, "the server gives no keys for site " + string(said.Site)
	case len(said.Ticket) == 0:
		return words{}, "the server gives no ticket for site " + string(said.Site)
	}
	fresh := words{Site: said.Site, Ticket: said.Ticket, Epoch: said.Epoch, OnlineKeys: said.OnlineKeys}
	for _, key := range said.Keys {
		fresh.Keys = append(fresh.Keys, key.Key)
	}
	for _, one := range said.Members {
		member, err := id.Parse(one.ID)
		if err == nil && member != m.self && len(fresh.Members) < MaxKnown {
			fresh.Members = append(fresh.Members, place{member, one.Address, one.Also})
		}
	}
	if err := m.check(fresh, 0); err != nil {
		return words{}, "what the server says of site " + string(said.Site) + " is not right: " + err.Error()
	}
	return fresh, ""
}

// merged returns the first, then the others that are not among them, at most MaxKnown.
func merged(first, others []place) []place {
	list := slices.Clone(first)
	for _, one := range others {
		isKnown := slices.ContainsFunc(list, func(p place) bool { return p.ID == one.ID })
		if !isKnown && len(list) < MaxKnown {
			list = append(list, one)
		}
	}
	return list
}

// Unreached notes that the server did not answer: until it does, tickets count longer.
func (m *Member) Unreached() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reached = false
}

// save remembers the words, unless they are as they were remembered last.
func (m *Member) save() {
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	now := m.words
	m.mu.Unlock()
	if reflect.DeepEqual(now, m.saved) {
		return
	}
	if err := m.options.State.Save(siteName, now); err != nil {
		m.options.Log.Warn("what is known of the site cannot be remembered", "reason", err)
		return
	}
	m.saved = now
}

// hello returns what we say to a member.
func (m *Member) hello() (wire.Hello, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.words.isRight() {
		return wire.Hello{}, core.Refuse(core.ClassIdent, "this agent is in no swarm: %s", m.outside)
	}
	return wire.Hello{
		Version: wire.Version, Weight: m.weight, Features: wire.TakesNotice, Certificate: m.certificate, Ticket: m.words.Ticket,
	}, nil
}

// judge reports why a member is not one of our site now; nil if it is.
func (m *Member) judge(from id.Peer, hello wire.Hello) (wire.Code, error) {
	m.mu.Lock()
	gate := admit.Gate{Identity: m.identity, Ticket: m.words.verifier(m.options.Deployment), Notice: m.notice}
	if !m.reached {
		gate.TicketGrace = identity.MemberGrace
	}
	isRight, outside, site := m.words.isRight(), m.outside, m.words.Site
	m.mu.Unlock()
	if !isRight {
		return wire.CodeTicket, core.Refuse(core.ClassIdent, "this agent is in no swarm: %s", outside)
	}
	shown, code, err := gate.Admit(hello, from, m.options.Now())
	if err != nil {
		return code, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.admitted[from] = admitted{
		site: site, weight: shown.Weight, features: shown.Features, epoch: shown.Ticket.Epoch,
		expires: shown.Ticket.Expires(), until: shown.Until,
	}
	return 0, nil
}

// weightOf returns the weight of a member that was admitted.
func (m *Member) weightOf(member id.Peer) owner.Weight {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.admitted[member].weight
}
