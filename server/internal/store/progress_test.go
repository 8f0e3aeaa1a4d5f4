package store

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/core/seal"
	"enjambre/server/internal/setting"
)

// enrolled makes a Linux computer with an agent of ours.
func (f fixture) enrolled(name string) Caller {
	f.Helper()
	key := seal.KeyID{9}
	f.check(f.AddToken(f.ctx(), name, Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)}, now))
	_, err := f.Enrol(f.ctx(), Enrolment{Token: name, Device: device(name), Key: key, Certified: now}, now)
	f.check(err)
	caller := Caller{device(name), key.String()}
	_, err = f.SaveInventory(f.ctx(),
		Facts{Computer: Computer{Device: device(name), Name: name, OS: "Debian", Family: core.Linux}, Key: caller.Key}, "", now)
	f.check(err)
	return caller
}

// calls makes an enrolled agent's contact.
func (f fixture) calls(from Caller) Contact {
	f.Helper()
	contact, err := f.Contact(f.ctx(), Call{Caller: from, Family: ""}, now)
	f.check(err)
	return contact
}

// tells sends progress as the running server does.
func (f fixture) tells(from Caller, packages ...ocs.PackageProgress) {
	f.Helper()
	accepted, err := f.AcceptProgress(f.ctx(), from, ocs.Progress{Packages: packages})
	f.check(err)
	f.check(f.Touch(f.ctx(), []Touch{{Device: from.Device, At: now, Progress: accepted.Worth}}))
}

// progress returns what is kept of a package, as text.
func (f fixture) progress(device core.DeviceID, id core.PackageID) string {
	f.Helper()
	view, err := f.Computer(f.ctx(), device)
	f.check(err)
	for _, one := range view.Affectations {
		if one.Package == id && one.Progress != nil {
			return fmt.Sprint(one.Progress.Phase, one.Progress.Have, one.Progress.Of, one.Progress.Problem, one.Progress.Heard.Equal(now))
		}
	}
	return ""
}

// TestProgress is the life of a package's progress: the last word holds until there is a result.
func TestProgress(t *testing.T) {
	f := newFixture(t)
	agent := f.enrolled("pc")
	id, other := f.affected(agent.Device), f.pkg(5)
	step := func(phase ocs.Phase, have int, problem string) ocs.PackageProgress {
		return ocs.PackageProgress{Package: id, Phase: phase, Have: have, Of: 400, Problem: problem}
	}
	phases := func() string {
		rollout, err := f.Rollout(f.ctx(), id, now)
		f.check(err)
		return fmt.Sprint(rollout.Progress[ocs.Downloading], rollout.Progress[ocs.Delayed], rollout.Progress[ocs.Installing])
	}
	f.tells(agent, step(ocs.Downloading, 1, ""))
	f.want("before it was told", f.progress(agent.Device, id), "")
	f.calls(agent)
	f.tells(agent, step(ocs.Downloading, 120, "origin: 503"), ocs.PackageProgress{Package: other, Phase: ocs.Installing})
	f.want("downloading", f.progress(agent.Device, id), "DOWNLOADING120 400origin: 503true")
	f.want("phases", phases(), "1 0 0")
	f.tells(agent, step(ocs.Installing, 400, ""))
	f.want("installing", f.progress(agent.Device, id), "INSTALLING400 400true")
	f.want("phases", phases(), "0 0 1")
	f.check(f.SaveResult(f.ctx(), agent, ocs.Result{Package: id, Text: "ERR_EXECUTE"}, now))
	f.want("after the result", f.progress(agent.Device, id)+phases(), "0 0 0")
	f.tells(agent, step(ocs.Downloading, 1, ""))
	f.want("a straggler", f.progress(agent.Device, id), "")
}

// TestProgressEnds: however an affectation ends, its progress goes.
func TestProgressEnds(t *testing.T) {
	f := newFixture(t)
	agent := f.enrolled("pc")
	for name, end := range map[string]func(core.PackageID){
		"unaffected": func(id core.PackageID) {
			_, err := f.Unaffect(f.ctx(), Target{Package: id}, Selection{All: true}, AffectOptions{}, now)
			f.check(err)
			f.affect(id, Selection{All: true}, AffectOptions{})
		},
		"affected anew": func(id core.PackageID) { f.affect(id, Selection{All: true}, AffectOptions{Force: true}) },
		"found in the history": func(id core.PackageID) {
			_, err := f.SaveInventory(f.ctx(), Facts{Computer: Computer{Device: agent.Device, Family: core.Linux},
				Key: agent.Key, History: []core.PackageID{id}, Reported: true}, "", now)
			f.check(err)
			f.calls(agent)
			f.wantRecord(agent.Device, id, outcome.AlreadySetup, outcome.AlreadyInHistory)
		},
		"deleted": func(id core.PackageID) { f.check(f.DeletePackage(f.ctx(), id)) },
	} {
		id := f.affected(agent.Device)
		f.calls(agent)
		f.tells(agent, ocs.PackageProgress{Package: id, Phase: ocs.Delayed})
		if got := f.progress(agent.Device, id); got == "" {
			t.Fatalf("%s: nothing is kept", name)
		}
		end(id)
		var left int
		f.check(f.read.QueryRowContext(f.ctx(), "SELECT count(*) FROM progress WHERE package = ?", id).Scan(&left))
		f.want(name+": rows left", left, 0)
	}
}

// TestProgressOfOthers: nobody tells how far another's packages are.
func TestProgressOfOthers(t *testing.T) {
	f := newFixture(t)
	agent := f.enrolled("pc")
	stock := f.computer("stock")
	for _, one := range []struct {
		from Caller
		want error
	}{
		{Stock(agent.Device), ErrStockProgress}, {Stock(stock), ErrStockProgress},
		{Caller{agent.Device, "another"}, ErrNotItsKey}, {Caller{device("gone"), agent.Key}, ErrUnknownComputer},
	} {
		_, err := f.AcceptProgress(f.ctx(), one.from, ocs.Progress{})
		wantIs(t, err, one.want)
	}
}

// olderStore returns the folder of a database as version 1 made it, with a computer that has a package.
func olderStore(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(folder, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{schema1, "PRAGMA user_version = 1", `INSERT INTO package_ids VALUES (7)`,
		`INSERT INTO packages VALUES (7,'p','linux',5,'EXECUTE','true','HTTPS',0,0,0,'0','` +
			core.DigestOf(nil).String() + `',1)`,
		`INSERT INTO activations VALUES (1,7,'a/d','a/d','',0,1)`,
		`INSERT INTO computers VALUES (1,'` + string(device("old")) + `','old','Debian','linux','','','',0,'','','','','',0,0,'',0,0,0,1,1,1)`,
		`INSERT INTO affectations VALUES (1,7,1,'NOTIFIED','','','','',0,1,1,1,0)`} {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestUpgrade: an older program's database is taken over with what it holds, also by several at once, and
// serves as a new one does.
func TestUpgrade(t *testing.T) {
	folder := olderStore(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			s, err := Open(t.Context(), folder)
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	f := fixture{t, reopened(t, folder)}
	f.check(f.Set(f.ctx(), "", setting.StockAgents, 1))
	f.want("packages", f.contact(device("old")), []core.PackageID{7})
	f.check(f.AddToken(f.ctx(), "t", Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)}, now))
	_, err := f.Enrol(f.ctx(), Enrolment{Token: "t", Device: device("old"), Key: seal.KeyID{9}, Certified: now}, now)
	f.check(err)
	f.tells(Caller{device("old"), seal.KeyID{9}.String()}, ocs.PackageProgress{Package: 7, Phase: ocs.Installing})
	f.want("progress", f.progress(device("old"), 7), "INSTALLING0 0true")
	f.want("the same schema", schemaOf(t, f.Store), schemaOf(t, newStore(t)))
}

// schemaOf returns the text of all tables, indices and triggers.
func schemaOf(t *testing.T, s *Store) (text string) {
	t.Helper()
	err := s.read.QueryRowContext(t.Context(),
		"SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master ORDER BY name)").Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestNewsByProgress: the answer names the site where the computer was last judged to be, and its epoch now.
func TestNewsByProgress(t *testing.T) {
	f := newFixture(t)
	agent := f.enrolled("pc")
	news := func() string {
		t.Helper()
		answer, err := f.AcceptProgress(f.ctx(), agent, ocs.Progress{})
		f.check(err)
		return fmt.Sprint(answer.Site, answer.Epoch)
	}
	place := func(name core.SiteName) { f.check(f.SetComputer(f.ctx(), agent.Device, &name, nil)) }
	place("lyon")
	if got := news(); got != "lyon1" {
		t.Errorf("got %s", got)
	}
	f.check(f.RaiseEpochs(f.ctx()))
	if got := news(); got != "lyon2" {
		t.Errorf("after news: got %s", got)
	}
	place("")
	if got := news(); got != "0" {
		t.Errorf("at no site: got %s", got)
	}
}
