package depot

import (
	"bytes"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk: a disk that fills up ends the build with an error and leaves nothing behind; once there is
// room, the same package is built.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	d, err := Open(filepath.Join(disk, "packages"))
	check(t, err)
	draft := newDraft(t, d, id)
	archive := noise(2 << 20)
	_, err = draft.Cut(t.Context(), bytes.NewReader(archive), int64(len(archive)), 16<<10)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want %v", err, syscall.ENOSPC)
	}
	if err := draft.Write(InfoFile, noise(16<<10)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a small file: got %v, want %v", err, syscall.ENOSPC)
	}
	check(t, draft.Close())
	if got := names(t, d); got != "" {
		t.Errorf("residue: %q", got)
	}
	check(t, build(t.Context(), d, id, archive[:500_000]))
	if err := build(t.Context(), d, id+1, archive[:700_000]); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want %v", err, syscall.ENOSPC)
	}
	if got := names(t, d); got != id.String() {
		t.Errorf("left %q", got)
	}
	check(t, d.Remove(id))
}
