// Package origin is the agent's way to its server: OCS messages over HTTPS.
//
// It trusts the authorities of one file and nothing else, not the system's; it speaks TLS 1.3, follows no
// redirect and uses no proxy. Whatever the server sends is bounded before it is read, and every failure is
// said in words that name what to do.
package origin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

// Bounds of one exchange.
const (
	connectTimeout  = 15 * time.Second
	exchangeTimeout = time.Minute
	maxAnswer       = 512 << 10 // bytes, as they travel and inflated
	maxAuthorities  = 1 << 20   // bytes of the file
)

// MaxClockError is how wrong the computer's clock may be before the agent refuses to trust it.
const MaxClockError = 24 * time.Hour

// ErrClock says that the computer's clock is too wrong to judge certificates by.
var ErrClock = errors.New("the clock of this computer is wrong")

// A Client speaks to one server. Safe for concurrent use.
type Client struct {
	address string
	caFile  string
	http    *http.Client
	now     func() time.Time
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

// New returns a client of the server at address, which ParseServer has read. It trusts the authorities in
// caFile.
func New(address, caFile string, now func() time.Time) (*Client, error) {
	roots, err := readAuthorities(caFile)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, Time: now},
		TLSHandshakeTimeout:    connectTimeout,
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	refuse := func(request *http.Request, _ []*http.Request) error {
		return fmt.Errorf("the server redirects to %s; give the address of the deployment server itself",
			request.URL.Redacted())
	}
	return &Client{address: address, caFile: caFile, now: now,
		http: &http.Client{Transport: transport, CheckRedirect: refuse, Timeout: exchangeTimeout}}, nil
}

func readAuthorities(name string) (*x509.CertPool, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("the server's authority: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxAuthorities))
	if err != nil {
		return nil, fmt.Errorf("the server's authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, core.Refuse(core.ClassFormat,
			"%s holds no certificate in PEM form; it should be the server's cacert.pem", name)
	}
	return roots, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Exchange sends one message and returns the decoded answer, nil for an empty one.
func (c *Client) Exchange(ctx context.Context, document []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address,
		bytes.NewReader(ocs.Encode(document)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-compress")
	request.Header.Set("User-Agent", "enjambre-agent")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.address, c.cause(err))
	}
	defer response.Body.Close()
	if err := c.checkClock(response.Header.Get("Date")); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: the answer broke off: %w", c.address, err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: the server answered %s; its error log says why", c.address, response.Status)
	case len(body) > maxAnswer:
		return nil, core.Refuse(core.ClassLimit, "%s: the answer is longer than %d bytes", c.address, maxAnswer)
	case len(body) == 0:
		return nil, nil
	}
	answer, err := ocs.Decode(body, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("%s: this is no answer of a deployment server: %w", c.address, err)
	}
	return answer, nil
}

// checkClock compares the server's clock with ours.
func (c *Client) checkClock(date string) error {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return nil // it says nothing
	}
	if wrong := c.now().Sub(theirs); wrong > MaxClockError || wrong < -MaxClockError {
		return fmt.Errorf("%w: it says %s, the server %s; set it, or let it be set by NTP",
			ErrClock, c.now().UTC().Format(time.RFC3339), theirs.Format(time.RFC3339))
	}
	return nil
}

// cause says in the words of whoever sits at the computer why an exchange failed.
func (c *Client) cause(err error) error {
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var dns *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf(
			"the server's certificate is not signed by the authority in %s; is it this server's cacert.pem?",
			c.caFile)
	case errors.As(err, &hostname):
		return fmt.Errorf("the server's certificate is for another name: %w", hostname)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the server's certificate is not valid now (%s here): it has expired, or %w",
			c.now().UTC().Format(time.RFC3339), ErrClock)
	case errors.As(err, &dns):
		return fmt.Errorf("the name %q cannot be resolved", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused: no server listens there")
	case errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("no TLS is spoken there; is it the HTTPS port?")
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return errors.New("no answer in time")
	}
	return err
}
