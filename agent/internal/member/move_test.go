package member

import (
	"net/netip"
	"strings"
	"testing"
)

// TestMove: who has another address in the same network stays in its swarm; who comes from another network is in none until
// the server has said where it is, also after a restart, and is in the old one again when it comes back.
func TestMove(t *testing.T) {
	d := newDeployment(t)
	home := d.computer("a")
	a, b := home.start(), d.computer("b").start()
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	both := func(what string) {
		t.Helper()
		for _, one := range []*running{a, b} {
			one.becomes(what, together(1))
		}
	}
	both("together")
	listen := func(address string) {
		t.Helper()
		if a.at, _ = a.Listen(t.Context(), netip.MustParseAddr(address)); !a.at.IsValid() {
			t.Fatal(a.Status())
		}
	}
	isOut := func(what string) {
		t.Helper()
		if status := a.Status(); status.Site != "" || !strings.Contains(status.Problem, "192.0.2.0/24") || a.View().Site != "" {
			t.Errorf("%s: %v, %+v", what, status, a.View())
		}
	}
	listen("127.0.0.2")
	both("in the same network")

	// The loopback network is the only one that a test has; what was said is taken for another's.
	comeFrom := func(network string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.words.Network = netip.MustParsePrefix(network)
	}
	comeFrom("192.0.2.0/24")
	listen("127.0.0.3")
	isOut("in another network")
	b.becomes("alone", together(0))
	isOut("in another network, still")
	a.save()
	a.stop()
	a = home.start()
	isOut("after a restart")

	a.Told(d.words(a.Self(), "lyon", 1, b.place()))
	both("the server has said where it is")
	comeFrom("192.0.2.0/24")
	listen("127.0.0.4")
	isOut("in another network again")
	comeFrom("127.0.0.0/8")
	listen("127.0.0.5")
	both("back")
}
