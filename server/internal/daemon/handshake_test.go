package daemon

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestHints: every way in which clients were seen to say that they do not trust us, and what must not be taken for one.
func TestHints(t *testing.T) {
	for _, c := range []struct {
		reason  string
		greeted bool
		want    string
	}{
		{"remote error: tls: unknown certificate authority", true, hintDistrusts}, // OpenSSL with TLS 1.2
		{"local error: tls: bad record MAC", true, hintDistrusts},                 // OpenSSL with TLS 1.3
		{"remote error: tls: bad certificate", true, hintDistrusts},               // Go, Java
		{"remote error: tls: unknown certificate", true, hintDistrusts},           // Java, browsers
		{"remote error: tls: unsupported certificate", true, hintDistrusts},
		{"remote error: tls: expired certificate", true, hintExpired},
		{"EOF", true, hintLeft}, // GnuTLS, Schannel
		{"read tcp 192.0.2.1:443->192.0.2.9:4711: read: connection reset by peer", true, hintLeft},
		{"EOF", false, ""}, // a port scan, or what a load balancer calls a health check
		{"read tcp 192.0.2.1:443->192.0.2.9:4711: read: connection reset by peer", false, ""},
		{"read tcp 192.0.2.1:443->192.0.2.9:4711: i/o timeout", true, ""},
		{"client sent an HTTP request to an HTTPS server", false, hintPlain},
		{"tls: client offered only unsupported versions: [302 301]", true, hintOld},
		{"tls: first record does not look like a TLS handshake", false, ""},
	} {
		if got := hintOf(c.reason, c.greeted); got != c.want {
			t.Errorf("%q, greeted %v: got %q", c.reason, c.greeted, got)
		}
	}
}

// TestComplaintsBounded: an address is written about once an hour for each reason, with how often it was not, and
// neither many addresses nor many connections take memory without end.
func TestComplaintsBounded(t *testing.T) {
	var text bytes.Buffer
	now := time.Unix(1e9, 0)
	h := newHandshakes(slog.New(slog.NewTextHandler(&text, nil)), func() time.Time { return now })
	complain := func(host string, port int, reason string) {
		fmt.Fprintf(h, "http: TLS handshake error from %s: %s\n", net.JoinHostPort(host, fmt.Sprint(port)), reason)
	}
	for port := range 100 {
		complain("2001:db8::1", port, "local error: tls: bad record MAC")
		complain("2001:db8::1", port, "tls: first record does not look like a TLS handshake")
	}
	if lines := strings.Count(text.String(), "\n"); lines != 2 {
		t.Errorf("%d lines:\n%s", lines, text.String())
	}
	now = now.Add(sayEvery)
	complain("2001:db8::1", 7, "local error: tls: bad record MAC")
	if !strings.Contains(text.String(), `address=[2001:db8::1]:7 reason="local error: tls: bad record MAC" hint="the client does not `+
		`trust our certificate: give it cacert.pem`) || !strings.Contains(text.String(), "omitted=99") {
		t.Errorf("got\n%s", text.String())
	}
	for i := range 3 * maxGreeted {
		h.hello(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: i})
		complain(fmt.Sprintf("10.1.%d.%d", i/256, i%256), 1, "EOF")
	}
	if len(h.greeted.values) > maxGreeted || len(h.greeted.order) > maxGreeted || len(h.failing.values) > maxFailing ||
		len(h.failing.order) > maxFailing {
		t.Errorf("%d, %d, %d, %d", len(h.greeted.values), len(h.greeted.order), len(h.failing.values), len(h.failing.order))
	}
}

// A guarded buffer is written by others.
type guarded struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (g *guarded) Write(data []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(data)
}

func (g *guarded) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

// TestDistrust: clients in this process that do not trust a real server are told of, with their address, in both
// versions of TLS.
func TestDistrust(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var text guarded
		h := newHandshakes(slog.New(slog.NewTextHandler(&text, nil)), time.Now)
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = log.New(h, "", 0)
		server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			h.hello(hello.Conn.RemoteAddr())
			return nil, nil
		}}
		server.StartTLS()
		_, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{
			RootCAs: x509.NewCertPool(), MinVersion: version, MaxVersion: version,
		})
		if err == nil {
			t.Fatal("it trusts the server")
		}
		for end := time.Now().Add(time.Minute); text.String() == "" && time.Now().Before(end); {
			time.Sleep(time.Millisecond) // the server's goroutine writes when it likes
		}
		server.Close()
		if got := text.String(); !strings.Contains(got, "address=127.0.0.1:") || !strings.Contains(got, hintDistrusts) {
			t.Errorf("version %x: got %s", version, got)
		}
	}
}
