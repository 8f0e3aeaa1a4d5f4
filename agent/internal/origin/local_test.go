package origin

import (
	"context"
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
	if c.route.local.Addr() != loopback || c.route.server.String() != server.Listener.Addr().String() {
		t.Errorf("after: got %+v", c.route)
	}
	c.options.Address = "https://no-such-host.invalid"
	is("without names", loopback)
	moved := c.route
	moved.local = netip.MustParseAddrPort("192.0.2.7:1")
	c.route = moved
	is("after a move", loopback)
	moved.server = netip.MustParseAddrPort("[fe80::1%no-such-card]:9")
	c.route = moved
	is("with no way there", netip.MustParseAddr("192.0.2.7"))
	c.route = route{}
	if got, err := c.Local(t.Context()); err == nil {
		t.Errorf("nowhere: got %v", got)
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
