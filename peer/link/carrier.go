package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
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
	conn      net.PacketConn
	packets   chan *memberlist.Packet
	streams   chan net.Conn
	stop      chan struct{}
	once      sync.Once
	running   sync.WaitGroup
}

// packetQueue is how many packets wait for memberlist; QUIC keeps no more than 32 for us while we wait.
const packetQueue = 256

func (h *Host) newCarrier(advertise netip.Addr) (*carrier, error) {
	address, err := quicAddress(h.swarm.ListenAddresses())
	if err != nil {
		return nil, err
	}
	conn, err := h.quic.SharedNonQUICPacketConn("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	c := &carrier{
		host: h, advertise: advertise, conn: conn, packets: make(chan *memberlist.Packet, packetQueue),
		streams: make(chan net.Conn), stop: make(chan struct{}),
	}
	c.running.Go(c.readPackets)
	c.running.Go(c.passStreams)
	return c, nil
}

// readPackets takes packets off QUIC's hands as fast as it can; what memberlist does not take in time is dropped, as
// the network may do too.
func (c *carrier) readPackets() {
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := c.conn.ReadFrom(buffer)
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

// WriteTo sends a packet.
func (c *carrier) WriteTo(packet []byte, address string) (time.Time, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return time.Time{}, err
	}
	marked := append([]byte{packetMark}, packet...)
	_, err = c.conn.WriteTo(marked, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

// WriteToAddress sends a packet.
func (c *carrier) WriteToAddress(packet []byte, to memberlist.Address) (time.Time, error) {
	return c.WriteTo(packet, to.Addr)
}

// DialAddressTimeout opens a stream to a member, whose name is its ID.
func (c *carrier) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	address, err := netip.ParseAddrPort(to.Addr)
	if err != nil {
		return nil, err
	}
	member, err := id.Parse(to.Name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	opened, err := c.host.Open(ctx, Member{ID: member, Address: address})
	if err != nil {
		return nil, err
	}
	if err := write(opened, wire.Gossip{}); err != nil {
		return nil, errors.Join(err, opened.Reset())
	}
	return &gossipConn{
		Stream: opened, local: &net.TCPAddr{IP: c.advertise.AsSlice(), Port: int(c.host.Port())},
		remote: net.TCPAddrFromAddrPort(address),
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
		err = c.conn.Close()
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
