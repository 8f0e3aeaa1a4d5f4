package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"enjambre/core"
)

// TestDamage: a database whose bytes changed on the disk is never called sound.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(content []byte) []byte{
		"no database":  func([]byte) []byte { return []byte("not a database, whatever its name may say") },
		"empty":        func([]byte) []byte { return nil },
		"cut off":      func(content []byte) []byte { return content[:len(content)/8192*4096] },
		"noise inside": noise,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(writtenStore(t), FileName)
			content, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, damage(content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), filepath.Dir(path))
			if err != nil {
				if core.ClassOf(err) == core.ClassVersion {
					t.Errorf("damage is called another version: %v", err)
				}
				return
			}
			defer s.Close()
			if err := s.Check(t.Context()); err == nil {
				t.Error("a damaged database is called sound")
			}
		})
	}
}

// noise overwrites the second half of the pages.
func noise(content []byte) []byte {
	random := rand.New(rand.NewPCG(8, 9))
	for i := len(content) / 2; i < len(content); i++ {
		content[i] = byte(random.Uint32())
	}
	return content
}

// writtenStore returns the folder of a store with some computers, closed.
func writtenStore(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := Create(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{t, s}
	for i := range 50 {
		f.computer(fmt.Sprint("pc", i))
	}
	f.check(s.Close())
	if _, err := os.Stat(filepath.Join(folder, FileName+"-wal")); err == nil {
		t.Fatal("a closed store leaves a log behind")
	}
	return folder
}
