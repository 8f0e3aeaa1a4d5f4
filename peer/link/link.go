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
}

// Options say how to listen. All but Log are required.
type Options struct {
	Key    ed25519.PrivateKey
	Listen netip.AddrPort             // the unspecified address of a family; port 0 is any
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
	address, err := multiaddress(h.options.Listen)
	if err != nil {
		return err
	}
	return h.swarm.Listen(address)
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
func (h *Host) Port() uint16 {
	address, err := quicAddress(h.swarm.ListenAddresses())
	if err != nil {
		panic("link: a host without address: " + err.Error()) // Listen would have failed
	}
	return address.Port()
}

// quicAddress returns the first address as an address.
func quicAddress(addresses []ma.Multiaddr) (netip.AddrPort, error) {
	if len(addresses) == 0 {
		return netip.AddrPort{}, errors.New("no address")
	}
	address, _, err := quicreuse.FromQuicMultiaddr(addresses[0])
	if err != nil {
		return netip.AddrPort{}, err
	}
	return address.AddrPort(), nil
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
	address, err := multiaddress(to.Address)
	if err != nil {
		return nil, err
	}
	book := h.swarm.Peerstore()
	book.AddAddr(member, address, time.Minute)
	for _, former := range book.Addrs(member) { // only the one that we are told now
		if !former.Equal(address) {
			book.SetAddr(member, former, 0)
		}
	}
	return h.swarm.DialPeer(ctx, member)
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
