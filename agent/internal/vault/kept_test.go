package vault

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"enjambre/core"
)

// TestKeep: what has ended is kept across a restart, is claimed when it is assigned again, and goes by age, quota and
// need: those first that ended first, and never what is assigned.
func TestKeep(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	free := int64(1 << 40)
	var evicted []core.Digest
	o := options()
	o.Free = func(string) (int64, error) { return free, nil }
	o.Size = func(string) (int64, error) { return 10 * 5 * fragmentSize, nil } // so that 5 fragments may be kept
	o.Evicted = func(info core.Digest) { evicted = append(evicted, info) }
	folder := t.TempDir()
	v := opened(t, folder, o)
	var samples []sample
	for i := range core.PackageID(5) {
		samples = append(samples, newSample(t, i+1, 2*fragmentSize))
		added(t, v, samples[i])
	}
	keep := func(id core.PackageID, ago time.Duration) {
		t.Helper()
		if err := v.Keep(id, now.Add(-ago)); err != nil {
			t.Fatal(err)
		}
	}
	left := func(what string, want ...core.PackageID) {
		t.Helper()
		if err := v.Tidy(now, 7*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if got := v.IDs(); !slices.Equal(got, want) {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
	}
	keep(1, 8*24*time.Hour)
	keep(2, 2*time.Hour)
	keep(3, 3*time.Hour)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = opened(t, folder, o)
	if at, kept := v.Kept(2); !kept || !at.Equal(now.Add(-2*time.Hour)) {
		t.Errorf("after a restart: %v, %v", at, kept)
	}
	if _, kept := v.Kept(4); kept {
		t.Error("an assigned one is kept")
	}
	left("age", 2, 3, 4, 5)
	keep(4, time.Hour)
	left("quota", 2, 4, 5)
	added(t, v, samples[1])
	if _, kept := v.Kept(2); kept {
		t.Error("it is kept although it is assigned again")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = opened(t, folder, o)
	if _, kept := v.Kept(2); kept {
		t.Error("it is kept after a restart although it is assigned again")
	}
	free = 0
	left("a full disk", 2, 5)
	want := []core.Digest{samples[0].sealed.Digest, samples[2].sealed.Digest, samples[3].sealed.Digest}
	if !slices.Equal(evicted, want) {
		t.Errorf("told of %v", evicted)
	}
	if err := v.Keep(99, now); err == nil {
		t.Error("what is not there is kept")
	}
	keep(5, 0)
	if err := os.WriteFile(filepath.Join(folder, "5", endedFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = opened(t, folder, o)
	left("a damaged file", 2)
}

// TestKeepCount: so many packages are kept and no more, however small.
func TestKeepCount(t *testing.T) {
	o := options()
	o.KeepBytes, o.Free = 1<<40, func(string) (int64, error) { return 1 << 40, nil }
	v := opened(t, t.TempDir(), o)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i := range core.PackageID(maxKept + 2) {
		added(t, v, newSample(t, i+1, 1))
		if err := v.Keep(i+1, now.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Tidy(now.Add(time.Hour), 7*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if ids := v.IDs(); len(ids) != maxKept || ids[0] != 3 {
		t.Errorf("%d are kept, the first is %v", len(ids), ids[0])
	}
}
