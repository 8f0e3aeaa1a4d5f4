package lease_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
)

// entries are one of each kind, and what is at the edges.
func entries() []lease.Entry {
	at := time.UnixMilli(1_772_352_000_123).UTC()
	return []lease.Entry{
		{Kind: lease.KindSent, Begins: true, Fragment: 7, Bytes: 65536, At: at, Package: digest(9), Member: name(300)},
		{
			Kind: lease.KindSent, Cause: lease.CauseCorrupt, Charged: true, Fragment: core.MaxFragments - 1,
			From: core.MaxFragmentSize - 10, Bytes: 10, Extra: 4, At: at, Package: digest(9), Member: name(1),
		},
		{Kind: lease.KindSent, Cause: lease.CauseNoPeers, Bytes: 1, Extra: 1, At: time.UnixMilli(0).UTC()},
		{Kind: lease.KindKept, Fragment: 3, At: at, Package: digest(9), Member: name(1)},
		{Kind: lease.KindWithdrawn, At: at, Package: digest(9)},
		{Kind: lease.KindSent, Cause: lease.CauseRestarted, Bytes: 9, Extra: 9, At: at, Package: digest(9), Member: name(1)},
		{Kind: lease.KindRepaired, Fragment: 3, From: 7, Bytes: 9, At: at, Package: digest(9), Member: name(1)},
	}
}

// TestEntryBytes holds the format to the package comment.
func TestEntryBytes(t *testing.T) {
	got := hex.EncodeToString(entries()[1].Append(nil))
	want := "01010402" + "0000ffff" + "00fffff6" + "0000000a" + "00000004" + "0000019ca869507b" +
		"09" + strings.Repeat("00", 31) + strings.Repeat("00", 31) + "01"
	if rest, found := strings.CutPrefix(got, want); !found || len(rest) != 8 || len(got) != 2*lease.EntrySize {
		t.Errorf("got  %s\nwant %s and a check sum", got, want)
	}
}

func TestParseEntryRefuses(t *testing.T) {
	good := entries()[1]
	for title, test := range map[string]struct {
		change func(e *lease.Entry, data []byte) []byte
		class  core.Class
	}{
		"torn":    {func(_ *lease.Entry, data []byte) []byte { return data[:50] }, core.ClassFormat},
		"altered": {func(_ *lease.Entry, data []byte) []byte { data[20]++; return data }, core.ClassHash},
		"zeros":   {func(_ *lease.Entry, data []byte) []byte { clear(data); return data }, core.ClassHash},
		"no cause": {func(e *lease.Entry, _ []byte) []byte {
			e.Cause = lease.NoCause
			return e.Append(nil)
		}, core.ClassFormat},
		"unknown cause": {func(e *lease.Entry, _ []byte) []byte { e.Cause = 9; return e.Append(nil) }, core.ClassFormat},
		"more extra than sent": {func(e *lease.Entry, _ []byte) []byte {
			e.Extra = e.Bytes + 1
			return e.Append(nil)
		}, core.ClassFormat},
		"beyond a fragment": {func(e *lease.Entry, _ []byte) []byte { e.Bytes++; return e.Append(nil) }, core.ClassFormat},
		"no such fragment":  {func(e *lease.Entry, _ []byte) []byte { e.Fragment++; return e.Append(nil) }, core.ClassFormat},
		"kept with bytes": {func(e *lease.Entry, _ []byte) []byte {
			e.Kind = lease.KindKept
			return e.Append(nil)
		}, core.ClassFormat},
		"newer words in the old version": {func(e *lease.Entry, _ []byte) []byte {
			e.Cause = lease.CauseRestarted
			return said(e.Append(nil), 1)
		}, core.ClassFormat},
		"old words in the newer version": {func(e *lease.Entry, _ []byte) []byte { return said(e.Append(nil), 2) }, core.ClassFormat},
		"a version to come":              {func(e *lease.Entry, _ []byte) []byte { return said(e.Append(nil), 3) }, core.ClassVersion},
		"repaired for a cause": {func(e *lease.Entry, _ []byte) []byte {
			e.Kind = lease.KindRepaired
			return e.Append(nil)
		}, core.ClassFormat},
		"unknown kind": {func(e *lease.Entry, _ []byte) []byte { e.Kind = 5; return e.Append(nil) }, core.ClassFormat},
	} {
		e := good
		_, err := lease.ParseEntry(test.change(&e, good.Append(nil)))
		if class := core.ClassOf(err); class != test.class {
			t.Errorf("%s: got %q (%v), want %q", title, class, err, test.class)
		}
	}
}

// said returns an entry's bytes as another version would have written them.
func said(data []byte, version byte) []byte {
	data[0] = version
	return binary.BigEndian.AppendUint32(data[:lease.EntrySize-4], crc32.ChecksumIEEE(data[:lease.EntrySize-4]))
}

// FuzzParseEntry: what is accepted has one spelling, and any ledger of such entries can be replayed.
func FuzzParseEntry(f *testing.F) {
	for _, e := range entries() {
		f.Add(e.Append(nil), uint8(0))
		f.Add(e.Append(nil), uint8(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, change uint8) {
		e, err := lease.ParseEntry(data)
		if err != nil {
			return
		}
		if again := e.Append(nil); !bytes.Equal(again, data) {
			t.Fatalf("%x reads as %+v, which is %x", data, e, again)
		}
		site := lease.New(random(1))
		site.Step(epoch, lease.PackageKnown{Package: e.Package, Plan: plan(t, 9, 64*kib+int64(change))})
		site.Replay([]lease.Entry{e, e})
	})
}
