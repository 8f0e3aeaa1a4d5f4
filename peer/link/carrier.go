package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	ma "github.com/multiformats/go-multiaddr"

	"enjambre/peer/id"
	"enjambre/peer/wire"
)

// packetMark is the first byte of a gossip packet: one whose bit 0x40 is not set is none of QUIC's.
const packetMark = 0x00

// A carrier is memberlist's way to others: packets beside QUIC's on its port, streams through it.
type carrier struct {
	host      *Host
	advertise netip.Addr
	conns     []net.PacketConn // beside the Host's ports, in their order
	place     placer
	packets   chan *memberlist.Packet
	streams   chan net.Conn
	stop      chan struct{}
	once      sync.Once
	running   sync.WaitGroup
}

// A placer returns where a member is, of whom memberlist names one address.
type placer func(member id.Peer, address netip.AddrPort) Member

// packetQueue is how many packets wait for memberlist; QUIC keeps no more than 32 for us while we wait.
const packetQueue = 256

func (h *Host) newCarrier(advertise netip.Addr, place placer) (*carrier, error) {
	c := &carrier{
		host: h, advertise: advertise, place: place, packets: make(chan *memberlist.Packet, packetQueue),
		streams: make(chan net.Conn), stop: make(chan struct{}),
	}
	for _, one := range h.ports {
		conn, err := h.quic.SharedNonQUICPacketConn("udp", net.UDPAddrFromAddrPort(one.address()))
		if err != nil {
			return nil, errors.Join(err, c.Shutdown())
		}
		c.conns = append(c.conns, conn)
		c.running.Go(func() { c.readPackets(conn) })
	}
	c.running.Go(c.passStreams)
	return c, nil
}

// readPackets takes packets off QUIC's hands as fast as it can; what memberlist does not take in time is dropped, as
// the network may do too.
func (c *carrier) readPackets(conn net.PacketConn) {
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			select {
			case <-c.stop:
				return
			default:
			}
			if errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
				return
			}
			continue
		}
		if n < 2 || buffer[0] != packetMark {
			continue
		}
		packet := &memberlist.Packet{Buf: append([]byte(nil), buffer[1:n]...), From: from, Timestamp: time.Now()}
		select {
		case c.packets <- packet:
		default:
		}
	}
}

// passStreams hands memberlist the streams that others have opened.
func (c *carrier) passStreams() {
	for {
		select {
		case <-c.stop:
			return
		case one := <-c.host.gossip:
			select {
			case c.streams <- one:
			case <-c.stop:
				_ = one.Reset()
				return
			}
		}
	}
}

// FinalAdvertiseAddr tells where others reach us.
func (c *carrier) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return c.advertise.AsSlice(), int(c.host.Port()), nil
}

// WriteTo is never asked for, since names are required.
func (c *carrier) WriteTo(_ []byte, address string) (time.Time, error) {
	return time.Time{}, fmt.Errorf("gossip with %s: its member's ID is not known", address)
}

// WriteToAddress sends a packet to a member, in a family that both have.
func (c *carrier) WriteToAddress(packet []byte, to memberlist.Address) (time.Time, error) {
	member, err := c.memberOf(to)
	if err != nil {
		return time.Time{}, err
	}
	ways := c.host.reachable(member)
	if len(ways) == 0 {
		return time.Time{}, fmt.Errorf("member %s at %v: no address of a family that this computer has", member.ID, to.Addr)
	}
	marked := append([]byte{packetMark}, packet...)
	isOf := func(one port) bool { return familyOf(one.address().Addr()) == familyOf(ways[0].Addr()) }
	_, err = c.conns[slices.IndexFunc(c.host.ports, isOf)].WriteTo(marked, net.UDPAddrFromAddrPort(ways[0]))
	return time.Now(), err
}

// memberOf returns whom memberlist means, whose name is its ID.
func (c *carrier) memberOf(to memberlist.Address) (Member, error) {
	address, err := netip.ParseAddrPort(to.Addr)
	if err != nil {
		return Member{}, err
	}
	member, err := id.Parse(to.Name)
	if err != nil {
		return Member{}, err
	}
	return c.place(member, address), nil
}

// DialAddressTimeout opens a stream to a member.
func (c *carrier) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	member, err := c.memberOf(to)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	opened, err := c.host.Open(ctx, member)
	if err != nil {
		return nil, err
	}
	if err := write(opened, wire.Gossip{}); err != nil {
		return nil, errors.Join(err, opened.Reset())
	}
	return &gossipConn{
		Stream: opened, local: &net.TCPAddr{IP: c.advertise.AsSlice(), Port: int(c.host.Port())},
		remote: net.TCPAddrFromAddrPort(member.Address),
	}, nil
}

// DialTimeout is never asked for, since names are required.
func (c *carrier) DialTimeout(address string, _ time.Duration) (net.Conn, error) {
	return nil, fmt.Errorf("gossip with %s: its member's ID is not known", address)
}

// PacketCh gives memberlist its packets.
func (c *carrier) PacketCh() <-chan *memberlist.Packet { return c.packets }

// StreamCh gives memberlist the streams of others.
func (c *carrier) StreamCh() <-chan net.Conn { return c.streams }

// Shutdown ends both goroutines.
func (c *carrier) Shutdown() error {
	var err error
	c.once.Do(func() {
		close(c.stop)
		for _, conn := range c.conns {
			err = errors.Join(err, conn.Close())
		}
		c.running.Wait()
	})
	return err
}

var _ memberlist.NodeAwareTransport = (*carrier)(nil)

// newGossipConn wraps a stream that a member has opened.
func newGossipConn(opened *stream, conn network.Conn) *gossipConn {
	return &gossipConn{Stream: opened, local: asTCP(conn.LocalMultiaddr()), remote: asTCP(conn.RemoteMultiaddr())}
}

// asTCP writes an address in the form that memberlist looks into.
func asTCP(address ma.Multiaddr) net.Addr {
	udp, _, err := quicreuse.FromQuicMultiaddr(address)
	if err != nil {
		return &net.TCPAddr{}
	}
	return &net.TCPAddr{IP: udp.IP, Port: udp.Port}
}

// A logWriter passes memberlist's lines on: its words are not ours, so none is louder than Debug.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	w.log.Debug("gossip", "line", strings.TrimSpace(string(line)))
	return len(line), nil
}
