package lease_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/lease"
)

// TestRepair: a ledger that was cut at any byte, as a killed origin leaves it, is repaired by what members say that
// they have: the package's bytes are known again, each once, and none beyond. That lasts over the next restart.
func TestRepair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &mob{watcher: newWatcher(t, 3)}
		archive := lawFragments*16*kib - 100
		p, err := fragment.NewPlan(archive, 16*kib)
		if err != nil {
			t.Fatal(err)
		}
		for number := range byte(lawPacks) {
			m.step(lease.PackageKnown{Package: digest(number + 1), Plan: p, Priority: 5})
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			m.pass(rapid.SampledFrom([]time.Duration{0, 0, second}).Draw(t, "gap"))
			m.step(m.event(t))
		}
		file := appended(m.entries)
		cut := rapid.IntRange(0, len(file)).Draw(t, "cut")
		again, entries := repaired(t, p, file[:cut])
		before, _ := again.site.Totals(digest(1))

		var ask lease.RequestID
		for index := range core.FragmentIndex(lawFragments) { // some acknowledge, one says all that it has
			ask++
			again.step(lease.MemberAsked{
				Request: ask, Member: name(1 + int(index)%2), Package: digest(1), Acknowledged: []core.FragmentIndex{index},
			})
			ask++
			again.step(lease.MemberAsked{
				Request: ask, Member: name(3), Package: digest(1), Have: upTo(int(index) + 1),
			})
		}
		got, _ := again.site.Totals(digest(1))
		if before.Extra != got.Extra || got.First != archive {
			t.Fatalf("%d entries of %d: %+v, repaired %+v, the package has %d bytes", len(entries), len(m.entries), before, got,
				archive)
		}
		last, _ := repaired(t, p, appended(append(entries, again.entries...)))
		if totals, _ := last.site.Totals(digest(1)); totals != got {
			t.Fatalf("%+v, and after a restart %+v", got, totals)
		}
	})
}

func appended(entries []lease.Entry) (file []byte) {
	for _, e := range entries {
		file = e.Append(file)
	}
	return file
}

// repaired returns a Site that has read what is whole of a ledger.
func repaired(t failer, p fragment.Plan, file []byte) (*watcher, []lease.Entry) {
	t.Helper()
	w := newWatcher(t, 5)
	w.now = epoch.Add(time.Hour)
	w.gaps = true // of what members resumed
	for number := range byte(lawPacks) {
		w.step(lease.PackageKnown{Package: digest(number + 1), Plan: p, Priority: 5})
	}
	var entries []lease.Entry
	for ; len(file) >= lease.EntrySize; file = file[lease.EntrySize:] {
		e, err := lease.ParseEntry(file[:lease.EntrySize])
		if err != nil {
			t.Fatalf("%v", err)
		}
		entries = append(entries, e)
	}
	w.site.Replay(entries)
	for _, e := range entries {
		if e.Kind == lease.KindSent || e.Kind == lease.KindRepaired {
			w.count(e.Package, e.Fragment, int64(e.From), int64(e.Bytes))
		}
	}
	w.step(lease.Restarted{Torn: true})
	return w, entries
}

func upTo(count int) *fragment.Set {
	set := fragment.NewSet(lawFragments)
	for index := range core.FragmentIndex(count) {
		set.Add(index)
	}
	return set
}

// TestNoRepair: where the ledger ended well, or long ago, what a member brings was not sent into this site. Nor is booked
// what a body is just bringing.
func TestNoRepair(t *testing.T) {
	for title, test := range map[string]struct {
		torn bool
		wait time.Duration
		want int64
	}{"ended well": {false, 0, 0}, "long ago": {true, 24 * time.Hour, 0}, "torn": {true, 0, size}} {
		t.Run(title, func(t *testing.T) {
			b := newBench(t)
			b.step(lease.Restarted{Torn: test.torn})
			b.wake(max(test.wait, 10*second))
			running := b.granted(b.ask(2, 1))
			b.step(lease.BytesSent{Lease: running.Lease, Bytes: size / 2})
			b.acknowledge(1, 0, 1)
			if got := b.totals(); got.First != test.want+size/2 {
				b.fail("got %+v", got)
			}
		})
	}
}

// TestRepairOfHalf: who resumes a body has what came before it.
func TestRepairOfHalf(t *testing.T) {
	b := newBench(t)
	b.step(lease.Restarted{Torn: true})
	b.wake(10 * second)
	grant := b.granted(b.say(lease.MemberAsked{
		Member: name(1), Want: []core.FragmentIndex{2}, Resume: lease.Resume{Fragment: 2, From: size / 4},
	}))
	b.send(grant.Lease)
	if got := b.totals(); got != (lease.Totals{First: size}) {
		b.fail("got %+v", got)
	}
}
