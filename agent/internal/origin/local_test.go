package origin

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// TestLocal: the address that leads to the server is known before and after the first connection.
func TestLocal(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	c := client(t, server, time.Now)
	want := netip.MustParseAddr("127.0.0.1")
	if got, err := c.Local(t.Context()); got != want || err != nil {
		t.Errorf("before: got %v, %v", got, err)
	}
	if c.local.IsValid() {
		t.Error("what was only asked for is kept")
	}
	_, _ = c.Exchange(t.Context(), nil) // it is refused, which does not matter
	if c.local != want {
		t.Errorf("after: got %v", c.local)
	}
	c.options.Address = "https://no-such-host.invalid"
	if got, err := c.Local(t.Context()); got != want || err != nil {
		t.Errorf("later: got %v, %v", got, err)
	}
	c.local = netip.Addr{}
	if got, err := c.Local(t.Context()); err == nil {
		t.Errorf("nowhere: got %v", got)
	}
}
