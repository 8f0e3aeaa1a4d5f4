package link

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"
)

// maxPacket is the largest UDP payload that is sent before the way to a member has proven that it carries more, in bytes:
// the least that QUIC needs (RFC 9000, section 14). With the 48 bytes of IPv6 and UDP it fits a link of MTU 1280, the
// least that IPv6 allows and what many tunnels have, and with those of IPv4 one of 1228. QUIC finds out by itself what more
// is carried; gossip stays below.
const maxPacket = 1200

// unprovenRate is how many connections a second may begin from addresses that nobody has proven. More must prove them first.
const unprovenRate = 1000

// A port is a UDP socket of one family with its QUIC transport, which quicreuse borrows.
type port struct {
	conn      net.PacketConn
	transport *quic.Transport
}

// newPort opens a socket of the address's family alone.
func newPort(at netip.AddrPort, reset *quic.StatelessResetKey, token *quic.TokenGeneratorKey) (port, error) {
	network := familyOf(at.Addr())
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return port{}, err
	}
	return port{conn, &quic.Transport{
		Conn: conn, StatelessResetKey: reset, TokenGeneratorKey: token, VerifySourceAddress: new(unproven).isTooMany,
	}}, nil
}

// familyOf returns the family of an address in the words of package net.
func familyOf(address netip.Addr) string {
	if address.Unmap().Is6() {
		return "udp6"
	}
	return "udp4"
}

// address returns where it listens.
func (p port) address() netip.AddrPort { return p.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close frees the port. Whoever borrowed it must have ended.
func (p port) Close() error { return errors.Join(p.transport.Close(), p.conn.Close()) }

// A smallTransport is a QUIC transport whose connections begin with packets of maxPacket, whichever side dials.
// quic-go's own begin with 1280 bytes that no router may cut, which a tunnel inside a site loses without a word; and
// quicreuse would let only the side that dials say otherwise.
type smallTransport struct{ *quic.Transport }

func (t smallTransport) Listen(secure *tls.Config, config *quic.Config) (quicreuse.QUICListener, error) {
	return t.Transport.Listen(secure, small(config))
}

func (t smallTransport) Dial(ctx context.Context, to net.Addr, secure *tls.Config, config *quic.Config) (*quic.Conn, error) {
	return t.Transport.Dial(ctx, to, secure, small(config))
}

func small(config *quic.Config) *quic.Config {
	config = config.Clone()
	config.InitialPacketSize = maxPacket
	return config
}

var _ quicreuse.QUICTransport = smallTransport{}

// An unproven counts connections from addresses that nobody has proven, second by second.
type unproven struct {
	mu     sync.Mutex
	second time.Time
	count  int
}

// isTooMany counts one, and reports whether it must prove its address first. quic-go calls it.
func (u *unproven) isTooMany(net.Addr) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := time.Now(); now.Sub(u.second) >= time.Second {
		u.second, u.count = now, 0
	}
	u.count++
	return u.count > unprovenRate
}
