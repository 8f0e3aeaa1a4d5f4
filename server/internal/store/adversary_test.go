package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/core/seal"
)

// TestTokenIsForOneComputer: showing a token again is free for the computer whose answer got lost, and for no
// other. Else one key with one use could take over every stock agent's computer.
func TestTokenIsForOneComputer(t *testing.T) {
	f := newFixture(t)
	stock := f.computer("victim")
	key := seal.KeyID{1}
	enrol := func(token string, device core.DeviceID, key seal.KeyID) error {
		_, err := f.Enrol(f.ctx(), Enrolment{Token: token, Device: device, Key: key, Certified: now}, now)
		return err
	}
	for token, uses := range map[string]int{"one": 1, "two": 2} {
		f.check(f.AddToken(f.ctx(), token, Token{Uses: uses, Expires: now.Add(time.Hour)}, now))
	}
	f.check(enrol("one", device("own"), key))
	f.check(enrol("one", device("own"), key))
	wantIs(t, enrol("one", stock, key), ErrTokenUsed)
	wantIs(t, enrol("one", device("new"), key), ErrTokenUsed)
	_, err := f.Computer(f.ctx(), device("new"))
	wantIs(t, err, ErrUnknownComputer)
	f.check(enrol("two", device("second"), key))
	f.check(enrol("two", device("third"), key))
	wantIs(t, enrol("two", device("fourth"), key), ErrTokenUsed)
}

// TestNamedInOrder: computers that are named come by name and device ID, as those that a query finds.
func TestNamedInOrder(t *testing.T) {
	f := newFixture(t)
	var devices []core.DeviceID
	for name, shown := range map[string]string{"a": "zeta", "b": "alpha", "c": "alpha", "d": "Zeta"} {
		devices = append(devices, device(name))
		_, err := f.SaveInventory(f.ctx(), Facts{Computer: Computer{Device: device(name), Name: shown}}, "", now)
		f.check(err)
	}
	all, err := f.Search(f.ctx(), Selection{All: true}, now)
	f.check(err)
	named, err := f.Search(f.ctx(), Selection{Devices: append(devices, devices[0])}, now)
	f.check(err)
	f.want("named", named, all)
}

// TestRefusedIsNotDone: a bulk action that is refused has done nothing, and says so.
func TestRefusedIsNotDone(t *testing.T) {
	f := newFixture(t)
	lyon, oslo := f.computer("a"), f.computer("b")
	site := core.SiteName("oslo")
	f.check(f.SetComputer(f.ctx(), oslo, &site, nil))
	id := f.pkg(5)
	f.activate(id, "")
	for _, place := range []string{"b/d", "c/d"} {
		_, err := f.AddActivation(f.ctx(),
			Activation{Package: id, InfoURL: place, FragmentsURL: place, Site: site, Created: now})
		f.check(err)
	}
	for _, dry := range []bool{false, true} {
		report, err := f.Affect(f.ctx(), Target{Package: id}, Selection{All: true},
			AffectOptions{DryRun: dry}, now)
		if err == nil || report.Done != 0 {
			t.Errorf("dry run %v: got %+v, %v", dry, report, err)
		}
		f.want("affected", f.record(lyon, id), outcome.Record{})
	}
}

// TestCreateFails: a database that could not be made leaves nothing in the way of the next attempt.
func TestCreateFails(t *testing.T) {
	folder := t.TempDir()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Create(cancelled, folder); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
		t.Errorf("residue: %v, %v", entries, err)
	}
	if err := Create(t.Context(), folder); err != nil {
		t.Error(err)
	}
}

// TestFolderNames: a data folder may have any name.
func TestFolderNames(t *testing.T) {
	for _, name := range []string{"with blank", "100%25", "a?mode=memory", "a#b", "año", "a&_txlock=deferred",
		"file:x"} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), name)
			if err := errors.Join(os.Mkdir(folder, 0o700), Create(t.Context(), folder)); err != nil {
				t.Fatal(err)
			}
			f := fixture{t, reopened(t, folder)}
			f.computer("a")
			if file, err := os.Stat(filepath.Join(folder, FileName)); err != nil || file.Size() == 0 {
				t.Errorf("the database is elsewhere: %v", err)
			}
		})
	}
}

// TestPragmas: every connection writes through to the disk and enforces references.
func TestPragmas(t *testing.T) {
	f := newFixture(t)
	for _, db := range []*database{f.write, f.read} {
		for range 2 { // of the pool, all are made alike
			for pragma, want := range map[string]string{"synchronous": "2", "foreign_keys": "1",
				"journal_mode": "wal"} {
				var got string
				f.check(db.QueryRowContext(f.ctx(), "PRAGMA "+pragma).Scan(&got))
				f.want(pragma, got, want)
			}
		}
	}
}

func TestPackagesNeedTheirID(t *testing.T) {
	f := newFixture(t)
	p := Package{ID: 1764000000, OS: core.Linux, SuccessCodes: outcome.SuccessCodes{0}, Built: now}
	if err := f.AddPackage(f.ctx(), p); err == nil {
		t.Error("a package is recorded whose ID was not given out")
	}
	id, err := f.ReserveID(f.ctx(), now)
	f.check(err)
	p.ID = id
	f.check(f.AddPackage(f.ctx(), p))
	if err := f.AddPackage(f.ctx(), p); err == nil {
		t.Error("a package is recorded twice")
	}
	f.check(f.DeletePackage(f.ctx(), id))
	given, err := f.WasGivenOut(f.ctx(), id)
	f.check(err)
	f.want("given out for ever", given, true)
}

// TestCancelled: callers that go away at any moment leave either the whole change or nothing of it, and a
// store that goes on. An error means that nothing was kept.
func TestCancelled(t *testing.T) {
	f := newFixture(t)
	id := f.affected(f.computer("a"))
	random := rand.New(rand.NewPCG(5, 6))
	cancelled := 0
	for i := range 150 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(12_000))*time.Microsecond)
		name := device(fmt.Sprint("pc", i))
		programs := []Program{{"bash", fmt.Sprint(i)}, {"dash", "1"}, {"zsh", "1"}}
		_, err := f.SaveInventory(ctx, Facts{Computer: Computer{Device: name}, Programs: programs}, "", now)
		_, searched := f.Search(ctx, Selection{Query: mustQuery(t, `software("bash") and ip != 10.0.0.1`)}, now)
		_, affected := f.Affect(ctx, Target{Package: id}, Selection{All: true},
			AffectOptions{DryRun: true, Force: true}, now)
		cancel()
		for _, one := range []error{err, searched, affected} {
			if one != nil {
				cancelled++
			}
		}
		view, found := f.Computer(f.ctx(), name)
		if whole := found == nil && len(view.Programs) == 3; whole != (err == nil) || !whole && found == nil {
			t.Fatalf("%d: SaveInventory: %v, then found %v with %d programs", i, err, found, len(view.Programs))
		}
	}
	t.Logf("%d calls were cancelled", cancelled)
	f.check(f.Check(f.ctx()))
	f.wantRecord(device("a"), id, outcome.Waiting, "")
}

// TestEverythingAtOnce: agents and administrators through two handles get in nobody's way.
func TestEverythingAtOnce(t *testing.T) {
	folder := t.TempDir()
	if err := Create(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	handles := []fixture{{t, reopened(t, folder)}, {t, reopened(t, folder)}}
	handles[0].set("", "STOCK_AGENTS", 1)
	ids := []core.PackageID{handles[0].pkg(1), handles[0].pkg(5)}
	for _, id := range ids {
		handles[0].activate(id, "")
	}
	var wait sync.WaitGroup
	for worker := range 4 {
		f, random := handles[worker%2], rand.New(rand.NewPCG(7, uint64(worker)))
		wait.Go(func() {
			for i := range 60 {
				if err := doSomething(f, random, ids); err != nil && !errors.Is(err, ErrUnknownComputer) {
					t.Errorf("worker %d, step %d: %v", worker, i, err)
				}
			}
		})
	}
	wait.Wait()
	f := handles[0]
	f.check(f.Check(f.ctx()))
	var dangling int
	f.check(f.read.QueryRow("SELECT count(*) FROM pragma_foreign_key_check").Scan(&dangling))
	f.want("dangling references", dangling, 0)
}

// doSomething does one thing that an agent or an administrator may do.
func doSomething(f fixture, random *rand.Rand, ids []core.PackageID) (err error) {
	name, id := device(fmt.Sprint("pc", random.IntN(5))), ids[random.IntN(len(ids))]
	switch random.IntN(8) {
	case 0, 1:
		facts := Facts{Computer: Computer{Device: name, Family: core.Linux}, Programs: []Program{{"bash", "5"}}}
		_, err = f.SaveInventory(f.ctx(), facts, "", now)
	case 2:
		_, err = f.Contact(f.ctx(), Call{Caller: Stock(name), Family: core.Linux}, now)
	case 3:
		err = f.SaveResult(f.ctx(), Stock(name), ocs.Result{Package: id, Text: "SUCCESS"}, now)
	case 4:
		_, err = f.Affect(f.ctx(), Target{Package: id}, Selection{All: true}, AffectOptions{Force: true}, now)
	case 5:
		err = f.DeleteComputer(f.ctx(), name, now)
	case 6:
		_, err = f.Rollout(f.ctx(), id, now)
	case 7:
		_, err = f.Tidy(f.ctx(), time.Hour, now.Add(2*time.Hour))
	}
	return err
}
