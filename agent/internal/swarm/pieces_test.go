package swarm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer"
	"enjambre/peer/link"
	"enjambre/peer/wire"
)

func allOf(p parcel) []core.FragmentIndex {
	var all []core.FragmentIndex
	for index := range core.FragmentIndex(p.sealed.Info.Archive.Plan.Count()) {
		all = append(all, index)
	}
	return all
}

// TestPieces: fragments of several pieces and of several sizes come whole, at once and from any offset, though the
// places of their bytes are used again and again.
func TestPieces(t *testing.T) {
	const size = 5*pieceBytes/2 - 1
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
	for _, offset := range []uint32{1, pieceBytes, size - 1} {
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

// A slowStream takes a few bytes at a time, then nothing.
type slowStream struct {
	link.Stream
	takes []int
	taken []byte
}

func (s *slowStream) SetDeadline(time.Time) error { return nil }

func (s *slowStream) Write(p []byte) (int, error) {
	if len(s.takes) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := min(s.takes[0], len(p))
	s.takes, s.taken = s.takes[1:], append(s.taken, p[:n]...)
	if n < len(p) {
		return n, fmt.Errorf("slow: %w", os.ErrDeadlineExceeded)
	}
	return n, nil
}

// TestPatience: who takes enough of a piece in time is served on; who takes nothing, or drips, is not.
func TestPatience(t *testing.T) {
	piece := make([]byte, 4*progressBytes)
	for name, one := range map[string]struct {
		takes []int
		want  int // bytes taken
		fails bool
	}{
		"at once": {[]int{4 * progressBytes}, 4 * progressBytes, false},
		"slowly":  {[]int{progressBytes, progressBytes + 1, 2 * progressBytes}, 4 * progressBytes, false},
		"stops":   {[]int{2 * progressBytes}, 2 * progressBytes, true},
		"drips":   {[]int{progressBytes, progressBytes - 1, progressBytes}, 2*progressBytes - 1, true},
		"nothing": {nil, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &slowStream{takes: one.takes}
			if err := patientWrite(s, piece); (err != nil) != one.fails || len(s.taken) != one.want {
				t.Errorf("got %d bytes, %v", len(s.taken), err)
			}
		})
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
