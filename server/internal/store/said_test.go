package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/core/seal"
)

// keyed makes an enrolled Linux computer with a key of its own, at a site.
func (f fixture) keyed(name string, site core.SiteName) Caller {
	f.Helper()
	key := seal.KeyID(core.DigestOf([]byte(name)))
	f.check(f.AddToken(f.ctx(), name, Token{Site: site, Uses: 1, Expires: now.Add(time.Hour)}, now))
	_, err := f.Enrol(f.ctx(), Enrolment{Token: name, Device: device(name), Key: key, Certified: now}, now)
	f.check(err)
	caller := Caller{device(name), key.String()}
	_, err = f.SaveInventory(f.ctx(),
		Facts{Computer: Computer{Device: device(name), Name: name, OS: "Debian", Family: core.Linux}, Key: caller.Key}, "", now)
	f.check(err)
	f.calls(caller)
	return caller
}

// passes has an agent pass words on as the running server does, and returns how many were worth it.
func (f fixture) passes(from Caller, at core.SiteName, said ...Said) int {
	f.Helper()
	worth, err := f.AcceptSaid(f.ctx(), at, said)
	f.check(err)
	f.check(f.Touch(f.ctx(), []Touch{{Device: from.Device, At: now, Said: worth}}))
	return len(worth)
}

// TestSaid: what others pass on of a computer is noted as its own word is, but for its problem and the bytes it shared.
func TestSaid(t *testing.T) {
	f := newFixture(t)
	reporter, member := f.keyed("reporter", "lyon"), f.keyed("member", "lyon")
	id := f.affected(member.Device)
	word := func(have int, after time.Duration) Said {
		return Said{member.Key, id, ocs.Downloading, have, 400, now.Add(after)}
	}
	shown := func() string {
		view, err := f.Computer(f.ctx(), member.Device)
		f.check(err)
		p := view.Affectations[0].Progress
		if p == nil {
			return ""
		}
		return strings.TrimSpace(fmt.Sprint(p.Phase, p.Have, p.Of, " ", p.Heard.Sub(now), " ", p.Problem))
	}
	f.want("not notified", f.passes(reporter, "lyon", word(1, 0)), 0)
	f.calls(member)
	before, err := f.Computer(f.ctx(), member.Device)
	f.check(err)
	f.want("the first", f.passes(reporter, "lyon", word(3, 0)), 1)
	f.want("is shown", shown(), "DOWNLOADING3 400 0s")
	f.want("the same again", f.passes(reporter, "lyon", word(4, 0)), 0)
	f.want("an older one", f.passes(reporter, "lyon", word(4, -time.Second)), 0)
	f.want("a newer one", f.passes(reporter, "lyon", word(4, time.Second)), 1)
	f.want("is shown", shown(), "DOWNLOADING4 400 1s")
	after, err := f.Computer(f.ctx(), member.Device)
	f.check(err)
	f.want("it was no contact", after.LastContact.Equal(before.LastContact) && after.Agent == before.Agent, true)

	own := ocs.PackageProgress{Package: id, Phase: ocs.Downloading, Have: 5, Of: 400, Problem: "origin: 503", Shared: 700}
	accepted, err := f.AcceptProgress(f.ctx(), member, ocs.Progress{Packages: []ocs.PackageProgress{own}})
	f.check(err)
	f.check(f.Touch(f.ctx(), []Touch{{Device: member.Device, At: now.Add(5 * time.Second), Progress: accepted.Worth}}))
	f.want("before its own", f.passes(reporter, "lyon", word(4, 4*time.Second)), 0)
	f.want("after its own", f.passes(reporter, "lyon", word(6, 6*time.Second)), 1)
	f.want("is shown", shown(), "DOWNLOADING6 400 6s origin: 503")
	shared, err := f.Shared(f.ctx())
	f.check(err)
	f.want("shared", shared["lyon"][id], int64(700))

	// Between being found worth it and being noted, a newer word and a result have come.
	f.check(f.Touch(f.ctx(), []Touch{{Device: reporter.Device, At: now, Said: []Said{word(1, 0)}}}))
	f.want("a late word", shown(), "DOWNLOADING6 400 6s origin: 503")
	f.check(f.SaveResult(f.ctx(), member, ocs.Result{Package: id, Text: "SUCCESS"}, now))
	f.check(f.Touch(f.ctx(), []Touch{{Device: reporter.Device, At: now, Said: []Said{word(9, time.Minute)}}}))
	f.want("after the result", shown(), "")
	f.want("after the result", f.passes(reporter, "lyon", word(9, time.Minute)), 0)
	f.wantRecord(member.Device, id, outcome.Success, "SUCCESS")
}

// TestSaidRefused: nobody tells how far the packages of another site's computers are, nor of those of unknown keys.
func TestSaidRefused(t *testing.T) {
	f := newFixture(t)
	reporter, member := f.keyed("reporter", "lyon"), f.keyed("member", "lyon")
	away, revoked, moved := f.keyed("away", "paris"), f.keyed("revoked", "lyon"), f.keyed("moved", "lyon")
	stock := f.computer("stock")
	id := f.pkg(5)
	f.activate(id, "")
	f.affect(id, Selection{All: true}, AffectOptions{})
	for _, one := range []Caller{reporter, member, away, revoked, moved} {
		f.calls(one)
	}
	f.contact(stock)
	f.check(f.Revoke(f.ctx(), revoked.Device, now))
	paris := core.SiteName("paris")
	f.check(f.SetComputer(f.ctx(), moved.Device, &paris, nil))
	word := func(key string, of core.PackageID) Said { return Said{key, of, ocs.Downloading, 1, 2, now} }
	all := []Said{
		word(away.Key, id), word(revoked.Key, id), word(moved.Key, id), word("", id), word("nobody's", id),
		word(member.Key, id+1), word(member.Key, 0),
	}
	f.want("all that are not to be noted", f.passes(reporter, "lyon", all...), 0)
	f.want("at no site", f.passes(reporter, "", word(member.Key, id)), 0)
	f.want("none", f.passes(reporter, "lyon"), 0)
	worth, err := f.AcceptSaid(f.ctx(), "lyon", append(all, word(member.Key, id), word(reporter.Key, id)))
	f.check(err)
	slices.SortFunc(worth, func(a, b Said) int { return cmp.Compare(a.Key, b.Key) })
	want := []Said{word(member.Key, id), word(reporter.Key, id)}
	slices.SortFunc(want, func(a, b Said) int { return cmp.Compare(a.Key, b.Key) })
	f.want("those that are", worth, want)
	var rows int
	f.check(f.read.QueryRowContext(f.ctx(), "SELECT count(*) FROM progress").Scan(&rows))
	f.want("rows", rows, 0)
	f.check(f.Touch(f.ctx(), []Touch{{Device: reporter.Device, At: now, Said: []Said{word(revoked.Key, id), word("", id)}}}))
	f.check(f.read.QueryRowContext(f.ctx(), "SELECT count(*) FROM progress").Scan(&rows))
	f.want("rows of who was revoked meanwhile", rows, 0)
}

// TestSaidPlan: a computer is found by its key, whoever many there are.
func TestSaidPlan(t *testing.T) {
	f := newFixture(t)
	for _, text := range []string{selectWorth, keepSaid} {
		var plan []string
		rows, err := f.read.QueryContext(f.ctx(), "EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "?"))...)
		f.check(err)
		for rows.Next() {
			var a, b, c int
			var step string
			f.check(rows.Scan(&a, &b, &c, &step))
			plan = append(plan, step)
		}
		f.check(rows.Close())
		all := strings.Join(plan, "\n")
		byIndex := strings.Contains(all, "computers_by_key") || strings.Contains(all, "agents_by_site")
		if !byIndex || strings.Contains(all, "SCAN computers") || strings.Contains(all, "SCAN affectations") ||
			strings.Contains(all, "SCAN progress") {
			t.Errorf("%s\n%s", text, all)
		}
	}
}
