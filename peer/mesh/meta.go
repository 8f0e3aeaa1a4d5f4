package mesh

import (
	"encoding/binary"

	"enjambre/core"
	"enjambre/peer/owner"
)

// MetaVersion is the version of what a member says about itself in gossip. Its history:
//
//	1  2026-11-24  the first
const MetaVersion = 1

// metaSize is the length of a Meta, in bytes.
const metaSize = 1 + 1 + 8

// A Meta is what a member says about itself in gossip; nothing of it is proven. It is, integers in big-endian order,
//
//	version  uint8, MetaVersion
//	weight   uint8, 0, 1, 2 or 4, see peer/owner
//	epoch    uint64, the number of the newest site epoch that the member knows; 0: of none
//
// always 10 bytes.
type Meta struct {
	Weight owner.Weight
	Epoch  uint64
}

// Append appends the bytes.
func (m Meta) Append(to []byte) []byte {
	return binary.BigEndian.AppendUint64(append(to, MetaVersion, byte(m.Weight)), m.Epoch)
}

// ParseMeta reads what Append writes. Refusals: E_VERSION for another version, E_FORMAT for another length, E_FIELD for
// a weight that does not exist.
func ParseMeta(data []byte) (Meta, error) {
	if len(data) > 0 && data[0] != MetaVersion {
		return Meta{}, core.Refuse(core.ClassVersion, "a member describes itself in version %d, this program knows %d",
			data[0], MetaVersion)
	}
	if len(data) != metaSize {
		return Meta{}, core.Refuse(core.ClassFormat, "a member describes itself in %d bytes, want %d", len(data), metaSize)
	}
	weight, err := owner.ParseWeight(data[1])
	if err != nil {
		return Meta{}, err
	}
	return Meta{Weight: weight, Epoch: binary.BigEndian.Uint64(data[2:])}, nil
}
