package daemon

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"enjambre/agent/internal/durable"
	"enjambre/agent/internal/execute"
	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/notify"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/plan"
	"enjambre/agent/internal/state"
	"enjambre/agent/internal/vault"
	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/fragment"
	"enjambre/core/info"
	"enjambre/core/outcome"
	"enjambre/core/seal"
)

const id = core.PackageID(1700000001)

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

var policy = seal.Policy{Threshold: 1, Keys: []seal.Key{{Public: key.Public().(ed25519.PublicKey), Owner: "o"}}}

// newDaemon returns a daemon with a state folder of its own and without a server.
func newDaemon(t *testing.T) *daemon {
	t.Helper()
	folder, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, folder)
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// startDaemon opens a daemon without a server on a state folder, as each start of the agent does.
func startDaemon(t *testing.T, folder *state.Folder) *daemon {
	t.Helper()
	d := &daemon{
		options: Options{State: folder, Log: slog.New(slog.DiscardHandler)}, answers: make(chan answer),
		unflushed: map[core.PackageID]bool{}, cancels: map[core.PackageID]context.CancelFunc{},
	}
	var errs [4]error
	d.clock = newClock(folder, d.options.Log)
	d.ledger, errs[1] = ledger.Open(folder.Path(LedgerName), d.clock.now)
	d.vault, errs[2] = vault.Open(folder.Path(vaultName), vault.Options{
		Policy: policy, Deployment: "test", Log: d.options.Log, Reserve: 1,
	})
	d.plan, errs[3] = plan.New(plan.Options{Random: rand.New(rand.NewPCG(1, 2))}, cycle.DefaultOptions(), 0)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return d
}

// newPackage puts a package of so many fragments of zeros into the vault, and returns one of them too.
func newPackage(t *testing.T, d *daemon, count int64) (*vault.Package, []byte) {
	t.Helper()
	archive := make([]byte, count*core.MinFragmentSize)
	parts, err := fragment.NewPlan(int64(len(archive)), core.MinFragmentSize)
	if err != nil {
		t.Fatal(err)
	}
	part := archive[:core.MinFragmentSize]
	var digests fragment.Digests
	for range count {
		digests = append(digests, core.DigestOf(part))
	}
	i := info.Info{
		ID: id, OS: core.OS(runtime.GOOS), Action: core.Execute, Target: "true", Protocol: info.HTTPS,
		ExecTime: time.Hour, Issued: time.Unix(int64(id), 0).UTC(), Deployment: "test", Interactive: true,
		Archive: &info.Archive{Plan: parts, Digest: core.DigestOf(archive), Digests: core.DigestOf(digests.Bytes()),
			Unpacked: 1, Entries: 1},
	}
	envelope, err := seal.Sign(seal.InfoType, i.Canonical(), key)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := vault.Unseal(envelope, policy, "test")
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.vault.Add(sealed, digests.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return p, part
}

// TestLastFragment: what is whole is not waited for to be made durable: it is hashed then, which takes long.
func TestLastFragment(t *testing.T) {
	d := newDaemon(t)
	p, part := newPackage(t, d, 2)
	for index, waits := range []bool{true, false} {
		if err := p.Store(core.FragmentIndex(index), part); err != nil {
			t.Fatal(err)
		}
		d.stored(p)
		if d.unflushed[id] != waits {
			t.Errorf("fragment %d: waits to be flushed: %v", index, d.unflushed[id])
		}
	}
}

// TestNobodyThere: as long as there is nobody on whose desktop a package could run, its archive is not read.
func TestNobodyThere(t *testing.T) {
	if _, found, err := notify.Active(t.Context()); err == nil && found {
		t.Skip("somebody is logged on")
	}
	d := newDaemon(t)
	p, archive := newPackage(t, d, 1)
	err := p.Store(0, archive)
	if err == nil { // what reading it would find
		err = os.WriteFile(d.options.State.Path(vaultName, id.String(), "data"), make([]byte, 7), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	event := d.run(t.Context(), t.Context(), plan.Assignment{Package: id}, 0)()
	if postponed, isPostponed := event.(plan.RunPostponed); !isPostponed ||
		!strings.Contains(postponed.Problem, "it needs a user's desktop") {
		t.Errorf("got %+v", event)
	}
}

// TestDamagedJob: a job whose files cannot be read is reported, and the agent starts.
func TestDamagedJob(t *testing.T) {
	for _, damaged := range []string{"result.json", "started"} {
		d := newDaemon(t)
		attempt, err := d.ledger.Intend(id, core.Digest{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(d.options.State.Path(jobsName), 0o700); err != nil {
			t.Fatal(err)
		}
		order := execute.Order{
			Package: id, OS: core.OS(runtime.GOOS), Action: core.Execute, Target: "true", TimeLimit: time.Hour,
		}
		if err := execute.Create(d.job(attempt), order); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d.job(attempt), damaged), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, running, err := d.resume(); err != nil || len(running) > 0 {
			t.Errorf("%s: %d running, %v", damaged, len(running), err)
		}
		if got, _ := d.ledger.Last(id); got.Stage != ledger.Ended || !strings.HasPrefix(got.Result.Detail, "INTERRUPTED") {
			t.Errorf("%s: got %+v", damaged, got)
		}
	}
}

// TestLateRefusal: that a package was not there ends no assignment that is newer than the question.
func TestLateRefusal(t *testing.T) {
	d := newDaemon(t)
	old := plan.Assignment{Package: id, NotifiedAt: d.clock.now().Add(-time.Hour)}
	d.plan.Step(d.clock.now(), plan.Resumed{Assignments: []plan.Assignment{
		{Package: id, NotifiedAt: d.clock.now().Add(-time.Minute)},
	}})
	if d.isCurrent(old) {
		t.Error("an assignment that was taken back is current")
	}
	refused := d.fetched(old, nil, &finalError{outcome.BadID, errors.New("404")})
	if event := refused(); event != nil {
		t.Errorf("got %+v", event)
	}
	if got, known := d.ledger.Last(id); known {
		t.Errorf("noted: %+v", got)
	}
	current, _ := d.plan.Assignment(id)
	refused = d.fetched(current, nil, &finalError{outcome.BadID, errors.New("404")})
	if event, isEnded := refused().(plan.Ended); !isEnded || event.Left != 1 {
		t.Errorf("got %+v", event)
	}
}

// TestHalfWritten: what crashes left half written in the state folder does not add up.
func TestHalfWritten(t *testing.T) {
	d := newDaemon(t)
	left := d.options.State.Path(durable.TempPrefix + "work.json-1")
	if err := os.WriteFile(left, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// TestForgotten: what a crash or a newer agent left of the time is no reason not to start.
func TestForgotten(t *testing.T) {
	for _, content := range []string{"{", `{"floor":"2031-01-01T00:00:00Z","newer":1}`, ""} {
		folder, err := state.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(folder.Path(clockName+".json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c := newClock(folder, slog.New(slog.DiscardHandler))
		if wrong := time.Since(c.now()); wrong < -time.Minute || wrong > time.Minute {
			t.Errorf("%q: the clock is %v wrong", content, wrong)
		}
	}
}

// TestOnceUndeliverable: a single run does not offer a result for ever to a server that refuses it.
func TestOnceUndeliverable(t *testing.T) {
	d := newDaemon(t)
	d.options.Once = true
	if _, err := d.ledger.End(id, ledger.Result{Text: "SUCCESS", Installed: true}); err != nil {
		t.Fatal(err)
	}
	d.refusals, d.undelivered = onceRefusals, origin.ErrRefused
	if err := d.loop(t.Context()); !errors.Is(err, origin.ErrRefused) {
		t.Errorf("got %v", err)
	}
}
