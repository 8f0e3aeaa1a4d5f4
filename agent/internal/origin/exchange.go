package origin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

// userAgent is what we call ourselves.
const userAgent = "enjambre-agent"

// ErrRefused says that the server does not take a message: it answered with a status of 400 to 499.
var ErrRefused = errors.New("the server refuses the message")

// Exchange sends one message and returns the decoded answer, nil for an empty one.
func (c *Client) Exchange(ctx context.Context, document []byte) ([]byte, error) {
	return c.exchange(ctx, c.message, document)
}

// ExchangeSlowly is Exchange for a message whose answer the server may put off. It has a connection of its own, on which it
// is noticed when the line is dead.
func (c *Client) ExchangeSlowly(ctx context.Context, document []byte, putOff time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, putOff+exchangeTimeout)
	defer cancel()
	return c.exchange(ctx, c.asker, document)
}

func (c *Client) exchange(ctx context.Context, client *http.Client, document []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.options.Address,
		bytes.NewReader(ocs.Encode(document)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-compress")
	request.Header.Set("User-Agent", userAgent)
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.options.Address, c.cause(err))
	}
	defer response.Body.Close()
	c.see(response.TLS)
	if err := c.checkClock(response.Header.Get("Date")); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: the answer broke off: %w", c.options.Address, err)
	case response.StatusCode >= 400 && response.StatusCode < 500:
		return nil, fmt.Errorf("%s: %w: %s; the server's error log says why", c.options.Address, ErrRefused, status(response))
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: the server answered %s; its error log says why", c.options.Address, status(response))
	case len(body) > maxAnswer:
		return nil, core.Refuse(core.ClassLimit, "%s: the answer is longer than %d bytes", c.options.Address, maxAnswer)
	case len(body) == 0:
		return nil, nil
	}
	answer, err := ocs.Decode(body, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("%s: this is no answer of a deployment server: %w", c.options.Address, err)
	}
	return answer, nil
}

// see remembers the certificates that the server has shown.
func (c *Client) see(connection *tls.ConnectionState) {
	if connection == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = connection.PeerCertificates
}

// WouldTrust returns nil if the certificate that the server showed last would be trusted with these authorities
// instead of those of the file.
func (c *Client) WouldTrust(authorities []*x509.Certificate) error {
	c.mu.Lock()
	shown := c.shown
	c.mu.Unlock()
	if len(shown) == 0 {
		return errors.New("the server has shown no certificate yet")
	}
	address, err := url.Parse(c.options.Address)
	if err != nil {
		return err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, one := range authorities {
		roots.AddCert(one)
	}
	for _, one := range shown[1:] {
		between.AddCert(one)
	}
	_, err = shown[0].Verify(x509.VerifyOptions{
		DNSName: address.Hostname(), Roots: roots, Intermediates: between, CurrentTime: c.options.Now(),
	})
	return err
}

// ServerTime returns the server's time as far as its last answer and the time since then tell, or false when it has said none
// since the last call: an old answer must not be believed again after the clock has been set by it.
func (c *Client) ServerTime() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.date.IsZero() {
		return time.Time{}, false
	}
	theirs := c.date.Add(c.options.Steady() - c.heard)
	c.date = time.Time{}
	return theirs, true
}

// checkClock compares the server's clock with ours.
func (c *Client) checkClock(date string) error {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return nil // it says nothing
	}
	c.mu.Lock()
	isSane := !slices.ContainsFunc(c.shown, func(one *x509.Certificate) bool {
		return theirs.Before(one.NotBefore) || theirs.After(one.NotAfter)
	})
	if isSane {
		c.date, c.heard = theirs, c.options.Steady()
	}
	c.mu.Unlock()
	if wrong := c.options.Now().Sub(theirs); wrong > MaxClockError || wrong < -MaxClockError {
		if !isSane { // or we would not believe its certificate at the next contact
			return fmt.Errorf("the server's clock says %s, when its own certificate is not valid: set the clock of the server",
				theirs.Format(time.RFC3339))
		}
		return fmt.Errorf("%w: it says %s, the server %s; set it, or let it be set by NTP",
			ErrClock, c.options.Now().UTC().Format(time.RFC3339), theirs.Format(time.RFC3339))
	}
	return nil
}
