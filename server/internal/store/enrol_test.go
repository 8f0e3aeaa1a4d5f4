package store

import (
	"testing"
	"time"

	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/core/seal"
)

func TestEnrol(t *testing.T) {
	f := newFixture(t)
	stock := f.computer("pc")
	id := f.affected(stock)
	key, other := seal.KeyID{1}, seal.KeyID{2}
	enrol := func(token, name string, key seal.KeyID) error {
		t.Helper()
		site, err := f.Enrol(f.ctx(),
			Enrolment{Token: token, Device: device(name), Key: key, Certified: now.AddDate(0, 0, 30)}, now)
		if err == nil {
			f.want("site", site, "lyon")
		}
		return err
	}
	f.check(f.AddToken(f.ctx(), "one", Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)}, now))
	f.check(f.AddToken(f.ctx(), "many", Token{Site: "lyon", Uses: 9, Expires: now.Add(time.Hour)}, now))
	f.check(f.AddToken(f.ctx(), "old", Token{Site: "lyon", Uses: 1, Expires: now}, now))
	wantIs(t, enrol("none", "pc", key), ErrTokenUnknown)
	wantIs(t, enrol("old", "pc", key), ErrTokenExpired)
	f.check(enrol("one", "pc", key))
	f.check(enrol("one", "pc", key)) // its answer got lost
	wantIs(t, enrol("one", "other", other), ErrTokenUsed)
	wantIs(t, enrol("many", "pc", other), ErrAnotherKey)
	f.check(enrol("many", "other", other))
	f.wantRecord(stock, id, outcome.Waiting, "") // the record was taken over

	wantIs(t, f.SaveResult(f.ctx(), Stock(stock), ocs.Result{Package: id, Text: "SUCCESS"}, now), ErrEnrolled)
	wantIs(t, f.SaveAddresses(f.ctx(), Stock(stock), nil, now), ErrEnrolled)
	_, err := f.SaveInventory(f.ctx(), Facts{Computer: Computer{Device: stock}}, "", now)
	wantIs(t, err, ErrEnrolled)
	_, err = f.SaveInventory(f.ctx(), Facts{Computer: Computer{Device: device("thief")}}, stock, now)
	wantIs(t, err, ErrEnrolled)
	_, err = f.Contact(f.ctx(), Call{Caller: Stock(stock), Family: ""}, now)
	wantIs(t, err, ErrEnrolled)

	f.check(f.Revoke(f.ctx(), stock, now))
	wantIs(t, f.Revoke(f.ctx(), stock, now), ErrUnknownAgent)
	wantIs(t, f.Revoke(f.ctx(), device("gone"), now), ErrUnknownAgent)
	_, err = f.Contact(f.ctx(), Call{Caller: Stock(stock), Family: ""}, now)
	wantIs(t, err, ErrEnrolled) // revoked is not stock again
	agents, err := f.Agents(f.ctx())
	f.check(err)
	f.want("agents", []any{len(agents), agents[1].Device, agents[1].Revoked, agents[0].Revoked.IsZero()},
		[]any{2, stock, now, true})
	wantIs(t, enrol("one", "pc", key), ErrRevokedKey)
	f.check(enrol("many", "pc", seal.KeyID{3})) // set up anew
	agents, err = f.Agents(f.ctx())
	f.check(err)
	f.want("after a new enrolment", []any{agents[1].Key, agents[1].Revoked.IsZero()},
		[]any{seal.KeyID{3}.String(), true})
	if err := f.AddToken(f.ctx(), "bad", Token{Uses: 0, Expires: now}, now); err == nil {
		t.Error("a token without uses is kept")
	}
}

// TestSiteOf: an agent's site is its computer's, and for nobody else to learn.
func TestSiteOf(t *testing.T) {
	f := newFixture(t)
	stock := f.computer("old")
	key, enrolled := seal.KeyID{1}, device("pc")
	f.check(f.AddToken(f.ctx(), "one", Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)}, now))
	_, err := f.Enrol(f.ctx(), Enrolment{Token: "one", Device: enrolled, Key: key, Certified: now}, now)
	f.check(err)
	site, err := f.SiteOf(f.ctx(), Caller{enrolled, key.String()})
	f.check(err)
	f.want("site", site, "lyon")
	for _, c := range []struct {
		from Caller
		want error
	}{
		{Caller{enrolled, seal.KeyID{2}.String()}, ErrNotItsKey},
		{Stock(enrolled), ErrEnrolled},
		{Caller{stock, key.String()}, ErrNotItsKey},
		{Caller{device("gone"), key.String()}, ErrUnknownComputer},
	} {
		_, err := f.SiteOf(f.ctx(), c.from)
		wantIs(t, err, c.want)
	}
	f.check(f.Revoke(f.ctx(), enrolled, now))
	_, err = f.SiteOf(f.ctx(), Caller{enrolled, key.String()})
	wantIs(t, err, ErrRevoked)
}
