package origin

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/outcome"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/peer/lease"
	"enjambre/peer/next"
	"enjambre/server/internal/delivery"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/store"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience bounds every wait of these tests: only what hangs comes to it.
const patience = 3 * time.Minute

// A lab is a server over an empty store.
type lab struct {
	testing.TB
	store     *store.Store
	depot     *depot.Depot
	data      string // of the store
	folder    string // of the ledgers
	authority *x509.Certificate
	key       ed25519.PrivateKey
	policy    func(context.Context, core.SiteName) (lease.Policy, error)
	sites     Sites // the store, if nothing else is said

	handler *Handler
	server  *httptest.Server
	active  atomic.Int32 // requests that are being answered
	cancel  func()       // ends Run
	stop    func()       // and the server
}

func newLab(t testing.TB) *lab {
	t.Helper()
	folder := t.TempDir()
	check(t, store.Create(t.Context(), folder))
	opened, err := store.Open(t.Context(), folder)
	check(t, err)
	t.Cleanup(func() { check(t, opened.Close()) })
	files, err := depot.Open(filepath.Join(folder, "packages"))
	check(t, err)
	l := &lab{
		TB: t, store: opened, sites: opened, depot: files, data: folder, folder: filepath.Join(folder, "swarm"),
		key: keyOf(1),
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, l.key.Public(), l.key)
	check(t, err)
	l.authority, err = x509.ParseCertificate(der)
	check(t, err)
	return l
}

// start runs a server until stop, or until the test ends.
func (l *lab) start() {
	l.Helper()
	handler, err := New(Options{
		Store: l.store, Sites: l.sites, Depot: l.depot, Folder: l.folder, Policy: l.policy,
		Verifier: identity.Verifier{Deployment: "lyon", Authorities: []*x509.Certificate{l.authority}},
		Log:      slog.New(slog.NewTextHandler(l.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	check(l, err)
	mux := http.NewServeMux()
	handler.Register(mux)
	delivery.New(l.depot, l.store.HasPackage, handler.Outside, slog.New(slog.DiscardHandler)).Register(mux)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- handler.Run(ctx) }()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.active.Add(1)
		defer l.active.Add(-1)
		mux.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.Listener = Limit(server.Listener, 100)
	server.Config.ConnContext = ConnContext
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	l.handler, l.server = handler, server
	l.cancel = sync.OnceFunc(func() {
		cancel()
		check(l, <-done)
	})
	l.stop = sync.OnceFunc(func() {
		l.cancel()
		server.Close()
	})
	l.Cleanup(l.stop)
}

func keyOf(number byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))
}

// An agent is an enrolled computer.
type agent struct {
	*lab
	client *http.Client
	config *tls.Config
	peer   id.Peer
	device core.DeviceID
}

// agent enrols a computer at a site.
func (l *lab) agent(number byte, site core.SiteName) *agent {
	l.Helper()
	key := keyOf(number)
	public := key.Public().(ed25519.PublicKey)
	device := core.DeviceID(fmt.Sprintf("pc%d-2026-01-31-08-00-00", number))
	template := identity.Template(identity.Member{Deployment: "lyon", Device: device}, time.Now())
	template.SerialNumber = big.NewInt(int64(number) + 1)
	der, err := x509.CreateCertificate(rand.Reader, template, l.authority, public, l.key)
	check(l, err)
	token := "token of " + string(device)
	right := store.Token{Site: site, Uses: 1, Expires: template.NotAfter}
	check(l, l.store.AddToken(l.Context(), token, right, time.Now()))
	_, err = l.store.Enrol(l.Context(), store.Enrolment{
		Token: token, Device: device, Key: seal.KeyIDOf(public), Certified: template.NotAfter,
	}, time.Now())
	check(l, err)
	config := &tls.Config{
		InsecureSkipVerify: true, // whom the server is, other tests see to
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
	peer, err := id.FromKey(public)
	check(l, err)
	transport := &http.Transport{TLSClientConfig: config}
	l.Cleanup(transport.CloseIdleConnections)
	return &agent{l, &http.Client{Transport: transport, Timeout: patience}, config, peer, device}
}

// pack publishes a package of so many fragments.
func (l *lab) pack(number core.PackageID, fragments int, fragmentSize int64) store.Package {
	l.Helper()
	check(l, os.Mkdir(l.depot.Folder(number), 0o755))
	for index := range core.FragmentIndex(fragments) {
		check(l, os.WriteFile(filepath.Join(l.depot.Folder(number), depot.FragmentName(number, index)),
			content(index, fragmentSize), 0o644))
	}
	reserved, err := l.store.ReserveID(l.Context(), time.Unix(int64(number), 0))
	check(l, err)
	if reserved != number {
		l.Fatalf("package %d is %d", number, reserved)
	}
	p := store.Package{
		ID: number, Name: "p", OS: core.Linux, Priority: 5, Action: core.Store, Target: "/opt", Protocol: "HTTP",
		ArchiveSize: int64(fragments) * fragmentSize, FragmentSize: fragmentSize, Fragments: fragments,
		SuccessCodes: outcome.SuccessCodes{0}, InfoDigest: core.DigestOf([]byte(number.String())), Built: time.Now(),
	}
	check(l, l.store.AddPackage(l.Context(), p))
	return p
}

func content(index core.FragmentIndex, size int64) []byte {
	return bytes.Repeat([]byte{byte(index), byte(index >> 8), 3, 4}, int(size/4))
}

// request makes a request for a package.
func (a *agent) request(ctx context.Context, number core.PackageID, said next.Request) *http.Request {
	a.Helper()
	url := fmt.Sprintf("%s/download/%s/next", a.server.URL, number)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	check(a, err)
	check(a, said.Put(next.Header(r.Header)))
	return r
}

// ask asks, and returns the answer with the whole body.
func (a *agent) ask(number core.PackageID, said next.Request) (next.Answer, []byte) {
	a.Helper()
	got, body, err := a.try(number, said)
	check(a, err)
	return got, body
}

func (a *agent) try(number core.PackageID, said next.Request) (next.Answer, []byte, error) {
	response, err := a.client.Do(a.request(context.Background(), number, said))
	if err != nil {
		return next.Answer{}, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return next.Answer{}, nil, err
	}
	got, err := next.ParseAnswer(response.StatusCode, next.Header(response.Header))
	if err == nil && got.Length != int64(len(body)) && got.Status == next.StatusFragment {
		err = fmt.Errorf("body of %d bytes, said %d", len(body), got.Length)
	}
	if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("X-Accel-Buffering") != "no" {
		err = fmt.Errorf("header %v", response.Header)
	}
	return got, body, err
}

// A clogged connection delivers so many bytes and then nothing.
type clogged struct {
	net.Conn
	left   int // bytes; negative for no end
	closed chan struct{}
}

func (c *clogged) Read(to []byte) (int, error) {
	if c.left == 0 {
		<-c.closed
		return 0, net.ErrClosed
	}
	if c.left > 0 {
		to = to[:min(len(to), c.left)]
	}
	n, err := c.Conn.Read(to)
	if c.left > 0 {
		c.left -= n
	}
	return n, err
}

// pull begins to fetch over a connection of its own, reads the head and leaves the body; the connection
// delivers so many bytes. It returns what hangs up.
func (a *agent) pull(number core.PackageID, said next.Request, major, bytes int) (
	got next.Answer, hangUp func()) {
	a.Helper()
	line := &clogged{left: bytes, closed: make(chan struct{})}
	transport := &http.Transport{
		TLSClientConfig: a.config.Clone(), ForceAttemptHTTP2: major == 2,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			if line.Conn, err = (&net.Dialer{}).DialContext(ctx, network, address); err == nil {
				err = line.Conn.(*net.TCPConn).SetReadBuffer(64 << 10) // or it takes a whole fragment
			}
			return line, err
		},
	}
	response, err := (&http.Client{Transport: transport}).Do(a.request(context.Background(), number, said))
	check(a, err)
	if response.ProtoMajor != major {
		a.Fatalf("HTTP/%d, want %d", response.ProtoMajor, major)
	}
	hangUp = sync.OnceFunc(func() { close(line.closed); _ = response.Body.Close(); _ = line.Close() })
	a.Cleanup(hangUp)
	got, err = next.ParseAnswer(response.StatusCode, next.Header(response.Header))
	check(a, err)
	return got, hangUp
}

// pullAll fetches as slowly as it comes, and says when the body has ended: nil if it is whole.
func (a *agent) pullAll(number core.PackageID, said next.Request) <-chan error {
	a.Helper()
	response, err := a.client.Do(a.request(context.Background(), number, said))
	check(a, err)
	if response.StatusCode != next.StatusFragment {
		a.Fatalf("got %s", response.Status)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, response.Body)
		ended <- errors.Join(err, response.Body.Close())
	}()
	return ended
}

func want(indexes ...core.FragmentIndex) next.Request { return next.Request{Weight: 2, Want: indexes} }

// totals returns what went into site lyon, once all requests have ended.
func (l *lab) totals(p store.Package) lease.Totals {
	l.Helper()
	for deadline := time.Now().Add(patience); l.active.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.Fatalf("%d requests do not end", l.active.Load())
		}
	}
	totals, err := l.handler.Totals(l.Context(), "lyon", p.InfoDigest)
	check(l, err)
	return totals
}
