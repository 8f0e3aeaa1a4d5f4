//go:build unix

package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"enjambre/agent/internal/state"
)

// TestMask: whatever mask the service was started with, and its unit says 0077, a package's files have the modes that
// its archive gives them: STORE hands them to everybody on the computer.
func TestMask(t *testing.T) {
	before := syscall.Umask(0o077)
	defer syscall.Umask(before)
	folder, err := state.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), Options{State: folder, Program: "/bin/false", Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, state.ErrNotEnrolled) {
		t.Fatalf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode().Perm() != 0o644 {
		t.Errorf("got %v, %v", stat.Mode(), err)
	}
}
