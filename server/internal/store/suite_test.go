package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/server/internal/query"
	"enjambre/server/internal/setting"
)

// now is when tests happen.
var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// newStore opens an empty store.
func newStore(t testing.TB) *Store {
	t.Helper()
	folder := t.TempDir()
	if err := Create(context.Background(), folder); err != nil {
		t.Fatal(err)
	}
	s := reopened(t, folder)
	if err := s.Set(context.Background(), "", setting.StockAgents, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

// reopened opens a store once more, as another process would.
func reopened(t testing.TB, folder string) *Store {
	t.Helper()
	s, err := Open(context.Background(), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A fixture is a store with helpers that fail the test.
type fixture struct {
	testing.TB
	*Store
}

func newFixture(t testing.TB) fixture { return fixture{t, newStore(t)} }

func (f fixture) check(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func device(name string) core.DeviceID { return core.DeviceID(name + "-2026-01-01-00-00-00") }

// computer makes a Linux computer.
func (f fixture) computer(name string) core.DeviceID {
	f.Helper()
	_, err := f.SaveInventory(f.ctx(),
		Facts{Computer: Computer{Device: device(name), Name: name, OS: "Debian", Family: core.Linux}}, "", now)
	f.check(err)
	return device(name)
}

func (f fixture) ctx() context.Context { return context.Background() }

// pkg makes a package for Linux.
func (f fixture) pkg(priority core.Priority) core.PackageID {
	f.Helper()
	id, err := f.ReserveID(f.ctx(), now)
	f.check(err)
	f.check(
		f.AddPackage(f.ctx(), Package{ID: id, Name: "p", OS: core.Linux, Priority: priority, Action: core.Execute,
			Target: "true", Protocol: "HTTPS", SuccessCodes: outcome.SuccessCodes{0}, Built: now}),
	)
	return id
}

func (f fixture) activate(id core.PackageID, site core.SiteName) ActivationID {
	f.Helper()
	activation, err := f.AddActivation(f.ctx(),
		Activation{Package: id, InfoURL: "a/d", FragmentsURL: "a/d", Site: site, Created: now})
	f.check(err)
	return activation
}

// affected makes a package, activated for any site and affected to the devices.
func (f fixture) affected(devices ...core.DeviceID) core.PackageID {
	f.Helper()
	id := f.pkg(5)
	f.activate(id, "")
	f.affect(id, Selection{Devices: devices}, AffectOptions{})
	return id
}

func (f fixture) affect(id core.PackageID, selection Selection, options AffectOptions) BulkReport {
	f.Helper()
	report, err := f.Affect(f.ctx(), Target{Package: id}, selection, options, now)
	f.check(err)
	return report
}

// contact returns the packages that a PROLOG reply lists.
func (f fixture) contact(device core.DeviceID) []core.PackageID {
	f.Helper()
	contact, err := f.Contact(f.ctx(), Call{Caller: Stock(device), Family: core.Linux}, now)
	f.check(err)
	ids := []core.PackageID{}
	for _, offer := range contact.Offers {
		ids = append(ids, offer.Package)
	}
	return ids
}

func (f fixture) result(device core.DeviceID, id core.PackageID, text string) {
	f.Helper()
	f.check(f.SaveResult(f.ctx(), Stock(device), ocs.Result{Package: id, Text: text}, now))
}

// installed reports a computer's history.
func (f fixture) installed(device core.DeviceID, ids ...core.PackageID) {
	f.Helper()
	_, err := f.SaveInventory(f.ctx(),
		Facts{Computer: Computer{Device: device, Family: core.Linux}, History: ids, Reported: true}, "", now)
	f.check(err)
}

// record returns the state and text of an affectation; ("", "") when there is none.
func (f fixture) record(device core.DeviceID, id core.PackageID) outcome.Record {
	f.Helper()
	view, err := f.Computer(f.ctx(), device)
	f.check(err)
	for _, affectation := range view.Affectations {
		if affectation.Package == id {
			return outcome.Record{State: affectation.State, Text: affectation.Text}
		}
	}
	return outcome.Record{}
}

func (f fixture) wantRecord(device core.DeviceID, id core.PackageID, state outcome.State, text string) {
	f.Helper()
	if got, want := f.record(device, id), (outcome.Record{State: state, Text: text}); got != want {
		f.Errorf("package %s on %s: got %v, want %v", id, device, got, want)
	}
}

func (f fixture) want(what string, got, want any) {
	f.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		f.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (f fixture) set(device core.DeviceID, name setting.Name, value int) {
	f.Helper()
	f.check(f.Set(f.ctx(), device, name, value))
}

func mustQuery(t testing.TB, text string) query.Expr {
	t.Helper()
	expr, err := query.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return expr
}

// wantIs fails unless err is of the kind.
func wantIs(t testing.TB, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
	}
}
