package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRemedies: what SQLite says of a file it cannot use is followed by the reason and what helps.
func TestRemedies(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, FileName), bytes.Repeat([]byte("garbage\n"), 999), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), folder); err == nil || !strings.Contains(err.Error(), "restore the last backup") {
		t.Errorf("garbage: got %v", err)
	}
	if _, err := Open(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "restore the last backup") {
		t.Errorf("lost: got %v", err)
	}
	s := connect(filepath.Join(folder, "no such folder", FileName)) // as a folder in which nothing can be made
	_, err := s.version(t.Context())
	if err = remedied(filepath.Join(folder, "no such folder"), err); err == nil ||
		!strings.Contains(err.Error(), "nothing can be written to the data folder") {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
