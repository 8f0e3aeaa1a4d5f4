package origin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// cause says in the words of whoever sits at the computer why an exchange failed.
func (c *Client) cause(err error) error {
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var dns *net.DNSError
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "proxyconnect" { // net/http's name for it
		return fmt.Errorf("the proxy cannot be used: %w", c.cause(dial.Err))
	}
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("its certificate is not signed by the authority in %s but by %q; is that file this server's "+
			"cacert.pem, or does a proxy inspect TLS here?", c.options.CAFile, issuer(unknown.Cert))
	case errors.As(err, &hostname):
		return fmt.Errorf("its certificate is for another name: %w", foreignError{hostname})
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("its certificate is not valid now (%s here): it has expired, or %w",
			c.options.Now().UTC().Format(time.RFC3339), ErrClock)
	case errors.As(err, &dns):
		return fmt.Errorf("the name %q cannot be resolved", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused: nobody listens there")
	case errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("no TLS is spoken there; is it the HTTPS port?")
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return errors.New("no answer in time")
	}
	return foreignError{err}
}

// A foreignError has a text in which strangers may have a say: names in a certificate that nobody has vouched for, a
// proxy's answer. It is shown without what a terminal or a log would obey.
type foreignError struct{ error }

// maxForeign bounds such a text, in bytes.
const maxForeign = 500

func (e foreignError) Error() string { return shown(e.error.Error(), maxForeign) }
func (e foreignError) Unwrap() error { return e.error }

// issuer names who signed a certificate.
func issuer(certificate *x509.Certificate) string {
	if certificate == nil {
		return "somebody unknown"
	}
	return certificate.Issuer.String()
}

// maxStatus is how much of an answer's status line is repeated, in bytes.
const maxStatus = 60

// status returns an answer's status line, fit to be shown: anybody may have written it.
func status(response *http.Response) string { return shown(response.Status, maxStatus) }

// shown returns at most so many bytes of a text, each character that cannot be seen as "?".
func shown(text string, most int) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text[:min(len(text), most)])
}
