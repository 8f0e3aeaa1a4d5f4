package enrol

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/agent/internal/inventory"
	"enjambre/agent/internal/state"
	"enjambre/core"
)

// TestCheckMachine: a repaired computer stays who it is, a copy becomes nobody and keeps its ledger.
func TestCheckMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	folder, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := folder.Key()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "ledger"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	part := func(text string) core.Digest { return core.DigestOf([]byte(text)) }
	here := inventory.Machine{System: part("a"), Product: part("b"), Adapters: part("c")}
	repaired := inventory.Machine{System: part("a"), Product: part("b"), Adapters: part("new card")}
	for _, machine := range []inventory.Machine{here, here, repaired} {
		if err := CheckMachine(folder, machine, now, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	clone := inventory.Machine{System: part("a"), Product: part("y"), Adapters: part("z")}
	err = CheckMachine(folder, clone, now, slog.New(slog.DiscardHandler))
	if !errors.Is(err, state.ErrNotEnrolled) || !strings.Contains(err.Error(), "another computer") {
		t.Errorf("got %v", err)
	}
	if err := CheckMachine(folder, clone, now, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("the copy, now itself: %v", err)
	}
	if second, err := folder.Key(); err != nil || second.Equal(first) {
		t.Errorf("the copy has the key of the other: %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(path, "ledger")); err != nil || string(data) != "kept" {
		t.Errorf("ledger %q, %v", data, err)
	}
}
