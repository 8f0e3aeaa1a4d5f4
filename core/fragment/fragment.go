// Package fragment cuts archives: which bytes each fragment holds, which digest each must have, and
// which of them somebody has.
//
// A [Plan] is the arithmetic, [Digests] the content of a package's "digests" file (32 raw bytes a
// fragment, in order), [Set] a bitmap of fragments. Nothing here reads or writes files.
package fragment

import (
	"crypto/sha256"

	"enjambre/core"
)

// A Plan says how an archive is cut: into fragments of one size, the last one shorter or equal. The
// zero Plan is that of a package without archive: no fragment.
type Plan struct {
	size         int64
	fragmentSize int64
}

// NewPlan plans an archive of size bytes, at least 1, cut into fragments of fragmentSize bytes. It
// refuses, with E_LIMIT, sizes outside core.MinFragmentSize to core.MaxFragmentSize and plans of more
// than core.MaxFragments fragments.
func NewPlan(size, fragmentSize int64) (Plan, error) {
	switch {
	case size < 1:
		return Plan{}, core.Refuse(core.ClassLimit, "an archive of %d bytes cannot be cut", size)
	case fragmentSize < core.MinFragmentSize, fragmentSize > core.MaxFragmentSize:
		return Plan{}, core.Refuse(core.ClassLimit, "fragment size %d: use %d (16 KiB) to %d (16 MiB) bytes",
			fragmentSize, core.MinFragmentSize, core.MaxFragmentSize)
	case (size-1)/fragmentSize >= core.MaxFragments:
		return Plan{}, core.Refuse(core.ClassLimit,
			"%d bytes in fragments of %d are more than %d fragments; use fragments of %d or more", size,
			fragmentSize, core.MaxFragments, (size-1)/core.MaxFragments+1)
	}
	return Plan{size: size, fragmentSize: fragmentSize}, nil
}

// Count returns the number of fragments, 0 to core.MaxFragments.
func (p Plan) Count() int {
	if p.size == 0 {
		return 0
	}
	return int((p.size-1)/p.fragmentSize) + 1
}

// ArchiveSize returns the size of the whole, in bytes.
func (p Plan) ArchiveSize() int64 { return p.size }

// FragmentSize returns the size of all fragments but the last, in bytes.
func (p Plan) FragmentSize() int64 { return p.fragmentSize }

// Offset returns where a fragment begins in the archive, in bytes.
func (p Plan) Offset(index core.FragmentIndex) int64 { return int64(index) * p.fragmentSize }

// Size returns the size of one fragment in bytes; 0 for an index that the plan does not have.
func (p Plan) Size(index core.FragmentIndex) int64 {
	return max(0, min(p.fragmentSize, p.size-p.Offset(index)))
}

// Digests are the digests of a package's fragments, in order.
type Digests []core.Digest

// ParseDigests reads a "digests" file. It refuses a list of another length than the plan's (E_FORMAT)
// and one whose own digest is not want (E_HASH), which the info file states.
func ParseDigests(data []byte, plan Plan, want core.Digest) (Digests, error) {
	if len(data) != plan.Count()*sha256.Size {
		return nil, core.Refuse(core.ClassFormat, "digest list of %d bytes, want %d for %d fragments",
			len(data), plan.Count()*sha256.Size, plan.Count())
	}
	if core.DigestOf(data) != want {
		return nil, core.Refuse(core.ClassHash, "the digest list is not the one that the info file names")
	}
	digests := make(Digests, plan.Count())
	for i := range digests {
		copy(digests[i][:], data[i*sha256.Size:])
	}
	return digests, nil
}

// Bytes returns the "digests" file.
func (d Digests) Bytes() []byte {
	data := make([]byte, 0, len(d)*sha256.Size)
	for _, digest := range d {
		data = append(data, digest[:]...)
	}
	return data
}

// Verify reports, as a Refusal of class E_HASH, why data is not the fragment at index; nil if it is.
func (d Digests) Verify(index core.FragmentIndex, data []byte, plan Plan) error {
	switch {
	case int(index) >= len(d) || int64(len(data)) != plan.Size(index):
		return core.Refuse(core.ClassHash, "fragment %d of %d: %d bytes, want %d", index+1, len(d), len(data),
			plan.Size(index))
	case core.DigestOf(data) != d[index]:
		return core.Refuse(core.ClassHash, "fragment %d of %d: wrong digest", index+1, len(d))
	}
	return nil
}
