package nearby

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
)

// peer returns a peer ID.
func peer(n byte) id.Peer {
	var key [id.KeySize]byte
	key[0], key[31] = n, 1
	return key
}

func at(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

// TestTag: equal names give equal tags, and no two pairs of names run into each other.
func TestTag(t *testing.T) {
	seen := map[Tag]bool{}
	for _, names := range [][2]string{
		{"acme", "lyon"}, {"acme", "paris"}, {"acm", "elyon"}, {"acme\n4 lyon", "lyon"}, {"", "acme"},
	} {
		tag := TagOf(names[0], core.SiteName(names[1]))
		if seen[tag] || tag != TagOf(names[0], core.SiteName(names[1])) {
			t.Errorf("%q: tag %v", names, tag)
		}
		seen[tag] = true
	}
	if got := TagOf("acme", "lyon").String(); len(got) != 16 {
		t.Errorf("got %q", got)
	}
}

func TestParseTexts(t *testing.T) {
	tag := TagOf("acme", "lyon")
	good := texts(peer(1), tag)
	who, read, err := parseTexts([]string{"V=1", "x", "=y", good[1], "ID=other", good[2]})
	if err != nil || who != peer(1) || read != tag {
		t.Errorf("got %v, %v, %v", who, read, err)
	}
	for name, c := range map[string]struct {
		texts []string
		class core.Class
	}{
		"nothing":         {nil, core.ClassVersion},
		"another version": {[]string{"v=2", good[1], good[2]}, core.ClassVersion},
		"no peer":         {[]string{good[0], good[2]}, core.ClassIdent},
		"no peer ID":      {[]string{good[0], "id=12D3KooW", good[2]}, core.ClassIdent},
		"no tag":          {good[:2], core.ClassField},
		"a short tag":     {[]string{good[0], good[1], "s=0011"}, core.ClassField},
		"upper case":      {[]string{good[0], good[1], "s=ABABABABABABABAB"}, core.ClassField},
		"no hex":          {[]string{good[0], good[1], "s=zzzzzzzzzzzzzzzz"}, core.ClassField},
		"many":            {slices.Repeat([]string{""}, maxTexts+1), core.ClassLimit},
		"long":            {append(slices.Clone(good), "x="+strings.Repeat("x", 200)), core.ClassLimit},
	} {
		if _, _, err := parseTexts(c.texts); core.ClassOf(err) != c.class {
			t.Errorf("%s: got %v, want %s", name, err, c.class)
		}
	}
}

// FuzzTexts: what is accepted is written and read as the same, and nothing is read without its bounds.
func FuzzTexts(f *testing.F) {
	f.Add(strings.Join(texts(peer(1), TagOf("acme", "lyon")), "\n"))
	f.Add("v=1\nid=\ns=")
	f.Fuzz(func(t *testing.T, joined string) {
		given := strings.Split(joined, "\n")
		who, tag, err := parseTexts(given)
		if err != nil {
			return
		}
		again, tagAgain, err := parseTexts(texts(who, tag))
		if err != nil || again != who || tagAgain != tag || len(given) > maxTexts || len(joined)-len(given)+1 > maxTextBytes {
			t.Errorf("%q: %v %v, then %v %v, %v", given, who, tag, again, tagAgain, err)
		}
	})
}

// FuzzMessage: what is understood is written and read as the same.
func FuzzMessage(f *testing.F) {
	for _, address := range []string{"192.0.2.1:4901", "[2001:db8::1]:4901"} {
		here := announcement{Place: Place{peer(1), at(address)}, Tag: TagOf("acme", "lyon"), TTL: keepTime}
		data, err := here.message()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	asks, err := question(7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(asks)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := parseMessage(data)
		if !ok || got.asks {
			return
		}
		if got.said.TTL > keepTime || got.said.TTL < 0 {
			t.Errorf("it counts for %v", got.said.TTL)
		}
		written, err := got.said.message()
		if err != nil {
			t.Fatal(err)
		}
		want := *got.said
		if want.Place.Address.Addr().Is4In6() { // which nobody admits
			return
		}
		if again, ok := parseMessage(written); !ok || *again.said != want || len(written) > maxMessage {
			t.Errorf("got %+v, %v, want %+v", again.said, ok, want)
		}
	})
}

// TestMessages: an announcement and a question are read as they were written, in any case; cut ones are not.
func TestMessages(t *testing.T) {
	want := announcement{Place: Place{peer(1), at("192.0.2.1:4901")}, Tag: TagOf("acme", "lyon"), TTL: keepTime}
	data, err := want.message()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "acme") || strings.Contains(string(data), "lyon") {
		t.Errorf("names are told: %q", data)
	}
	got, ok := parseMessage(data)
	if !ok || got.asks || *got.said != want {
		t.Errorf("got %+v, %v, want %+v", got.said, ok, want)
	}
	loud := []byte(strings.ReplaceAll(string(data), "_enjambre", "_ENJAMBRE"))
	if got, ok := parseMessage(loud); !ok || *got.said != want {
		t.Errorf("in upper case: %+v, %v", got.said, ok)
	}
	for n := range data {
		if _, ok := parseMessage(data[:n]); ok {
			t.Errorf("cut to %d of %d bytes it is understood", n, len(data))
		}
	}
	asks, err := question(7)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := parseMessage(asks); !ok || !got.asks || got.number != 7 || got.said != nil {
		t.Errorf("a question: got %+v, %v", got, ok)
	}
	other := []byte(strings.ReplaceAll(string(asks), "_enjambre", "_ensemble"))
	if _, ok := parseMessage(other); ok {
		t.Error("a question for another service concerns us")
	}
}

// TestFilter: where members may be, and who is heard.
func TestFilter(t *testing.T) {
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	lan4 := lan{self: at("192.0.2.10:4901"), networks: prefixes("192.0.2.0/24", "198.51.100.8/31")}
	lan6 := lan{self: at("[2001:db8::10]:4901"), networks: prefixes("2001:db8::/64", "fe80::/64")}
	single := lan{self: at("[2001:db8::10]:4901"), networks: prefixes("2001:db8::10/128", "fe80::/64")}
	loop := lan{self: at("127.0.0.1:4901"), networks: prefixes("127.0.0.0/8")}
	for _, c := range []struct {
		l    lan
		at   string
		want bool
	}{
		{lan4, "192.0.2.11:4901", true}, {lan4, "192.0.2.10:4902", true}, {lan4, "192.0.2.10:4901", false},
		{lan4, "192.0.2.11:0", false}, {lan4, "192.0.2.0:4901", false}, {lan4, "192.0.2.255:4901", false},
		{lan4, "198.51.100.9:4901", true}, {lan4, "198.51.100.10:4901", false}, {lan4, "203.0.113.1:4901", false},
		{lan4, "127.0.0.1:4901", false}, {lan4, "0.0.0.0:4901", false}, {lan4, "224.0.0.251:4901", false},
		{lan4, "255.255.255.255:4901", false}, {lan4, "169.254.1.1:4901", false}, {lan4, "[2001:db8::11]:4901", false},
		{lan4, "[::ffff:192.0.2.11]:4901", false},
		{lan6, "[2001:db8::11]:4901", true}, {lan6, "[2001:db8:1::11]:4901", false}, {lan6, "[fe80::1]:4901", false},
		{lan6, "[::1]:4901", false}, {lan6, "[ff02::fb]:4901", false}, {lan6, "192.0.2.11:4901", false},
		{single, "[2001:db8:1::11]:4901", true}, {single, "[fe80::1]:4901", false}, {single, "[::]:4901", false},
		{loop, "127.0.0.1:4902", true}, {loop, "127.0.0.1:4901", false}, {loop, "192.0.2.11:4901", false},
	} {
		if got := c.l.admits(at(c.at)); got != c.want {
			t.Errorf("at %v, a member at %s: got %v", c.l.self, c.at, got)
		}
	}
	for _, c := range []struct {
		l    lan
		from string
		want bool
	}{
		{lan4, "192.0.2.11:5353", true}, {lan4, "192.0.2.11:5354", false}, {lan4, "203.0.113.1:5353", false},
		{lan6, "[fe80::1%eth0]:5353", true}, {lan6, "[2001:db8::11]:5353", true}, {lan6, "[2001:db8:1::1]:5353", false},
		{single, "[fe80::1%eth0]:5353", true}, {lan6, "192.0.2.11:5353", false},
	} {
		if got := c.l.hears(at(c.from)); got != c.want {
			t.Errorf("at %v, from %s: got %v", c.l.self, c.from, got)
		}
	}
}

// TestKept: a flood does not grow, one sender does not crowd out others, and what is not said again is forgotten.
func TestKept(t *testing.T) {
	k, now := kept{}, time.Unix(1e9, 0)
	sender := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }
	said := func(n int) announcement {
		return announcement{Place: Place{peer(byte(n)), netip.AddrPortFrom(sender(n%200), uint16(1+n))}, TTL: keepTime}
	}
	for n := range 10_000 {
		k.take(said(n), sender(1), now)
	}
	if len(k) != MaxFrom {
		t.Errorf("%d places of one sender", len(k))
	}
	for n := range 10_000 {
		k.take(said(n), sender(n%200), now)
	}
	if len(k) != MaxPlaces {
		t.Errorf("%d places", len(k))
	}
	k, now = kept{}, now.Add(time.Hour)
	if !k.take(said(1), sender(1), now) || k.take(said(1), sender(1), now.Add(time.Minute)) {
		t.Error("what is new is not told from what is not")
	}
	gone := said(1)
	gone.TTL = 0
	if k.take(gone, sender(2), now); len(k.places(now)) != 1 {
		t.Error("a stranger took a place away")
	}
	if got := k.places(now.Add(keepTime)); len(got) != 1 {
		t.Errorf("what was said again a minute later is forgotten: %v", got)
	}
	if got := k.places(now.Add(keepTime + time.Minute)); len(got) != 0 {
		t.Errorf("after its time there is %v", got)
	}
	k.take(said(1), sender(1), now)
	if k.take(gone, sender(1), now); len(k) != 0 {
		t.Error("who goes is still there")
	}
}

// over runs a pace for a while, and counts what it says and asks; told is called before each step.
func over(p *pace, from time.Time, while time.Duration, alone bool, before func(now time.Time)) (said, asked int) {
	for now := p.next(); now.Before(from.Add(while)); now = p.next() {
		before(now)
		says, asks := p.due(now, alone)
		if says {
			said++
		}
		if asks {
			asked++
		}
	}
	return said, asked
}

// TestPace: how much is said and asked.
func TestPace(t *testing.T) {
	start := time.Unix(1e9, 0)
	nothing := func(time.Time) {}
	for seed := range uint64(50) {
		fresh := func() *pace { return newPace(start, rand.New(rand.NewPCG(seed, 1))) }
		said, asked := over(fresh(), start, time.Hour, false, nothing)
		if asked != firstSaid || said < firstSaid+7 || said > firstSaid+24 {
			t.Errorf("seed %d, among others for an hour: said %d times, asked %d", seed, said, asked)
		}
		if _, asked := over(fresh(), start, time.Hour, true, nothing); asked < 55 || asked > 70 {
			t.Errorf("seed %d, alone for an hour: asked %d times", seed, asked)
		}
		p := fresh()
		said, _ = over(p, start, 10*time.Minute, false, func(now time.Time) { p.asked(now) })
		p.asked(start.Add(11 * time.Minute))
		flooded, _ := over(p, start.Add(11*time.Minute), time.Minute, false, func(now time.Time) { p.asked(now) })
		if said == 0 || flooded > 31 {
			t.Errorf("seed %d, asked without end for a minute: said %d times", seed, flooded)
		}
		p = fresh()
		over(p, start, 2*time.Minute, false, nothing)
		now := start.Add(2 * time.Minute)
		p.asked(now)
		if wait := p.next().Sub(now); wait > answerMost {
			t.Errorf("seed %d: the answer comes after %v", seed, wait)
		}
		for range enough {
			p.answered()
		}
		if says, _ := p.due(now.Add(answerMost), false); says {
			t.Errorf("seed %d: it answers when eight have", seed)
		}
	}
}

// TestValve: of a flood a hundred messages a second are read.
func TestValve(t *testing.T) {
	var v valve
	now := time.Unix(1e9, 0)
	end := now.Add(10 * time.Second)
	read := 0
	for ; now.Before(end); read++ {
		now = now.Add(v.pass(now) + 10*time.Microsecond)
	}
	if read < 9*maxPerSecond || read > 11*maxPerSecond {
		t.Errorf("%d messages in ten seconds", read)
	}
}

// TestFind: agents on the loopback find each other, not those of another swarm, and hear when one goes.
func TestFind(t *testing.T) { find(t, netip.MustParseAddr("127.0.0.1")) }

func find(t *testing.T, self netip.Addr) {
	t.Helper()
	alone := func() bool { return true }
	finder := func(n byte, site core.SiteName) *Finder {
		place := Place{peer(n), netip.AddrPortFrom(self, 4900+uint16(n))}
		return New(Options{Self: place, Tag: TagOf(t.Name()+fmt.Sprint(os.Getpid()), site), Alone: alone})
	}
	a, b, other := finder(1, "lyon"), finder(2, "lyon"), finder(3, "paris")
	ctx, cancel := context.WithCancel(t.Context())
	leaving, leave := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); leave(); running.Wait() })
	run := func(ctx context.Context, f *Finder) {
		running.Go(func() {
			if err := f.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	run(ctx, a)
	run(ctx, other)
	run(leaving, b)
	await := func(what string, f *Finder, want ...Place) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !slices.Equal(f.Places(), want); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: got %v, want %v", what, f.Places(), want)
			}
		}
	}
	await("one finds the other", a, b.options.Self)
	await("and the other the one", b, a.options.Self)
	select {
	case <-a.Found():
	default:
		t.Error("nobody was told that one was found")
	}
	if got := other.Places(); len(got) > 0 {
		t.Errorf("another site has found %v", got)
	}
	leave()
	await("one has gone", a)
}

// TestNoInterface: an address that no interface has is said, and nothing runs then.
func TestNoInterface(t *testing.T) {
	f := New(Options{Self: Place{peer(1), at("203.0.113.9:4901")}, Alone: func() bool { return false }})
	err := f.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no network interface has address 203.0.113.9") {
		t.Errorf("got %v", err)
	}
}
