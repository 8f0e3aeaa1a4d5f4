package swarm

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"enjambre/core"
	"enjambre/peer"
	"enjambre/peer/wire"
)

// TestPieces: fragments of several pieces and of several sizes come whole, at once and from any offset, though the places of
// their bytes are used again and again.
func TestPieces(t *testing.T) {
	const size = 5*progressBytes/2 - 1
	p := newParcelOf(t, size, 7)
	a, b := newMember(t, 1, p), newMember(t, 2, p)
	a.fill(p, allOf(p)...)
	a.start()
	b.start()
	plan, digest := p.sealed.Info.Archive.Plan, p.sealed.Digest
	want := func(index core.FragmentIndex) []byte { return p.archive[plan.Offset(index):][:plan.Size(index)] }
	var all sync.WaitGroup
	for worker := range uint64(UploadSlots - 1) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, worker))
			for range 20 {
				index := core.FragmentIndex(random.IntN(plan.Count()))
				err := b.Fetch(t.Context(), a.reach(), digest, index, plan.Size(index), func() {}, func(data []byte) error {
					if !bytes.Equal(data, want(index)) {
						t.Errorf("fragment %d: other bytes", index)
					}
					clear(data) // whoever used it longer would see
					return nil
				})
				var failed *FetchError
				if err != nil && (!errors.As(err, &failed) || failed.Why != peer.Occupied) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, offset := range []uint32{1, progressBytes, size - 1} {
		stream, err := b.host.Open(t.Context(), a.reach())
		if err != nil {
			t.Fatal(err)
		}
		answer, err := ask(stream, wire.Ask{Info: digest, Index: 2, Offset: offset})
		if _, is := answer.(wire.Fragment); !is || err != nil {
			t.Fatalf("from %d: got %v, %v", offset, answer, err)
		}
		if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, want(2)[offset:]) {
			t.Errorf("from %d: got %d bytes, %v", offset, len(got), err)
		}
		_ = stream.Close()
	}
}

// TestTaken: what the taker says is the answer, as it is.
func TestTaken(t *testing.T) {
	p := newParcel(t)
	a, b := newMember(t, 1, p), newMember(t, 2, p)
	a.fill(p, 0)
	a.start()
	b.start()
	full := errors.New("the disk is full")
	err := b.Fetch(t.Context(), a.reach(), p.sealed.Digest, 0, fragmentSize, func() {}, func([]byte) error { return full })
	if err != full {
		t.Errorf("got %v", err)
	}
}
