package site

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/wanrate"
)

func addr(text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(text)
}

func addrs(texts string) (list []netip.Addr) {
	for text := range strings.FieldsSeq(texts) {
		list = append(list, addr(text))
	}
	return list
}

func sites(t testing.TB, text string) (list []Site) {
	t.Helper()
	for line := range strings.SplitSeq(text, ";") {
		words := strings.Fields(line)
		one := New(core.SiteName(words[0]))
		for _, word := range words[1:] {
			network, err := ParseNetwork(word)
			if err != nil {
				t.Fatal(err)
			}
			one.Networks = append(one.Networks, network)
		}
		list = append(list, one)
	}
	return list
}

func TestJudge(t *testing.T) {
	m := NewMap(sites(t, `lyon 10.1.0.0/16 198.51.100.7/32 fd00:1::/48; lab 10.1.9.0/24; paris 10.2.0.0/16 172.16.0.0/12;
		all 10.0.0.0/8`))
	for _, c := range []struct {
		name                      string
		egress, listen, also, own string
		assigned                  core.SiteName
		token                     bool
		want                      string
	}{
		{name: "nothing is known", want: " "},
		{name: "by hand", assigned: "nice", want: "nice hand"},
		{name: "by token", assigned: "nice", token: true, want: "nice token"},
		{name: "no network has it", egress: "192.0.2.1", own: "192.168.1.7", assigned: "nice",
			want: "nice hand"},
		{name: "a network over the hand", egress: "10.2.0.7", own: "10.2.0.7", assigned: "nice",
			want: "paris network 10.2.0.0/16"},
		{name: "the longest network", egress: "10.1.9.7", own: "10.1.9.7", want: "lab network 10.1.9.0/24"},
		{name: "around it", egress: "10.1.8.7", own: "10.1.8.7", want: "lyon network 10.1.0.0/16"},
		{name: "around all", egress: "10.77.8.7", own: "10.77.8.7", want: "all network 10.0.0.0/8"},
		{name: "both families, connected by the one without a network",
			egress: "2001:db8::7", listen: "10.1.8.7", also: "2001:db8::7", want: "lyon network 10.1.0.0/16"},
		{name: "both families, behind NAT, the other has a network",
			egress: "198.51.100.9", listen: "192.168.0.7", also: "fd00:1::7", want: "lyon network fd00:1::/48"},
		{name: "IPv6", egress: "fd00:1::7", own: "10.2.0.7 fd00:1::7", want: "lyon network fd00:1::/48"},
		{name: "the adapter in use, not a bridge",
			egress: "192.0.2.9", own: "172.17.0.1 192.0.2.9", assigned: "nice", want: "nice hand"},
		{name: "the adapter in use, of two", egress: "10.2.0.7", own: "10.1.9.7 10.2.0.7",
			want: "paris network 10.2.0.0/16"},
		{name: "behind NAT, its own before the router's", egress: "198.51.100.7", own: "10.2.0.7",
			want: "paris network 10.2.0.0/16"},
		{name: "behind NAT, where it listens",
			egress: "198.51.100.7", listen: "10.2.0.7", own: "10.1.9.7 10.2.0.7", want: "paris network 10.2.0.0/16"},
		{name: "behind NAT, where it listens, not a bridge",
			egress: "192.0.2.1", listen: "192.168.0.7", own: "172.17.0.1 192.168.0.7", want: " "},
		{name: "behind NAT, no inventory yet", egress: "198.51.100.7", want: "lyon network 198.51.100.7/32"},
		{name: "behind NAT, own ones tell nothing", egress: "198.51.100.7", own: "192.168.0.7",
			want: "lyon network 198.51.100.7/32"},
		{name: "behind NAT, several adapters, the longest",
			egress: "192.0.2.1", own: "172.17.0.1 10.1.9.7", want: "lab network 10.1.9.0/24"},
		{name: "behind NAT, several adapters, the lower", egress: "192.0.2.1", own: "10.2.0.7 10.1.0.7",
			want: "lyon network 10.1.0.0/16"},
		{name: "a private egress that is not its own", egress: "10.2.0.1", own: "192.168.0.7",
			want: "paris network 10.2.0.0/16"},
		{name: "listens where it connects from", egress: "10.2.0.7", listen: "10.2.0.7",
			want: "paris network 10.2.0.0/16"},
		{name: "says it listens elsewhere than its connection shows",
			egress: "10.2.0.7", listen: "10.1.9.7", own: "10.2.0.7", want: "paris network 10.2.0.0/16"},
		{name: "beside the server", egress: "127.0.0.1", own: "127.0.0.1 10.2.0.7",
			want: "paris network 10.2.0.0/16"},
		{name: "beside the server, listening",
			egress: "127.0.0.1", listen: "10.1.9.7", own: "127.0.0.1 10.2.0.7", want: "lab network 10.1.9.0/24"},
	} {
		got := m.Judge(Evidence{
			Egress: addr(c.egress), Listen: addr(c.listen), Also: addr(c.also), Own: addrs(c.own), Assigned: c.assigned,
			ByToken: c.token,
		})
		text := string(got.Site) + " " + string(got.By)
		if got.By == ByNetwork {
			text += " " + got.Network.String()
		}
		if text != c.want {
			t.Errorf("%s: got %q, want %q", c.name, text, c.want)
		}
	}
}

// TestJudgeLaws: the same from a map and from a list, whatever the order; NeedsOwn tells the truth; a judgement
// by network names a network of the site that has one of the addresses, and only without one counts the rest.
func TestJudgeLaws(t *testing.T) {
	octet := rapid.IntRange(0, 3)
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		if octet.Draw(t, "kind") == 0 {
			return netip.Addr{}
		}
		return netip.AddrFrom4([4]byte{10, byte(octet.Draw(t, "b")), byte(octet.Draw(t, "c")), byte(octet.Draw(t, "d"))})
	})
	rapid.Check(t, func(t *rapid.T) {
		var list []Site
		taken := map[netip.Prefix]core.SiteName{}
		for _, name := range []core.SiteName{"a", "b", "c"} {
			one := New(name)
			for range rapid.IntRange(0, 3).Draw(t, "networks") {
				in, bits := address.Draw(t, "network"), rapid.IntRange(8, 32).Draw(t, "bits")
				if !in.IsValid() {
					continue
				}
				network := netip.PrefixFrom(in, bits).Masked()
				if _, found := taken[network]; !found {
					taken[network] = name
					one.Networks = append(one.Networks, network)
				}
			}
			list = append(list, one)
		}
		m := NewMap(list)
		e := Evidence{Egress: address.Draw(t, "egress"), Listen: address.Draw(t, "listen"),
			Own:      rapid.SliceOfN(address, 0, 4).Draw(t, "own"),
			Assigned: core.SiteName(rapid.SampledFrom([]string{"", "z"}).Draw(t, "assigned")),
			ByToken:  rapid.Bool().Draw(t, "token")}
		got := m.Judge(e)
		shuffled := e
		shuffled.Own = rapid.Permutation(e.Own).Draw(t, "order")
		if again := NewMap([]Site{list[2], list[0], list[1]}).Judge(shuffled); again != got {
			t.Fatalf("in another order: got %+v, then %+v", got, again)
		}
		without := e
		if without.Own = nil; !m.NeedsOwn(e) && m.Judge(without) != got {
			t.Fatalf("NeedsOwn is false, and Own changes %+v to %+v", m.Judge(without), got)
		}
		has := func(address netip.Addr) (found bool) {
			for network := range taken {
				found = found || network.Contains(address)
			}
			return found
		}
		if got.By == ByNetwork {
			if taken[got.Network] != got.Site {
				t.Fatalf("%+v: the network is of %q", got, taken[got.Network])
			}
			evident := got.Network.Contains(e.Egress) || got.Network.Contains(e.Listen)
			for _, one := range e.Own {
				evident = evident || got.Network.Contains(one)
			}
			if !evident {
				t.Fatalf("%+v of %+v: no address is in the network", got, e)
			}
			return
		}
		if got.Site != e.Assigned || has(e.Egress) || !e.Egress.IsValid() && has(e.Listen) {
			t.Fatalf("%+v of %+v, though a network has an address", got, e)
		}
	})
}

func TestRefuseSite(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.0.0/16": "", "fd00::/8": "", "10.1.2.3/32": "", "0.0.0.0/0": "",
		"10.1.2.3/16": "is inside 10.1.0.0/16", "10.1.0.0": "such as 10.1.0.0/16", "10.1.0.0/33": "such as", "": "such as",
		"::ffff:10.1.0.0/112": "such as", "fe80::%eth0/64": "such as",
	} {
		got, err := ParseNetwork(text)
		if want == "" && (err != nil || got.String() != text) ||
			want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("network %q: got %v, %v, want %q", text, got, err, want)
		}
	}
	for name, known := range map[string]bool{"UTC": true, "Europe/Paris": true, "": false, "Local": false,
		"Europe/Enjambre": false, "../etc/passwd": false, "/etc/localtime": false} {
		if _, err := ParseTimeZone(name); (err == nil) != known {
			t.Errorf("time zone %q: got %v", name, err)
		}
	}
	for name, spoil := range map[string]func(*Site){
		"networks":  func(s *Site) { s.Networks = make([]netip.Prefix, MaxNetworks+1) },
		"fetchers":  func(s *Site) { s.Fetchers = 0 },
		"many":      func(s *Site) { s.Fetchers = MaxFetchers + 1 },
		"pace":      func(s *Site) { s.Pace = "fast" },
		"time zone": func(s *Site) { s.TimeZone = "" },
	} {
		one := New("lyon")
		if err := one.Check(); err != nil {
			t.Errorf("a new site is refused: %v", err)
		}
		if spoil(&one); core.ClassOf(one.Check()) == "" {
			t.Errorf("%s: %+v is accepted", name, one)
		}
	}
	if got := SortNetworks([]netip.Prefix{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("10.1.0.0/16"),
		netip.MustParsePrefix("10.2.0.0/16")}); len(got) != 2 || got[0].String() != "10.1.0.0/16" {
		t.Errorf("got %v", got)
	}
}

func TestRateAt(t *testing.T) {
	one := New("lyon")
	one.TimeZone = "Europe/Paris"
	var err error
	if one.Rate, err = wanrate.Parse("4mbit@08:00-18:00"); err != nil {
		t.Fatal(err)
	}
	rate, until, err := one.RateAt(time.Date(2026, 7, 1, 6, 0, 0, 0, time.UTC))
	if err != nil || rate != 4e6 || !until.Equal(time.Date(2026, 7, 1, 16, 0, 0, 0, time.UTC)) {
		t.Errorf("got %s until %s, %v", rate, until, err)
	}
}

// TestWANTime: payload takes its frames' time, by the clock of the place.
func TestWANTime(t *testing.T) {
	one := New("lyon")
	one.TimeZone = "Europe/Paris"
	var err error
	if one.Rate, err = wanrate.Parse("4mbit@08:00-18:00"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hour int // UTC
		want time.Duration
	}{{5, 0}, {6, 3028 * time.Millisecond}, {16, 0}} {
		got, err := one.WANTime(time.Date(2026, 7, 1, c.hour, 0, 0, 0, time.UTC), 1448*1000)
		if err != nil || got != c.want {
			t.Errorf("at %d: got %s, %v, want %s", c.hour, got, err, c.want)
		}
	}
	one.TimeZone = "Nowhere"
	if _, err := one.WANTime(time.Time{}, 1); core.ClassOf(err) != core.ClassField {
		t.Errorf("in no zone: got %v", err)
	}
}

// BenchmarkJudge judges among the most networks there may be.
func BenchmarkJudge(b *testing.B) {
	var list []Site
	for i := range MaxSites {
		one := New("s")
		for k := range MaxNetworks {
			address := netip.AddrFrom4([4]byte{byte(i >> 4), byte(i<<4 | k>>2), byte(k << 6), 0})
			one.Networks = append(one.Networks, netip.PrefixFrom(address, 26-i%10).Masked())
		}
		list = append(list, one)
	}
	m := NewMap(list)
	e := Evidence{Egress: addr("192.0.2.1"), Own: addrs("255.255.255.255 255.255.255.254")}
	b.ReportAllocs()
	for b.Loop() {
		m.Judge(e)
	}
}
