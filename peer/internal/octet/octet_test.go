package octet

import (
	"bytes"
	"testing"

	"enjambre/core"
)

func TestRead(t *testing.T) {
	r := Read([]byte{1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 'a', 'b', 'c'})
	if a, b, c, d := r.Uint8(), r.Uint16(), r.Uint32(), r.Uint64(); a != 1 || b != 2 || c != 3 || d != 4 {
		t.Errorf("got %d, %d, %d, %d", a, b, c, d)
	}
	if len(r.Before()) != 15 || core.ClassOf(r.End("thing")) != core.ClassFormat || r.Short() {
		t.Errorf("before the end: %x, %v", r.Before(), r.End("thing"))
	}
	taken := r.Take(1)
	_ = append(taken, 'x') // must not reach the data
	if rest := r.Rest(); !bytes.Equal(rest, []byte("bc")) || r.End("thing") != nil {
		t.Errorf("got %q, %v", rest, r.End("thing"))
	}
	if r.Uint32() != 0 || !r.Short() || core.ClassOf(r.End("thing")) != core.ClassFormat {
		t.Errorf("beyond the end: %v", r.End("thing"))
	}
}

// TestShortStays: what follows a missing field is not read in its place.
func TestShortStays(t *testing.T) {
	r := Read([]byte{1, 2})
	if r.Uint32() != 0 || r.Uint8() != 0 || !r.Short() {
		t.Error("a field after a missing one was read")
	}
}
