package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/info"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/store"
)

// Reach is what a check of an activation needs to know.
type Reach struct {
	Roots *x509.CertPool // what agents verify servers with
	Own   []string       // the server's own host names; only they may be loopback addresses
}

// Bounds of a check.
const (
	checkTimeout = 5 * time.Second // until an answer begins
	bodyTimeout  = 2 * time.Minute // of one whole fragment
	checksAtOnce = 4
	maxUnreached = 20 // problems that a check lists; the rest are counted
)

// Check fetches an activation's info file and every fragment from where agents will, and compares size
// and digest. It reports each URL that failed with its cause, nil when all is well.
func (c *Catalog) Check(ctx context.Context, activation store.Activation, reach Reach) error {
	canonical, err := c.Depot.ReadFile(activation.Package, depot.InfoFile)
	if err != nil {
		return fmt.Errorf("package %s: its info file cannot be read: %w", activation.Package, err)
	}
	made, err := info.Parse(canonical)
	if err != nil {
		return fmt.Errorf("package %s: its info file on this server is damaged: %w", activation.Package, err)
	}
	infoPlace, fragmentPlace := Location(activation.InfoURL), Location(activation.FragmentsURL)
	err = infoPlace.checkHost(reach.Own)
	if made.Archive != nil {
		err = errors.Join(err, fragmentPlace.checkHost(reach.Own))
	}
	if err != nil {
		return err
	}
	client := reach.client()
	defer client.CloseIdleConnections()
	found := fetchInfo(ctx, client, infoPlace.URL("https", made.ID, depot.InfoFile), canonical)
	if made.Archive == nil {
		return found
	}
	return errors.Join(found, c.checkFragments(ctx, client, fragmentPlace, made))
}

func fetchInfo(ctx context.Context, client *http.Client, address string, want []byte) error {
	var got bytes.Buffer
	err := fetch(ctx, client, address, func(body io.Reader) error {
		_, err := io.Copy(&got, io.LimitReader(body, int64(len(want))+1))
		return err
	})
	if err == nil && !bytes.Equal(got.Bytes(), want) {
		err = fmt.Errorf("%s: it is not the info file of this package (%d bytes, want %d)", address, got.Len(),
			len(want))
	}
	return err
}

func (c *Catalog) checkFragments(ctx context.Context, client *http.Client, place Location,
	made *info.Info) error {
	list, err := c.Depot.ReadFile(made.ID, depot.DigestsFile)
	if err != nil {
		return fmt.Errorf("package %s: its digests cannot be read: %w", made.ID, err)
	}
	digests, err := fragment.ParseDigests(list, made.Archive.Plan, made.Archive.Digests)
	if err != nil {
		return fmt.Errorf("package %s: its digests on this server are damaged: %w", made.ID, err)
	}
	failed := make([]error, made.Fragments())
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(checksAtOnce)
	for i := range failed {
		group.Go(func() error {
			index := core.FragmentIndex(i)
			address := place.URL(strings.ToLower(string(made.Protocol)), made.ID, depot.FragmentName(made.ID, index))
			failed[i] = fetchFragment(ctx, client, address, made.Archive.Plan.Size(index), digests[i])
			return ctx.Err() // one bad fragment does not stop the others; the administrator does
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	if more := len(failed) - maxUnreached; more > 0 {
		failed = append(failed[:maxUnreached], fmt.Errorf("and %d more fragments", more))
	}
	return errors.Join(failed...)
}

func fetchFragment(ctx context.Context, client *http.Client, address string, size int64,
	want core.Digest) error {
	sum := sha256.New()
	var n int64
	err := fetch(ctx, client, address, func(body io.Reader) (err error) {
		n, err = io.Copy(sum, io.LimitReader(body, size+1))
		return err
	})
	switch {
	case err != nil:
		return err
	case n < size:
		return fmt.Errorf("%s: %d bytes, want %d", address, n, size)
	case n > size:
		return fmt.Errorf("%s: %d bytes or more, want %d", address, n, size)
	case core.Digest(sum.Sum(nil)) != want:
		return fmt.Errorf("%s: wrong bytes (the digest differs)", address)
	}
	return nil
}

// fetch gets one URL; every error begins with it. Bodies come as they are, never decompressed.
func fetch(ctx context.Context, client *http.Client, address string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %s", address, cause(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: the server answered %s", address, response.Status)
	}
	if err := read(response.Body); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}

// cause says in an administrator's words why a URL could not be fetched.
func cause(err error) string {
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var request *url.Error
	switch {
	case errors.As(err, &unknown):
		return "its certificate is not signed by the authority in cacert.pem, so agents will refuse it"
	case errors.As(err, &hostname):
		return "its certificate is for another host: " + hostname.Error()
	case errors.As(err, &invalid):
		return "its certificate is not valid: " + invalid.Error()
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "no TLS is spoken there"
	case errors.As(err, &dns):
		return fmt.Sprintf("host name %q cannot be resolved", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no server listens there"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &request): // the caller names the URL
		return request.Err.Error()
	}
	return err.Error()
}

// client returns an HTTP client that goes where agents would and nowhere else: it verifies with the
// agents' roots, follows no redirect, uses no proxy, and refuses addresses that no distribution server
// has after the name was resolved, so that a name cannot lead it elsewhere.
func (r Reach) client() *http.Client {
	dialer := &net.Dialer{
		Timeout: checkTimeout,
		ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
			port, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if own, _ := ctx.Value(ownHost{}).(bool); own {
				return nil
			}
			return checkAddress(port.Addr())
		},
	}
	return &http.Client{
		CheckRedirect: func(request *http.Request, _ []*http.Request) error {
			return fmt.Errorf("it redirects to %s; stock agents do not follow", request.URL.Redacted())
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, _, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				named := strings.TrimSuffix(host, ".")
				own := slices.ContainsFunc(r.Own, func(name string) bool { return strings.EqualFold(name, named) })
				return dialer.DialContext(context.WithValue(ctx, ownHost{}, own), network, address)
			},
			TLSClientConfig:        &tls.Config{RootCAs: r.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    checkTimeout,
			ResponseHeaderTimeout:  checkTimeout,
			MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConnsPerHost:    checksAtOnce,
			DisableCompression:     true,
		},
	}
}

// ownHost marks a dial to one of the server's own names.
type ownHost struct{}
