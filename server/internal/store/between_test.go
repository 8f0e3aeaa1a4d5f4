package store

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
)

// shared returns what went between the members of the sites, as text.
func (f fixture) shared() string {
	f.Helper()
	bytes, err := f.Shared(f.ctx())
	f.check(err)
	return fmt.Sprint(bytes)
}

// TestShared: each byte that computers say came from members counts once, at the site where the computer was then,
// whatever becomes of the affectation and the computer later.
func TestShared(t *testing.T) {
	f := newFixture(t)
	agent, other := f.enrolled("pc"), f.enrolled("other")
	id := f.affected(agent.Device, other.Device)
	f.calls(agent)
	f.calls(other)
	says := func(from Caller, bytes int64) {
		f.tells(from, ocs.PackageProgress{Package: id, Phase: ocs.Downloading, Shared: bytes})
	}
	ends := func(from Caller, text string, bytes int64) {
		f.check(f.SaveResult(f.ctx(), from, ocs.Result{Package: id, Text: text, Shared: bytes}, now))
	}
	at := func(want string) {
		t.Helper()
		f.want("shared", f.shared(), want)
	}
	lyon := func(bytes int64) string { return fmt.Sprintf("map[lyon:map[%d:%d]]", id, bytes) }
	says(agent, 0)
	at("map[]")
	says(agent, 70)
	says(agent, 50) // an older word that comes late
	says(agent, 0)  // or an agent that was set back to a version that does not say it
	at(lyon(70))
	says(other, 30)
	at(lyon(100))
	ends(agent, "SUCCESS_0", 90)
	ends(agent, "SUCCESS_0", 90) // the answer was lost
	at(lyon(120))
	says(agent, 95) // a straggler
	at(lyon(120))

	nice := core.SiteName("nice")
	f.check(f.SetComputer(f.ctx(), other.Device, &nice, nil))
	f.calls(other)
	ends(other, "ERR_EXECUTE", 35)
	moved := fmt.Sprintf("map[lyon:map[%d:120] nice:map[%d:5]]", id, id)
	at(moved)
	f.affect(id, Selection{All: true}, AffectOptions{Force: true})
	f.calls(other)
	says(other, 35)
	at(moved)
	_, err := f.Unaffect(f.ctx(), Target{Package: id}, Selection{All: true}, AffectOptions{Force: true}, now)
	f.check(err)
	ends(other, "SUCCESS_0", 99) // what is not affected any more
	f.check(f.DeleteComputer(f.ctx(), agent.Device, now))
	at(moved)
	f.check(f.DeletePackage(f.ctx(), id))
	at("map[]")
}

// TestSharedByStock: a stock agent has no members; what it says of them is nothing.
func TestSharedByStock(t *testing.T) {
	f := newFixture(t)
	stock, lyon := f.computer("stock"), core.SiteName("lyon")
	f.check(f.SetComputer(f.ctx(), stock, &lyon, nil))
	id := f.affected(stock)
	f.contact(stock)
	f.check(f.SaveResult(f.ctx(), Stock(stock), ocs.Result{Package: id, Text: "SUCCESS", Shared: 7}, now))
	f.want("shared", f.shared(), "map[]")
}

// TestUpgradeToShared: a database of version 5 is taken over with what is under way in it.
func TestUpgradeToShared(t *testing.T) {
	folder := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(folder, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{schema1, schema2, schema3, schema4, schema5, "PRAGMA user_version = 5",
		`INSERT INTO sites (name) VALUES ('lyon')`, `INSERT INTO package_ids VALUES (7)`,
		`INSERT INTO packages VALUES (7,'p','linux',5,'EXECUTE','true','HTTPS',0,0,0,'0','` +
			core.DigestOf(nil).String() + `',1)`,
		`INSERT INTO activations VALUES (1,7,'a/d','a/d','',0,1)`,
		`INSERT INTO computers (id, device, name, os, family, agent, site, tag, tag_owner, user, serial, uuid,
			manufacturer, model, memory, disk, agent_key, enrolled, certified, revoked, first_seen, last_contact,
			inventoried, judged_site, judged_by) VALUES (1,'` + string(device("old")) + `','old','Debian','linux','','lyon','',0,
			'','','','','',0,0,'k',1,1,0,1,1,1,'lyon','hand')`,
		`INSERT INTO affectations VALUES (1,7,1,'NOTIFIED','','','','',0,1,1,1,0)`,
		`INSERT INTO progress VALUES (1,7,'DOWNLOADING',1,2,'',1)`} {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f := fixture{t, reopened(t, folder)}
	f.want("at first", f.shared(), "map[]")
	f.tells(Caller{device("old"), "k"}, ocs.PackageProgress{Package: 7, Phase: ocs.Downloading, Have: 1, Of: 2, Shared: 9})
	f.want("told", f.shared(), "map[lyon:map[7:9]]")
	f.want("the same schema", schemaOf(t, f.Store), schemaOf(t, newStore(t)))
}
