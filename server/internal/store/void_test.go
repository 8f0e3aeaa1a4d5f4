package store

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/peer/ticket"
)

// voids returns what a site's members are told is void.
func (f fixture) voids(at core.SiteName) ticket.Notice {
	f.Helper()
	var voids Voids
	f.check(f.view(f.ctx(), func(tx *transaction) (err error) {
		voids, err = voidsAt(f.ctx(), tx, at)
		return err
	}))
	return ticket.Notice{Floor: voids.Floor, Voids: voids.List}
}

// TestVoids: the tickets of an agent that may be a member no longer are void at every site that gave it any within the time
// that they count, and those that it is given later are not.
func TestVoids(t *testing.T) {
	f := newFixture(t)
	set := func(l listener, to core.SiteName) { f.check(f.SetComputer(f.ctx(), l.Device, &to, nil)) }
	covers := func(what string, at core.SiteName, member id.Peer, epoch uint64, want bool) {
		t.Helper()
		if got := f.voids(at).Covers(member, epoch); got != want {
			t.Errorf("%s: ticket of %s, epoch %d, is void: %v", what, at, epoch, got)
		}
	}
	f.networks("nice", "10.1.0.0/16")
	one, other := f.listener(1, "lyon"), f.listener(2, "lyon")
	before := f.listens(one, now).Epoch
	covers("nothing has happened", "lyon", one.peer, before, false)

	moved := one
	moved.prolog.Listen = netip.MustParseAddrPort("10.1.0.7:4001")
	inNice := f.listens(moved, now).Epoch
	covers("it went by itself", "lyon", one.peer, before, false)
	f.check(f.Revoke(f.ctx(), one.Device, now))
	covers("revoked", "nice", one.peer, inNice, true)
	covers("revoked, where it was before", "lyon", one.peer, before, true)
	covers("another", "lyon", other.peer, before, false)
	f.check(f.DeleteComputer(f.ctx(), one.Device, now))
	covers("revoked and deleted", "nice", one.peer, inNice, true)

	again := f.listener(3, "lyon")
	old := f.listens(again, now).Epoch
	set(again, "paris")
	covers("moved by hand", "lyon", again.peer, old, true)
	set(again, "lyon")
	if now := f.listens(again, now).Epoch; f.voids("lyon").Covers(again.peer, now) {
		t.Error("moved back: its new ticket is void")
	}
	f.want("voids of who has come back", f.voids("lyon").Names(again.peer), "false")

	f.check(f.DeleteComputer(f.ctx(), again.Device, now))
	covers("deleted", "lyon", again.peer, f.epochs()["lyon"]-1, true)
	f.check(f.AddToken(f.ctx(), "once more", Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)}, now))
	_, err := f.Enrol(f.ctx(), Enrolment{
		Token: "once more", Device: again.Device, Key: seal.KeyIDOf(again.peer[:]), Certified: now}, now)
	f.check(err)
	covers("enrolled with the same key", "lyon", again.peer, f.listens(again, now).Epoch, false)
	f.check(f.Revoke(f.ctx(), other.Device, now))
	f.check(f.AddToken(f.ctx(), "anew", Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)}, now))
	fresh := f.listener(9, "lyon").peer
	_, err = f.Enrol(f.ctx(), Enrolment{Token: "anew", Device: other.Device, Key: seal.KeyID{7}, Certified: now}, now)
	f.check(err)
	covers("the key that was replaced", "lyon", other.peer, f.epochs()["lyon"]-1, true)
	covers("another's", "lyon", fresh, f.epochs()["lyon"], false)

	_, err = f.Tidy(f.ctx(), 0, now.Add(ticketsCount-time.Hour))
	f.check(err)
	f.want("while tickets count", f.voids("nice").Names(one.peer), "true")
	_, err = f.Tidy(f.ctx(), 0, now.Add(ticketsCount+time.Hour))
	f.check(err)
	f.want("when none counts any more", f.voids("nice").Names(one.peer), "false")
}

// TestVoidsMany: of more than a notice has room for, the oldest are void by their epoch, and with them all that are as old.
func TestVoidsMany(t *testing.T) {
	f := newFixture(t)
	var gone []listener
	for n := range byte(ticket.MaxVoid + 6) {
		gone = append(gone, f.listener(n+1, "lyon"))
	}
	stays := f.listener(200, "lyon")
	given := map[id.Peer]uint64{}
	for _, one := range gone {
		given[one.peer] = f.listens(one, now).Epoch
		f.check(f.Revoke(f.ctx(), one.Device, now))
	}
	notice := f.voids("lyon")
	f.want("named", len(notice.Voids), fmt.Sprint(ticket.MaxVoid))
	for i, one := range gone {
		if !notice.Covers(one.peer, given[one.peer]) {
			t.Errorf("ticket of the %d. is not void", i)
		}
	}
	if epoch := f.listens(stays, now).Epoch; notice.Covers(stays.peer, epoch) || notice.Floor == 0 {
		t.Errorf("the newest ticket is void: epoch %d, floor %d", epoch, notice.Floor)
	}
	notice.Number, notice.Issued, notice.Spread = 1, now, time.Second
	if _, err := notice.Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "acme", "lyon"); err != nil {
		t.Error(err)
	}
}

// TestWatch: each change is seen once, whoever made it.
func TestWatch(t *testing.T) {
	f := newFixture(t)
	watch, err := f.Watch(f.ctx())
	f.check(err)
	changed := func(what string, want bool) {
		t.Helper()
		got, err := watch.Changed(f.ctx())
		f.check(err)
		if got != want {
			t.Errorf("%s: changed %v", what, got)
		}
	}
	changed("at first", true)
	changed("nothing", false)
	f.listener(1, "lyon")
	changed("a contact", true)
	changed("nothing more", false)
	f.check(f.RaiseEpochs(f.ctx()))
	changed("raised", true)
	numbers, err := f.Epochs(f.ctx())
	f.check(err)
	f.want("numbers", numbers["lyon"], fmt.Sprint(f.epochs()["lyon"]))
	f.check(f.Revoke(f.ctx(), f.listener(2, "lyon").Device, now))
	counts, all, err := f.CountAgents(f.ctx(), []core.SiteName{"lyon", "none"})
	f.check(err)
	f.want("agents", fmt.Sprint(counts["lyon"], counts["none"], all), "1 0 1")
	f.check(watch.Close())
}
