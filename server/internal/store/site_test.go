package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/wanrate"
	"enjambre/server/internal/site"
)

// networks sets a site's networks.
func (f fixture) networks(name core.SiteName, networks ...string) {
	f.Helper()
	f.check(f.SetSite(f.ctx(), name, func(one *site.Site) error {
		one.Networks = nil
		for _, text := range networks {
			one.Networks = append(one.Networks, netip.MustParsePrefix(text))
		}
		return nil
	}))
}

// comes makes an enrolled agent's contact from an address.
func (f fixture) comes(from Caller, egress string) Contact {
	f.Helper()
	contact, err := f.Contact(f.ctx(), Call{Caller: from, Egress: netip.MustParseAddr(egress)}, now)
	f.check(err)
	return contact
}

// at returns where a computer is on record, and why.
func (f fixture) at(device core.DeviceID) string {
	f.Helper()
	view, err := f.Computer(f.ctx(), device)
	f.check(err)
	if view.Site != view.Place.Site {
		f.Errorf("%s is at %q and at %q", device, view.Site, view.Place.Site)
	}
	text := string(view.Place.Site) + " " + string(view.Place.By)
	if view.Place.By == site.ByNetwork {
		text += " " + view.Place.Network.String()
	}
	return text
}

// TestSitesInUse: what named a site in an older program's database is a site afterwards.
func TestSitesInUse(t *testing.T) {
	folder := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(folder, FileName))
	if err != nil {
		t.Fatal(err)
	}
	row := func(id int, name, site, key string) string {
		return fmt.Sprintf(`INSERT INTO computers (id, device, name, os, family, agent, site, tag, tag_owner, user, serial,
			uuid, manufacturer, model, memory, disk, agent_key, enrolled, certified, revoked, first_seen, last_contact,
			inventoried) VALUES (%d,'%s','%s','','linux','','%s','',0,'','','','','',0,0,'%s',0,0,0,1,1,1)`, id, device(name),
			name, site, key)
	}
	for _, text := range []string{schema1, schema2, schema3, schema4, "PRAGMA user_version = 4",
		row(1, "stock", "lyon", ""), row(2, "enrolled", "paris", "k2"), row(3, "moved", "nice", "k3"), row(4, "none", "", ""),
		`INSERT INTO tokens VALUES ('h2','paris',0,1,1), ('h3','paris',0,1,1), ('h4','lille',1,1,1)`,
		`INSERT INTO token_keys VALUES ('h2','k2'), ('h3','k3')`, `INSERT INTO package_ids VALUES (7)`,
		`INSERT INTO packages VALUES (7,'p','linux',5,'EXECUTE','true','HTTPS',0,0,0,'0','` +
			core.DigestOf(nil).String() + `',1)`,
		`INSERT INTO activations VALUES (1,7,'a/d','a/d','brest',0,1), (2,7,'a/d','a/d','',0,1)`} {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f := fixture{t, reopened(t, folder)}
	list, err := f.Sites(f.ctx(), now)
	f.check(err)
	var names []string
	for _, one := range list {
		names = append(names, fmt.Sprint(one.Name, one.Computers, one.Epoch))
	}
	f.want("sites", names, "[brest0 1 lille0 1 lyon1 1 nice1 1 paris1 1]")
	for name, want := range map[string]string{"stock": "lyon hand", "enrolled": "paris token", "moved": "nice hand",
		"none": " "} {
		f.want(name, f.at(device(name)), want)
	}
	f.check(f.Set(f.ctx(), "", "STOCK_AGENTS", 1))
	contact, err := f.Contact(f.ctx(), Call{Caller: Stock(device("stock"))}, now)
	f.check(err)
	f.want("its site", contact.Site, "lyon")
	f.want("the same schema", schemaOf(t, f.Store), schemaOf(t, newStore(t)))
}

// TestSitesByName: what names a site makes it.
func TestSitesByName(t *testing.T) {
	f := newFixture(t)
	f.check(f.AddToken(f.ctx(), "t", Token{Site: "token", Uses: 1, Expires: now.Add(time.Hour)}, now))
	f.activate(f.pkg(5), "activation")
	hand, none := core.SiteName("hand"), core.SiteName("")
	f.check(f.SetComputer(f.ctx(), f.computer("pc"), &hand, nil))
	f.want("by hand, at once", f.at(device("pc")), "hand hand")
	f.networks("set")
	list, err := f.Sites(f.ctx(), now)
	f.check(err)
	var names []core.SiteName
	for _, one := range list {
		names = append(names, one.Name)
	}
	f.want("sites", names, "[activation hand set token]")
	f.check(f.SetComputer(f.ctx(), device("pc"), &none, nil))
	f.want("taken back", f.at(device("pc")), " ")
	_, err = f.Site(f.ctx(), "gone", now)
	wantIs(t, err, ErrUnknownSite)
	_, err = f.RotateKey(f.ctx(), "gone", now)
	wantIs(t, err, ErrUnknownSite)
}

func TestSetSite(t *testing.T) {
	f := newFixture(t)
	rate, err := wanrate.Parse("20mbit", "4mbit@08:00-18:00")
	f.check(err)
	want := site.Site{Name: "lyon", TimeZone: "Europe/Paris", Rate: rate, Fetchers: 8, Pace: site.ByRate, Swarm: false,
		Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/64")}}
	f.check(f.SetSite(f.ctx(), "lyon", func(one *site.Site) error {
		f.want("a new site", *one, site.New("lyon"))
		*one = want
		one.Networks = []netip.Prefix{want.Networks[1], want.Networks[0], want.Networks[1]}
		return nil
	}))
	view, err := f.Site(f.ctx(), "lyon", now)
	f.check(err)
	f.want("kept", view.Site, want)
	for name, change := range map[string]func(*site.Site) error{
		"out of bounds": func(one *site.Site) error { one.Fetchers = 0; return nil },
		"another's network": func(one *site.Site) error {
			one.Networks = append(one.Networks, netip.MustParsePrefix("10.1.0.0/16"))
			return nil
		},
		"its caller's": func(*site.Site) error { return core.Refuse(core.ClassField, "no") },
	} {
		err := f.SetSite(f.ctx(), "paris", change)
		if core.ClassOf(err) == "" ||
			name == "another's network" && !strings.Contains(err.Error(), "one of site lyon already") {
			t.Errorf("%s: got %v", name, err)
		}
		_, err = f.Site(f.ctx(), "paris", now)
		wantIs(t, err, ErrUnknownSite)
	}
	f.networks("paris", "10.1.9.0/24") // inside another's is fine
	f.networks("lyon", "10.3.0.0/16")
	f.networks("paris", "10.1.0.0/16") // free again
}

// TestTooManySites: there is an end to what tokens and computers can name.
func TestTooManySites(t *testing.T) {
	f := newFixture(t)
	f.check(f.change(f.ctx(), func(tx *transaction) error {
		_, err := execute(f.ctx(), tx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO sites (name) SELECT 's' || i FROM n`, site.MaxSites-1)
		return err
	}))
	f.networks("last")
	wantIs(t, f.AddToken(f.ctx(), "t", Token{Site: "more", Uses: 1, Expires: now.Add(time.Hour)}, now), ErrTooManySites)
	f.check(f.AddToken(f.ctx(), "t", Token{Site: "s7", Uses: 1, Expires: now.Add(time.Hour)}, now))
	more := core.SiteName("more")
	wantIs(t, f.SetComputer(f.ctx(), f.computer("pc"), &more, nil), ErrTooManySites)
	wantIs(t, f.SetSite(f.ctx(), more, func(*site.Site) error { return nil }), ErrTooManySites)
}

// TestJudgedAtContact: where a computer is follows its contacts and the networks that any process sets, and is
// written only when it changes; search and affect go by it.
func TestJudgedAtContact(t *testing.T) {
	folder := t.TempDir()
	f := newFixture(t)
	f.check(Create(f.ctx(), folder))
	f.Store = reopened(t, folder)
	other := fixture{t, reopened(t, folder)}
	agent := f.enrolled("pc")
	f.want("enrolled", f.at(agent.Device), "lyon token")
	id := f.pkg(5)
	anywhere, inParis := f.activate(id, ""), f.activate(id, "paris")

	f.want("no networks", f.comes(agent, "10.2.0.7").Site, "lyon")
	other.networks("paris", "10.2.0.0/16")
	f.want("set by another process", f.comes(agent, "10.2.0.7").Site, "paris")
	f.want("on record", f.at(agent.Device), "paris network 10.2.0.0/16")
	found, err := f.Search(f.ctx(), Selection{Query: mustQuery(t, "site = paris")}, now)
	f.check(err)
	f.want("search", len(found), 1)
	writes := f.commits()
	f.want("again", f.comes(agent, "10.2.0.7").Site, "paris")
	f.want("writes of a contact that changes nothing", f.commits(), writes)
	chosen := func() ActivationID {
		t.Helper()
		f.affect(id, Selection{All: true}, AffectOptions{Force: true})
		view, err := f.Computer(f.ctx(), agent.Device)
		f.check(err)
		return view.Affectations[0].Activation
	}
	f.want("activation in Paris", chosen(), inParis)

	other.networks("nice", "10.2.0.0/24")
	f.want("a longer network", f.comes(agent, "10.2.0.7").Site, "nice")
	f.want("activation in Nice", chosen(), anywhere)
	other.networks("nice", "10.9.0.0/24")
	f.want("moved away", f.comes(agent, "10.2.0.7").Site, "paris")
	hand := core.SiteName("brest")
	f.check(f.SetComputer(f.ctx(), agent.Device, &hand, nil))
	f.want("by hand, but a network has it", f.at(agent.Device), "paris network 10.2.0.0/16")
	f.want("elsewhere", f.comes(agent, "192.0.2.1").Site, "brest")
	f.want("on record by hand", f.at(agent.Device), "brest hand")

	f.check(f.SaveAddresses(f.ctx(), agent,
		[]Address{{IP: "10.2.0.7", MAC: "02:00:00:00:00:01"}, {IP: "x", MAC: "02:00:00:00:00:02"}}, now))
	f.want("by its own address behind NAT", f.comes(agent, "192.0.2.1").Site, "paris")
	f.want("by the egress that is its own", f.comes(agent, "10.2.0.7").Site, "paris")

	stock := f.computer("stock")
	f.set("", "STOCK_AGENTS", 1)
	f.want("a stock agent", f.comes(Stock(stock), "10.2.0.7").Site, "paris")
	f.want("another process sees it", other.at(stock), "paris network 10.2.0.0/16")
}

// commits returns a number that changes with every commit of another connection.
func (f fixture) commits() (version int) {
	f.Helper()
	f.check(f.read.QueryRowContext(f.ctx(), "PRAGMA data_version").Scan(&version))
	return version
}

// TestEpochs: each kind of change raises the epochs of the sites whose computers it concerns, and of no other.
func TestEpochs(t *testing.T) {
	f := newFixture(t)
	agents := map[string]Caller{}
	for _, name := range []string{"lyon", "paris", "nice", "none"} {
		agents[name] = f.enrolled(name)
		to := core.SiteName(name)
		if name == "none" {
			to = ""
		}
		f.check(f.SetComputer(f.ctx(), agents[name].Device, &to, nil))
	}
	id := f.pkg(5)
	only := func(name string) Selection { return Selection{Devices: []core.DeviceID{agents[name].Device}} }
	device := func(name string) core.DeviceID { return agents[name].Device }
	both := Selection{Query: mustQuery(t, "site in (lyon, paris)")}
	var inParis, anywhere ActivationID
	bulk := func(do func(context.Context, Target, Selection, AffectOptions, time.Time) (BulkReport, error),
		selection Selection, options AffectOptions) func() error {
		return func() error { _, err := do(f.ctx(), Target{Package: id}, selection, options, now); return err }
	}
	unset := func() error { _, err := f.Unset(f.ctx(), device("nice"), "DOWNLOAD_SWITCH"); return err }
	ended := func(name, text string) { f.check(f.SaveResult(f.ctx(), agents[name], resultOf(id, text), now)) }
	for _, c := range []struct {
		what   string
		change func() error
		raised string
	}{
		{"activated for any site", func() error { anywhere = f.activate(id, ""); return nil }, ""},
		{"activated for Paris", func() error { inParis = f.activate(id, "paris"); return nil }, "paris"},
		{"the same again", func() error { inParis = f.activate(id, "paris"); return nil }, ""},
		{"affected, dry run", bulk(f.Affect, both, AffectOptions{DryRun: true}), ""},
		{"affected", bulk(f.Affect, both, AffectOptions{}), "lyon paris"},
		{"affected already", bulk(f.Affect, both, AffectOptions{}), ""},
		{"affected at no site", bulk(f.Affect, only("none"), AffectOptions{}), ""},
		{"unaffected", bulk(f.Unaffect, only("paris"), AffectOptions{}), "paris"},
		{"not affected", bulk(f.Unaffect, only("paris"), AffectOptions{}), ""},
		{"told", func() error { f.calls(agents["lyon"]); return nil }, ""},
		{"ended", func() error { ended("lyon", "ERR_EXECUTE"); return nil }, ""},
		{"retried", func() error { _, _, err := f.RetryErrors(f.ctx(), id, now); return err }, "lyon"},
		{"nothing to retry", func() error { _, _, err := f.RetryErrors(f.ctx(), id, now); return err }, ""},
		{"not notified, taken back", func() error { _, err := f.UnaffectNotNotified(f.ctx(), id); return err }, "lyon"},
		{"affected once more", bulk(f.Affect, both, AffectOptions{}), "lyon paris"},
		{"succeeded", func() error { ended("lyon", "SUCCESS_0"); return nil }, ""},
		{"cleared", func() error { _, err := f.ValidateSuccess(f.ctx(), id); return err }, ""},
		{"affected in Lyon", bulk(f.Affect, only("lyon"), AffectOptions{}), "lyon"},
		{"deactivated in Paris", func() error { _, err := f.DeleteActivation(f.ctx(), inParis); return err }, "paris"},
		{"deactivated", func() error { _, err := f.DeleteActivation(f.ctx(), anywhere); return err }, "lyon"},
		{"activated again", func() error { anywhere = f.activate(id, ""); return nil }, ""},
		{"affected for deletion", bulk(f.Affect, both, AffectOptions{}), "lyon paris"},
		{"ended before deletion", func() error { ended("lyon", "SUCCESS_0"); return nil }, ""},
		{"deleted", func() error { return f.DeletePackage(f.ctx(), id) }, "lyon paris"}, // who has finished keeps it for others
		{"setting of a computer", func() error { return f.Set(f.ctx(), device("nice"), "DOWNLOAD_SWITCH", 0) }, "nice"},
		{"and back", unset, "nice"},
		{"not set", unset, ""},
		{"setting of all", func() error { return f.Set(f.ctx(), "", "DOWNLOAD", 0) }, "lyon nice paris"},
		{"setting of the server", func() error { return f.Set(f.ctx(), "", "VALIDATE_AFTER", 1) }, ""},
		{"site set", func() error { f.networks("nice", "10.1.0.0/16"); return nil }, "nice"},
		{"site set to what it is", func() error { f.networks("nice", "10.1.0.0/16"); return nil }, ""},
		{"refused", func() error {
			err := f.SetSite(f.ctx(), "nice", func(one *site.Site) error { one.Fetchers = -1; return nil })
			return map[bool]error{true: fmt.Errorf("accepted")}[err == nil]
		}, ""},
		{"key rotated", func() error { _, err := f.RotateKey(f.ctx(), "nice", now); return err }, "nice"},
		{"moved by hand", func() error {
			to := core.SiteName("paris")
			return f.SetComputer(f.ctx(), device("lyon"), &to, nil)
		}, "lyon"},
		{"moved by a network", func() error { f.comes(agents["lyon"], "10.1.0.7"); return nil }, ""},
		{"revoked", func() error { return f.Revoke(f.ctx(), device("lyon"), now) }, "lyon nice paris"}, // where it was
		{"deleted, after it was revoked", func() error { return f.DeleteComputer(f.ctx(), device("lyon"), now) }, ""},
		{"deleted", func() error { return f.DeleteComputer(f.ctx(), device("paris"), now) }, "lyon paris"},
	} {
		before := f.epochs()
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		var raised []string
		for _, name := range []core.SiteName{"lyon", "nice", "paris"} {
			switch got := f.epochs()[name] - before[name]; got {
			case 0:
			case 1:
				raised = append(raised, string(name))
			default:
				t.Errorf("%s: epoch of %s raised by %d", c.what, name, got)
			}
		}
		f.want(c.what+": raised", strings.Join(raised, " "), c.raised)
	}
}

func (f fixture) epochs() map[core.SiteName]uint64 {
	f.Helper()
	list, err := f.Sites(f.ctx(), now)
	f.check(err)
	epochs := map[core.SiteName]uint64{}
	for _, one := range list {
		epochs[one.Name] = one.Epoch
	}
	return epochs
}

func resultOf(id core.PackageID, text string) ocs.Result { return ocs.Result{Package: id, Text: text} }
