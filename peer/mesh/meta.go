package mesh

import (
	"encoding/binary"
	"net/netip"

	"enjambre/core"
	"enjambre/peer/owner"
)

// MetaVersion is the version of what a member says about itself in gossip. Its history:
//
//	1  2026-11-24  the first
const MetaVersion = 1

// The length of a Meta in bytes: of one with one address, and what another of IPv4 or IPv6 adds, with its port.
const (
	metaSize  = 1 + 1 + 8
	alsoSize4 = 4 + 2
	alsoSize6 = 16 + 2
)

// A Meta is what a member says about itself in gossip; nothing of it is proven. It is, integers in big-endian order,
//
//	version  uint8, MetaVersion
//	weight   uint8, 0, 1, 2 or 4, see peer/owner
//	epoch    uint64, the number of the newest site epoch that the member knows; 0: of none
//	also     4 or 16 bytes, the member's address of the other family than gossip has it at
//	port     uint16 of that; both only of a member that has one
//
// 10, 16 or 28 bytes. Programs from before the last two do not know the weight of a member that has them, and leave it out
// when they propose who fetches what.
type Meta struct {
	Weight owner.Weight
	Epoch  uint64
	Also   netip.AddrPort // zero: there is none
}

// Append appends the bytes.
func (m Meta) Append(to []byte) []byte {
	to = binary.BigEndian.AppendUint64(append(to, MetaVersion, byte(m.Weight)), m.Epoch)
	if !m.Also.IsValid() {
		return to
	}
	return binary.BigEndian.AppendUint16(append(to, m.Also.Addr().Unmap().AsSlice()...), m.Also.Port())
}

// ParseMeta reads what Append writes. Refusals: E_VERSION for another version, E_FORMAT for another length, E_FIELD for
// a weight that does not exist, or an address at which nobody is reached.
func ParseMeta(data []byte) (Meta, error) {
	if len(data) > 0 && data[0] != MetaVersion {
		return Meta{}, core.Refuse(core.ClassVersion, "a member describes itself in version %d, this program knows %d",
			data[0], MetaVersion)
	}
	if len(data) != metaSize && len(data) != metaSize+alsoSize4 && len(data) != metaSize+alsoSize6 {
		return Meta{}, core.Refuse(core.ClassFormat, "a member describes itself in %d bytes, want %d, %d or %d", len(data),
			metaSize, metaSize+alsoSize4, metaSize+alsoSize6)
	}
	weight, err := owner.ParseWeight(data[1])
	if err != nil {
		return Meta{}, err
	}
	meta := Meta{Weight: weight, Epoch: binary.BigEndian.Uint64(data[2:])}
	if rest := data[metaSize:]; len(rest) > 0 {
		address, _ := netip.AddrFromSlice(rest[:len(rest)-2])
		meta.Also = netip.AddrPortFrom(address, binary.BigEndian.Uint16(rest[len(rest)-2:]))
		if address.Is4In6() || address.IsUnspecified() || address.IsMulticast() || meta.Also.Port() == 0 {
			return Meta{}, core.Refuse(core.ClassField, "a member says that it is at %v, too", meta.Also)
		}
	}
	return meta, nil
}
