package vault

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/info"
	"enjambre/core/seal"
)

const (
	fragmentSize = core.MinFragmentSize
	deployment   = "test"
)

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

var policy = seal.Policy{Threshold: 1, Keys: []seal.Key{{Public: key.Public().(ed25519.PublicKey), Owner: "o"}}}

// A sample is a package of random bytes.
type sample struct {
	sealed  Sealed
	archive []byte
	digests fragment.Digests
}

func newSample(t testing.TB, id core.PackageID, size int) sample {
	t.Helper()
	return newCut(t, id, size, fragmentSize)
}

func newCut(t testing.TB, id core.PackageID, size int, fragmentSize int64) sample {
	t.Helper()
	archive := make([]byte, size)
	chance := rand.NewChaCha8([32]byte{byte(id)})
	_, _ = chance.Read(archive)
	plan, err := fragment.NewPlan(int64(size), fragmentSize)
	if err != nil {
		t.Fatal(err)
	}
	var digests fragment.Digests
	for index := range core.FragmentIndex(plan.Count()) {
		digests = append(digests, core.DigestOf(archive[plan.Offset(index):][:plan.Size(index)]))
	}
	i := info.Info{
		ID: id, OS: core.Linux, Action: core.Store, Target: "/opt/x", Protocol: info.HTTPS, ExecTime: time.Hour,
		Issued: time.Unix(int64(id), 0).UTC(), Deployment: deployment,
		Archive: &info.Archive{Plan: plan, Digest: core.DigestOf(archive), Digests: core.DigestOf(digests.Bytes()),
			Unpacked: 1, Entries: 1},
	}
	return sample{sealed: sealedOf(t, i, key), archive: archive, digests: digests}
}

func sealedOf(t testing.TB, i info.Info, key ed25519.PrivateKey) Sealed {
	t.Helper()
	envelope, err := seal.Sign(seal.InfoType, i.Canonical(), key)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := Unseal(envelope, policy, deployment)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func (s sample) fragment(index core.FragmentIndex) []byte {
	plan := s.sealed.Info.Archive.Plan
	return s.archive[plan.Offset(index):][:plan.Size(index)]
}

func options() Options {
	return Options{Policy: policy, Deployment: deployment, Log: slog.New(slog.DiscardHandler), Reserve: 1}
}

func opened(t testing.TB, folder string, options Options) *Vault {
	t.Helper()
	v, err := Open(folder, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func added(t testing.TB, v *Vault, s sample) *Package {
	t.Helper()
	p, err := v.Add(s.sealed, s.digests.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s sample) store(t testing.TB, p *Package, indexes ...core.FragmentIndex) {
	t.Helper()
	for _, index := range indexes {
		if err := p.Store(index, s.fragment(index)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhole: fragments in any order and more than once, then the archive, now and after a restart.
func TestWhole(t *testing.T) {
	folder := t.TempDir()
	s := newSample(t, 1700000001, 40*fragmentSize+17)
	v := opened(t, folder, options())
	p := added(t, v, s)
	for _, index := range rand.New(rand.NewPCG(1, 2)).Perm(41) {
		s.store(t, p, core.FragmentIndex(index), core.FragmentIndex(index))
	}
	for range 2 {
		part, err := p.Fragment(40)
		if err != nil {
			t.Fatal(err)
		}
		if last, err := io.ReadAll(part); err != nil || !bytes.Equal(last, s.fragment(40)) {
			t.Errorf("%d bytes of the last fragment, %v", len(last), err)
		}
		if v.FindInfo(s.sealed.Digest) != p || v.FindInfo(core.Digest{}) != nil {
			t.Error("not found by its info file, or by another")
		}
		if err := p.Rehash(t.Context()); err != nil || p.Missing() != 0 {
			t.Fatalf("%v, %d missing", err, p.Missing())
		}
		reader, size := p.Archive()
		got := make([]byte, size)
		if _, err := reader.ReadAt(got, 0); err != nil || !bytes.Equal(got, s.archive) {
			t.Errorf("the archive differs: %v", err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		v = opened(t, folder, options())
		if p = v.Find(1700000001); p == nil {
			t.Fatal("lost at a restart")
		}
	}
}

// TestRefused: what is not the fragment is not kept.
func TestRefused(t *testing.T) {
	s := newSample(t, 1700000001, 3*fragmentSize)
	p := added(t, opened(t, t.TempDir(), options()), s)
	long := append(bytes.Clone(s.fragment(0)), 0)
	for name, c := range map[string]struct {
		index core.FragmentIndex
		data  []byte
	}{
		"short": {0, long[:100]}, "long": {0, long}, "another's": {0, s.fragment(1)}, "empty": {2, nil},
		"out of range": {3, s.fragment(0)},
	} {
		if err := p.Store(c.index, c.data); core.ClassOf(err) != core.ClassHash {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if p.Missing() != 3 {
		t.Errorf("%d missing, want 3", p.Missing())
	}
	if _, err := p.Fragment(0); !errors.Is(err, ErrNotHeld) {
		t.Errorf("got %v", err)
	}
	if err := p.Rehash(t.Context()); core.ClassOf(err) != core.ClassHash {
		t.Errorf("an incomplete archive: %v", err)
	}
}

// TestCrash: a process that dies loses what it had not flushed, at most a batch, and nothing else.
func TestCrash(t *testing.T) {
	folder := t.TempDir()
	s := newSample(t, 1700000001, 100*fragmentSize)
	p := added(t, opened(t, folder, options()), s)
	for index := range core.FragmentIndex(90) {
		s.store(t, p, index)
	}
	after := opened(t, folder, options()).Find(1700000001)
	if missing := after.Missing(); missing < 10 || missing > 10+batch {
		t.Errorf("%d missing, want 10 to %d", missing, 10+batch)
	}
}

// TestTornHave: whatever is left of the records, those before hold and the rest is dropped.
func TestTornHave(t *testing.T) {
	folder := t.TempDir()
	s := newSample(t, 1700000001, 20*fragmentSize)
	v := opened(t, folder, options())
	p := added(t, v, s)
	for index := range core.FragmentIndex(16) {
		s.store(t, p, index)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "1700000001", haveFile)
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) != 16*recordSize {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	for cut := range len(whole) {
		if err := os.WriteFile(path, append(bytes.Clone(whole[:cut]), 0xAA, 0, 0, 0, 1, 2, 3), 0o600); err != nil {
			t.Fatal(err)
		}
		v := opened(t, folder, options())
		p := v.Find(1700000001)
		if want := 20 - cut/recordSize; p.Missing() != want {
			t.Fatalf("cut at %d: %d missing, want %d", cut, p.Missing(), want)
		}
		index := core.FragmentIndex(cut / recordSize)
		s.store(t, p, index)
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		v = opened(t, folder, options())
		if !v.Find(1700000001).Held().Has(index) {
			t.Fatalf("cut at %d: a record appended behind the cut is lost", cut)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBitRot: changed bytes never reach a run; they are missing again, and can be had again.
func TestBitRot(t *testing.T) {
	folder := t.TempDir()
	s := newSample(t, 1700000001, 20*fragmentSize)
	p := added(t, opened(t, folder, options()), s)
	for index := range core.FragmentIndex(20) {
		s.store(t, p, index)
	}
	rot := func(at int64) {
		t.Helper()
		file, err := os.OpenFile(filepath.Join(folder, "1700000001", dataFile), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte{s.archive[at] ^ 1}, at); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	rot(5*fragmentSize + 3)
	if err := p.Rehash(t.Context()); core.ClassOf(err) != core.ClassHash || p.Missing() != 1 || p.Held().Has(5) {
		t.Errorf("%v, %d missing", err, p.Missing())
	}
	s.store(t, p, 5)
	if err := p.Rehash(t.Context()); err != nil {
		t.Error(err)
	}
	rot(19 * fragmentSize)
	if after := opened(t, folder, options()).Find(1700000001); after.Missing() != 1 || after.Held().Has(19) {
		t.Errorf("after an unclean stop: %d missing", after.Missing())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Rehash(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestRoom: kept packages make way, assigned ones do not, and the last reserve stays free.
func TestRoom(t *testing.T) {
	o := options()
	o.MaxBytes = 5 * fragmentSize
	free := int64(1 << 40)
	o.Free = func(string) (int64, error) { return free, nil }
	v := opened(t, t.TempDir(), o)
	first, second, third := newSample(t, 1, 2*fragmentSize), newSample(t, 2, 2*fragmentSize), newSample(t, 3, 3*fragmentSize)
	added(t, v, first)
	added(t, v, second)
	if _, err := v.Add(third.sealed, third.digests.Bytes()); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	if err := v.Keep(1, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Add(third.sealed, third.digests.Bytes()); err != nil || v.Find(1) != nil {
		t.Errorf("got %v", err)
	}
	huge := newSample(t, 4, 6*fragmentSize)
	if _, err := v.Add(huge.sealed, huge.digests.Bytes()); !errors.Is(err, ErrNoSpace) ||
		!strings.Contains(err.Error(), "the vault may have") {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(v.Remove(2), v.Remove(3), v.Remove(99)); err != nil {
		t.Fatal(err)
	}
	free = 2 * fragmentSize
	if _, err := v.Add(first.sealed, first.digests.Bytes()); !errors.Is(err, ErrNoSpace) ||
		!strings.Contains(err.Error(), "must stay free") {
		t.Errorf("got %v", err)
	}
	if ids := v.IDs(); len(ids) != 0 {
		t.Errorf("got %v", ids)
	}
}

// TestFolderDamage: a package whose files cannot be believed is dropped at the start.
func TestFolderDamage(t *testing.T) {
	s := newSample(t, 1700000001, 3*fragmentSize)
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	forged, err := seal.Sign(seal.InfoType, s.sealed.Info.Canonical(), stranger)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(folder string) error{
		"no info":       func(f string) error { return os.Remove(filepath.Join(f, infoFile)) },
		"forged info":   func(f string) error { return os.WriteFile(filepath.Join(f, infoFile), forged, 0o600) },
		"other digests": func(f string) error { return os.WriteFile(filepath.Join(f, digestsFile), make([]byte, 96), 0o600) },
		"short data":    func(f string) error { return os.Truncate(filepath.Join(f, dataFile), 5) },
		"no have":       func(f string) error { return os.Remove(filepath.Join(f, haveFile)) },
		"another's name": func(f string) error {
			return os.Rename(f, filepath.Join(filepath.Dir(f), "1700000002"))
		},
		"half made": func(f string) error { return os.Rename(f, filepath.Join(filepath.Dir(f), ".tmp-77")) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			v := opened(t, folder, options())
			added(t, v, s)
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(folder, "1700000001")); err != nil {
				t.Fatal(err)
			}
			v = opened(t, folder, options())
			left, err := os.ReadDir(folder)
			if len(v.IDs()) != 0 || err != nil || len(left) != 1 || left[0].Name() != openFile {
				t.Errorf("packages %v, files %v, %v", v.IDs(), left, err)
			}
			added(t, v, s)
		})
	}
}

// TestUnseal: one changed byte anywhere, another deployment, another key: nothing of it is believed.
func TestUnseal(t *testing.T) {
	s := newSample(t, 1700000001, fragmentSize)
	for at := range s.sealed.Envelope {
		changed := bytes.Clone(s.sealed.Envelope)
		changed[at] ^= 1
		if _, err := Unseal(changed, policy, deployment); core.ClassOf(err) == "" {
			t.Fatalf("byte %d: got %v", at, err)
		}
	}
	if _, err := Unseal(s.sealed.Envelope, policy, "other"); core.ClassOf(err) != core.ClassIdent {
		t.Errorf("got %v", err)
	}
	v := opened(t, t.TempDir(), options())
	added(t, v, s)
	other := *s.sealed.Info
	other.Target = "/opt/y"
	if _, err := v.Add(sealedOf(t, other, key), s.digests.Bytes()); core.ClassOf(err) != core.ClassHash {
		t.Errorf("another info for the same ID: %v", err)
	}
	if _, err := v.Add(newSample(t, 5, fragmentSize).sealed, s.digests.Bytes()); core.ClassOf(err) != core.ClassHash {
		t.Errorf("another's digests: %v", err)
	}
}

// TestReallyFull: a disk that has less room than it says is noticed before the first fragment.
func TestReallyFull(t *testing.T) {
	folder := smallDisk(t)
	o := options()
	o.Free = func(string) (int64, error) { return 1 << 40, nil }
	v := opened(t, folder, o)
	s := newSample(t, 1, 64*fragmentSize)
	if _, err := v.Add(s.sealed, s.digests.Bytes()); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	added(t, v, newSample(t, 2, 8*fragmentSize))
}

// TestFullOfOthers: a disk that others fill after a package's room was allocated does not keep its fragments from
// being stored, and they are recorded once there is room again.
func TestFullOfOthers(t *testing.T) {
	folder := smallDisk(t)
	o := options()
	o.Free = func(string) (int64, error) { return 1 << 40, nil }
	v := opened(t, filepath.Join(folder, "vault"), o)
	s := newSample(t, 1, 17*fragmentSize)
	p := added(t, v, s)
	others := filepath.Join(folder, "others")
	if err := os.WriteFile(others, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	for index := range core.FragmentIndex(17) {
		s.store(t, p, index)
	}
	if err := p.Flush(); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	if err := p.Rehash(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(others); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if again := opened(t, filepath.Join(folder, "vault"), o).Find(1); again == nil || again.Missing() != 0 {
		t.Errorf("after a restart: %+v", again)
	}
}

// TestNoArchive: a package without one is there at once.
func TestNoArchive(t *testing.T) {
	folder := t.TempDir()
	v := opened(t, folder, options())
	i := info.Info{
		ID: 7, OS: core.Linux, Action: core.Execute, Target: "true", Protocol: info.HTTPS, ExecTime: time.Hour,
		Issued: time.Unix(7, 0).UTC(), Deployment: deployment,
	}
	p, err := v.Add(sealedOf(t, i, key), nil)
	if err != nil || p.Missing() != 0 || p.Rehash(t.Context()) != nil || p.Flush() != nil {
		t.Errorf("got %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if opened(t, folder, options()).Find(7) == nil {
		t.Error("lost at a restart")
	}
}

// FuzzHave: what is accepted of any records is what appendRecord writes.
func FuzzHave(f *testing.F) {
	f.Add(appendRecord(appendRecord(nil, 3, core.Digest{1}), 9, core.Digest{2}))
	f.Add([]byte("nonsense that is longer than one record"))
	f.Fuzz(func(t *testing.T, text []byte) {
		held := fragment.NewSet(64)
		indexes := parseHave(text, held)
		if held.Count() > len(indexes) {
			t.Errorf("%d held by %d records", held.Count(), len(indexes))
		}
		again := fragment.NewSet(64)
		if got := parseHave(text[:len(indexes)*recordSize], again); len(got) != len(indexes) ||
			!bytes.Equal(held.Bytes(), again.Bytes()) {
			t.Errorf("read again: %v and %v", indexes, got)
		}
	})
}

// BenchmarkStore verifies and stores 64 MiB in fragments of 512 KiB, durable every 16 of them.
func BenchmarkStore(b *testing.B) {
	const count = 128
	s := newCut(b, 1, count*512<<10, 512<<10)
	v := opened(b, b.TempDir(), options())
	b.SetBytes(int64(len(s.archive)))
	for b.Loop() {
		p := added(b, v, s)
		for index := range core.FragmentIndex(count) {
			s.store(b, p, index)
		}
		if err := v.Remove(1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRehash reads the same 64 MiB before a run.
func BenchmarkRehash(b *testing.B) {
	const count = 128
	s := newCut(b, 1, count*512<<10, 512<<10)
	p := added(b, opened(b, b.TempDir(), options()), s)
	for index := range core.FragmentIndex(count) {
		s.store(b, p, index)
	}
	b.SetBytes(int64(len(s.archive)))
	for b.Loop() {
		if err := p.Rehash(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
