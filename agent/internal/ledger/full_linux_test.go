package ledger

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"enjambre/core"
)

// TestLongAndFull: a disk that has no room for a shorter file does not keep a ledger from being gone on with.
func TestLongAndFull(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("mounting needs root:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(folder, "ledger")
	l := opened(t, path)
	must[Attempt](t)(l.End(id, Result{Text: "SUCCESS", Installed: true}))
	if err := os.WriteFile(filepath.Join(folder, "others"), make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	l.compactNext = 1
	must[Attempt](t)(l.Intend(id+1, core.Digest{})) // the page that the file ends in has room
	again := opened(t, path)
	if _, known := again.Last(id + 1); !known {
		t.Error("what was noted is lost")
	}
	again.compactNext = 1
	if err := again.shorten(); err != nil { // as Open does with a long one
		t.Error(err)
	}
}
