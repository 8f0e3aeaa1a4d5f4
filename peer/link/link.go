// Package link connects the members of a site: streams whose other end is proven by the handshake, and gossip, on one
// UDP port. It is the only network code of peer.
//
// # Streams
//
// A [Host] listens with QUIC. Every member has one Ed25519 key; the handshake proves that the other side holds the key
// that its [id.Peer] is, and nothing else is said about anybody before that. The swarm and the QUIC transport of libp2p
// are assembled here without their host: no protocol is negotiated, no address is told, no relay and no discovery
// exists. What streams carry is peer/wire's; the first byte of a stream, its first frame's kind, says what it is.
//
// Whoever dialled a connection, and nobody else, opens its control stream and says Hello on it, once; the other side
// judges it and answers with its own, or with a Refusal, and closes the connection. Until both have been judged well, a
// connection carries nothing else. Then either side gets its end of the control stream from [Host.Greeted], and all
// other streams from [Host.Accept] with their first byte still to be read.
//
// # Gossip
//
// [Host.Gossip] runs memberlist over the same port: packets beside QUIC's, streams through it. Its word is a hint and
// never proof: who is probably there, and a few bytes of what they say about themselves. It also carries messages from
// one member to another, however many others there are: one packet each, which needs no connection and may be lost. See
// gossip.go.
//
// # Bounds
//
// [MaxPeers] connections, two to a member; [MaxStreams] streams with one member; 16 MiB of receive windows in all; a
// greeting takes at most [GreetTime]; at most 64 streams of a kind wait to be taken, more are reset.
package link

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/wire"
)

// Bounds.
const (
	MaxPeers    = 64       // connections; 24 neighbours, those that replace them, and gossip's streams
	MaxStreams  = 16       // open at once with one member, both ways together
	MaxHello    = 12 << 10 // bytes
	GreetTime   = 10 * time.Second
	dialTime    = 5 * time.Second // until the handshake is done
	maxAccepted = 64
)

// ErrNotGreeted says that a member's hello was not accepted, or ours not by it.
var ErrNotGreeted = errors.New("the member was not greeted")

// theirs returns libp2p's form of a peer.
func theirs(member id.Peer) peer.ID { return peer.ID(member.Bytes()) }

// ours returns the peer that the handshake of a connection has proven.
func ours(conn network.Conn) (id.Peer, error) { return id.FromBytes([]byte(conn.RemotePeer())) }

// A Member is somebody to reach.
type Member struct {
	ID      id.Peer
	Address netip.AddrPort
	Also    netip.AddrPort // its address of the other family; zero: it has none, or none is known
}

// Options say how to listen. All but Log are required.
type Options struct {
	Key    ed25519.PrivateKey
	Listen netip.AddrPort             // the unspecified address of a family; port 0 is any
	Both   bool                       // listen in the other family too, at the same port
	Hello  func() (wire.Hello, error) // what we say to a member
	// Judge reports why a member is not one of our site now, with the code that tells it; nil if it is.
	Judge func(from id.Peer, hello wire.Hello) (wire.Code, error)
	Log   *slog.Logger // nil discards
}

// A Host is one member's end of all connections. Safe for concurrent use.
type Host struct {
	options Options
	self    id.Peer
	swarm   *swarm.Swarm
	quic    *quicreuse.ConnManager
	ports   []port // of each family that is listened in, the preferred first
	book    interface{ Close() error }
	limits  network.ResourceManager

	accepted chan Stream
	controls chan Stream
	gossip   chan *gossipConn
	closing  chan struct{}
	streams  sync.WaitGroup

	mu        sync.Mutex
	greetings map[string]*greeting // by connection
}

// Listen opens the port. Close the Host to free it.
func Listen(options Options) (*Host, error) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if !options.Listen.Addr().IsUnspecified() {
		return nil, core.Refuse(core.ClassField, "listen address %v: use 0.0.0.0 or ::, since gossip shares the port",
			options.Listen)
	}
	limits, err := newLimits()
	if err != nil {
		return nil, err
	}
	return listenWithin(options, limits)
}

// listenWithin opens the port within limits, which are closed with the Host.
func listenWithin(options Options, limits network.ResourceManager) (*Host, error) {
	h := &Host{
		limits: limits, options: options, accepted: make(chan Stream, maxAccepted), controls: make(chan Stream, maxAccepted),
		gossip:  make(chan *gossipConn, maxAccepted),
		closing: make(chan struct{}), greetings: map[string]*greeting{},
	}
	if err := h.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %v: %w", options.Listen, err), h.closeParts())
	}
	return h, nil
}

// open assembles the swarm.
func (h *Host) open() error {
	key, err := crypto.UnmarshalEd25519PrivateKey(h.options.Key)
	if err != nil {
		return err
	}
	self, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return err
	}
	if h.self, err = id.FromKey(h.options.Key.Public().(ed25519.PublicKey)); err != nil {
		return err
	}
	book, err := pstoremem.NewPeerstore()
	if err != nil {
		return err
	}
	h.book = book
	if err := book.AddPrivKey(self, key); err != nil {
		return err
	}
	h.swarm, err = swarm.NewSwarm(self, book, eventbus.NewBus(), swarm.WithResourceManager(h.limits),
		swarm.WithDialTimeout(dialTime), swarm.WithDialTimeoutLocal(dialTime), swarm.WithReadOnlyBlackHoleDetector())
	if err != nil {
		return err
	}
	var reset quic.StatelessResetKey
	var token quic.TokenGeneratorKey
	_, _ = rand.Read(reset[:]) // never fails
	_, _ = rand.Read(token[:])
	if h.quic, err = quicreuse.NewConnManager(reset, token); err != nil {
		return err
	}
	transport, err := libp2pquic.NewTransport(key, h.quic, nil, nil, h.limits)
	if err != nil {
		return err
	}
	if err := h.swarm.AddTransport(transport); err != nil {
		return err
	}
	h.swarm.SetStreamHandler(h.serve)
	h.swarm.Notify(&network.NotifyBundle{DisconnectedF: h.disconnected})
	if err := h.openPorts(&reset, &token); err != nil {
		return err
	}
	for _, one := range h.ports {
		address, err := multiaddress(one.address())
		if err != nil {
			return err
		}
		if err := h.swarm.Listen(address); err != nil {
			return err
		}
	}
	return nil
}

// portTries is how often a port that is free in both families is looked for when any will do.
const portTries = 10

// openPorts opens the sockets and lends them to quicreuse.
func (h *Host) openPorts(reset *quic.StatelessResetKey, token *quic.TokenGeneratorKey) error {
	wanted := []netip.AddrPort{h.options.Listen}
	if h.options.Both {
		wanted = append(wanted, netip.AddrPortFrom(otherUnspecified(h.options.Listen.Addr()), h.options.Listen.Port()))
	}
	var err error
	for range portTries {
		if h.ports, err = portsAt(wanted, reset, token); err == nil || h.options.Listen.Port() != 0 {
			break
		}
	}
	if err != nil {
		return err
	}
	for _, one := range h.ports {
		_, err := h.quic.LendTransport(familyOf(one.address().Addr()), smallTransport{one.transport}, one.conn)
		if err != nil {
			return err
		}
	}
	return nil
}

// portsAt opens sockets, all at the port of the first.
func portsAt(wanted []netip.AddrPort, reset *quic.StatelessResetKey, token *quic.TokenGeneratorKey) (ports []port, err error) {
	for _, at := range wanted {
		if len(ports) > 0 {
			at = netip.AddrPortFrom(at.Addr(), ports[0].address().Port())
		}
		one, err := newPort(at, reset, token)
		if err != nil {
			for _, former := range ports {
				err = errors.Join(err, former.Close())
			}
			return nil, err
		}
		ports = append(ports, one)
	}
	return ports, nil
}

// otherUnspecified returns the unspecified address of the other family.
func otherUnspecified(address netip.Addr) netip.Addr {
	if address.Is4() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// multiaddress writes an address as libp2p wants it.
func multiaddress(address netip.AddrPort) (ma.Multiaddr, error) {
	family := "ip4"
	if address.Addr().Unmap().Is6() {
		family = "ip6"
	}
	return ma.NewMultiaddr(fmt.Sprintf("/%s/%s/udp/%d/quic-v1", family, address.Addr().Unmap(), address.Port()))
}

// ID returns who this member is.
func (h *Host) ID() id.Peer { return h.self }

// Port returns the UDP port.
func (h *Host) Port() uint16 { return h.ports[0].address().Port() }

// listensIn reports whether members are reached in the family of an address.
func (h *Host) listensIn(address netip.Addr) bool {
	return slices.ContainsFunc(h.ports, func(one port) bool { return familyOf(one.address().Addr()) == familyOf(address) })
}

// Close ends all connections and frees the port. It returns when nothing of the Host runs any more.
func (h *Host) Close() error {
	close(h.closing)
	err := h.closeParts()
	h.streams.Wait()
	return err
}

func (h *Host) closeParts() error {
	var err error
	if h.swarm != nil {
		err = h.swarm.Close()
	}
	if h.quic != nil {
		err = errors.Join(err, h.quic.Close())
	}
	for _, one := range h.ports { // nobody borrows them any more
		err = errors.Join(err, one.Close())
	}
	if h.limits != nil {
		err = errors.Join(err, h.limits.Close())
	}
	if h.book != nil {
		err = errors.Join(err, h.book.Close())
	}
	return err
}

// Open opens a stream to a member, connecting to it and greeting it if need be. It is the caller's to close.
func (h *Host) Open(ctx context.Context, to Member) (Stream, error) {
	stream, err := h.stream(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("member %s at %v: %w", to.ID, to.Address, err)
	}
	return stream, nil
}

func (h *Host) stream(ctx context.Context, to Member) (Stream, error) {
	conn, err := h.dial(ctx, to)
	if err != nil {
		return nil, err
	}
	if err := h.greet(ctx, conn); err != nil {
		return nil, err
	}
	opened, err := conn.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	return &stream{Stream: opened, from: to.ID, ours: true}, nil
}

// Greet connects to a member and greets it, if that has not been done.
func (h *Host) Greet(ctx context.Context, to Member) error {
	conn, err := h.dial(ctx, to)
	if err == nil {
		err = h.greet(ctx, conn)
	}
	if err != nil {
		return fmt.Errorf("member %s at %v: %w", to.ID, to.Address, err)
	}
	return nil
}

// dial returns a connection to a member, the one there is or a new one.
func (h *Host) dial(ctx context.Context, to Member) (network.Conn, error) {
	member := theirs(to.ID)
	if conns := h.swarm.ConnsToPeer(member); len(conns) > 0 {
		return conns[0], nil
	}
	var addresses []ma.Multiaddr
	for _, at := range h.reachable(to) {
		address, err := multiaddress(at)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("no address of a family that this computer has: %v, %v", to.Address, to.Also)
	}
	book := h.swarm.Peerstore()
	for _, former := range book.Addrs(member) { // only those that we are told now
		if !slices.ContainsFunc(addresses, former.Equal) {
			book.SetAddr(member, former, 0)
		}
	}
	book.AddAddrs(member, addresses, time.Minute)
	return h.swarm.DialPeer(ctx, member)
}

// reachable returns a member's addresses of the families that we listen in, its first before the other.
func (h *Host) reachable(to Member) (at []netip.AddrPort) {
	for _, one := range []netip.AddrPort{to.Address, to.Also} {
		if one.IsValid() && h.listensIn(one.Addr()) {
			at = append(at, one)
		}
	}
	return at
}

// Greeted returns our end of the control stream of the next connection on which both sides have said hello, whoever
// dialled.
func (h *Host) Greeted(ctx context.Context) (Stream, error) { return h.next(ctx, h.controls) }

// Accept returns the next stream that a member has opened.
func (h *Host) Accept(ctx context.Context) (Stream, error) { return h.next(ctx, h.accepted) }

func (h *Host) next(ctx context.Context, from <-chan Stream) (Stream, error) {
	select {
	case one := <-from:
		return one, nil
	case <-h.closing:
		return nil, io.ErrClosedPipe
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Connected returns the members that a greeted connection leads to, in no order.
func (h *Host) Connected() []id.Peer {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[id.Peer]bool{}
	var members []id.Peer
	for _, conn := range h.swarm.Conns() {
		member, err := ours(conn)
		if g := h.greetings[conn.ID()]; err == nil && g != nil && g.isGood && !seen[member] {
			seen[member] = true
			members = append(members, member)
		}
	}
	return members
}

// Disconnect closes the connections to a member.
func (h *Host) Disconnect(member id.Peer) error { return h.swarm.ClosePeer(theirs(member)) }
