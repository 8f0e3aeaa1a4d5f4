package origin

import (
	"encoding/binary"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
)

// tear leaves half an entry at the end of lyon's ledger.
func tear(t *testing.T, l *lab) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(l.folder, "lyon.ledger"), os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	_, err = file.Write(make([]byte, 50))
	check(t, err)
	check(t, file.Close())
}

func entry(number int, digest core.Digest) lease.Entry {
	return lease.Entry{
		Kind: lease.KindSent, Begins: true, Fragment: core.FragmentIndex(number), Bytes: 100,
		At: time.UnixMilli(int64(number)).UTC(), Package: digest,
	}
}

// open opens the ledger of lyon and returns what it replays.
func open(t *testing.T, folder string) (l *ledger, existed bool, entries []lease.Entry) {
	t.Helper()
	l, existed, err := openLedger(folder, "lyon", func(core.Digest) bool { return true },
		func(batch []lease.Entry) { entries = append(entries, batch...) }, slog.New(slog.DiscardHandler))
	check(t, err)
	return l, existed, entries
}

func TestLedger(t *testing.T) {
	folder := t.TempDir()
	l, existed, entries := open(t, folder)
	if existed || len(entries) > 0 {
		t.Fatal("an empty folder has a ledger")
	}
	var want []lease.Entry
	for i := range 2*replayBatch + 10 {
		e := entry(i, core.Digest{byte(i % 2)})
		want = append(want, e)
		l.append(e)
		if i%100 == 0 {
			l.flush()
		}
	}
	l.flush()
	l, existed, entries = open(t, folder)
	if !existed || !slices.Equal(entries, want) {
		t.Errorf("got %d entries, want %d", len(entries), len(want))
	}
	// Compacted, it has what is of the package that is left, and takes more.
	check(t, l.compact(func(d core.Digest) bool { return d == core.Digest{1} }))
	l, _, entries = open(t, folder)
	if len(entries) != replayBatch+5 || slices.ContainsFunc(entries, func(e lease.Entry) bool { return e.Package[0] != 1 }) {
		t.Errorf("after compaction: %d entries", len(entries))
	}
	l.append(entry(1, core.Digest{3}))
	l.flush()
	if _, _, entries = open(t, folder); len(entries) != replayBatch+6 {
		t.Errorf("after one more: %d entries", len(entries))
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 2 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestTornLedger(t *testing.T) {
	whole := entry(1, core.Digest{1}).Append(nil)
	altered := slices.Clone(whole)
	altered[20]++
	for name, tail := range map[string][]byte{
		"cut": whole[:95], "zeros": make([]byte, 500), "altered": slices.Concat(altered, whole),
	} {
		folder := t.TempDir()
		path := filepath.Join(folder, "lyon.ledger")
		check(t, os.WriteFile(path, slices.Concat(whole, whole, tail), 0o600))
		l, _, entries := open(t, folder)
		if len(entries) != 2 {
			t.Errorf("%s: %d entries, want 2", name, len(entries))
		}
		l.append(entry(5, core.Digest{1}))
		l.flush()
		if _, _, entries = open(t, folder); len(entries) != 3 || entries[2].Fragment != 5 {
			t.Errorf("%s: after one more %v", name, entries)
		}
	}
}

// TestNewerLedger: what a newer program wrote is not cut.
func TestNewerLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lyon.ledger")
	newer := entry(1, core.Digest{1}).Append(nil)
	newer[0] = 3
	newer = binary.BigEndian.AppendUint32(newer[:lease.EntrySize-4], crc32.ChecksumIEEE(newer[:lease.EntrySize-4]))
	check(t, os.WriteFile(path, newer, 0o600))
	_, _, err := openLedger(filepath.Dir(path), "lyon", func(core.Digest) bool { return true },
		func([]lease.Entry) {}, slog.New(slog.DiscardHandler))
	if left, readErr := os.ReadFile(path); core.ClassOf(err) != core.ClassVersion || !slices.Equal(left, newer) {
		t.Errorf("got %v; %d bytes are left, %v", err, len(left), readErr)
	}
}

// TestLedgerNotWritten: what cannot be written is written later, and nothing stands twice.
func TestLedgerNotWritten(t *testing.T) {
	folder := t.TempDir()
	l, _, _ := open(t, folder)
	check(t, os.Mkdir(l.path, 0o700))
	l.append(entry(1, core.Digest{1}))
	l.flush()
	if !l.failing || !l.dirty() {
		t.Fatal("a folder took an entry")
	}
	check(t, os.Remove(l.path))
	l.append(entry(2, core.Digest{1}))
	l.flush()
	if _, _, entries := open(t, folder); l.failing || len(entries) != 2 {
		t.Errorf("got %v", entries)
	}
	l.size = maxLedger
	l.append(entry(3, core.Digest{1}))
	if l.flush(); !l.failing {
		t.Error("a ledger grows without bound")
	}
}
