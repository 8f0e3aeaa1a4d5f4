package wire

import (
	"encoding/binary"
	"iter"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/internal/octet"
)

// rangeSize is the length of a Range in bytes.
const rangeSize = 8

// A Range is a run of fragments, from First to Last.
type Range struct{ First, Last core.FragmentIndex }

// Ranges returns the runs of an ascending sequence of fragments, as Have and Drop spell them. It returns
// false when there are more than MaxRanges, for which a Bitmap is the better word, or when the sequence does
// not ascend.
func Ranges(ascending iter.Seq[core.FragmentIndex]) ([]Range, bool) {
	var list []Range
	for index := range ascending {
		last := len(list) - 1
		switch {
		case last >= 0 && index <= list[last].Last:
			return nil, false
		case last >= 0 && index == list[last].Last+1:
			list[last].Last = index
		case len(list) == MaxRanges:
			return nil, false
		default:
			list = append(list, Range{index, index})
		}
	}
	return list, true
}

// Indexes yields the fragments of a list of ranges.
func Indexes(list []Range) iter.Seq[core.FragmentIndex] {
	return func(yield func(core.FragmentIndex) bool) {
		for _, one := range list {
			for index := one.First; index <= one.Last; index++ {
				if !yield(index) {
					return
				}
			}
		}
	}
}

func checkRanges(list []Range) error {
	if len(list) > MaxRanges {
		return core.Refuse(core.ClassLimit, "%d ranges: at most %d are allowed", len(list), MaxRanges)
	}
	for i, one := range list {
		if err := checkIndex(one.Last); err != nil {
			return err
		}
		if one.First > one.Last || i > 0 && one.First <= list[i-1].Last+1 {
			return core.Refuse(core.ClassCanon, "range %d to %d is not in its place: ranges ascend, with gaps",
				one.First, one.Last)
		}
	}
	return nil
}

func appendRanges(to []byte, list []Range) []byte {
	for _, one := range list {
		to = binary.BigEndian.AppendUint32(to, uint32(one.First))
		to = binary.BigEndian.AppendUint32(to, uint32(one.Last))
	}
	return to
}

// readRanges reads ranges to the end of the body, whose length the kind bounds.
func readRanges(r *octet.Reader) ([]Range, error) {
	data := r.Rest()
	if len(data)%rangeSize != 0 {
		return nil, core.Refuse(core.ClassFormat, "%d bytes are not whole ranges", len(data))
	}
	var list []Range
	for ; len(data) > 0; data = data[rangeSize:] {
		list = append(list, Range{
			core.FragmentIndex(binary.BigEndian.Uint32(data)),
			core.FragmentIndex(binary.BigEndian.Uint32(data[4:])),
		})
	}
	return list, nil
}

// A Have says that its sender has fragments that it did not have, verified. Indexes beyond the package's
// count are for the receiver to refuse, who knows its plan.
type Have struct {
	Info   core.Digest
	Ranges []Range // 1 to MaxRanges
}

// Kind returns KindHave.
func (Have) Kind() Kind { return KindHave }

func (h Have) check() error {
	if len(h.Ranges) == 0 {
		return core.Refuse(core.ClassField, "no fragments")
	}
	return checkRanges(h.Ranges)
}

func (h Have) append(to []byte) []byte { return appendRanges(append(to, h.Info[:]...), h.Ranges) }

func readHave(r *octet.Reader) (Frame, error) {
	info := readDigest(r)
	list, err := readRanges(r)
	return Have{info, list}, err
}

// A Drop withdraws what Have and Bitmap said.
type Drop struct {
	Info   core.Digest
	Ranges []Range // at most MaxRanges; none: all fragments, and the sender wants none
}

// Kind returns KindDrop.
func (Drop) Kind() Kind                { return KindDrop }
func (d Drop) check() error            { return checkRanges(d.Ranges) }
func (d Drop) append(to []byte) []byte { return appendRanges(append(to, d.Info[:]...), d.Ranges) }

func readDrop(r *octet.Reader) (Frame, error) {
	info := readDigest(r)
	list, err := readRanges(r)
	return Drop{info, list}, err
}

// A Bitmap says what its sender has of a package, and that it wants the rest.
type Bitmap struct {
	Info core.Digest
	Held *fragment.Set // of size 1 to core.MaxFragments
}

// Kind returns KindBitmap.
func (Bitmap) Kind() Kind { return KindBitmap }

func (b Bitmap) check() error {
	if b.Held == nil || b.Held.Size() < 1 || b.Held.Size() > core.MaxFragments {
		return core.Refuse(core.ClassLimit, "a bitmap of no fragment, or of more than %d", core.MaxFragments)
	}
	return nil
}

func (b Bitmap) append(to []byte) []byte {
	to = binary.BigEndian.AppendUint32(append(to, b.Info[:]...), uint32(b.Held.Size()))
	return append(to, b.Held.Bytes()...)
}

func readBitmap(r *octet.Reader) (Frame, error) {
	info, count := readDigest(r), r.Uint32()
	if count > core.MaxFragments {
		return nil, core.Refuse(core.ClassLimit, "a bitmap of %d fragments: at most %d are allowed", count,
			core.MaxFragments)
	}
	held, err := fragment.ParseSet(r.Rest(), int(count))
	return Bitmap{info, held}, err
}
