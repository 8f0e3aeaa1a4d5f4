package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

// A Stage is a step of a request's way to the server.
type Stage int

// The stages, in order.
const (
	Resolving  Stage = iota // looking the name up: the server's, or the proxy's if there is one
	Connecting              // to the server, or to the proxy
	Tunnelling              // having the proxy connect; only with one
	Securing                // the TLS handshake
	Answering               // waiting for an answer
	Answered                // the end
)

// A Probe is what a request that asks for nothing found out.
type Probe struct {
	Proxy     *url.URL            // it went through; nil = none
	Reached   Stage               // Answered, or the stage that Err is of
	Err       error               // in the words of Exchange
	Addresses []string            // that the name stands for; none for an address
	Connected string              // address and port
	Presented []*x509.Certificate // by the server, its own first; also when they were refused
	Status    int                 // of the answer
	Allow     string              // methods that the answer names
	Date      time.Time           // of the server's clock; zero if it did not say
}

// Probe sends a HEAD request to the server, over the same way as every message, and says how far it came. The
// server notes nothing of it but a line in its access log.
func (c *Client) Probe(ctx context.Context) Probe {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, c.options.Address, nil)
	if err != nil {
		return Probe{Err: err}
	}
	request.Header.Set("User-Agent", userAgent)
	var t tracer
	if choose := c.options.Proxy.choose(); choose != nil {
		if t.probe.Proxy, err = choose(request); err != nil {
			return Probe{Err: err}
		}
	}
	request = request.WithContext(httptrace.WithClientTrace(ctx, t.trace()))
	response, err := c.message.Do(request)
	t.mu.Lock() // a connection that lost against another may still report
	defer t.mu.Unlock()
	found := t.probe
	if err != nil {
		found.Err = c.cause(err)
		var refused *tls.CertificateVerificationError
		if errors.As(err, &refused) {
			found.Presented = refused.UnverifiedCertificates
		}
		return found
	}
	defer response.Body.Close()
	found.Reached, found.Status, found.Allow = Answered, response.StatusCode, response.Header.Get("Allow")
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		found.Date = date
	}
	return found
}

// A tracer notes how far a request comes.
type tracer struct {
	mu    sync.Mutex
	probe Probe
}

// note lets fn change the probe.
func (t *tracer) note(fn func(*Probe)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fn(&t.probe)
}

func (t *tracer) trace() *httptrace.ClientTrace {
	reached := func(stage Stage) { t.note(func(p *Probe) { p.Reached = max(p.Reached, stage) }) }
	return &httptrace.ClientTrace{
		DNSDone: func(info httptrace.DNSDoneInfo) {
			t.note(func(p *Probe) {
				for _, address := range info.Addrs {
					p.Addresses = append(p.Addresses, address.String())
				}
			})
		},
		ConnectStart: func(string, string) { reached(Connecting) },
		ConnectDone: func(_, address string, err error) {
			if err != nil {
				return
			}
			t.note(func(p *Probe) {
				p.Connected = address
				if p.Proxy != nil {
					p.Reached = max(p.Reached, Tunnelling)
				}
			})
		},
		TLSHandshakeStart: func() { reached(Securing) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				t.note(func(p *Probe) { p.Presented = state.PeerCertificates })
			}
		},
		GotConn: func(httptrace.GotConnInfo) { reached(Answering) },
	}
}
