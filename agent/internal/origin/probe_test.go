package origin

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestProbe: a request that comes through says who answered and when.
func TestProbe(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead || r.URL.Path != "/ocsinventory" {
			t.Errorf("got %s %s", r.Method, r.URL)
		}
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
	}))
	defer server.Close()
	got := client(t, server, nil).Probe(t.Context())
	if got.Err != nil || got.Reached != Answered || got.Status != http.StatusMethodNotAllowed ||
		got.Allow != "POST" || got.Connected != server.Listener.Addr().String() || got.Proxy != nil ||
		len(got.Presented) != 1 || time.Since(got.Date).Abs() > time.Minute {
		t.Errorf("got %+v", got)
	}
}

// TestProbeStages: each failure is one of the stage where it happened.
func TestProbeStages(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer proxy.Close()
	hangsUp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangsUp.Close()
	go func() {
		for {
			connection, err := hangsUp.Accept()
			if err != nil {
				return
			}
			_ = connection.Close()
		}
	}()
	trusted := client(t, server, nil).options.CAFile
	late := func() time.Time { return server.Certificate().NotAfter.Add(time.Hour) }
	for name, c := range map[string]struct {
		address, proxy string
		now            func() time.Time
		want           Stage
		text           string
		presented      bool
	}{
		"no such name": {"https://no-such-name.invalid", "", nil, Resolving, "cannot be resolved", false},
		"nobody":       {"https://127.0.0.1:1", "", nil, Connecting, "nobody listens there", false},
		"no TLS":       {"https://" + plain.Listener.Addr().String(), "", nil, Securing, "no TLS is spoken there", false},
		"hangs up":     {"https://" + hangsUp.Addr().String(), "", nil, Securing, "", false},
		"expired":      {server.URL, "", late, Securing, "the clock of this computer is wrong", true},
		"proxy":        {server.URL, proxy.URL, nil, Tunnelling, "Proxy Authentication Required", false},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, err := ParseProxy(c.proxy)
			if err != nil {
				t.Fatal(err)
			}
			made, err := New(Options{Address: c.address, CAFile: trusted, Proxy: chosen, Now: c.now})
			if err != nil {
				t.Fatal(err)
			}
			defer made.Close()
			got := made.Probe(t.Context())
			if got.Err == nil || got.Reached != c.want || !strings.Contains(got.Err.Error(), c.text) ||
				(len(got.Presented) > 0) != c.presented || (got.Proxy != nil) != (c.proxy != "") {
				t.Errorf("got %+v", got)
			}
		})
	}
}
