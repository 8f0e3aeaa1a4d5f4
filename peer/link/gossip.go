package link

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"enjambre/core"
	"enjambre/peer/id"
)

// Bounds of gossip.
const (
	MaxMeta    = 64   // bytes that a member says about itself: short ones spread in one packet
	MaxMembers = 4096 // that are believed to be there
	MaxKeys    = 8    // valid at once
	KeySize    = 32   // bytes of a gossip key: AES-256
	MaxMessage = 1100 // bytes of a message: one packet, with the 31 of its marks and of encryption
)

// packetSize is what memberlist may fill a packet with: maxPacket without our mark, and without the checksum (5) and the
// length (2) that it adds and does not count.
const packetSize = maxPacket - 1 - 5 - 2

const (
	reclaimTime = 10 * time.Second // after which a member may come back from another address
	joinTime    = 10 * time.Second
	leaveTime   = 2 * time.Second // that telling may take; when a whole site stops, nobody is left who hears it
	rejoinEvery = time.Minute     // D6: a swarm that fell apart never heals by itself
	retryAfter  = 5 * time.Second // nobody could be joined, as when the network is not back yet; twice as long each time
	rejoinWith  = 2               // members to join each time
	rejoinTries = 8               // members that are tried for that
)

// GossipOptions configure gossip. Advertise and Keys are required.
type GossipOptions struct {
	Advertise netip.Addr      // where others reach us: the address that leads to the server
	Keys      [][]byte        // of the site, KeySize each; the first is used, all are understood
	Meta      []byte          // what we say about ourselves
	Random    *rand.Rand      // of the times between joins; required
	Known     func() []Member // whom to join, in the order of trying; at most MaxMembers are tried

	// Also reads the address of the other family out of what a member says about itself; the zero AddrPort if it says
	// none. Nil: nobody has two.
	Also func(meta []byte) netip.AddrPort

	// Heard is given each message that a member has sent to this one, of at most MaxMessage bytes; longer ones are
	// dropped. Whoever has the site's key may have sent it. It must not wait. Nil: nobody hears them.
	Heard func(message []byte)
}

// A Rumour is a member as gossip knows it. Nothing of it is proven.
type Rumour struct {
	Member
	Meta []byte
	RTT  time.Duration // of a packet to it and back, the least of the last few; 0: not measured yet
}

// A Gossip is this member's part in the site's gossip. Safe for concurrent use.
type Gossip struct {
	host    *Host
	options GossipOptions
	list    *memberlist.Memberlist
	ring    *memberlist.Keyring
	said    *delegate

	mu    sync.Mutex
	there map[id.Peer]*heard // the others; memberlist changes its own records while they are read

	joining map[id.Peer]Member // whom join tries now, who need not be there; at most rejoinTries
}

// place returns where a member is, of whom memberlist knows one address.
func (g *Gossip) place(member id.Peer, address netip.AddrPort) Member {
	at := Member{ID: member, Address: address}
	g.mu.Lock()
	defer g.mu.Unlock()
	if one := g.there[member]; one != nil && one.Address == address {
		at.Also = one.Also
	} else if one, is := g.joining[member]; is && one.Address == address {
		at.Also = one.Also
	}
	return at
}

// Gossip begins to gossip; Close ends it. A Host gossips once at a time.
func (h *Host) Gossip(options GossipOptions) (*Gossip, error) {
	if err := checkKeys(options.Keys); err != nil {
		return nil, err
	}
	ring, err := memberlist.NewKeyring(options.Keys, options.Keys[0])
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		host: h, options: options, ring: ring, said: &delegate{meta: slices.Clone(options.Meta), heard: options.Heard},
		there: map[id.Peer]*heard{}, joining: map[id.Peer]Member{},
	}
	carrier, err := h.newCarrier(options.Advertise, g.place)
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	config := memberlist.DefaultLANConfig()
	config.Name = h.self.String()
	config.Transport = carrier
	config.RequireNodeNames = true
	config.AdvertiseAddr, config.AdvertisePort = options.Advertise.String(), int(h.Port())
	config.BindPort = int(h.Port())
	config.UDPBufferSize = packetSize
	config.EnableCompression = false // R14: what is unpacked could be a bomb
	config.Keyring = ring
	config.DeadNodeReclaimTime = reclaimTime
	config.Delegate, config.Alive, config.Events, config.Ping = g.said, g, g, g
	config.Logger = log.New(logWriter{h.options.Log}, "", 0)
	if g.list, err = memberlist.Create(config); err != nil {
		return nil, errors.Join(fmt.Errorf("gossip: %w", err), carrier.Shutdown())
	}
	return g, nil
}

func checkKeys(keys [][]byte) error {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return core.Refuse(core.ClassLimit, "%d gossip keys: use 1 to %d", len(keys), MaxKeys)
	}
	for _, key := range keys {
		if len(key) != KeySize {
			return core.Refuse(core.ClassField, "a gossip key has %d bytes, want %d", len(key), KeySize)
		}
	}
	return nil
}

// Run joins again and again whom it knows of, until ctx ends and the member being joined has answered or not: at once,
// after a minute give or take, sooner when nobody could be joined, and when asked by a value on hurry, such as when
// somebody new is known. A value that waits there ends the round that is on its way, so that whoever is new does not wait
// for all who do not answer.
func (g *Gossip) Run(ctx context.Context, hurry <-chan struct{}) {
	failures := 0
	for {
		pause := rejoinEvery
		if err := g.join(ctx, hurry); err != nil {
			g.host.options.Log.Debug("nobody could be joined", "reason", err)
			pause = min(retryAfter<<min(failures, 10), rejoinEvery)
			failures++
		} else {
			failures = 0
		}
		timer := time.NewTimer(pause/2 + time.Duration(g.options.Random.Int64N(int64(pause))))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-hurry:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// join joins a few of those that are known and not there, until it is to be begun anew. Each that does not answer
// takes seconds.
func (g *Gossip) join(ctx context.Context, hurry <-chan struct{}) error {
	there := map[id.Peer]bool{g.host.self: true}
	for _, rumour := range g.Members() {
		there[rumour.ID] = true
	}
	known := g.options.Known()
	known = known[:min(len(known), MaxMembers)]
	known = slices.DeleteFunc(slices.Clone(known), func(m Member) bool { return there[m.ID] })
	tries := rejoinTries
	if len(there) > 1 {
		tries = rejoinWith
	}
	known = known[:min(len(known), tries)]
	g.mu.Lock()
	clear(g.joining)
	for _, one := range known {
		g.joining[one.ID] = one
	}
	g.mu.Unlock()
	var problems error
	joined := 0
	for tried, one := range known {
		if joined == rejoinWith || ctx.Err() != nil || tried > 0 && len(hurry) > 0 {
			break
		}
		if _, err := g.list.Join([]string{one.ID.String() + "/" + one.Address.String()}); err != nil {
			problems = errors.Join(problems, err)
			continue
		}
		joined++
	}
	if joined > 0 {
		return nil
	}
	return problems
}

// Members returns the others that gossip believes to be there, in order of their IDs.
func (g *Gossip) Members() []Rumour {
	g.mu.Lock()
	defer g.mu.Unlock()
	rumours := make([]Rumour, 0, len(g.there))
	for _, member := range slices.SortedFunc(maps.Keys(g.there), id.Peer.Compare) {
		rumours = append(rumours, g.there[member].Rumour)
	}
	return rumours
}

// Say changes what we say about ourselves, at most MaxMeta bytes.
func (g *Gossip) Say(meta []byte) error {
	if len(meta) > MaxMeta {
		return core.Refuse(core.ClassLimit, "%d bytes about ourselves: at most %d are allowed", len(meta), MaxMeta)
	}
	g.said.set(meta)
	return g.list.UpdateNode(joinTime)
}

// Send sends a message of at most MaxMessage bytes to a member that gossip believes to be there: one packet, which may
// be lost. An error says that it was not sent.
func (g *Gossip) Send(to id.Peer, message []byte) error {
	if len(message) > MaxMessage {
		return core.Refuse(core.ClassLimit, "a message of %d bytes: at most %d are allowed", len(message), MaxMessage)
	}
	var address netip.AddrPort
	g.mu.Lock()
	if one := g.there[to]; one != nil {
		address = one.Address
	}
	g.mu.Unlock()
	if !address.IsValid() {
		return fmt.Errorf("member %s is not there", to)
	}
	return g.list.SendBestEffort(&memberlist.Node{
		Name: to.String(), Addr: address.Addr().AsSlice(), Port: address.Port(),
	}, message)
}

// UseKeys replaces the keys: the first is used from now on, all are understood, others no more.
func (g *Gossip) UseKeys(keys [][]byte) error {
	if err := checkKeys(keys); err != nil {
		return err
	}
	for _, key := range keys {
		if err := g.ring.AddKey(key); err != nil {
			return err
		}
	}
	if err := g.ring.UseKey(keys[0]); err != nil {
		return err
	}
	for _, old := range g.ring.GetKeys() {
		if !slices.ContainsFunc(keys, func(key []byte) bool { return string(key) == string(old) }) {
			if err := g.ring.RemoveKey(old); err != nil {
				return err
			}
		}
	}
	return nil
}

// Leave tells the others that we go, for at most two seconds; Close without it lets them find out.
func (g *Gossip) Leave() error { return g.list.Leave(leaveTime) }

// Close ends gossip.
func (g *Gossip) Close() error { return g.list.Shutdown() }

// NotifyAlive refuses whoever cannot be a member, and more than there may be. memberlist calls it.
func (g *Gossip) NotifyAlive(node *memberlist.Node) error {
	member, err := id.Parse(node.Name)
	if err != nil {
		return err
	}
	if len(node.Meta) > MaxMeta {
		return core.Refuse(core.ClassLimit, "a member says %d bytes about itself", len(node.Meta))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.there[member]; !known && len(g.there) >= MaxMembers {
		return core.Refuse(core.ClassLimit, "more than %d members", MaxMembers)
	}
	return nil
}

// NotifyJoin notes a member that came. memberlist calls it under a lock of its own.
func (g *Gossip) NotifyJoin(node *memberlist.Node) { g.NotifyUpdate(node) }

// NotifyUpdate notes what a member says about itself now.
func (g *Gossip) NotifyUpdate(node *memberlist.Node) {
	address, valid := netip.AddrFromSlice(node.Addr)
	member, err := id.Parse(node.Name)
	if err != nil || member == g.host.self || !valid {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at := Member{ID: member, Address: netip.AddrPortFrom(address.Unmap(), node.Port)}
	if g.options.Also != nil {
		at.Also = g.options.Also(node.Meta)
	}
	one := g.there[member]
	if one == nil || one.Member != at { // elsewhere it is as far as it is there
		one = &heard{Rumour: Rumour{Member: at}}
		g.there[member] = one
	}
	one.Meta = slices.Clone(node.Meta)
}

// NotifyLeave forgets a member that went.
func (g *Gossip) NotifyLeave(node *memberlist.Node) {
	member, err := id.Parse(node.Name)
	if err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.there, member)
}

// A delegate tells memberlist what we say, and is told what is said to us. Nothing of ours is broadcast, nor a state.
type delegate struct {
	heard func([]byte) // nil: nobody hears

	mu   sync.Mutex
	meta []byte
}

func (d *delegate) set(meta []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.meta = slices.Clone(meta)
}

func (d *delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.meta)
}

// NotifyMsg hands a message on, in bytes of its own: those it comes in are memberlist's.
func (d *delegate) NotifyMsg(message []byte) {
	if d.heard != nil && len(message) <= MaxMessage { // streams carry longer ones
		d.heard(slices.Clone(message))
	}
}

func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return nil }
func (d *delegate) MergeRemoteState([]byte, bool)   {}

var _ memberlist.Delegate = (*delegate)(nil)

// A gossipConn is a stream as memberlist wants it.
type gossipConn struct {
	Stream
	local, remote net.Addr
}

func (c *gossipConn) LocalAddr() net.Addr                { return c.local }
func (c *gossipConn) RemoteAddr() net.Addr               { return c.remote }
func (c *gossipConn) SetReadDeadline(t time.Time) error  { return c.SetDeadline(t) }
func (c *gossipConn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }
