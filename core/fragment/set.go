package fragment

import (
	"iter"
	"math/bits"

	"enjambre/core"
)

// A Set is a set of fragments of one package. Make one with [NewSet]; the zero Set has no room.
type Set struct {
	words []uint64
	size  int
	count int
}

// NewSet returns an empty set with room for size fragments, 0 to core.MaxFragments.
func NewSet(size int) *Set {
	return &Set{words: make([]uint64, (size+63)/64), size: size}
}

// Size returns how many fragments the set has room for.
func (s *Set) Size() int { return s.size }

// Count returns how many fragments are in the set.
func (s *Set) Count() int { return s.count }

// Full reports whether all fragments are in the set.
func (s *Set) Full() bool { return s.count == s.size }

// Has reports whether a fragment is in the set; false for one there is no room for.
func (s *Set) Has(index core.FragmentIndex) bool {
	return int(index) < s.size && s.words[index/64]&(1<<(index%64)) != 0
}

// Add puts a fragment into the set and reports whether that changed it.
func (s *Set) Add(index core.FragmentIndex) bool {
	if int(index) >= s.size || s.Has(index) {
		return false
	}
	s.words[index/64] |= 1 << (index % 64)
	s.count++
	return true
}

// Remove takes a fragment out and reports whether that changed the set.
func (s *Set) Remove(index core.FragmentIndex) bool {
	if !s.Has(index) {
		return false
	}
	s.words[index/64] &^= 1 << (index % 64)
	s.count--
	return true
}

// Missing yields the fragments that are not in the set, ascending.
func (s *Set) Missing() iter.Seq[core.FragmentIndex] {
	return func(yield func(core.FragmentIndex) bool) {
		for i, word := range s.words {
			for free := ^word; free != 0; free &= free - 1 {
				index := i*64 + bits.TrailingZeros64(free)
				if index >= s.size || !yield(core.FragmentIndex(index)) {
					return
				}
			}
		}
	}
}

// Bytes returns the set as a bitmap: fragment i is bit i%8, counted from the lowest, of byte i/8. Bits
// beyond the size are 0.
func (s *Set) Bytes() []byte {
	data := make([]byte, (s.size+7)/8)
	for i := range data {
		data[i] = byte(s.words[i/8] >> (i % 8 * 8))
	}
	return data
}

// ParseSet reads the bitmap of a set of the given size. It refuses another length and bits beyond the
// size (E_FORMAT), so that a set has one spelling.
func ParseSet(data []byte, size int) (*Set, error) {
	if size < 0 || size > core.MaxFragments || len(data) != (size+7)/8 {
		return nil, core.Refuse(core.ClassFormat, "bitmap of %d bytes for %d fragments", len(data), size)
	}
	set := NewSet(size)
	for i, b := range data {
		set.words[i/8] |= uint64(b) << (i % 8 * 8)
		set.count += bits.OnesCount8(b)
	}
	if size%8 != 0 && data[len(data)-1]>>(size%8) != 0 {
		return nil, core.Refuse(core.ClassFormat, "the bitmap has bits beyond its %d fragments", size)
	}
	return set, nil
}
