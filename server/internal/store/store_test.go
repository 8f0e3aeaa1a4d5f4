package store

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/server/internal/setting"
)

func TestIDsAreNeverUsedTwice(t *testing.T) {
	f := newFixture(t)
	first, second := f.pkg(5), f.pkg(5)
	f.want("next free second", second, first+1)
	f.check(f.DeletePackage(f.ctx(), second))
	f.want("after a deletion", f.pkg(5), first+2)
	earlier, err := f.ReserveID(f.ctx(), now.Add(-time.Hour))
	f.check(err)
	f.want("an earlier second that was never used", earlier, first-3600)
}

func TestAffect(t *testing.T) {
	f := newFixture(t)
	lyon, oslo := f.computer("lyon1"), f.computer("oslo1")
	windows := device("win1")
	_, err := f.SaveInventory(f.ctx(),
		Facts{Computer: Computer{Device: windows, Name: "win1", OS: "Windows 11", Family: core.Windows}}, "", now)
	f.check(err)
	site := core.SiteName("lyon")
	f.check(f.SetComputer(f.ctx(), lyon, &site, nil))
	id := f.pkg(5)

	_, err = f.Affect(f.ctx(), Target{Package: id}, Selection{All: true}, AffectOptions{}, now)
	if err == nil || !strings.Contains(err.Error(), "is not activated") {
		t.Errorf("not activated: got %v", err)
	}
	atLyon := f.activate(id, "lyon")
	report := f.affect(id, Selection{All: true}, AffectOptions{DryRun: true})
	f.want("dry run", report.Done, 1)
	f.want("state after a dry run", f.record(lyon, id), outcome.Record{})
	report = f.affect(id, Selection{All: true}, AffectOptions{})
	f.want("skipped", report.Skipped, []Skip{
		{oslo, `no activation for site "" and none without site`},
		{windows, "the package is for linux, the computer runs Windows 11"},
	})
	anywhere := f.activate(id, "")
	f.want("the same activation again", f.activate(id, ""), anywhere)
	report = f.affect(id, Selection{All: true}, AffectOptions{})
	f.want("second time", report, BulkReport{1, []Skip{
		{
			lyon,
			"already affected, WAITING_NOTIFICATION",
		}, {windows, "the package is for linux, the computer runs Windows 11"}}})
	for device, want := range map[core.DeviceID]ActivationID{lyon: atLyon, oslo: anywhere} {
		view, err := f.Computer(f.ctx(), device)
		f.check(err)
		f.want("activation", view.Affectations[0].Activation, want)
	}

	other, err := f.AddActivation(f.ctx(),
		Activation{Package: id, InfoURL: "b/d", FragmentsURL: "b/d", Site: "lyon", Created: now})
	f.check(err)
	_, err = f.Affect(f.ctx(), Target{Package: id}, Selection{All: true}, AffectOptions{Force: true}, now)
	if err == nil || !strings.Contains(err.Error(), "name one with --activation") {
		t.Errorf("two candidates: got %v", err)
	}
	report, err = f.Affect(f.ctx(), Target{Activation: other}, Selection{Devices: []core.DeviceID{lyon}},
		AffectOptions{Force: true}, now)
	f.check(err)
	f.want("a named activation", report.Done, 1)

	_, err = f.Affect(f.ctx(), Target{Package: id}, Selection{Devices: []core.DeviceID{oslo, device("gone")}},
		AffectOptions{Force: true}, now)
	wantIs(t, err, ErrUnknownComputer)
	_, err = f.Affect(f.ctx(), Target{Package: 1}, Selection{All: true}, AffectOptions{}, now)
	wantIs(t, err, ErrUnknownPackage)
	_, err = f.Affect(f.ctx(), Target{Activation: 99}, Selection{All: true}, AffectOptions{}, now)
	wantIs(t, err, ErrUnknownActivation)
}

func TestUnaffect(t *testing.T) {
	f := newFixture(t)
	waiting, told, done := f.computer("a"), f.computer("b"), f.computer("c")
	id := f.affected(waiting, told, done)
	f.contact(told)
	f.result(done, id, "SUCCESS")
	report, err := f.Unaffect(f.ctx(), Target{Package: id}, Selection{All: true}, AffectOptions{}, now)
	f.check(err)
	f.want(
		"report",
		report,
		BulkReport{2, []Skip{{done, `ended with SUCCESS; "rollout validate-all" clears it, or use --force`}}},
	)
	report, err = f.Unaffect(f.ctx(), Target{Package: id}, Selection{Devices: []core.DeviceID{waiting, done}},
		AffectOptions{Force: true}, now)
	f.check(err)
	f.want("forced", report, BulkReport{1, []Skip{{waiting, "not affected"}}})
}

// TestDeactivate is T20, and TestDeletePackage T19.
func TestDeactivate(t *testing.T) {
	f := newFixture(t)
	waiting, told, done := f.computer("a"), f.computer("b"), f.computer("c")
	id := f.affected(waiting, told, done)
	f.contact(told)
	f.result(done, id, "SUCCESS_0")
	list, err := f.Activations(f.ctx(), id)
	f.check(err)
	f.want("columns", list[0].Counts, Counts{NotNotified: 1, Success: 1})
	unaffected, err := f.DeleteActivation(f.ctx(), list[0].ID)
	f.check(err)
	f.want("unaffected", unaffected, 2)
	f.wantRecord(done, id, outcome.Success, "SUCCESS_0")
	f.want("listed no more", f.contact(told), []core.PackageID{})
	again := f.activate(id, "")
	if again == list[0].ID {
		t.Error("an activation's ID is used twice")
	}
}

func TestDeletePackage(t *testing.T) {
	f := newFixture(t)
	a := f.computer("a")
	id := f.affected(a)
	f.contact(a)
	f.result(a, id, "SUCCESS")
	f.check(f.DeletePackage(f.ctx(), id))
	f.want("affectation", f.record(a, id), outcome.Record{})
	list, err := f.Activations(f.ctx(), 0)
	f.check(err)
	f.want("activations", len(list), 0)
	view, err := f.Computer(f.ctx(), a)
	f.check(err)
	f.want("results stay", len(view.Results), 1)
	wantIs(t, f.DeletePackage(f.ctx(), id), ErrUnknownPackage)
	found, err := f.HasPackage(f.ctx(), id)
	f.check(err)
	f.want("served", found, false)
}

func TestContact(t *testing.T) {
	f := newFixture(t)
	a := f.computer("a")
	late, urgent, first := f.pkg(9), f.pkg(1), f.pkg(1)
	for _, id := range []core.PackageID{late, first, urgent} {
		f.activate(id, "")
		f.affect(id, Selection{All: true}, AffectOptions{})
	}
	for range 2 { // until there is a result, at every contact
		f.want("by priority, then ID", f.contact(a), []core.PackageID{urgent, first, late})
	}
	f.wantRecord(a, late, outcome.Notified, "")
	f.result(a, urgent, "ERR_BUILD")
	f.installed(a, first)
	f.want("after a result, and with one in the history", f.contact(a), []core.PackageID{late})
	f.wantRecord(a, first, outcome.AlreadySetup, outcome.AlreadyInHistory)
	f.result(a, first, "SUCCESS_0") // the agent knows better
	f.wantRecord(a, first, outcome.Success, "SUCCESS_0")
	f.affect(first, Selection{All: true}, AffectOptions{Force: true})
	f.want("forced", f.contact(a), []core.PackageID{first, late})

	unknown, err := f.Contact(f.ctx(), Call{Caller: Stock(device("new")), Family: core.Linux}, now)
	f.check(err)
	f.want("unknown computer", unknown.Known, false)
	f.set("", setting.StockAgents, 0)
	for _, one := range []core.DeviceID{a, device("new")} {
		_, err = f.Contact(f.ctx(), Call{Caller: Stock(one), Family: core.Linux}, now)
		wantIs(t, err, ErrNotServed)
	}
	f.set("", setting.StockAgents, 1)
	other, err := f.Contact(f.ctx(), Call{Caller: Stock(a), Family: core.Windows}, now)
	f.check(err)
	f.want("another system", len(other.Offers), 0)
}

func TestContactOff(t *testing.T) {
	for _, c := range []struct {
		own   bool
		name  setting.Name
		value int
	}{{false, setting.Download, 0}, {true, setting.Switch, 0}, {true, setting.Frequency, -1}, {false, setting.Frequency, -1}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			f := newFixture(t)
			a := f.computer("a")
			id := f.affected(a)
			device := core.DeviceID("")
			if c.own {
				device = a
			}
			f.set(device, c.name, c.value)
			f.want("offers", f.contact(a), []core.PackageID{})
			f.wantRecord(a, id, outcome.Waiting, "")
			_, err := f.Unset(f.ctx(), device, c.name)
			f.check(err)
			f.want("offers when it is on again", f.contact(a), []core.PackageID{id})
		})
	}
}

func TestContactBound(t *testing.T) {
	f := newFixture(t)
	a := f.computer("a")
	for range ocs.MaxPacks + 3 {
		f.affected(a)
	}
	f.want("offers", len(f.contact(a)), ocs.MaxPacks)
	found, err := f.Search(
		f.ctx(),
		Selection{
			Query: mustQuery(t, fmt.Sprintf(`state("%d") = WAITING_NOTIFICATION`, now.Unix()+int64(ocs.MaxPacks))),
		},
		now,
	)
	f.check(err)
	f.want("the next one waits", len(found), 1)
}

func TestResults(t *testing.T) {
	f := newFixture(t)
	a := f.computer("a")
	id := f.affected(a)
	wantIs(t, f.SaveResult(f.ctx(), Stock(device("gone")), ocs.Result{Package: id, Text: "SUCCESS"}, now),
		ErrUnknownComputer)
	f.result(a, 77, "ERR_BUILD") // not affected, not even a package
	for _, text := range []string{"SUCCESS_0", "SUCCESS_0", "SUCCESS_", "SUCCESS_ALREADY_SETUP", "ERR_TIMEOUT"} {
		f.result(a, id, text)
		f.wantRecord(a, id, outcome.Success, "SUCCESS_0")
	}
	view, err := f.Computer(f.ctx(), a)
	f.check(err)
	var texts []string
	for _, result := range view.Results {
		texts = append(texts, fmt.Sprint(result.Package, result.Text, result.Repeated))
	}
	f.want(
		"results, newest first",
		texts,
		[]string{fmt.Sprint(id, "ERR_TIMEOUT", 0), fmt.Sprint(id, "SUCCESS_ALREADY_SETUP", 0),
			fmt.Sprint(id, "SUCCESS_", 0), fmt.Sprint(id, "SUCCESS_0", 1), fmt.Sprint(77, "ERR_BUILD", 0)},
	)
	for i := range maxResults + 10 {
		f.result(a, id, fmt.Sprint("EXIT_CODE_", i))
	}
	var kept int
	f.check(f.read.QueryRow("SELECT count(*) FROM results").Scan(&kept))
	f.want("results kept", kept, maxResults)
}

func TestRetryErrors(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.computer("a"), f.computer("b"), f.computer("c")
	id := f.affected(a, b, c)
	f.result(a, id, "SUCCESS_3") // which the Unix agent keeps as installed
	f.result(b, id, "ERR_BUILD")
	f.result(c, id, "SUCCESS")
	f.installed(a, id)
	retried, kept, err := f.RetryErrors(f.ctx(), id, now)
	f.check(err)
	f.want("retried and kept", []int{retried, kept}, []int{2, 0})
	for _, device := range []core.DeviceID{a, b} {
		f.want("listed again", f.contact(device), []core.PackageID{id})
	}
	f.result(a, id, "ERR_BUILD")
	list, err := f.Activations(f.ctx(), id)
	f.check(err)
	_, err = f.DeleteActivation(f.ctx(), list[0].ID)
	f.check(err)
	retried, kept, err = f.RetryErrors(f.ctx(), id, now)
	f.check(err)
	f.want("without activation", []int{retried, kept}, []int{0, 1})
}

func TestSettingsPrecedence(t *testing.T) {
	f := newFixture(t)
	a := f.computer("a")
	f.set("", setting.CycleLatency, 30)
	f.set(a, setting.CycleLatency, 0)
	e, err := f.Settings(f.ctx(), a)
	f.check(err)
	f.want("the computer's 0", e.Get(setting.CycleLatency), 0)
	e, err = f.Settings(f.ctx(), "")
	f.check(err)
	f.want("the deployment's", e.Get(setting.CycleLatency), 30)
	was, err := f.Unset(f.ctx(), a, setting.FragLatency)
	f.check(err)
	f.want("unset what was not set", was, false)
	_, err = f.Settings(f.ctx(), device("gone"))
	wantIs(t, err, ErrUnknownComputer)
}

func TestTidy(t *testing.T) {
	f := newFixture(t)
	a, b := f.computer("a"), f.computer("b")
	finished, open := f.affected(a, b), f.affected(a, b)
	for _, device := range []core.DeviceID{a, b} {
		f.result(device, finished, "SUCCESS")
	}
	f.result(a, open, "SUCCESS")
	for age, want := range map[time.Duration][]core.PackageID{0: nil, 48 * time.Hour: nil} {
		validated, err := f.Tidy(f.ctx(), age, now.Add(24*time.Hour))
		f.check(err)
		f.want(fmt.Sprint("validated after ", age), validated, want)
	}
	validated, err := f.Tidy(f.ctx(), time.Hour, now.Add(24*time.Hour))
	f.check(err)
	f.want("validated", validated, []core.PackageID{finished})
	f.wantRecord(a, open, outcome.Success, "SUCCESS")
	f.want("cleared", f.record(a, finished), outcome.Record{})
}

func TestNewerSchema(t *testing.T) {
	folder := t.TempDir()
	if err := Create(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), folder); err == nil {
		t.Error("a database is made over another")
	}
	db, err := sql.Open("sqlite", filepath.Join(folder, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), folder); core.ClassOf(err) != core.ClassVersion {
		t.Errorf("got %v, want E_VERSION", err)
	}
	if _, err := Open(t.Context(), t.TempDir()); err == nil {
		t.Error("a missing database is opened")
	}
}

// TestTwoProcesses: sixteen first inventories at once, through two handles on one file.
func TestTwoProcesses(t *testing.T) {
	folder := t.TempDir()
	if err := Create(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	handles := []fixture{{t, reopened(t, folder)}, {t, reopened(t, folder)}}
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			var programs []Program
			for p := range 200 {
				programs = append(programs, Program{Name: fmt.Sprint("program", p), Version: fmt.Sprint(i % 3)})
			}
			name := fmt.Sprint("pc", i)
			facts := Facts{
				Computer: Computer{Device: device(name), Name: name, Family: core.Linux},
				Programs: programs,
			}
			if _, err := handles[i%2].SaveInventory(t.Context(), facts, "", now); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wait.Wait()
	found, err := handles[0].Search(t.Context(), Selection{Query: mustQuery(t, `software("program199")`)}, now)
	if err != nil || len(found) != 16 {
		t.Errorf("got %d computers, %v; want 16", len(found), err)
	}
	if err := handles[1].Check(t.Context()); err != nil {
		t.Error(err)
	}
}
