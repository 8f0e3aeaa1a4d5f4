package store

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/outcome"
)

// A lifeRow is what the model knows of one affectation.
type lifeRow struct {
	outcome.Record
	force, active bool // active: its activation is still there
}

// A lifeKey names an affectation.
type lifeKey struct {
	device core.DeviceID
	id     core.PackageID
}

// A life is the naive model of several packages on several computers, beside two handles on one store, as two
// processes have them: each step takes one or the other.
type life struct {
	handles  []fixture
	devices  []core.DeviceID
	packages []core.PackageID // by priority
	active   map[core.PackageID]ActivationID
	rows     map[lifeKey]lifeRow
	history  map[lifeKey]bool
}

func newLife(t *testing.T) *life {
	t.Helper()
	folder := t.TempDir()
	if err := Create(context.Background(), folder); err != nil {
		t.Fatal(err)
	}
	l := &life{active: map[core.PackageID]ActivationID{}, rows: map[lifeKey]lifeRow{}, history: map[lifeKey]bool{}}
	l.handles = []fixture{{t, reopened(t, folder)}, {t, reopened(t, folder)}}
	f := l.handles[0]
	f.set("", "STOCK_AGENTS", 1)
	l.devices = []core.DeviceID{f.computer("a"), f.computer("b")}
	for _, priority := range []core.Priority{9, 0, 5} {
		id := f.pkg(priority)
		l.packages = append(l.packages, id)
		l.active[id] = f.activate(id, "")
	}
	l.packages = []core.PackageID{l.packages[1], l.packages[2], l.packages[0]}
	for _, id := range l.packages { // a life begins with everything affected, else most steps would find nothing
		f.affect(id, Selection{All: true}, AffectOptions{})
		for _, device := range l.devices {
			l.rows[lifeKey{device, id}] = lifeRow{outcome.Record{State: outcome.Waiting}, false, true}
		}
	}
	return l
}

func (l *life) pick(r *rapid.T) (fixture, core.DeviceID, core.PackageID) {
	return rapid.SampledFrom(l.handles).Draw(r, "handle"), rapid.SampledFrom(l.devices).Draw(r, "device"),
		rapid.SampledFrom(l.packages).Draw(r, "package")
}

// remove deletes the package's rows that go says, and returns how many.
func (l *life) remove(id core.PackageID, which func(lifeRow) bool) (gone int) {
	for key, row := range l.rows {
		if key.id == id && which(row) {
			delete(l.rows, key)
			gone++
		}
	}
	return gone
}

func (l *life) affect(r *rapid.T) {
	f, device, id := l.pick(r)
	force := rapid.Bool().Draw(r, "force")
	key := lifeKey{device, id}
	_, has := l.rows[key]
	report, err := f.Affect(f.ctx(), Target{Package: id}, Selection{Devices: []core.DeviceID{device}}, AffectOptions{Force: force}, now)
	if (err == nil) != (l.active[id] != 0) {
		r.Fatalf("affect, active %v: %v", l.active[id], err)
	}
	if err != nil {
		return
	}
	if done := !has || force; done != (report.Done == 1) || done == (len(report.Skipped) == 1) {
		r.Fatalf("affect: %v, want done %v", report, done)
	} else if done {
		l.rows[key] = lifeRow{outcome.Record{State: outcome.Waiting}, force, true}
	}
}

func (l *life) unaffect(r *rapid.T) {
	f, device, id := l.pick(r)
	force := rapid.Bool().Draw(r, "force")
	dry := rapid.Bool().Draw(r, "dry")
	report, err := f.Unaffect(f.ctx(), Target{Package: id}, Selection{Devices: []core.DeviceID{device}},
		AffectOptions{Force: force, DryRun: dry}, now)
	f.check(err)
	row, has := l.rows[lifeKey{device, id}]
	done := has && (force || !row.State.Final())
	if done != (report.Done == 1) {
		r.Fatalf("unaffect: %v, want done %v", report, done)
	} else if done && !dry {
		delete(l.rows, lifeKey{device, id})
	}
}

// deactivate takes an activation back, or makes a new one.
func (l *life) deactivate(r *rapid.T) {
	f, _, id := l.pick(r)
	if l.active[id] == 0 {
		l.active[id] = f.activate(id, "")
		return
	}
	unaffected, err := f.DeleteActivation(f.ctx(), l.active[id])
	f.check(err)
	l.active[id] = 0
	if want := l.remove(id, func(row lifeRow) bool { return !row.State.Final() }); unaffected != want {
		r.Fatalf("deactivate: %d unaffected, want %d", unaffected, want)
	}
	for key, row := range l.rows {
		if key.id == id {
			row.active = false
			l.rows[key] = row
		}
	}
}

func (l *life) contact(r *rapid.T) {
	f, device, _ := l.pick(r)
	contact, err := f.Contact(f.ctx(), Call{Caller: Stock(device), Family: core.Linux}, now)
	f.check(err)
	var want []string
	for _, id := range l.packages {
		key := lifeKey{device, id}
		row, has := l.rows[key]
		switch {
		case !has || row.State.Final():
			continue
		case l.history[key] && !row.force:
			row.Record = outcome.Record{State: outcome.AlreadySetup, Text: outcome.AlreadyInHistory}
		default:
			row.Record = outcome.Record{State: outcome.Notified}
			want = append(want, fmt.Sprint(id, row.force))
		}
		l.rows[key] = row
	}
	var got []string
	for _, offer := range contact.Offers {
		got = append(got, fmt.Sprint(offer.Package, offer.Force))
		if l.history[lifeKey{device, offer.Package}] && !offer.Force {
			r.Fatalf("package %s, which the computer has, is listed: a stock agent's download would die", offer.Package)
		}
	}
	if !slices.Equal(got, want) {
		r.Fatalf("listed %v, want %v", got, want)
	}
}

func (l *life) result(r *rapid.T) {
	f, device, id := l.pick(r)
	text := rapid.SampledFrom([]string{"SUCCESS", "SUCCESS_", "SUCCESS_0", "SUCCESS_3", "EXIT_CODE_1", "ERR_BUILD", "SUCCESS_ALREADY_SETUP",
		"SUCCESS_REBOOT_REQUIRED", "ERR_TIMEOUT"}).Draw(r, "text")
	f.result(device, id, text)
	if row, has := l.rows[lifeKey{device, id}]; has {
		row.Record = outcome.Next(row.Record, text, outcome.SuccessCodes{0})
		l.rows[lifeKey{device, id}] = row
	}
}

func (l *life) inventory(r *rapid.T) {
	f, device, _ := l.pick(r)
	var has []core.PackageID
	for _, id := range l.packages {
		in := rapid.Bool().Draw(r, "in history")
		l.history[lifeKey{device, id}] = in
		if in {
			has = append(has, id)
		}
	}
	f.installed(device, has...)
}

func (l *life) validate(r *rapid.T) {
	f, _, id := l.pick(r)
	actions := []struct {
		do             func(context.Context, core.PackageID) (Validation, error)
		clear, waiting func(lifeRow) bool
	}{
		{f.ValidateAll, func(row lifeRow) bool { return row.State.Final() }, isWaiting},
		{f.UnaffectNotNotified, func(lifeRow) bool { return false }, isWaiting},
		{f.ValidateSuccess, func(row lifeRow) bool { return row.State.Succeeded() }, func(lifeRow) bool { return false }},
	}
	action := actions[rapid.IntRange(0, 2).Draw(r, "which")]
	got, err := action.do(f.ctx(), id)
	f.check(err)
	want := Validation{Cleared: l.remove(id, action.clear), Unaffected: l.remove(id, action.waiting)}
	for key := range l.rows {
		if key.id == id {
			want.Kept++
		}
	}
	if got != want {
		r.Fatalf("validate: got %+v, want %+v", got, want)
	}
}

func isWaiting(row lifeRow) bool { return row.State == outcome.Waiting }

func (l *life) retry(r *rapid.T) {
	f, _, id := l.pick(r)
	retried, kept, err := f.RetryErrors(f.ctx(), id, now)
	f.check(err)
	for key, row := range l.rows {
		if key.id != id || !row.State.Failed() {
			continue
		}
		if !row.active {
			kept--
			continue
		}
		retried--
		l.rows[key] = lifeRow{outcome.Record{State: outcome.Waiting}, row.force || strings.HasPrefix(row.Text, "SUCCESS_"), true}
	}
	if retried != 0 || kept != 0 {
		r.Fatalf("retry: %d too many retried, %d too many kept", retried, kept)
	}
}

func (l *life) tidy(r *rapid.T) {
	f, _, _ := l.pick(r)
	validated, err := f.Tidy(f.ctx(), time.Hour, now.Add(2*time.Hour))
	f.check(err)
	for _, id := range l.packages {
		rows, open := 0, 0
		for key, row := range l.rows {
			if key.id == id {
				rows++
				if !row.State.Final() {
					open++
				}
			}
		}
		finished := rows > 0 && open == 0
		if finished != slices.Contains(validated, id) {
			r.Fatalf("tidy: package %s with %d rows, %d of them open: validated %v", id, rows, open, validated)
		}
		if finished {
			l.remove(id, func(lifeRow) bool { return true })
		}
	}
}

// check compares everything that lists and statistics say with the model.
func (l *life) check(r *rapid.T) {
	f := rapid.SampledFrom(l.handles).Draw(r, "handle")
	for _, device := range l.devices {
		view, err := f.Computer(f.ctx(), device)
		f.check(err)
		got, want := map[core.PackageID]outcome.Record{}, map[core.PackageID]outcome.Record{}
		for _, a := range view.Affectations {
			got[a.Package] = outcome.Record{State: a.State, Text: a.Text}
		}
		for key, row := range l.rows {
			if key.device == device {
				want[key.id] = row.Record
			}
		}
		if !maps.Equal(got, want) {
			r.Fatalf("%s: got %v, want %v", device, got, want)
		}
	}
	summaries, err := f.Packages(f.ctx())
	f.check(err)
	activations, err := f.Activations(f.ctx(), 0)
	f.check(err)
	for _, summary := range summaries {
		l.checkPackage(r, f, summary, activations)
	}
}

func (l *life) checkPackage(r *rapid.T, f fixture, summary PackageSummary, activations []ActivationSummary) {
	states, counts, activeCounts := map[outcome.State]int{}, Counts{}, Counts{}
	for key, row := range l.rows {
		if key.id == summary.ID {
			states[row.State]++
			counts.add(row.State, 1)
			if row.active {
				activeCounts.add(row.State, 1)
			}
		}
	}
	rollout, err := f.Rollout(f.ctx(), summary.ID, now)
	f.check(err)
	sum := 0
	for _, state := range outcome.States() {
		sum += rollout.States[state]
		if rollout.States[state] != states[state] {
			r.Fatalf("%s %s: got %d, want %d", summary.ID, state, rollout.States[state], states[state])
		}
	}
	if rollout.Computers != sum || len(rollout.States) != len(outcome.States()) || summary.Counts != counts {
		r.Fatalf("%s: %d computers, states add up to %d; listed %v, want %v", summary.ID, rollout.Computers, sum,
			summary.Counts, counts)
	}
	at := slices.IndexFunc(activations, func(a ActivationSummary) bool { return a.Package == summary.ID })
	if (at >= 0) != (l.active[summary.ID] != 0) || at >= 0 && activations[at].Counts != activeCounts {
		r.Fatalf("%s: activations %v, want %v", summary.ID, activations, activeCounts)
	}
}

// TestLives holds everything that can happen to affectations to the model.
func TestLives(t *testing.T) {
	// A step is a dozen transactions on a real disk; -rapid.checks asks for more.
	if checks := flag.Lookup("rapid.checks").Value; checks.String() == "30" {
		defer func() { _ = checks.Set("30") }() // as TestMain set it
		_ = checks.Set("10")
	}
	rapid.Check(t, func(r *rapid.T) {
		l := newLife(t)
		r.Repeat(map[string]func(*rapid.T){
			"affect": l.affect, "unaffect": l.unaffect, "deactivate": l.deactivate, "contact": l.contact, "result": l.result,
			"inventory": l.inventory, "validate": l.validate, "retry": l.retry, "tidy": l.tidy, "": l.check,
			// What agents do most is done most.
			"contact again": l.contact, "result again": l.result, "another result": l.result, "retry again": l.retry,
		})
	})
}
