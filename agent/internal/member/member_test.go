package member

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"enjambre/agent/internal/state"
	"enjambre/agent/internal/vault"
	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/ocs"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/peer/mesh"
	"enjambre/peer/ticket"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// A deployment is what of a server the members need.
type deployment struct {
	t         *testing.T
	authority *x509.Certificate
	caKey     ed25519.PrivateKey
	online    ed25519.PrivateKey
	gossip    [][]byte // the first is used
}

func seeded(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func newDeployment(t *testing.T) *deployment { return newDeploymentOf(t, seeded(201)) }

func newDeploymentOf(t *testing.T, ca ed25519.PrivateKey) *deployment {
	t.Helper()
	d := &deployment{t: t, caKey: ca, online: seeded(202), gossip: [][]byte{bytes.Repeat([]byte{1}, 32)}}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agent CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, d.caKey.Public(), d.caKey)
	if err == nil {
		d.authority, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// words returns what the server says to a member of a site.
func (d *deployment) words(to id.Peer, site core.SiteName, epoch uint64, members ...ocs.Member) *ocs.Swarm {
	d.t.Helper()
	signed, err := ticket.Ticket{Deployment: "test", Site: site, Peer: to, Epoch: epoch, Issued: time.Now()}.Sign(d.online)
	if err != nil {
		d.t.Fatal(err)
	}
	news, err := ticket.Epoch{Number: epoch, Issued: time.Now()}.Sign(d.online, "test", site)
	if err != nil {
		d.t.Fatal(err)
	}
	said := &ocs.Swarm{
		Site: site, Ticket: signed, Epoch: news, Members: members, OnlineKeys: [][]byte{d.online.Public().(ed25519.PublicKey)},
	}
	for _, key := range d.gossip {
		said.Keys = append(said.Keys, ocs.GossipKey{Key: key})
	}
	return said
}

// A computer is an enrolled agent's state folder.
type computer struct {
	d      *deployment
	folder *state.Folder
	name   string
}

func (d *deployment) computer(name string) *computer {
	d.t.Helper()
	folder, err := state.Open(filepath.Join(d.t.TempDir(), "state"))
	if err != nil {
		d.t.Fatal(err)
	}
	key, err := folder.Key()
	if err != nil {
		d.t.Fatal(err)
	}
	device := core.DeviceID(name + "-2026-01-01-00-00-00")
	template := identity.Template(identity.Member{Deployment: "test", Device: device}, time.Now())
	template.SerialNumber = big.NewInt(2)
	der, err := x509.CreateCertificate(rand.Reader, template, d.authority, key.Public(), d.caKey)
	if err != nil {
		d.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		d.t.Fatal(err)
	}
	err = folder.Enrolled(state.Enrolment{
		Identity: state.Identity{Deployment: "test", Device: device}, Certificate: certificate, Authority: d.authority,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return &computer{d: d, folder: folder, name: name}
}

// A running is a Member that runs.
type running struct {
	*Member
	t    *testing.T
	at   netip.AddrPort
	came atomic.Int32 // neighbours, again and again
	stop func()
}

// start starts the agent of a computer; it listens at once.
func (c *computer) start(options ...func(*Options)) *running {
	t := c.d.t
	t.Helper()
	store, err := vault.Open(c.folder.Path("packages"), vault.Options{
		Policy: seal.Policy{}, Deployment: "test", Log: slog.New(slog.DiscardHandler), Reserve: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{State: c.folder, Vault: store, Deployment: "test", Now: time.Now}
	for _, change := range options {
		change(&o)
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Member: m, t: t}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { m.Run(ctx) })
	all.Go(func() {
		var told ticket.Epoch
		for {
			select {
			case report := <-m.Reports():
				if report.Came != (id.Peer{}) {
					r.came.Add(1)
				}
			case <-m.Changed(): // peer/pulse would tell a new epoch on
				if view := m.View(); view.Epoch.After(told) {
					told = view.Epoch
					m.Tell(view.From)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	r.at, _ = m.Listen(ctx, loopback)
	return r
}

// takePort takes a UDP port below those that systems give to who does not care which. Once it is free, nobody else is
// given it, however many ports other tests open meanwhile.
func takePort(t *testing.T) (taken *net.UDPConn, port uint16) {
	t.Helper()
	for {
		port = uint16(20_000 + mathrand.IntN(10_000))
		taken, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
		if err == nil {
			return taken, port
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// place returns the member as the server tells others of it.
func (r *running) place() ocs.Member { return ocs.Member{ID: r.Self().String(), Address: r.at} }

// patience bounds a wait: only what hangs comes to it. Whoever was not reached, as the computer was busy, is tried
// again by the members after 10 s, and after a minute.
const patience = 4 * time.Minute

// becomes waits until the status is as it should be.
func (r *running) becomes(what string, holds func(Status) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !holds(r.Status()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: it stays %v", what, r.Status())
		}
	}
}

func together(n int) func(Status) bool {
	return func(s Status) bool { return s.Members == n && s.Neighbours == n }
}

// TestSite: members of which each knows one other find all the others; a key is replaced; one moves away and comes back.
func TestSite(t *testing.T) {
	d := newDeployment(t)
	a, b, c := d.computer("a").start(), d.computer("b").start(), d.computer("c").start()
	if status := a.Status(); status.Listen != a.at || !strings.Contains(status.Problem, "not said anything") {
		t.Errorf("before the first word: %v", status)
	}
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	c.Told(d.words(c.Self(), "lyon", 1, b.place()))
	for _, one := range []*running{a, b, c} {
		one.becomes("together", together(2))
	}
	t.Log("a new epoch reaches all from one")
	a.Told(d.words(a.Self(), "lyon", 2))
	for _, one := range []*running{a, b, c} {
		one.becomes("epoch", func(s Status) bool { return s.Epoch == 2 })
	}
	t.Log("a key is replaced, one after the other")
	old := d.gossip
	d.gossip = [][]byte{old[0], bytes.Repeat([]byte{2}, 32)}
	for _, one := range []*running{a, b, c} {
		one.Told(d.words(one.Self(), "lyon", 3))
	}
	d.gossip = [][]byte{bytes.Repeat([]byte{2}, 32)}
	for _, one := range []*running{a, b, c} {
		one.Told(d.words(one.Self(), "lyon", 4))
	}
	t.Log("one moves away")
	lyon := d.gossip
	d.gossip = [][]byte{bytes.Repeat([]byte{3}, 32)} // each site has its own
	c.Told(d.words(c.Self(), "paris", 1))
	d.gossip = lyon
	c.becomes("alone", func(s Status) bool { return s.Site == "paris" && s.Members == 0 && s.Neighbours == 0 })
	a.becomes("without it", together(1))
	b.becomes("without it", together(1))
	t.Log("and comes back")
	c.Told(d.words(c.Self(), "lyon", 4, a.place()))
	for _, one := range []*running{a, b, c} {
		one.becomes("together again", together(2))
	}
	t.Log("one has no ticket any more")
	said := d.words(b.Self(), "lyon", 4)
	said.Ticket = nil
	b.Told(said)
	b.becomes("out", func(s Status) bool {
		return s.Site == "" && s.Neighbours == 0 && strings.Contains(s.Problem, "no ticket")
	})
	a.becomes("without it", together(1))
}

// TestWithoutServer: after a restart a site forms from what is remembered, and not when that is too old.
func TestWithoutServer(t *testing.T) {
	d := newDeployment(t)
	first, second := d.computer("a"), d.computer("b")
	taken, port := takePort(t)
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	samePort := func(o *Options) { o.Port = port }
	a, b := first.start(samePort), second.start()
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	a.becomes("together", together(1))
	a.stop()
	b.becomes("alone", together(0))
	b.stop()
	if stat, err := os.Stat(first.folder.Path(siteName + ".json")); err != nil ||
		runtime.GOOS != "windows" && stat.Mode().Perm() != 0o600 {
		t.Fatalf("what is remembered: %v, %v", stat, err)
	}
	later := func(by time.Duration) func(*Options) {
		return func(o *Options) { o.Now = func() time.Time { return time.Now().Add(by) } }
	}
	a = first.start(samePort, later(48*time.Hour)) // the tickets are over, and no server gives others
	b = second.start(later(48 * time.Hour))
	a.becomes("together", together(1))
	b.becomes("together", together(1))
	if !a.Joined() {
		t.Error("not joined")
	}
	if at, err := a.Toward(t.Context()); err != nil || at != loopback {
		t.Errorf("toward other members: %v, %v", at, err)
	}
	a.stop()
	if a = first.start(later(60 * 24 * time.Hour)); a.Joined() {
		t.Error("joined with a ticket of two months ago")
	}
	if at, err := a.Toward(t.Context()); err == nil {
		t.Errorf("toward nobody: %v", at)
	}
}

// TestNamedLater: who was named nobody joins whom the server names at the next contact, at once.
func TestNamedLater(t *testing.T) {
	d := newDeployment(t)
	a, b := d.computer("a").start(), d.computer("b").start()
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1))
	for _, one := range []*running{a, b} { // gossip has looked for others, and pauses
		one.becomes("in the swarm", func(s Status) bool {
			one.mu.Lock()
			defer one.mu.Unlock()
			return one.session != nil && !one.session.rememberAt.IsZero() && s.Site == "lyon"
		})
	}
	a.Told(d.words(a.Self(), "lyon", 1, b.place()))
	for _, one := range []*running{a, b} {
		one.becomes("together", together(1))
	}
}

// TestAwoke: after the computer's sleep, connections and gossip are made anew at once; a nap changes nothing.
func TestAwoke(t *testing.T) {
	d := newDeployment(t)
	var slept, looks atomic.Int64
	var log journal
	a := d.computer("a").start(func(o *Options) {
		o.Slept = func() time.Duration { looks.Add(1); return time.Duration(slept.Load()) }
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	b := d.computer("b").start()
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	for _, one := range []*running{a, b} {
		one.becomes("together", together(1))
	}
	met := b.came.Load()
	slept.Add(int64(mesh.SleepJump))
	seen := looks.Load() + 2
	a.becomes("looked again", func(Status) bool { return looks.Load() >= seen })
	if b.came.Load() != met || log.count("in the site's swarm") != 1 {
		t.Error("a nap is taken for a sleep")
	}
	slept.Add(int64(time.Hour))
	b.becomes("met anew", func(Status) bool { return b.came.Load() > met })
	for _, one := range []*running{a, b} {
		one.becomes("together again", together(1))
	}
	if log.count("in the site's swarm") != 2 || log.count("has slept") != 1 {
		t.Error("gossip goes on as if nothing had been")
	}
}

// A journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), text)
}

// TestLonely: that nobody answers is a problem after a minute, and none any more when somebody does.
func TestLonely(t *testing.T) {
	d := newDeployment(t)
	var passed atomic.Int64
	a := d.computer("a").start(func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	})
	silent := ocs.Member{ID: id.Peer{5}.String(), Address: netip.MustParseAddrPort("127.0.0.1:9")}
	isLonely := func(s Status) bool {
		return s.Site == "lyon" && strings.Contains(s.String(), "UDP blocked") && strings.Contains(s.Problem, "there are 1")
	}
	isFine := func(s Status) bool { return s.Site == "lyon" && s.Problem == "" }
	a.Told(d.words(a.Self(), "lyon", 1, silent))
	a.becomes("a neighbour is missing", func(Status) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.session != nil && !a.session.lonelySince.IsZero()
	})
	if status := a.Status(); !isFine(status) {
		t.Errorf("at once: %v", status)
	}
	passed.Store(int64(lonelyAfter))
	a.becomes("lonely", func(s Status) bool { return isLonely(s) && a.Lonely() })
	t.Log("the server names nobody")
	a.Told(d.words(a.Self(), "lyon", 1))
	a.becomes("alone, which is no problem", isFine)
	a.Told(d.words(a.Self(), "lyon", 1, silent))
	passed.Add(int64(2 * lonelyAfter))
	a.becomes("lonely again", func(s Status) bool { passed.Add(int64(time.Second)); return isLonely(s) })
	t.Log("somebody comes")
	b := d.computer("b").start()
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	a.becomes("fine", func(s Status) bool { return isFine(s) && !a.Lonely() })
}

// TestLeave: an agent ends soon also while it tries to reach many that do not answer.
func TestLeave(t *testing.T) {
	d := newDeployment(t)
	a := d.computer("a").start()
	var silent []ocs.Member
	for n := range byte(12) {
		silent = append(silent, ocs.Member{ID: id.Peer{n + 1}.String(), Address: netip.AddrPortFrom(loopback, 9)})
	}
	a.Told(d.words(a.Self(), "lyon", 1, silent...))
	a.becomes("joining", func(s Status) bool { return s.Site == "lyon" })
	began := time.Now()
	a.stop()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestPlaceOf: a member that gossip does not know is where the server said.
func TestPlaceOf(t *testing.T) {
	d := newDeployment(t)
	a, silent := d.computer("a").start(), id.Peer{5}
	at := netip.MustParseAddrPort("127.0.0.1:9")
	a.Told(d.words(a.Self(), "lyon", 1, ocs.Member{ID: silent.String(), Address: at}))
	if got, isKnown := a.placeOf(a.current(), silent); !isKnown || got.Address != at {
		t.Errorf("got %v, %v", got, isKnown)
	}
	if got, isKnown := a.placeOf(a.current(), id.Peer{6}); isKnown {
		t.Errorf("nobody is at %v", got)
	}
}

// TestStrangers: who is of another deployment or site, or shows a ticket that is over while there is a server, is not
// admitted.
func TestStrangers(t *testing.T) {
	d := newDeployment(t)
	var passed atomic.Int64
	a := d.computer("a").start(func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	})
	a.Told(d.words(a.Self(), "lyon", 1))
	other := newDeploymentOf(t, seeded(210))
	stranger := other.computer("s").start()
	elsewhere, old := d.computer("e").start(), d.computer("o").start()
	stranger.Told(d.words(stranger.Self(), "lyon", 1))
	elsewhere.Told(d.words(elsewhere.Self(), "paris", 1))
	old.Told(d.words(old.Self(), "lyon", 1))
	for name, c := range map[string]struct {
		from *running
		at   time.Duration
		want core.Class
	}{
		"a stranger": {stranger, 0, core.ClassIdent}, "elsewhere": {elsewhere, 0, core.ClassIdent},
		"old": {old, 25 * time.Hour, core.ClassIdent}, "good": {old, 0, ""},
	} {
		hello, err := c.from.hello()
		if err != nil {
			t.Fatal(err)
		}
		passed.Store(int64(c.at))
		if _, err := a.judge(c.from.Self(), hello); core.ClassOf(err) != c.want {
			t.Errorf("%s: got %v", name, err)
		}
	}
	hello, _ := old.hello()
	passed.Store(int64(25 * time.Hour))
	a.Unreached()
	if _, err := a.judge(old.Self(), hello); err != nil {
		t.Errorf("old, without server: %v", err)
	}
}

// TestNoPart: who takes no part can reach nobody, and need not wait to know.
func TestNoPart(t *testing.T) {
	d := newDeployment(t)
	a := d.computer("a").start(func(o *Options) { o.Off = true })
	if !a.Lonely() {
		t.Error("switched off, and not lonely")
	}
	if b := d.computer("b").start(); b.Lonely() {
		t.Error("lonely from the start")
	}
}

// TestPortInUse: an agent that cannot listen says why, and does as soon as it can.
func TestPortInUse(t *testing.T) {
	taken, port := takePort(t)
	d := newDeployment(t)
	a := d.computer("a").start(func(o *Options) { o.Port = port })
	if status := a.Status(); a.at.IsValid() || !strings.Contains(status.String(), "in use") || !a.Lonely() {
		t.Errorf("got %v, %v", a.at, status)
	}
	a.Told(d.words(a.Self(), "lyon", 1))
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if at, _ := a.Listen(ctx, loopback); at.Port() != port {
		t.Errorf("got %v", at)
	}
	a.becomes("joined", func(s Status) bool { return s.Site == "lyon" && !a.Lonely() })
	t.Log("another address leads to the server")
	other := netip.MustParseAddr("127.0.0.2")
	if at, _ := a.Listen(ctx, other); at != netip.AddrPortFrom(other, port) {
		t.Errorf("got %v", at)
	}
	for _, bad := range []string{"0.0.0.0", "fe80::1", "224.0.0.1"} {
		if at, _ := a.Listen(ctx, netip.MustParseAddr(bad)); at.IsValid() {
			t.Errorf("%s: listens at %v", bad, at)
		}
	}
	off := d.computer("off").start(func(o *Options) { o.Off = true })
	off.Told(d.words(off.Self(), "lyon", 1))
	if off.at.IsValid() || off.Joined() || !strings.Contains(off.Status().String(), "switched off") {
		t.Errorf("got %v", off.Status())
	}
}

// TestWords: what makes no member of us.
func TestWords(t *testing.T) {
	d := newDeployment(t)
	a := d.computer("a").start()
	good := func() *ocs.Swarm { return d.words(a.Self(), "lyon", 1) }
	for name, c := range map[string]struct {
		said *ocs.Swarm
		want string
	}{
		"nothing":          {nil, "nothing of a site"},
		"no site":          {&ocs.Swarm{}, "no site"},
		"no keys":          {&ocs.Swarm{Site: "lyon"}, "no keys"},
		"another's ticket": {d.words(id.Peer{7}, "lyon", 1), "not right"},
		"short key": {func() *ocs.Swarm {
			said := good()
			said.Keys[0].Key = said.Keys[0].Key[:16]
			return said
		}(), "16 bytes"},
		"another signature": {func() *ocs.Swarm {
			said := good()
			said.OnlineKeys[0] = seeded(9).Public().(ed25519.PublicKey)
			return said
		}(), "not right"},
	} {
		a.Told(good())
		if !a.Joined() {
			t.Fatal("not joined")
		}
		a.Told(c.said)
		if status := a.Status(); a.Joined() || !strings.Contains(status.Problem, c.want) {
			t.Errorf("%s: got %v", name, status)
		}
	}
}
