package link

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/libp2p/go-libp2p/core/network"

	"enjambre/peer/id"
	"enjambre/peer/wire"
)

// greedy opens a host that holds itself to no limits.
func greedy(t *testing.T, n byte, site string) *Host {
	t.Helper()
	host, err := listenWithin(Options{
		Key: keyOf(n), Listen: netip.MustParseAddrPort("0.0.0.0:0"),
		Hello: func() (wire.Hello, error) { return helloOf(site), nil },
		Judge: func(id.Peer, wire.Hello) (wire.Code, error) { return 0, nil },
	}, &network.NullResourceManager{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	return host
}

// streamsOf returns how many streams a host has with a member.
func (h *Host) streamsOf(member id.Peer) (count int) {
	for _, conn := range h.swarm.ConnsToPeer(theirs(member)) {
		count += len(conn.GetStreams())
	}
	return count
}

// TestStreamFlood: a member that opens as many streams as it can, and leaves them there, has MaxStreams at a time, and
// others are answered meanwhile (P11). QUIC itself gives it no more than some hundreds that it has not ended.
func TestStreamFlood(t *testing.T) {
	t.Parallel()
	victim, attacker, other := listen(t, 1, "lyon"), greedy(t, 2, "lyon"), listen(t, 3, "lyon")
	echo(t, victim)
	if err := attacker.Greet(t.Context(), victim.member()); err != nil {
		t.Fatal(err)
	}
	conn := attacker.swarm.ConnsToPeer(theirs(victim.ID()))[0]
	most, opened := 0, 0
	for ; opened < 10_000; opened++ {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		one, err := conn.NewStream(ctx)
		cancel()
		if err != nil {
			break // it has to wait for those that it has opened
		}
		_, _ = one.Write([]byte{byte(wire.KindAsk)}) // it may have been refused already
		most = max(most, victim.streamsOf(attacker.ID()))
		if opened%100 == 0 {
			if got, err := ask(t.Context(), other, victim.member(), "x"); err != nil || got != "x" {
				t.Fatalf("after %d streams another is answered %q, %v", opened, got, err)
			}
		}
	}
	if most > MaxStreams || most < MaxStreams/2 || opened < 2*MaxStreams {
		t.Errorf("%d streams at a time of %d, want %d at most", most, opened, MaxStreams)
	}
	if got, err := ask(t.Context(), other, victim.member(), "x"); err != nil || got != "x" {
		t.Errorf("afterwards another is answered %q, %v", got, err)
	}
}

// TestGossipNonsense: who says more about itself than is allowed (P17), or gossips without the site's key (P18), is not
// believed to be there, and others are.
func TestGossipNonsense(t *testing.T) {
	t.Parallel()
	a := gossips(t, 1, siteKey)
	talker := listen(t, 2, "lyon")
	long, err := talker.Gossip(GossipOptions{
		Advertise: loopback, Keys: [][]byte{siteKey}, Meta: make([]byte, MaxMeta+1), Random: rand.New(rand.NewPCG(2, 1)),
		Known: func() []Member { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = long.Close() })
	_, _ = long.list.Join([]string{a.ID().String() + "/" + a.member().Address.String()})

	open := listen(t, 3, "lyon")
	carrier, err := open.newCarrier(loopback, func(m id.Peer, at netip.AddrPort) Member { return Member{ID: m, Address: at} })
	if err != nil {
		t.Fatal(err)
	}
	config := memberlist.DefaultLANConfig()
	config.Name, config.Transport, config.RequireNodeNames = open.ID().String(), carrier, true
	config.AdvertiseAddr, config.AdvertisePort, config.BindPort = loopback.String(), int(open.Port()), int(open.Port())
	config.LogOutput = new(bytes.Buffer)
	plain, err := memberlist.Create(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Shutdown() })
	if n, err := plain.Join([]string{a.ID().String() + "/" + a.member().Address.String()}); err == nil {
		t.Errorf("without the key %d members were joined", n)
	}

	honest := gossips(t, 4, siteKey, a.member())
	for _, g := range []*gossiper{a, honest} {
		for _, rumour := range g.sees(t, 1) {
			if rumour.ID != a.ID() && rumour.ID != honest.ID() {
				t.Errorf("%s is believed to be there", rumour.ID)
			}
		}
	}
}
