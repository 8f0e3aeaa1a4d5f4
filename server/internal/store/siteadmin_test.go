package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
)

func done() error { return nil }

// TestRenameSite: everything that named the site names it by its new name, the database has the former nowhere, and a
// rename that fails at its end has changed nothing.
func TestRenameSite(t *testing.T) {
	f := newFixture(t)
	agent := f.enrolled("pc") // at Lyon by its token
	f.networks("lyon", "10.1.0.0/16")
	_, err := f.RotateKey(f.ctx(), "lyon", now)
	f.check(err)
	id := f.pkg(5)
	f.activate(id, "lyon")
	f.affect(id, Selection{All: true}, AffectOptions{})
	before, err := f.Site(f.ctx(), "lyon", now)
	f.check(err)

	full := errors.New("no space")
	wantIs(t, f.RenameSite(f.ctx(), "lyon", "lugdunum", func() error { return full }), full)
	again, err := f.Site(f.ctx(), "lyon", now)
	f.check(err)
	f.want("after a rename that failed", again, before)

	f.check(f.RenameSite(f.ctx(), "lyon", "lugdunum", done))
	after, err := f.Site(f.ctx(), "lugdunum", now)
	f.check(err)
	f.want("news", after.Epoch, before.Epoch+1)
	before.Name, before.Epoch = after.Name, after.Epoch
	f.want("all the rest", after, before)
	f.want("its computer", f.at(agent.Device), "lugdunum token")
	f.want("at its next contact", f.comes(agent, "10.1.0.7").Site, "lugdunum")
	_, err = f.Site(f.ctx(), "lyon", now)
	wantIs(t, err, ErrUnknownSite)
	f.want("rows that name it", f.naming("lyon"), "")
	f.networks("paris")
	wantIs(t, f.RenameSite(f.ctx(), "paris", "lugdunum", done), ErrSiteExists)
	wantIs(t, f.RenameSite(f.ctx(), "lyon", "nice", done), ErrUnknownSite)
}

// naming returns which columns of any table still hold a site's name.
func (f fixture) naming(name string) (found string) {
	f.Helper()
	var columns [][2]string
	f.check(f.view(f.ctx(), func(tx *transaction) error {
		return readList(f.ctx(), tx, &columns, func(one *[2]string) []any { return []any{&one[0], &one[1]} },
			`SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
				WHERE t.type = 'table' AND (c.name LIKE '%site%' OR t.name = 'sites' AND c.name = 'name')
				AND t.name <> 'site_version'`)
	}))
	if len(columns) < 8 {
		f.Fatalf("only %v are looked at", columns)
	}
	for _, one := range columns {
		var rows int
		f.check(f.read.QueryRowContext(f.ctx(), fmt.Sprintf("SELECT count(*) FROM %s WHERE %s = ?", one[0], one[1]), name).
			Scan(&rows))
		if rows > 0 {
			found += fmt.Sprintf("%s.%s ", one[0], one[1])
		}
	}
	return found
}

// TestDeleteSite: a site that is named is not deleted, unless another one gets all that names it; of two activations that
// would be the same there, one stays, with the computers of both.
func TestDeleteSite(t *testing.T) {
	f := newFixture(t)
	agent := f.enrolled("pc")
	f.networks("lyon", "10.1.0.0/16")
	f.networks("paris", "10.2.0.0/16")
	id := f.pkg(5)
	inLyon, inParis := f.activate(id, "lyon"), f.activate(id, "paris")
	f.affect(id, Selection{All: true}, AffectOptions{})
	for _, unused := range []core.SiteName{"", "nowhere"} {
		if err := f.DeleteSite(f.ctx(), "lyon", unused, done); err == nil {
			t.Errorf("moved to %q", unused)
		}
	}
	wantIs(t, f.DeleteSite(f.ctx(), "lyon", "", done), ErrSiteInUse)
	full := errors.New("no space")
	wantIs(t, f.DeleteSite(f.ctx(), "lyon", "paris", func() error { return full }), full)
	f.want("after a deletion that failed", f.at(agent.Device), "lyon token")

	f.check(f.DeleteSite(f.ctx(), "lyon", "paris", done))
	f.want("its computer", f.at(agent.Device), "paris token")
	f.want("rows that name it", f.naming("lyon"), "")
	f.want("by its network", f.comes(agent, "10.1.0.7").Site, "paris")
	view, err := f.Computer(f.ctx(), agent.Device)
	f.check(err)
	f.want("its activation", view.Affectations[0].Activation, inParis)
	_, err = f.Activation(f.ctx(), inLyon)
	wantIs(t, err, ErrUnknownActivation)

	f.networks("nice", "10.9.0.0/16")
	f.set("", "STOCK_AGENTS", 1)
	stock := f.inventoried("stock", "10.9.0.7", "10.9.0.7")
	wantIs(t, f.DeleteSite(f.ctx(), "nice", "", done), ErrSiteInUse)
	f.check(f.DeleteComputer(f.ctx(), stock, now))
	f.check(f.DeleteSite(f.ctx(), "nice", "", done))
}

// TestTokens: a token is listed by a part of its hash and never as it is, and one that is revoked enrols nobody more,
// while who enrolled with it stays.
func TestTokens(t *testing.T) {
	f := newFixture(t)
	f.check(f.AddToken(f.ctx(), "secret", Token{Site: "lyon", Uses: 3, Expires: now.Add(time.Hour)}, now))
	enrol := func(name string, key byte) error {
		_, err := f.Enrol(f.ctx(), Enrolment{Token: "secret", Device: device(name), Key: seal.KeyID{key}, Certified: now}, now)
		return err
	}
	f.check(enrol("pc", 1))
	list, err := f.Tokens(f.ctx())
	f.check(err)
	want := TokenView{ID: TokenID("secret"), Site: "lyon", Left: 2, Used: 1, Created: now, Expires: now.Add(time.Hour)}
	if len(list) != 1 || list[0] != want {
		t.Errorf("got %+v, want %+v", list, want)
	}
	for _, id := range []string{"", "secret", want.ID[:11], want.ID + "0"} {
		_, err := f.RevokeToken(f.ctx(), id)
		wantIs(t, err, ErrUnknownToken)
	}
	was, err := f.RevokeToken(f.ctx(), want.ID)
	f.check(err)
	f.want("what it was", was, want)
	wantIs(t, enrol("other", 2), ErrTokenUnknown)
	agents, err := f.Agents(f.ctx())
	f.check(err)
	f.want("agents", len(agents), 1)
}

// TestSetComputers: all or none, and a site that does not exist is not made unless that is asked for.
func TestSetComputers(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"a", "b", "c"} {
		f.computer(name)
	}
	f.networks("lyon")
	lyon, lyom, tag := core.SiteName("lyon"), core.SiteName("lyom"), "T"
	all := Selection{All: true}
	report, err := f.SetComputers(f.ctx(), all, ComputerChange{Site: &lyon, Tag: &tag}, now)
	f.check(err)
	f.want("all", report, ChangeReport{Changed: 3})
	_, err = f.SetComputers(f.ctx(), all, ComputerChange{Site: &lyom}, now)
	wantIs(t, err, ErrUnknownSite)
	_, err = f.SetComputers(f.ctx(), Selection{Devices: []core.DeviceID{device("a"), device("gone")}},
		ComputerChange{Site: &lyom, NewSite: true}, now)
	wantIs(t, err, ErrUnknownComputer)
	for _, name := range []string{"a", "b", "c"} {
		f.want(name, f.at(device(name)), "lyon hand")
	}
	wantIs(t, f.NeedSite(f.ctx(), lyom), ErrUnknownSite)
	f.check(f.NeedSite(f.ctx(), lyon))
	_, err = f.SetComputers(f.ctx(), all, ComputerChange{Site: &lyom, NewSite: true}, now)
	f.check(err)
	f.check(f.NeedSite(f.ctx(), lyom))
}
