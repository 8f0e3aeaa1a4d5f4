package member

import (
	"net/netip"
	"testing"
)

// cards of a computer: a LAN with both families, a Wi-Fi, and a tunnel.
func someCards() []card {
	at := func(name string, texts ...string) card {
		one := card{name: name}
		for _, text := range texts {
			one.addresses = append(one.addresses, netip.MustParsePrefix(text))
		}
		return one
	}
	return []card{
		at("lo", "127.0.0.1/8", "::1/128"), at("wlan0", "10.2.0.7/24"), at("tun0", "10.9.0.7/24", "2001:db8:9::7/64"),
		at("eth0", "10.1.0.7/24", "fe80::7/64", "2001:db8:1::7/64", "2001:db8:1::a7/64"), at("ens4", "10.128.0.5/32"),
		at("eth1", "2001:db8:2::7/128", "fe80::8/64"),
	}
}

// TestWays: both families of the interface in use are told, whichever of them leads to the server, and the addresses that
// were told stay while they are there.
func TestWays(t *testing.T) {
	address := func(text string) (at netip.Addr) {
		if text != "" {
			at = netip.MustParseAddr(text)
		}
		return at
	}
	for _, c := range []struct{ name, lead, beforeFirst, beforeAlso, first, also string }{
		{"by IPv4", "10.1.0.7", "", "", "10.1.0.7", "2001:db8:1::7"},
		{"by IPv6", "2001:db8:1::7", "", "", "10.1.0.7", "2001:db8:1::7"},
		{"another address of the same interface", "2001:db8:1::a7", "10.1.0.7", "2001:db8:1::7", "10.1.0.7", "2001:db8:1::7"},
		{"by IPv4, what was told stays", "10.1.0.7", "10.1.0.7", "2001:db8:1::a7", "10.1.0.7", "2001:db8:1::a7"},
		{"what was told is gone", "10.1.0.7", "10.1.0.8", "2001:db8:1::9", "10.1.0.7", "2001:db8:1::7"},
		{"another interface", "10.2.0.7", "10.1.0.7", "2001:db8:1::7", "10.2.0.7", ""},
		{"IPv6 alone", "2001:db8:2::7", "", "", "2001:db8:2::7", ""},
		{"not an interface's", "192.0.2.7", "", "", "192.0.2.7", ""},
		{"loopback", "127.0.0.1", "", "", "127.0.0.1", ""},
	} {
		got, err := waysOf(address(c.lead), someCards(), ways{address(c.beforeFirst), address(c.beforeAlso)})
		if want := (ways{address(c.first), address(c.also)}); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, want)
		}
	}
	for _, lead := range []netip.Addr{{}, netip.IPv4Unspecified(), address("fe80::7"), address("224.0.0.1")} {
		if got, err := waysOf(lead, someCards(), ways{}); err == nil {
			t.Errorf("%v: got %v", lead, got)
		}
	}
	isTunnel := func(name string) bool { return name == "tun0" || name == "ens4" }
	if got := aside(someCards(), isTunnel); got != address("10.1.0.7") {
		t.Errorf("when nothing tells: got %v", got)
	}
	if got := aside(someCards()[2:3], isTunnel); got.IsValid() {
		t.Errorf("of a tunnel alone: got %v", got)
	}
}

// TestNetworkIn: an address that is given for the computer alone says nothing of its network; the kernel's routes do.
func TestNetworkIn(t *testing.T) {
	routes := []netip.Prefix{
		netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2001:db8:2::7/128"), netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("2001:db8:2::/64"), netip.MustParsePrefix("2001:db8:3::/64"),
	}
	for _, c := range []struct{ address, want string }{
		{"10.1.0.7", "10.1.0.0/24"}, {"2001:db8:1::7", "2001:db8:1::/64"}, {"2001:db8:2::7", "2001:db8:2::/64"},
		{"10.128.0.5", "10.128.0.5/32"}, {"192.0.2.7", "invalid Prefix"},
	} {
		onLink := func(string) []netip.Prefix { return routes }
		if got := networkIn(netip.MustParseAddr(c.address), someCards(), onLink); got.String() != c.want {
			t.Errorf("%s: got %v, want %s", c.address, got, c.want)
		}
	}
}
