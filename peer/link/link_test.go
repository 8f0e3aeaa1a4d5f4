package link

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/owner"
	"enjambre/peer/wire"
)

// patience bounds a wait: only what hangs comes to it. Whoever was not reached, as the computer was busy, is tried
// again after a minute.
const patience = 3 * time.Minute

var loopback = netip.MustParseAddr("127.0.0.1")

// keyOf returns the n-th member's key.
func keyOf(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// helloOf is what the members of a site say.
func helloOf(site string) wire.Hello {
	return wire.Hello{Version: wire.Version, Weight: owner.Medium, Certificate: []byte{1}, Ticket: []byte(site)}
}

// listen opens a host whose members greet with the site's name.
func listen(t testing.TB, n byte, site string) *Host {
	t.Helper()
	return listenAt(t, n, site, netip.MustParseAddrPort("0.0.0.0:0"), false)
}

// listenAt opens one at an address, and perhaps in both families.
func listenAt(t testing.TB, n byte, site string, at netip.AddrPort, both bool) *Host {
	t.Helper()
	host, err := Listen(Options{
		Key: keyOf(n), Listen: at, Both: both,
		Hello: func() (wire.Hello, error) { return helloOf(site), nil },
		Judge: func(_ id.Peer, hello wire.Hello) (wire.Code, error) {
			if string(hello.Ticket) != site {
				return wire.CodeTicket, core.Refuse(core.ClassIdent, "it is at site %q", hello.Ticket)
			}
			return 0, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	return host
}

func (h *Host) member() Member {
	return Member{ID: h.ID(), Address: netip.AddrPortFrom(loopback, h.Port())}
}

// echo answers every stream with what came.
func echo(t testing.TB, host *Host) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		for {
			stream, err := host.Accept(ctx)
			if err != nil {
				return
			}
			go func() {
				defer stream.Close()
				_, _ = io.Copy(stream, stream)
				_ = stream.CloseWrite()
			}()
		}
	}()
}

// ask sends a text to a member and returns its answer.
func ask(ctx context.Context, from *Host, to Member, text string) (string, error) {
	stream, err := from.Open(ctx, to)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	if _, err := io.WriteString(stream, text); err != nil {
		return "", err
	}
	if err := stream.CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(stream)
	return string(answer), err
}

// TestStreams: many at once, both ways, over one connection; each end knows who the other is.
func TestStreams(t *testing.T) {
	a, b := listen(t, 1, "lyon"), listen(t, 2, "lyon")
	echo(t, a)
	echo(t, b)
	errs := make(chan error, 40)
	for i := range 40 {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		go func() {
			for { // beyond MaxStreams a stream is refused at once, and may be tried again
				want := fmt.Sprintf("text %d %s", i, strings.Repeat("x", 50_000))
				got, err := ask(t.Context(), from, to.member(), want)
				if err == nil && got != want {
					err = fmt.Errorf("got %d bytes, want %d", len(got), len(want))
				}
				if err == nil || t.Context().Err() != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for range 40 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if got := a.Connected(); len(got) != 1 || got[0] != b.ID() {
		t.Errorf("a is connected to %v", got)
	}
	want, err := id.FromKey(keyOf(1).Public().(ed25519.PublicKey))
	if err != nil || a.ID() != want {
		t.Errorf("ID %s, want %s, %v", a.ID(), want, err)
	}
}

// TestNotAdmitted: who is not of the site gets no stream, whichever side it is on.
func TestNotAdmitted(t *testing.T) {
	a, stranger := listen(t, 1, "lyon"), listen(t, 2, "paris")
	echo(t, a)
	echo(t, stranger)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, pair := range [][2]*Host{{a, stranger}, {stranger, a}} {
		for _, host := range pair { // until it knows that the connection before was closed
			for len(host.swarm.Conns()) > 0 {
				time.Sleep(time.Millisecond)
			}
		}
		_, err := ask(ctx, pair[0], pair[1].member(), "x")
		var refusal wire.Refusal
		if !errors.Is(err, ErrNotGreeted) || !errors.As(err, &refusal) || refusal.Code != wire.CodeTicket ||
			!strings.Contains(err.Error(), "it is at site") {
			t.Errorf("got %v", err)
		}
	}
	if len(a.Connected())+len(stranger.Connected()) > 0 {
		t.Errorf("connected to %v and %v", a.Connected(), stranger.Connected())
	}
}

// TestWrongKey: an address where somebody else listens than the ID says.
func TestWrongKey(t *testing.T) {
	a, b := listen(t, 1, "lyon"), listen(t, 2, "lyon")
	other, err := id.FromKey(keyOf(3).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []id.Peer{other, {}} {
		if _, err := a.Open(t.Context(), Member{ID: one, Address: b.member().Address}); err == nil {
			t.Errorf("it passes for %v", one)
		}
	}
}

// TestGreetedOnce: however many open streams at once, one greeting is made.
func TestGreetedOnce(t *testing.T) {
	var hellos atomic.Int32
	b := listen(t, 2, "lyon")
	echo(t, b)
	a, err := Listen(Options{
		Key: keyOf(1), Listen: netip.MustParseAddrPort("0.0.0.0:0"),
		Hello: func() (wire.Hello, error) { hellos.Add(1); return helloOf("lyon"), nil },
		Judge: func(id.Peer, wire.Hello) (wire.Code, error) { return 0, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	errs := make(chan error, 8)
	for range 8 {
		go func() { _, err := ask(t.Context(), a, b.member(), "x"); errs <- err }()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if hellos.Load() != 1 {
		t.Errorf("greeted %d times", hellos.Load())
	}
	ours, err := a.Greeted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := b.Greeted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ours.Peer() != b.ID() || theirs.Peer() != a.ID() {
		t.Errorf("control streams of %v and %v", ours.Peer(), theirs.Peer())
	}
	for _, pair := range [][2]Stream{{ours, theirs}, {theirs, ours}} {
		if err := write(pair[0], wire.Drop{Info: core.Digest{1}}); err != nil {
			t.Fatal(err)
		}
		if frame, err := wire.Read(pair[1], wire.ControlKinds()...); err != nil || frame.Kind() != wire.KindDrop {
			t.Errorf("got %v, %v", frame, err)
		}
	}
}

// TestListenAddress: gossip needs the whole port.
func TestListenAddress(t *testing.T) {
	_, err := Listen(Options{Key: keyOf(1), Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if core.ClassOf(err) != core.ClassField {
		t.Errorf("got %v", err)
	}
}

// A gossiper is a host that gossips.
type gossiper struct {
	*Host
	gossip *Gossip
	hurry  chan struct{}
	heard  chan []byte
	before map[string]bool // that was heard, and may come once more
}

var siteKey = bytes.Repeat([]byte{1}, KeySize)

func gossips(t testing.TB, n byte, key []byte, known ...Member) *gossiper {
	t.Helper()
	return gossipsAt(t, listen(t, n, "lyon"), n, key, loopback, nil, known...)
}

// gossipsAt has a host gossip from an address; what it says of itself is its number, then its other address as text.
func gossipsAt(t testing.TB, host *Host, n byte, key []byte, at netip.Addr, also []byte, known ...Member) *gossiper {
	t.Helper()
	g := &gossiper{Host: host, hurry: make(chan struct{}), heard: make(chan []byte, 64), before: map[string]bool{}}
	var err error
	g.gossip, err = g.Host.Gossip(GossipOptions{
		Advertise: at, Keys: [][]byte{key}, Meta: append([]byte{n}, also...), Random: rand.New(rand.NewPCG(uint64(n), 1)),
		Also: func(meta []byte) netip.AddrPort {
			address, _ := netip.ParseAddrPort(string(meta[min(len(meta), 1):])) // the zero one if there is none
			return address
		},
		Known: func() []Member { return known }, Heard: func(message []byte) { g.heard <- message },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { g.gossip.Run(ctx, g.hurry); close(done) }()
	t.Cleanup(func() { cancel(); <-done; _ = g.gossip.Close() })
	return g
}

// sees waits until a gossiper believes that so many others are there.
func (g *gossiper) sees(t testing.TB, others int) []Rumour {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		members := g.gossip.Members()
		if len(members) == others {
			return members
		}
		if time.Now().After(deadline) {
			t.Fatalf("member %s sees %d others, want %d", g.ID(), len(members), others)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestGossip: members find each other through one that they know, on the port of their streams; one that goes is
// missed, one that says something else is heard.
func TestGossip(t *testing.T) {
	first := gossips(t, 1, siteKey)
	all := []*gossiper{first}
	for n := byte(2); n <= 5; n++ {
		all = append(all, gossips(t, n, siteKey, first.member()))
	}
	for _, g := range all {
		for _, rumour := range g.sees(t, 4) {
			if len(rumour.Meta) != 1 || rumour.Address.Addr() != loopback {
				t.Errorf("got %+v", rumour)
			}
		}
	}
	echo(t, all[4].Host)
	if got, err := ask(t.Context(), all[3].Host, all[4].member(), "x"); err != nil || got != "x" {
		t.Errorf("a stream on the same port: %q, %v", got, err)
	}
	t.Log("each is measured, and still is after it has said something else")
	isMeasured := func(r Rumour) bool { return r.RTT > 0 && r.RTT < time.Minute }
	for measured := false; !measured; time.Sleep(20 * time.Millisecond) {
		measured = !slices.ContainsFunc(first.sees(t, 4), func(r Rumour) bool { return !isMeasured(r) })
	}
	if err := all[1].gossip.Say([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := all[1].gossip.Say(make([]byte, MaxMeta+1)); core.ClassOf(err) != core.ClassLimit {
		t.Errorf("got %v", err)
	}
	for heard := false; !heard; time.Sleep(20 * time.Millisecond) {
		for _, rumour := range first.sees(t, 4) {
			heard = heard || string(rumour.Meta) == "new"
			if !isMeasured(rumour) {
				t.Errorf("%s: a round trip of %v", rumour.ID, rumour.RTT)
			}
		}
	}
	if err := all[2].gossip.Leave(); err != nil {
		t.Fatal(err)
	}
	first.sees(t, 3)
}

// TestGossipKeys: with another key nobody is found; keys change while all go on.
func TestGossipKeys(t *testing.T) {
	other := bytes.Repeat([]byte{2}, KeySize)
	a := gossips(t, 1, siteKey)
	b := gossips(t, 2, siteKey, a.member())
	stranger := gossips(t, 3, other, a.member())
	a.sees(t, 1)
	b.sees(t, 1)
	for _, step := range [][][]byte{{siteKey, other}, {other, siteKey}, {other}} {
		for _, g := range []*gossiper{a, b} {
			if err := g.gossip.UseKeys(step); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(stranger.gossip.Members()) != 0 {
		t.Errorf("with another key it was let in: %v", stranger.gossip.Members())
	}
	stranger.hurry <- struct{}{} // the key is the same now
	for _, g := range []*gossiper{a, b, stranger} {
		g.sees(t, 2)
	}
	for _, keys := range [][][]byte{nil, {siteKey[:5]}, make([][]byte, MaxKeys+1)} {
		if err := a.gossip.UseKeys(keys); core.ClassOf(err) == "" {
			t.Errorf("%d keys: got %v", len(keys), err)
		}
	}
}

// TestMessages: a message reaches the member that it is for, also the longest that there may be, and nobody else; one
// that is encrypted with another key reaches nobody.
func TestMessages(t *testing.T) {
	a := gossips(t, 1, siteKey)
	b, c := gossips(t, 2, siteKey, a.member()), gossips(t, 3, siteKey, a.member())
	for _, g := range []*gossiper{a, b, c} {
		g.sees(t, 2)
	}
	longest := bytes.Repeat([]byte{0xc2}, MaxMessage)
	for _, message := range [][]byte{[]byte("hello"), longest, {}} {
		hears(t, a, b, message)
	}
	if len(c.heard) > 0 || len(a.heard) > 0 {
		t.Errorf("it was heard by others, too: %d, %d", len(a.heard), len(c.heard))
	}
	if err := a.gossip.Send(b.ID(), append(longest, 1)); core.ClassOf(err) != core.ClassLimit {
		t.Errorf("longer than allowed: got %v", err)
	}
	if err := a.gossip.Send(id.Peer{9}, longest); err == nil {
		t.Error("sent to nobody")
	}
	packets, err := wire.Append(nil, largestTold(t))
	if err != nil || len(packets) > MaxMessage {
		t.Errorf("the largest progress that is told has %d bytes, %v: no message", len(packets), err)
	}
	// A stream carries more than a packet: it is dropped, and what follows is heard.
	if err := a.gossip.list.SendReliable(a.node(t, b), append(longest, 1)); err != nil {
		t.Fatal(err)
	}
	hears(t, a, b, []byte("after"))
	stranger := gossips(t, 4, bytes.Repeat([]byte{2}, KeySize))
	stranger.gossip.NotifyUpdate(a.node(t, b))
	if err := stranger.gossip.Send(b.ID(), []byte("psst")); err != nil {
		t.Fatal(err)
	}
	hears(t, a, b, []byte("after that"))
}

// node returns a member as memberlist knows it.
func (g *gossiper) node(t testing.TB, of *gossiper) *memberlist.Node {
	t.Helper()
	for _, node := range g.gossip.list.Members() {
		if node.Name == of.ID().String() {
			return node
		}
	}
	t.Fatalf("member %s is not there", of.ID())
	return nil
}

// hears sends a message until it is heard, as packets may be lost, and holds what is heard to be it or one before it.
func hears(t testing.TB, from, by *gossiper, message []byte) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		if err := from.gossip.Send(by.ID(), message); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-by.heard:
			if bytes.Equal(got, message) {
				by.before[string(got)] = true
				return
			}
			if !by.before[string(got)] {
				t.Fatalf("heard %d bytes %.20q, want %d bytes %.20q", len(got), got, len(message), message)
			}
		case <-time.After(time.Second):
		}
		if time.Now().After(deadline) {
			t.Fatalf("a message of %d bytes is not heard", len(message))
		}
	}
}

// largestTold returns a progress of as many packages as are told.
func largestTold(t testing.TB) wire.Progress {
	t.Helper()
	progress := wire.Progress{Issued: time.Unix(1, 0)}
	for i := range wire.MaxTold {
		one := wire.PackageProgress{Package: core.PackageID(i + 1), Phase: ocs.Delayed}
		progress.Packages = append(progress.Packages, one)
	}
	if err := progress.Sign(keyOf(1)); err != nil {
		t.Fatal(err)
	}
	return progress
}
