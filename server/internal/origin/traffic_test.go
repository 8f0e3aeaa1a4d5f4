package origin

import (
	"os"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
)

// TestTraffic: the ledger's sums by package, also of one whose end is torn or still being written.
func TestTraffic(t *testing.T) {
	folder := t.TempDir()
	if got, err := ReadTraffic(folder, "lyon"); err != nil || len(got) != 0 {
		t.Fatalf("without ledger: got %v, %v", got, err)
	}
	l, _, _ := open(t, folder)
	again := entry(3, core.Digest{1})
	again.Cause, again.Extra = lease.CauseBroken, 40
	kept := lease.Entry{Kind: lease.KindKept, At: time.UnixMilli(9), Package: core.Digest{3}}
	for _, one := range []lease.Entry{
		entry(5, core.Digest{1}), entry(7, core.Digest{2}), again, entry(4, core.Digest{1}), kept,
		{Kind: lease.KindWithdrawn, At: time.UnixMilli(10), Package: core.Digest{1}},
	} {
		l.append(one)
	}
	l.flush()
	want := []Traffic{
		{core.Digest{1}, lease.Totals{First: 260}, time.UnixMilli(3).UTC(), time.UnixMilli(5).UTC()},
		{core.Digest{2}, lease.Totals{First: 100}, time.UnixMilli(7).UTC(), time.UnixMilli(7).UTC()},
	}
	want[0].Totals.Extra[lease.CauseBroken] = 40
	compare := func(what string) {
		t.Helper()
		if got, err := ReadTraffic(folder, "lyon"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", what, got, err, want)
		}
	}
	compare("whole")
	tear(t, &lab{folder: folder})
	compare("torn")
	if stat, err := os.Stat(ledgerPath(folder, "lyon")); err != nil || stat.Size()%lease.EntrySize == 0 {
		t.Errorf("the torn end was cut off: %v bytes, %v", stat.Size(), err)
	}
}
