package fragment

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"enjambre/core"
)

func TestNewPlan(t *testing.T) {
	const kib, mib = int64(1) << 10, int64(1) << 20
	cases := []struct {
		name               string
		size, fragmentSize int64
		count              int
		last               int64
		class              core.Class
	}{
		{"one byte", 1, 16 * kib, 1, 1, ""},
		{"exact", 64 * kib, 16 * kib, 4, 16 * kib, ""},
		{"one over", 64*kib + 1, 16 * kib, 5, 1, ""},
		{"most fragments", 65_536 * 16 * kib, 16 * kib, 65_536, 16 * kib, ""},
		{"8 GiB", 8192 * mib, 16 * mib, 512, 16 * mib, ""},
		{"F02 one fragment too many", 65_536*16*kib + 1, 16 * kib, 0, 0, core.ClassLimit},
		{"F04 size 0", mib, 0, 0, 0, core.ClassLimit},
		{"F04 size 17 MiB", mib, 17 * mib, 0, 0, core.ClassLimit},
		{"below 16 KiB", mib, 16*kib - 1, 0, 0, core.ClassLimit},
		{"empty archive", 0, mib, 0, 0, core.ClassLimit},
		{"negative", -1, mib, 0, 0, core.ClassLimit},
		{"huge", 1<<63 - 1, 16 * mib, 0, 0, core.ClassLimit},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			plan, err := NewPlan(c.size, c.fragmentSize)
			if core.ClassOf(err) != c.class || plan.Count() != c.count {
				t.Fatalf("got %d fragments, %v", plan.Count(), err)
			}
			if c.count > 0 && plan.Size(core.FragmentIndex(c.count-1)) != c.last {
				t.Errorf("last fragment: got %d bytes, want %d", plan.Size(core.FragmentIndex(c.count-1)), c.last)
			}
			if plan.Size(core.FragmentIndex(c.count)) != 0 {
				t.Error("a fragment beyond the last has bytes")
			}
		})
	}
}

// TestPlanCoversArchive: fragments follow each other without gap or overlap and end with the archive.
func TestPlanCoversArchive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fragmentSize := rapid.Int64Range(core.MinFragmentSize, core.MaxFragmentSize).Draw(t, "fragment")
		size := rapid.Int64Range(1, fragmentSize*200).Draw(t, "size")
		plan, err := NewPlan(size, fragmentSize)
		if err != nil {
			t.Fatal(err)
		}
		end := int64(0)
		for i := range plan.Count() {
			index := core.FragmentIndex(i)
			if plan.Offset(index) != end || plan.Size(index) < 1 {
				t.Fatalf("fragment %d begins at %d with %d bytes, want %d", i, plan.Offset(index), plan.Size(index),
					end)
			}
			end += plan.Size(index)
		}
		if end != size {
			t.Fatalf("fragments end at %d, want %d", end, size)
		}
	})
}

// TestCorpusF is group F of the bad-input corpus, as far as it concerns lists and fragments.
func TestCorpusF(t *testing.T) {
	archive := bytes.Repeat([]byte("0123456789abcdef"), 3<<10) // 48 KiB
	plan, err := NewPlan(int64(len(archive)-100), 16<<10)
	if err != nil {
		t.Fatal(err)
	}
	archive = archive[:plan.ArchiveSize()]
	archive[0] = 'x' // so that no two fragments are equal
	part := func(i core.FragmentIndex) []byte { return archive[plan.Offset(i) : plan.Offset(i)+plan.Size(i)] }
	digests := Digests{core.DigestOf(part(0)), core.DigestOf(part(1)), core.DigestOf(part(2))}
	list := digests.Bytes()
	want := core.DigestOf(list)

	again, err := ParseDigests(list, plan, want)
	if err != nil || !slices.Equal(again, digests) {
		t.Fatalf("got %v, %v", again, err)
	}
	lists := map[string]struct {
		data  []byte
		class core.Class
	}{
		"F06 short by 1":   {list[:len(list)-1], core.ClassFormat},
		"F07 long by 1":    {append(slices.Clone(list), 0), core.ClassFormat},
		"F07 one digest":   {append(slices.Clone(list), list[:32]...), core.ClassFormat},
		"one byte changed": {append([]byte{list[0] ^ 1}, list[1:]...), core.ClassHash},
		"empty":            {nil, core.ClassFormat},
	}
	for name, c := range lists {
		if _, err := ParseDigests(c.data, plan, want); core.ClassOf(err) != c.class {
			t.Errorf("%s: got %v, want %s", name, err, c.class)
		}
	}
	fragments := map[string]struct {
		index core.FragmentIndex
		data  []byte
	}{
		"F08 short":        {0, part(0)[:100]},
		"F09 long by 1":    {0, append(slices.Clone(part(0)), 0)},
		"F10 wrong index":  {1, part(0)},
		"F11 all zeros":    {0, make([]byte, plan.Size(0))},
		"F12 last padded":  {2, append(slices.Clone(part(2)), make([]byte, 100)...)},
		"F16 empty":        {0, nil},
		"index beyond":     {3, part(0)},
		"index far beyond": {1 << 31, nil},
	}
	for name, c := range fragments {
		if err := digests.Verify(c.index, c.data, plan); core.ClassOf(err) != core.ClassHash {
			t.Errorf("%s: got %v, want E_HASH", name, err)
		}
	}
	for i := range core.FragmentIndex(3) {
		if err := digests.Verify(i, part(i), plan); err != nil {
			t.Errorf("good fragment %d: %v", i, err)
		}
	}
}

// TestSetAgainstMap holds the bitmap to a plain map.
func TestSetAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 300).Draw(t, "size")
		set, model := NewSet(size), map[core.FragmentIndex]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				i := core.FragmentIndex(rapid.IntRange(0, 310).Draw(t, "i"))
				if changed := set.Add(i); changed != (int(i) < size && !model[i]) {
					t.Fatalf("Add(%d) = %v", i, changed)
				}
				if int(i) < size {
					model[i] = true
				}
			},
			"remove": func(t *rapid.T) {
				i := core.FragmentIndex(rapid.IntRange(0, 310).Draw(t, "i"))
				if changed := set.Remove(i); changed != model[i] {
					t.Fatalf("Remove(%d) = %v", i, changed)
				}
				delete(model, i)
			},
			"": func(t *rapid.T) {
				if set.Count() != len(model) || set.Full() != (len(model) == size) {
					t.Fatalf("count %d, want %d", set.Count(), len(model))
				}
				missing := slices.Collect(set.Missing())
				if len(missing) != size-len(model) || !slices.IsSorted(missing) {
					t.Fatalf("missing %v", missing)
				}
				again, err := ParseSet(set.Bytes(), size)
				if err != nil || again.Count() != set.Count() || !bytes.Equal(again.Bytes(), set.Bytes()) {
					t.Fatalf("round trip: %v", err)
				}
			},
		})
	})
}

func FuzzParseSet(f *testing.F) {
	f.Add([]byte{0xff, 0x01}, 9)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		if size < 0 || size > core.MaxFragments {
			return
		}
		if set, err := ParseSet(data, size); err == nil && !bytes.Equal(set.Bytes(), data) {
			t.Fatalf("two spellings of one set: %x and %x", data, set.Bytes())
		}
	})
}
