package wire

import (
	"encoding/binary"
	"fmt"

	"enjambre/core"
	"enjambre/peer/internal/octet"
)

// A GossipKey encrypts a site's gossip from its epoch on. Printing one does not show the key.
type GossipKey struct {
	Epoch uint32 // below 2^31
	Key   []byte // 16, 24 or 32 bytes
}

// String names the key by its epoch.
func (k GossipKey) String() string { return fmt.Sprintf("gossip key of epoch %d", k.Epoch) }

// GoString is String, so that %#v does not show the key either.
func (k GossipKey) GoString() string { return k.String() }

// Keys are a site's gossip keys. A member may be given false ones by another; they are worth a try where the
// server's own are not at hand, and never replace those.
type Keys struct {
	List []GossipKey // 1 to MaxKeys; the first is the one to use, the others descend by epoch
}

// Kind returns KindKeys.
func (Keys) Kind() Kind { return KindKeys }

func (k Keys) check() error {
	if len(k.List) == 0 || len(k.List) > MaxKeys {
		return core.Refuse(core.ClassLimit, "%d gossip keys: use 1 to %d", len(k.List), MaxKeys)
	}
	for i, key := range k.List {
		switch {
		case key.Epoch > maxEpochNumber:
			return core.Refuse(core.ClassLimit, "gossip key of epoch %d: at most %d", key.Epoch,
				uint32(maxEpochNumber))
		case len(key.Key) != 16 && len(key.Key) != 24 && len(key.Key) != 32:
			return core.Refuse(core.ClassField, "gossip key of %d bytes: use 16, 24 or 32", len(key.Key))
		case i > 0 && key.Epoch == k.List[0].Epoch, i > 1 && key.Epoch >= k.List[i-1].Epoch:
			return core.Refuse(core.ClassCanon, "the gossip key of epoch %d is not in its place", key.Epoch)
		}
	}
	return nil
}

func (k Keys) append(to []byte) []byte {
	to = append(to, byte(len(k.List)))
	for _, key := range k.List {
		to = append(binary.BigEndian.AppendUint32(to, key.Epoch), byte(len(key.Key)))
		to = append(to, key.Key...)
	}
	return to
}

func readKeys(r *octet.Reader) (Frame, error) {
	var keys Keys
	for range min(r.Uint8(), MaxKeys+1) { // one too many is enough for check
		keys.List = append(keys.List, GossipKey{Epoch: r.Uint32(), Key: r.Take(int(r.Uint8()))})
	}
	return keys, nil
}

// An Epoch carries a signed site epoch, see peer/ticket.
type Epoch struct{ Signed []byte }

// Kind returns KindEpoch.
func (Epoch) Kind() Kind                { return KindEpoch }
func (e Epoch) check() error            { return checkBlob("site epoch", e.Signed, MaxEpoch) }
func (e Epoch) append(to []byte) []byte { return append(to, e.Signed...) }

func readEpoch(r *octet.Reader) (Frame, error) { return Epoch{r.Rest()}, nil }

// A Notice carries a signed site notice, see peer/ticket. It is sent to members with the feature TakesNotice only, before
// the epoch that it came with.
type Notice struct{ Signed []byte }

// Kind returns KindNotice.
func (Notice) Kind() Kind                { return KindNotice }
func (n Notice) check() error            { return checkBlob("site notice", n.Signed, MaxNotice) }
func (n Notice) append(to []byte) []byte { return append(to, n.Signed...) }

func readNotice(r *octet.Reader) (Frame, error) { return Notice{r.Rest()}, nil }
