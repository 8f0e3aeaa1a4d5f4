package diagnose

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"enjambre/agent/internal/config"
	"enjambre/agent/internal/daemon"
	"enjambre/agent/internal/member"
	"enjambre/agent/internal/notify"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/state"
	"enjambre/core"
)

// deployment answers HEAD as the server does.
func deployment(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", http.MethodPost)
	w.WriteHeader(http.StatusMethodNotAllowed)
}

// serve runs a TLS server and returns its address and authority.
func serve(t *testing.T, handler http.HandlerFunc) (address string, authority *x509.Certificate) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/ocsinventory", server.Certificate()
}

func encode(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

// certify returns a certificate for a key.
func certify(t *testing.T, public any, key ed25519.PrivateKey, from, until time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, IsCA: true,
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// enrolled returns a state folder that is enrolled at a server.
func enrolled(t *testing.T, address string, authority *x509.Certificate, now time.Time) *state.Folder {
	t.Helper()
	folder, err := state.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := folder.Key()
	if err != nil {
		t.Fatal(err)
	}
	certificate := certify(t, key.Public(), key, now.Add(-time.Hour), now.Add(30*24*time.Hour))
	err = folder.Enrolled(state.Enrolment{
		Identity: state.Identity{
			Deployment: "d", Device: core.DeviceID("pc-2026-01-01-00-00-00"), Server: address, Site: "lyon", Threshold: 1,
			Signers: []state.Signer{{Owner: "o", Key: key.Public().(ed25519.PublicKey)}},
		},
		Certificate: certificate, Authority: certificate, ServerCA: encode(authority),
	})
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// options look at a folder and at no more of this computer than must be.
func options(t *testing.T, folder string) Options {
	settings := config.Default()
	settings.State, settings.Listen = folder, "0" // no port that others may hold
	o := Options{
		Settings: settings, Programs: []string{},
		Free: func(context.Context, string) (int64, error) { return 100 << 30, nil },
		Session: func(context.Context) (notify.Session, bool, error) {
			return notify.Session{}, false, nil
		},
	}
	o.System.Root = t.TempDir() // a computer that says nothing
	return o
}

// find returns one check.
func find(t *testing.T, checks []Check, name string) Check {
	t.Helper()
	for _, check := range checks {
		if check.Name == name {
			return check
		}
	}
	t.Fatalf("no check %q", name)
	return Check{}
}

// want demands a finding with a text in what was found or in the advice.
func want(t *testing.T, checks []Check, name string, level Level, text string) {
	t.Helper()
	got := find(t, checks, name)
	if got.Level != level || !strings.Contains(got.Found+" "+got.Advice, text) || strings.Contains(got.Found, "\n") {
		t.Errorf("got %+v, want %s with %q", got, level, text)
	}
	if got.Level == Fail && got.Advice == "" {
		t.Errorf("%+v: a failure without advice", got)
	}
}

// listing returns every file under a folder with its size and time.
func listing(t *testing.T, folder string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		fmt.Fprintln(&list, path, info.Mode(), info.Size(), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

// TestGood: nothing fails at an agent whose server answers, the checks come in their order, and nothing on the disk
// has changed afterwards.
func TestGood(t *testing.T) {
	address, authority := serve(t, deployment)
	folder := enrolled(t, address, authority, time.Now())
	before := listing(t, folder.Path())
	checks := Run(t.Context(), options(t, folder.Path()))
	if after := listing(t, folder.Path()); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	names := make([]string, 0, len(checks))
	for _, check := range checks {
		names = append(names, check.Name)
	}
	order := "state folder, identity, clock, certificate, authority, name, connection, TLS, proxy, answer, disk, dialog, " +
		"ledger, inventory, agent, swarm"
	if got := strings.Join(names, ", "); got != order {
		t.Errorf("got %s", got)
	}
	if failed := Failed(checks); failed != 0 {
		t.Errorf("%d failed: %+v", failed, checks)
	}
	for _, name := range []string{"state folder", "identity", "certificate", "clock", "authority", "name", "connection", "TLS", "proxy",
		"answer", "disk", "ledger"} {
		want(t, checks, name, OK, "")
	}
	want(t, checks, "identity", OK, "pc-2026-01-01-00-00-00 in deployment d, site lyon")
	want(t, checks, "TLS", OK, `signed by "O=Acme Co"`)
	want(t, checks, "agent", Warn, "enjambre-agent service start")
}

// TestServer: what is wrong on the way is named where it happens, and what lies behind it is skipped.
func TestServer(t *testing.T) {
	now := time.Now()
	good, authority := serve(t, deployment)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger := certify(t, key.Public(), key, now.Add(-time.Hour), now.Add(365*24*time.Hour))
	other, _ := serve(t, http.NotFound)
	broken, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	garbage, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = connection.Write([]byte("\x00garbage\r\n\r\n"))
			_ = connection.Close()
		}
	})
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	denies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(denies.Close)
	type wanted struct {
		name  string
		level Level
		text  string
	}
	for name, c := range map[string]struct {
		address, proxy string
		authority      *x509.Certificate
		ahead          time.Duration // of this computer's clock
		want           []wanted
	}{
		"no name": {"https://no-such-name.invalid/ocsinventory", "", authority, 0, []wanted{
			{"name", Fail, "cannot be resolved"}, {"connection", Skip, ""}, {"TLS", Skip, ""}, {"answer", Skip, ""}, {"clock", Skip, ""}}},
		"no server": {"https://127.0.0.1:1/ocsinventory", "", authority, 0, []wanted{
			{"name", OK, ""}, {"connection", Fail, "nobody listens there"}, {"TLS", Skip, ""}, {"answer", Skip, ""}}},
		"no TLS": {"https://" + plain.Listener.Addr().String() + "/ocsinventory", "", authority, 0, []wanted{
			{"connection", OK, ""}, {"TLS", Fail, "no TLS is spoken there"}, {"answer", Skip, ""}}},
		"wrong authority": {good, "", stranger, 0, []wanted{
			{"authority", OK, ""}, {"connection", OK, ""}, {"TLS", Fail, `signed by "O=Acme Co"`},
			{"TLS", Fail, "does a proxy inspect TLS here?"}, {"answer", Skip, ""}}},
		"proxy": {good, denies.URL, authority, 0, []wanted{
			{"connection", OK, ""}, {"TLS", Skip, ""}, {"proxy", Fail, "Forbidden"}, {"answer", Skip, ""}}},
		"clock far ahead": {good, "", authority, 200 * 365 * 24 * time.Hour, []wanted{
			{"clock", Fail, "NTP"}, {"TLS", Fail, "not at the time of this computer's clock"}, {"answer", Skip, ""}}},
		"clock a day off": {good, "", authority, 30 * time.Hour, []wanted{
			{"clock", Fail, "NTP"}, {"TLS", OK, ""}, {"answer", OK, ""}}},
		"clock minutes off": {good, "", authority, -time.Hour / 2, []wanted{{"clock", Warn, "NTP"}, {"answer", OK, ""}}},
		"another server":    {other, "", authority, 0, []wanted{{"TLS", OK, ""}, {"answer", Warn, "404"}}},
		"broken server":     {broken, "", authority, 0, []wanted{{"TLS", OK, ""}, {"answer", Fail, "502"}}},
		"garbage":           {garbage, "", authority, 0, []wanted{{"TLS", OK, ""}, {"answer", Fail, "malformed HTTP"}}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, enrolled(t, c.address, c.authority, now).Path())
			o.Now = func() time.Time { return time.Now().Add(c.ahead) }
			var err error
			if o.Proxy, err = origin.ParseProxy(c.proxy); err != nil {
				t.Fatal(err)
			}
			checks := Run(t.Context(), o)
			for _, one := range c.want {
				want(t, checks, one.name, one.level, one.text)
			}
		})
	}
}

// TestHangs: whatever hangs is named, and all else is said.
func TestHangs(t *testing.T) {
	address, authority := serve(t, deployment)
	gate := make(chan struct{})
	defer close(gate)
	o := options(t, enrolled(t, address, authority, time.Now()).Path())
	o.Patience = 2 * time.Second
	o.Free = func(context.Context, string) (int64, error) { <-gate; return 0, nil }
	o.Session = func(context.Context) (notify.Session, bool, error) { <-gate; return notify.Session{}, false, nil }
	o.System.Usage = func(context.Context, string) (uint64, uint64, error) { <-gate; return 0, 0, nil }
	checks := Run(t.Context(), o)
	want(t, checks, "disk", Fail, "does not answer")
	want(t, checks, "dialog", Fail, "does not answer")
	want(t, checks, "answer", OK, "")
	want(t, checks, "agent", Warn, "")
	if failed := Failed(checks); failed < 2 {
		t.Errorf("%d failed", failed)
	}
}

// TestWrongClock: by a wrong clock certificates look old. What is to be done is to set it, which is said first, and nobody
// is told to part with what is known of this computer.
func TestWrongClock(t *testing.T) {
	now := time.Now()
	good, authority := serve(t, deployment)
	for name, c := range map[string]struct {
		address string
		ahead   time.Duration
		level   Level // of the clock
		first   string
	}{
		"two years ahead":          {good, 2 * 365 * 24 * time.Hour, Fail, "set the clock"},
		"200 years ahead":          {good, 200 * 365 * 24 * time.Hour, Fail, "set the clock"},
		"1970":                     {good, time.Unix(30, 0).Sub(now), Fail, "set the clock"},
		"ahead, and no server":     {"https://127.0.0.1:1/ocsinventory", 2 * 365 * 24 * time.Hour, Skip, "is this computer's clock right?"},
		"1970, and no server":      {"https://127.0.0.1:1/ocsinventory", time.Unix(30, 0).Sub(now), Fail, "set the clock"},
		"100 years, and no server": {"https://127.0.0.1:1/ocsinventory", 100 * 365 * 24 * time.Hour, Skip, "is this computer's clock right?"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, enrolled(t, c.address, authority, now).Path())
			o.Now = func() time.Time { return time.Now().Add(c.ahead) }
			first := ""
			for _, check := range Run(t.Context(), o) {
				if strings.Contains(check.Advice, "remove") {
					t.Errorf("%s: %s", check.Name, check.Advice)
				}
				if check.Name == "clock" && check.Level != c.level {
					t.Errorf("clock: got %s, %s", check.Level, check.Found)
				}
				if isLocal := check.Name != "name" && check.Name != "connection"; first == "" && check.Level == Fail && isLocal {
					first = check.Advice
				}
			}
			if !strings.Contains(strings.ToLower(first), c.first) {
				t.Errorf("the first advice is %q, want %q in it", first, c.first)
			}
		})
	}
}

// TestComputer: what is wrong with the computer itself.
func TestComputer(t *testing.T) {
	var passed atomic.Int64 // at the server too, since its clock is right
	address, authority := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Duration(passed.Load())).UTC().Format(http.TimeFormat))
		deployment(w, r)
	})
	damage := func(name, content string) func(*testing.T, *state.Folder, *Options) {
		return func(t *testing.T, folder *state.Folder, _ *Options) {
			if err := os.WriteFile(folder.Path(name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, *state.Folder, *Options) {
		return func(t *testing.T, folder *state.Folder, _ *Options) {
			if err := os.Remove(folder.Path(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	later := func(by time.Duration) func(*testing.T, *state.Folder, *Options) {
		return func(_ *testing.T, _ *state.Folder, o *Options) {
			o.Now = func() time.Time { return time.Now().Add(by) }
		}
	}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		change func(*testing.T, *state.Folder, *Options)
		check  string
		level  Level
		text   string
	}{
		"no folder":         {func(_ *testing.T, _ *state.Folder, o *Options) { o.Settings.State += "x" }, "state folder", Fail, "does not exist"},
		"not enrolled":      {remove("identity.json"), "identity", Fail, "enjambre-agent enroll"},
		"identity":          {damage("identity.json", "{"), "identity", Fail, "unexpected EOF"},
		"no key":            {remove("key.pem"), "certificate", Fail, "no such file"},
		"key":               {damage("key.pem", "x"), "certificate", Fail, "damaged"},
		"ends soon":         {later(25 * day), "certificate", Warn, "not renewed yet"},
		"ended":             {later(35 * day), "certificate", Warn, "renews it"},
		"ended long ago":    {later(500 * day), "certificate", Fail, "too long ago"},
		"no authority":      {remove("cacert.pem"), "authority", Fail, "no such file"},
		"authority":         {damage("cacert.pem", "x"), "authority", Fail, "no certificate in PEM form"},
		"authority and way": {remove("cacert.pem"), "TLS", Skip, "no such file"},
		"ledger":            {damage(daemon.LedgerName, "garbage\ngarbage\n"), "ledger", Fail, "ledger"},
		"full disk": {func(_ *testing.T, _ *state.Folder, o *Options) {
			o.Free = func(context.Context, string) (int64, error) { return 1 << 30, nil }
		}, "disk", Fail, "no package fits"},
		"small disk": {func(_ *testing.T, _ *state.Folder, o *Options) {
			o.Free = func(context.Context, string) (int64, error) { return 3 << 29, nil }
		}, "disk", Warn, "make room"},
		"no such disk": {func(_ *testing.T, _ *state.Folder, o *Options) {
			o.Free = func(context.Context, string) (int64, error) { return 0, errors.New("no disk") }
		}, "disk", Warn, "no disk"},
		"nobody to ask with": {func(_ *testing.T, _ *state.Folder, o *Options) {
			o.Session = func(context.Context) (notify.Session, bool, error) {
				return notify.Session{User: "ana", Display: ":0"}, true, nil
			}
		}, "dialog", Warn, "ana"},
		"no swarm": {func(_ *testing.T, _ *state.Folder, o *Options) {
			o.Settings.Listen = config.ListenOff
		}, "swarm", OK, "switched off"},
		"port taken": {func(t *testing.T, _ *state.Folder, o *Options) {
			taken, err := net.ListenUDP("udp", &net.UDPAddr{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = taken.Close() })
			_, o.Settings.Listen, _ = net.SplitHostPort(taken.LocalAddr().String())
		}, "swarm", Warn, "choose another port"},
		"nobody answers": {func(t *testing.T, folder *state.Folder, _ *Options) {
			unlock, err := folder.Lock()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(unlock)
			err = folder.Publish(daemon.StatusName, daemon.Status{Swarm: member.Status{
				Listen: netip.MustParseAddrPort("10.0.0.1:4901"), Site: "lyon", Problem: "no other member answers",
			}})
			if err != nil {
				t.Fatal(err)
			}
		}, "swarm", Warn, "let UDP pass"},
		"a running agent with a problem": {func(t *testing.T, folder *state.Folder, _ *Options) {
			unlock, err := folder.Lock()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(unlock)
			if err := folder.Publish(daemon.StatusName, daemon.Status{Process: 7, LastProblem: "no answer in time"}); err != nil {
				t.Fatal(err)
			}
		}, "agent", Warn, "runs as process 7"},
		"a running agent": {func(t *testing.T, folder *state.Folder, _ *Options) {
			unlock, err := folder.Lock()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(unlock)
		}, "agent", OK, "runs"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := enrolled(t, address, authority, time.Now())
			o := options(t, folder.Path())
			c.change(t, folder, &o)
			passed.Store(0)
			if o.Now != nil {
				passed.Store(int64(time.Until(o.Now())))
			}
			before := listing(t, folder.Path())
			checks := Run(t.Context(), o)
			want(t, checks, c.check, c.level, c.text)
			if after := listing(t, folder.Path()); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// TestBeforeEnrolment: an agent that will enrol by itself is looked at on the same way.
func TestBeforeEnrolment(t *testing.T) {
	address, authority := serve(t, deployment)
	folder := t.TempDir()
	o := options(t, filepath.Join(folder, "state"))
	if err := os.Mkdir(o.Settings.State, 0o700); err != nil {
		t.Fatal(err)
	}
	o.Settings.Server, o.Settings.CA, o.Settings.TokenFile = address, filepath.Join(folder, "ca"), filepath.Join(folder, "token")
	for name, data := range map[string][]byte{o.Settings.CA: encode(authority), o.Settings.TokenFile: []byte("secret")} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checks := Run(t.Context(), o)
	want(t, checks, "identity", Warn, "the service enrols by itself")
	want(t, checks, "answer", OK, "")
	if failed := Failed(checks); failed != 0 {
		t.Errorf("%d failed: %+v", failed, checks)
	}
	if err := os.Remove(o.Settings.TokenFile); err != nil {
		t.Fatal(err)
	}
	want(t, Run(t.Context(), o), "identity", Fail, "not enrolled")
}
