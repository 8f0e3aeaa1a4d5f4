package depot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"enjambre/core"
)

// TestSweepSparesStrangers: names that only look like ours are somebody's files.
func TestSweepSparesStrangers(t *testing.T) {
	d := newDepot(t)
	strangers := ".new-.lock .new-x .new-x.lock .old- .old-017 .old-backup notes.lock"
	for _, name := range strings.Fields(strangers) {
		check(t, os.Mkdir(filepath.Join(d.root, name), 0o755))
	}
	swept, err := d.Sweep(abandoned)
	if err != nil || len(swept.Removed) != 0 {
		t.Errorf("swept %v, %v", swept, err)
	}
	if got := names(t, d); got != strangers {
		t.Errorf("left %q, want %q", got, strangers)
	}
}

// TestBuildersAndSweepers: whatever sweeps run meanwhile, every builder finishes what it began.
func TestBuildersAndSweepers(t *testing.T) {
	d := newDepot(t)
	archive := noise(20_000)
	stop := make(chan struct{})
	var builders, sweepers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				recorded := func(core.PackageID) (Standing, error) { return Recorded, nil }
				if swept, err := d.Sweep(recorded); err != nil || len(swept.Stuck) != 0 {
					t.Errorf("swept %v, %v", swept, err)
					return
				}
			}
		})
	}
	for worker := range 2 {
		builders.Go(func() {
			for i := range 100 {
				if err := build(t.Context(), d, core.PackageID(1764000000+worker*1000+i), archive); err != nil {
					t.Errorf("worker %d, package %d: %v", worker, i, err)
				}
			}
		})
	}
	builders.Wait()
	close(stop)
	sweepers.Wait()
	if left := strings.Fields(names(t, d)); len(left) != 200 || strings.HasPrefix(left[0], ".") {
		t.Errorf("left %d names, from %q", len(left), left[0])
	}
}

func build(ctx context.Context, d *Depot, id core.PackageID, archive []byte) error {
	draft, err := d.NewDraft(id)
	if err != nil {
		return err
	}
	_, err = draft.Cut(ctx, bytes.NewReader(archive), int64(len(archive)), 16<<10)
	if err == nil {
		err = draft.Write(InfoFile, []byte("info"))
	}
	if err == nil {
		err = draft.Publish()
	}
	return errors.Join(err, draft.Close())
}

// TestKilledAtAnyMoment: a builder that makes one package after another is killed at some moment. Whatever has
// its name is whole, and a sweep leaves nothing else, except the file of a lock, which goes in an hour.
func TestKilledAtAnyMoment(t *testing.T) {
	for round := range 8 {
		d := newDepot(t)
		delay := rand.N(40 * time.Millisecond)
		lines := runKilled(t, delay, killedPublisher+"="+d.root)
		swept, err := d.Sweep(func(core.PackageID) (Standing, error) { return Recorded, nil })
		check(t, errors.Join(append(swept.Stuck, err)...))
		t.Logf("round %d, killed after %v: %d published, swept %v", round, delay, len(lines), swept)
		whole := map[string]bool{}
		for _, name := range strings.Fields(names(t, d)) {
			published, err := core.ParsePackageID(name)
			if err != nil {
				if !strings.HasSuffix(name, lockSuffix) {
					t.Errorf("left %q", name)
				}
				continue
			}
			whole[name] = true
			for file, size := range map[string]int{InfoFile: 4, DigestsFile: 64, FragmentName(published, 0): 16 << 10,
				FragmentName(published, 1): 20_000 - 16<<10} {
				content, err := d.ReadFile(published, file)
				if err != nil || len(content) != size {
					t.Errorf("%s of %s: %d bytes, %v", file, name, len(content), err)
				}
			}
		}
		for _, line := range lines {
			if !whole[line] {
				t.Errorf("package %s was published and is gone", line)
			}
		}
	}
}

// TestCutReadError: a source that cannot be read to its end is not called too long.
func TestCutReadError(t *testing.T) {
	failing := errors.New("the disk is gone")
	archive := noise(40_000)
	for name, source := range map[string]io.Reader{
		"in the middle": io.MultiReader(bytes.NewReader(archive[:20_000]), iotest.ErrReader(failing)),
		"at the end":    io.MultiReader(bytes.NewReader(archive), iotest.ErrReader(failing)),
	} {
		t.Run(name, func(t *testing.T) {
			draft := newDraft(t, newDepot(t), id)
			_, err := draft.Cut(t.Context(), source, int64(len(archive)), 16<<10)
			if !errors.Is(err, failing) || strings.Contains(err.Error(), "longer") {
				t.Errorf("got %v, want %v", err, failing)
			}
			check(t, draft.Close())
		})
	}
	// Readers that give a byte at a time, or data together with the end, are as good as any.
	for name, source := range map[string]io.Reader{
		"byte by byte":      iotest.OneByteReader(bytes.NewReader(archive)),
		"data with the end": iotest.DataErrReader(bytes.NewReader(archive)),
	} {
		t.Run(name, func(t *testing.T) {
			draft := newDraft(t, newDepot(t), id)
			cutting, err := draft.Cut(t.Context(), source, int64(len(archive)), 16<<10)
			if err != nil || cutting.Digest != core.DigestOf(archive) {
				t.Errorf("got %v, %v", cutting.Digest, err)
			}
			check(t, draft.Close())
		})
	}
}

// TestLostFragment: a fragment that lost bytes, or is gone, is an error, and the others are still read.
func TestLostFragment(t *testing.T) {
	archive := noise(40_000)
	for name, damage := range map[string]func(path string) error{
		"cut off": func(path string) error { return os.Truncate(path, 100) },
		"gone":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			draft := newDraft(t, newDepot(t), id)
			defer draft.Close()
			cutting, err := draft.Cut(t.Context(), bytes.NewReader(archive), int64(len(archive)), 16<<10)
			check(t, err)
			check(t, damage(filepath.Join(draft.folder, FragmentName(id, 1))))
			reader := draft.Archive(cutting.Plan)
			defer reader.Close()
			n, err := reader.ReadAt(make([]byte, len(archive)), 0)
			if err == nil || errors.Is(err, io.EOF) || n >= len(archive) {
				t.Errorf("got %d bytes, %v", n, err)
			}
			one := make([]byte, 1) // the other fragments are still read
			if _, err := reader.ReadAt(one, 39_999); err != nil || one[0] != archive[39_999] {
				t.Errorf("got %v, %v", one, err)
			}
		})
	}
}
