package depot

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"enjambre/core"
)

// TestForsakenLock: a builder that is killed before it makes its folder, or after it named it, leaves the
// file of its lock. Nobody holds it, so it goes.
func TestForsakenLock(t *testing.T) {
	d := newDepot(t)
	old := time.Now().Add(-2 * forsaken)
	for _, name := range []string{".new-1764000001.lock", ".new-1764000002.lock", "1764000002.lock", "notes.lock"} {
		path := filepath.Join(d.root, name)
		check(t, os.WriteFile(path, nil, 0o600))
		check(t, os.Chtimes(path, old, old))
	}
	// One that is young may belong to a builder that does not hold it yet.
	check(t, os.WriteFile(filepath.Join(d.root, ".new-1764000004.lock"), nil, 0o600))
	check(t, os.Mkdir(filepath.Join(d.root, "1764000002"), 0o755))
	live := newDraft(t, d, 1764000003)
	published := newDraft(t, d, 1764000005) // its folder has its name, and its lock is still held
	check(t, published.Publish())
	for _, draft := range []*Draft{live, published} {
		check(t, os.Chtimes(draft.lock.Path(), old, old))
	}
	swept, err := d.Sweep(func(core.PackageID) (Standing, error) { return Recorded, nil })
	check(t, errors.Join(append(swept.Stuck, err)...))
	if len(swept.Removed) != 0 {
		t.Errorf("removed %v: a lock is nothing to tell people of", swept)
	}
	if got, want := names(t, d), ".new-1764000003 .new-1764000003.lock .new-1764000004.lock "+
		".new-1764000005.lock 1764000002 1764000002.lock 1764000005 notes.lock"; got != want {
		t.Errorf("left %q, want %q", got, want)
	}
	check(t, errors.Join(live.Close(), published.Close()))
}

// TestDamagedFragment: a fragment that lost its end on the disk is not the end of the archive.
func TestDamagedFragment(t *testing.T) {
	d := newDepot(t)
	draft := newDraft(t, d, id)
	defer draft.Close()
	archive := noise(40_000)
	cutting, err := draft.Cut(t.Context(), bytes.NewReader(archive), int64(len(archive)), 16<<10)
	check(t, err)
	check(t, os.Truncate(filepath.Join(draft.folder, FragmentName(id, 0)), 100))
	reader := draft.Archive(cutting.Plan)
	defer reader.Close()
	n, err := reader.ReadAt(make([]byte, 1000), 0)
	if n != 100 || errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %d bytes, %v; want 100 and an unexpected end", n, err)
	}
}
