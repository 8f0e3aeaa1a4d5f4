package catalog

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"enjambre/server/internal/depot"
)

// TestBuildOnFullDisk: a disk that fills up ends a build with an error and leaves nothing behind.
func TestBuildOnFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(disk, 0)) })
	c := newCatalog(t)
	var err error
	c.Depot, err = depot.Open(filepath.Join(disk, "packages"))
	check(t, err)
	if _, err := c.Build(t.Context(), bulky(t), now); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want %v", err, syscall.ENOSPC)
	}
	if got := folders(t, c); got != "" {
		t.Errorf("residue: %q", got)
	}
	list, err := c.Store.Packages(t.Context())
	if err != nil || len(list) != 0 {
		t.Errorf("on record: %v, %v", list, err)
	}
	small := Form{Name: "a", OS: "linux", Action: "EXECUTE", Priority: "1", Command: "true"}
	if _, err := c.Build(t.Context(), small, now); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}

// TestStuckResidue: what cannot be removed is logged each time, and neither builds nor starts wait for it.
func TestStuckResidue(t *testing.T) {
	c := newCatalog(t)
	var log bytes.Buffer
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	stuck := filepath.Join(filepath.Dir(c.Depot.Folder(1)), ".old-1764000004", "mounted")
	check(t, os.MkdirAll(stuck, 0o755))
	if err := syscall.Mount("tmpfs", stuck, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("nothing can be mounted: %v", err)
	}
	t.Cleanup(func() {
		check(t, syscall.Unmount(stuck, 0))
		check(t, c.Sweep(context.Background()))
		if _, err := os.Stat(filepath.Dir(stuck)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("once it can be removed: %v", err)
		}
	})
	small := Form{Name: "a", OS: "linux", Action: "EXECUTE", Priority: "1", Command: "true"}
	if _, err := c.Build(t.Context(), small, now); err != nil {
		t.Errorf("a build beside it: %v", err)
	}
	if !strings.Contains(log.String(), stuck) {
		t.Errorf("the log does not name %s: %s", stuck, &log)
	}
}
