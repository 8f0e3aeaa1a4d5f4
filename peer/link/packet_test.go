package link

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

var loopback6 = netip.MustParseAddr("::1")

// A narrow way carries packets from one address to another and back for one that asks, but none that is larger than
// so many bytes: as a tunnel inside a site does, without a word.
type narrow struct {
	most    int
	outside *net.UDPConn // where whoever asks finds the way
	inside  *net.UDPConn // towards the other end
	asker   atomic.Pointer[netip.AddrPort]
	dropped atomic.Int64
	gossip  atomic.Int64 // the largest packet of gossip that came
}

// newNarrow opens a way from an address to another.
func newNarrow(t *testing.T, at, to netip.AddrPort, most int) *narrow {
	t.Helper()
	outside, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Skipf("no address %v here: %v", at, err)
	}
	inside, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	n := &narrow{most: most, outside: outside, inside: inside}
	t.Cleanup(func() { _, _ = outside.Close(), inside.Close() })
	go n.carry(outside, func(from netip.AddrPort, packet []byte) {
		n.asker.Store(&from)
		_, _ = inside.Write(packet)
	})
	go n.carry(inside, func(_ netip.AddrPort, packet []byte) {
		if asker := n.asker.Load(); asker != nil {
			_, _ = outside.WriteToUDPAddrPort(packet, *asker)
		}
	})
	return n
}

func (n *narrow) carry(from *net.UDPConn, pass func(netip.AddrPort, []byte)) {
	buffer := make([]byte, 64<<10)
	for {
		size, address, err := from.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		if size > 0 && buffer[0] == packetMark {
			n.gossip.Store(max(n.gossip.Load(), int64(size)))
		}
		if size > n.most {
			n.dropped.Add(1)
			continue
		}
		pass(address, buffer[:size])
	}
}

// TestNarrowWay: members meet over a way that carries no more than QUIC needs, whoever of them dials, and also what is
// long gets through. More is tried, and found not to come.
func TestNarrowWay(t *testing.T) {
	for _, one := range []struct{ at, to netip.Addr }{{loopback, loopback}, {loopback6, loopback}} {
		a := listenAt(t, 1, "lyon", netip.MustParseAddrPort("0.0.0.0:0"), one.at.Is6())
		b := listen(t, 2, "lyon")
		echo(t, b)
		way := newNarrow(t, netip.AddrPortFrom(one.at, 0), netip.AddrPortFrom(one.to, b.Port()), maxPacket)
		at := way.outside.LocalAddr().(*net.UDPAddr).AddrPort()
		text := string(make([]byte, 300_000))
		if got, err := ask(t.Context(), a, Member{ID: b.ID(), Address: at}, text); err != nil || got != text {
			t.Errorf("by %v: %d bytes came back, %v", one.at, len(got), err)
		}
		if way.dropped.Load() == 0 {
			t.Errorf("by %v: nothing larger than %d bytes was tried", one.at, maxPacket)
		}
	}
}

// TestGossipPackets: no packet of gossip is larger than what QUIC begins with, however much there is to say.
func TestGossipPackets(t *testing.T) {
	b := listen(t, 2, "lyon")
	way := newNarrow(t, netip.AddrPortFrom(loopback6, b.Port()), netip.AddrPortFrom(loopback, b.Port()), maxPacket)
	second := gossipsAt(t, b, 2, siteKey, loopback6, nil)
	a := listenAt(t, 1, "lyon", netip.MustParseAddrPort("0.0.0.0:0"), true)
	first := gossipsAt(t, a, 1, siteKey, loopback, nil, Member{ID: b.ID(), Address: netip.AddrPortFrom(loopback6, b.Port())})
	second.sees(t, 1)
	go func() {
		for {
			select {
			case <-second.heard:
			case <-t.Context().Done():
				return
			}
		}
	}()
	deadline := time.Now().Add(patience)
	for way.gossip.Load() < MaxMessage { // what is new goes with the messages
		if time.Now().After(deadline) {
			t.Fatalf("the largest packet had %d bytes", way.gossip.Load())
		}
		for size := MaxMessage / 2; size <= MaxMessage; size += 10 {
			if err := first.gossip.Send(b.ID(), make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Millisecond) // else the sockets overflow
	}
	if largest := way.gossip.Load(); largest > maxPacket {
		t.Errorf("a packet had %d bytes, at most %d are carried everywhere", largest, maxPacket)
	}
}

// TestFamilies: a member with two addresses, one with IPv4 alone and one with IPv6 alone are one swarm: each reaches
// whoever has its family, and gossip keeps the others in mind.
func TestFamilies(t *testing.T) {
	both := listenAt(t, 1, "lyon", netip.MustParseAddrPort("0.0.0.0:0"), true)
	also := netip.AddrPortFrom(loopback6, both.Port())
	old, modern := listen(t, 2, "lyon"), listenAt(t, 3, "lyon", netip.MustParseAddrPort("[::]:0"), false)
	echo(t, both)
	echo(t, modern)
	place := both.member()
	place.Also = also
	all := []*gossiper{
		gossipsAt(t, both, 1, siteKey, loopback, []byte(also.String())),
		gossipsAt(t, old, 2, siteKey, loopback, nil, both.member()), gossipsAt(t, modern, 3, siteKey, loopback6, nil, place),
	}
	for _, one := range all {
		one.sees(t, 2)
	}
	for _, one := range all[1:] {
		for _, rumour := range one.gossip.Members() {
			if rumour.ID != both.ID() {
				continue
			}
			if rumour.Address != both.member().Address || rumour.Also != also {
				t.Errorf("member %s knows the one with two addresses at %v and %v", one.ID(), rumour.Address, rumour.Also)
			}
			if got, err := ask(t.Context(), one.Host, rumour.Member, "hello"); err != nil || got != "hello" {
				t.Errorf("from member %s to the one with two addresses: %q, %v", one.ID(), got, err)
			}
		}
	}
	_, err := ask(t.Context(), old, Member{ID: modern.ID(), Address: netip.AddrPortFrom(loopback6, modern.Port())}, "hello")
	if err == nil {
		t.Error("a member without IPv6 reached one without IPv4")
	}
}
