// Package origin is the agent's way to its server: OCS messages over HTTPS, the files of packages, which may lie on
// other hosts, and the fragments that an origin grants one by one (peer/next).
//
// It trusts the authorities of one file and nothing else, not the system's; it speaks TLS 1.3 and follows no
// redirect. Whatever the other side sends is bounded before it is read, what trickles is given up, and every
// failure is said in words that name what to do.
package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"time"

	"enjambre/core"
	"enjambre/core/pemfile"
)

// Bounds of one exchange.
const (
	connectTimeout  = 15 * time.Second
	exchangeTimeout = time.Minute
	idleTimeout     = 90 * time.Second
	pingTime        = 10 * time.Second
	maxAnswer       = 512 << 10 // bytes, as they travel and inflated
)

// MaxClockError is how wrong the computer's clock may be before the agent refuses to trust it.
const MaxClockError = 24 * time.Hour

// ErrClock says that the computer's clock is too wrong to judge certificates by.
var ErrClock = errors.New("the clock of this computer is wrong")

// Options say how to reach a server. Address and CAFile are required.
type Options struct {
	Address     string           // as ParseServer returns it
	CAFile      string           // whose authorities are trusted
	Certificate *tls.Certificate // shown to servers that ask; nil before enrolment
	Proxy       Proxy
	Now         func() time.Time // default time.Now

	// Steady is the time from any origin, by a clock that nobody sets and that goes on in sleep; default: Go's own, which
	// does not go on in sleep everywhere.
	Steady func() time.Duration
}

// A Client speaks to one server. Safe for concurrent use.
type Client struct {
	options Options
	message *http.Client
	file    *http.Client // without a limit of time: it judges progress
	lender  *http.Client // the same, over connections of its own
	asker   *http.Client // for answers that are long in coming, likewise

	patience, answerTime, stillTime time.Duration // the constants but in tests

	mu     sync.Mutex
	conns  map[*trackedConn]bool
	works  map[*context.CancelCauseFunc]bool // that Renew ends
	shown  []*x509.Certificate               // by the server, last
	route  route                             // of the connections to it
	server netip.AddrPort                    // where it was found past a proxy on this computer
	asked  time.Time                         // when that was looked up last
	date   time.Time                         // what the server's clock said last; zero if that was asked for
	heard  time.Duration                     // when that was, by Options.Steady
}

// ParseServer reads a server's address: https://host[:port], with /ocsinventory behind it or not.
func ParseServer(text string) (string, error) {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.User != nil ||
		parsed.RawQuery != "" ||
		parsed.Fragment != "" {
		return "", core.Refuse(
			core.ClassField,
			"server %.200q: give an address such as https://deploy.example.net",
			text,
		)
	}
	switch parsed.Path {
	case "", "/", "/ocsinventory":
		parsed.Path = "/ocsinventory"
		return parsed.String(), nil
	}
	return "", core.Refuse(core.ClassField, "server %.200q: the path is /ocsinventory, or left out", text)
}

// New returns a client.
func New(options Options) (*Client, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Steady == nil {
		made := time.Now()
		options.Steady = func() time.Duration { return time.Since(made) }
	}
	roots, err := readAuthorities(options.CAFile)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, Time: options.Now}
	if options.Certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return options.Certificate, nil
		}
	}
	shared, own := newTransport(options.Proxy, config), newTransport(options.Proxy, config.Clone())
	asking := newTransport(options.Proxy, config.Clone())
	own.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingTime, PingTimeout: pingTime}        // a dead line would be used on and on
	asking.HTTP2 = &http.HTTP2Config{SendPingTimeout: 2 * pingTime, PingTimeout: pingTime} // and few bytes while nothing comes
	refuse := func(request *http.Request, _ []*http.Request) error {
		return fmt.Errorf("it redirects to %s; agents follow no redirect, so give the address itself",
			request.URL.Redacted())
	}
	c := &Client{
		options: options,
		message: &http.Client{Transport: shared, CheckRedirect: refuse, Timeout: exchangeTimeout},
		file:    &http.Client{Transport: shared, CheckRedirect: refuse},
		lender:  &http.Client{Transport: own, CheckRedirect: refuse},
		asker:   &http.Client{Transport: asking, CheckRedirect: refuse},

		conns: map[*trackedConn]bool{}, works: map[*context.CancelCauseFunc]bool{},
		patience: progressTime, answerTime: answerTime, stillTime: stillTime,
	}
	for _, transport := range []*http.Transport{shared, own, asking} {
		transport.DialContext = c.track(transport.DialContext)
	}
	return c, nil
}

// Unusable returns a client that reaches nobody: whatever is asked of it fails with the reason. It stands where a client
// would that cannot be made now, such as while a script writes the file of authorities, and knows the way to the server.
func Unusable(options Options, reason error) *Client {
	if options.Now == nil {
		options.Now = time.Now
	}
	failing := &http.Client{Transport: unusable{reason}}
	return &Client{
		options: options, message: failing, file: failing, lender: failing, asker: failing,
		conns: map[*trackedConn]bool{}, works: map[*context.CancelCauseFunc]bool{},
		patience: progressTime, answerTime: answerTime, stillTime: stillTime,
	}
}

// An unusable transport transports nothing.
type unusable struct{ reason error }

func (u unusable) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		_ = request.Body.Close() // as the interface demands
	}
	return nil, u.reason
}

func newTransport(proxy Proxy, config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                  proxy.choose(),
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    connectTimeout,
		MaxResponseHeaderBytes: 16 << 10,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

func readAuthorities(name string) (*x509.CertPool, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("the server's authority: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, pemfile.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("the server's authority: %w", err)
	}
	list, err := pemfile.Certificates(data, name)
	if err != nil {
		return nil, fmt.Errorf("the server's authority, which should be the server's cacert.pem: %w", err)
	}
	roots := x509.NewCertPool()
	for _, one := range list {
		roots.AddCert(one)
	}
	return roots, nil
}

// Close ends idle connections.
func (c *Client) Close() {
	c.message.CloseIdleConnections()
	c.lender.CloseIdleConnections()
	c.asker.CloseIdleConnections()
}
