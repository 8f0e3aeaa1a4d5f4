package origin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// TestLocal: the address that leads to the server is known before and after the first connection, and follows a computer
// that moves.
func TestLocal(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	c := client(t, server, time.Now)
	loopback := netip.MustParseAddr("127.0.0.1")
	is := func(when string, want netip.Addr) {
		t.Helper()
		if got, err := c.Local(t.Context()); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", when, got, err, want)
		}
	}
	is("before", loopback)
	if c.route.local.IsValid() {
		t.Error("what was only asked for counts as connected")
	}
	_, _ = c.Exchange(t.Context(), nil) // it is refused, which does not matter
	if c.route.local.Addr() != loopback || c.route.gate.String() != server.Listener.Addr().String() {
		t.Errorf("after: got %+v", c.route)
	}
	c.options.Address = "https://no-such-host.invalid"
	is("without names", loopback)
	moved := c.route
	moved.local = netip.MustParseAddrPort("192.0.2.7:1")
	c.route = moved
	is("after a move", loopback)
	moved.gate = netip.MustParseAddrPort("[fe80::1%no-such-card]:9")
	c.route = moved
	is("with no way there", netip.MustParseAddr("192.0.2.7"))
	c.route = route{}
	if got, err := c.Local(t.Context()); err == nil {
		t.Errorf("nowhere: got %v", got)
	}
}

// TestGate: behind a proxy, what leads to the proxy says where the computer is, whether the server can be reached past it
// or not; a proxy on this computer says nothing.
func TestGate(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://192.0.2.1")
	for _, c := range []struct {
		proxy, server string
		gate          string
		isProxy       bool
	}{
		{"none", "https://deploy.example.net", "deploy.example.net:443", false},
		{"none", "https://[2001:db8::2]:8443", "[2001:db8::2]:8443", false},
		{"http://proxy.example.net:3128", "https://deploy.example.net", "proxy.example.net:3128", true},
		{"http://10.1.1.1", "https://[2001:db8::2]", "10.1.1.1:80", true},
		{"https://proxy.example.net", "https://deploy.example.net", "proxy.example.net:443", true},
		{"socks5://[2001:db8::1]", "https://deploy.example.net", "[2001:db8::1]:1080", true},
	} {
		proxy, err := ParseProxy(c.proxy)
		if err != nil {
			t.Fatal(err)
		}
		client := Unusable(Options{Address: c.server, Proxy: proxy}, nil)
		if gate, isProxy := client.gate(); gate != c.gate || isProxy != c.isProxy {
			t.Errorf("%s by %s: got %s, %v, want %s", c.server, c.proxy, gate, isProxy, c.gate)
		}
	}
	client := Unusable(Options{Address: "https://127.0.0.1:9"}, nil)
	client.options.Proxy, _ = ParseProxy("http://127.0.0.1:3128")
	if got, err := client.Local(t.Context()); err != nil || !got.IsLoopback() {
		t.Errorf("proxy and server here: got %v, %v", got, err)
	}
	client = Unusable(Options{Address: "https://no-such-host.invalid"}, nil)
	client.options.Proxy, _ = ParseProxy("http://127.0.0.1:3128")
	for range 2 {
		if got, err := client.Local(t.Context()); !errors.Is(err, errOwnProxy) {
			t.Errorf("the proxy here, the server unknown: got %v, %v", got, err)
		}
	}
	client.options.Proxy, _ = ParseProxy("http://127.0.0.9:3128") // at an address of its own, as one on the LAN
	client.route = route{netip.MustParseAddrPort("10.1.1.11:1"), netip.MustParseAddrPort("[fe80::1%no-such-card]:9")}
	if got, err := client.Local(t.Context()); err != nil || got.String() != "10.1.1.11" {
		t.Errorf("a proxy to which no way leads now: got %v, %v", got, err)
	}
}

// TestEyeballs: which family a connection took is no other way while the first one leads there.
func TestEyeballs(t *testing.T) {
	var ends []net.Conn
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", at)
		if err != nil {
			t.Skip(err)
		}
		defer listener.Close()
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ends = append(ends, conn)
	}
	client := Unusable(Options{Address: "https://deploy.example.net"}, nil)
	for _, conn := range []net.Conn{ends[0], ends[1], ends[0]} {
		client.keepRoute(conn)
		if got, err := client.Local(t.Context()); err != nil || got.String() != "127.0.0.1" {
			t.Errorf("got %v, %v", got, err)
		}
	}
	client.route.gate = netip.MustParseAddrPort("[fe80::1%no-such-card]:9")
	client.keepRoute(ends[0])
	client.keepRoute(ends[1])
	if client.route.gate.String() != ends[0].RemoteAddr().String() {
		t.Errorf("got %v, want the way that there is", client.route.gate)
	}
}

// TestRenew: what waits over a connection from before is told at once, and the next one is answered.
func TestRenew(t *testing.T) {
	asked, answer := make(chan bool, 2), make(chan bool)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- true
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	c := client(t, server, time.Now)
	ctx, cancel := context.WithTimeout(t.Context(), exchangeTimeout/2) // before it would give up by itself
	defer cancel()
	ended := make(chan error, 1)
	exchange := func() { _, err := c.Exchange(ctx, nil); ended <- err }
	go exchange()
	<-asked
	c.Renew()
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("got %v", err)
	}
	go exchange()
	<-asked
	close(answer)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.conns) != 1 {
		t.Errorf("%d connections are known", len(c.conns))
	}
}
