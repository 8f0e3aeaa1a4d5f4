package ticket

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/peer/internal/octet"
)

// Bounds of a Notice.
const (
	MaxVoid   = 64        // members whose tickets are void
	MaxSpread = time.Hour // over which a site's members call

	// MaxNotice is the length of the longest notice, in bytes.
	MaxNotice = noticeFixed + MaxVoid*voidSize
)

const (
	noticeLabel = "enjambre site notice\x00"
	noticeFixed = 1 + len(seal.KeyID{}) + 8 + 8 + 2 + 8 + 1 + ed25519.SignatureSize
	voidSize    = len(Holder{}) + 8
)

// A Holder names the key that a ticket is for: the first 16 bytes of its key ID, see core/seal.
type Holder [16]byte

// HolderOf returns the name of a member's key.
func HolderOf(peer id.Peer) Holder {
	keyID := seal.KeyIDOf(peer[:])
	return Holder(keyID[:])
}

// A Void takes the tickets back that one key was given before an epoch. A key that comes to the site again is given
// another ticket, of that epoch or a later one.
type Void struct {
	Holder Holder
	Epoch  uint64 // tickets of lower epochs are void; at least 1
}

// A Notice is what the server says besides of a site's news: over how long the members are to spread their calls, and
// which tickets are void although their time is not over.
//
// There is room for MaxVoid keys. When more were taken back within the time that tickets may count, the oldest of them
// make Floor: all tickets of lower epochs are void, whosoever they are. Members have newer ones as soon as they have
// called, as they do at any news.
type Notice struct {
	Number uint64        // of the epoch that it came with; at least 1
	Issued time.Time     // in whole seconds
	Spread time.Duration // 1 s to MaxSpread, in whole seconds
	Floor  uint64        // tickets of lower epochs are void
	Voids  []Void        // at most MaxVoid, ascending by Holder
}

// Covers reports whether a ticket that a member was given in an epoch is void.
func (n Notice) Covers(peer id.Peer, epoch uint64) bool {
	void, is := n.find(peer)
	return epoch < n.Floor || is && epoch < void.Epoch
}

// Names reports whether tickets of just this member are void: unless it shows a newer one, it is none.
func (n Notice) Names(peer id.Peer) bool {
	_, is := n.find(peer)
	return is
}

func (n Notice) find(peer id.Peer) (Void, bool) {
	if len(n.Voids) == 0 {
		return Void{}, false
	}
	holder := HolderOf(peer)
	at, is := slices.BinarySearchFunc(n.Voids, holder, func(one Void, holder Holder) int {
		return bytes.Compare(one.Holder[:], holder[:])
	})
	if !is {
		return Void{}, false
	}
	return n.Voids[at], true
}

// After reports whether n is news to who knows other: it came with a later epoch, or was said later. Any notice is after
// the zero Notice.
func (n Notice) After(other Notice) bool {
	if n.Number != other.Number {
		return n.Number > other.Number
	}
	return n.Issued.After(other.Issued)
}

// Equal reports whether two notices say the same, whenever they said it.
func (n Notice) Equal(other Notice) bool {
	return n.Number == other.Number && n.Spread == other.Spread && n.Floor == other.Floor &&
		slices.Equal(n.Voids, other.Voids)
}

// Sign returns the notice's bytes for a site, signed with the server's online key. It refuses, with E_FIELD, a notice
// that no member would accept; Issued loses its fraction of a second.
func (n Notice) Sign(key ed25519.PrivateKey, deployment string, site core.SiteName) ([]byte, error) {
	keyID, err := keyIDOf(key)
	if err != nil {
		return nil, err
	}
	if deployment == "" || len(deployment) > MaxName || site == "" || len(site) > MaxName {
		return nil, core.Refuse(core.ClassField, "notice for deployment %q, site %q: both need 1 to %d bytes",
			clip(deployment), clip(string(site)), MaxName)
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	return sign(key, noticeContext(deployment, site), n.append(nil, keyID)), nil
}

func (n Notice) check() error {
	switch {
	case n.Spread < time.Second || n.Spread > MaxSpread || n.Spread%time.Second != 0:
		return core.Refuse(core.ClassField, "notice that spreads calls over %v: use whole seconds, 1 s to %v", n.Spread,
			MaxSpread)
	case len(n.Voids) > MaxVoid:
		return core.Refuse(core.ClassLimit, "notice of %d members: at most %d are allowed", len(n.Voids), MaxVoid)
	}
	for i, one := range n.Voids {
		if one.Epoch == 0 || i > 0 && bytes.Compare(n.Voids[i-1].Holder[:], one.Holder[:]) >= 0 {
			return core.Refuse(core.ClassCanon, "member %d of a notice is not in its place, or of no epoch", i)
		}
	}
	return checkNews(n.Number, n.Issued)
}

// append writes all but the signature.
func (n Notice) append(to []byte, keyID seal.KeyID) []byte {
	to = append(append(to, Version), keyID[:]...)
	to = binary.BigEndian.AppendUint64(to, n.Number)
	to = binary.BigEndian.AppendUint64(to, uint64(n.Issued.Unix()))
	to = binary.BigEndian.AppendUint16(to, uint16(n.Spread/time.Second))
	to = binary.BigEndian.AppendUint64(to, n.Floor)
	to = append(to, byte(len(n.Voids)))
	for _, one := range n.Voids {
		to = binary.BigEndian.AppendUint64(append(to, one.Holder[:]...), one.Epoch)
	}
	return to
}

// noticeContext is what is signed before a notice's own bytes.
func noticeContext(deployment string, site core.SiteName) []byte {
	return appendNames([]byte(noticeLabel), deployment, site)
}

// parseNotice reads a notice without judging it.
func parseNotice(data []byte) (Notice, signed, error) {
	r := octet.Read(data)
	document, err := begin(r, "notice")
	if err != nil {
		return Notice{}, signed{}, err
	}
	notice := Notice{Number: r.Uint64(), Issued: readTime(r)}
	notice.Spread, notice.Floor = time.Duration(r.Uint16())*time.Second, r.Uint64()
	for range min(r.Uint8(), MaxVoid+1) { // one too many is enough for check
		notice.Voids = append(notice.Voids, Void{Holder: Holder(r.Take(len(Holder{}))), Epoch: r.Uint64()})
	}
	document.text, document.signature = r.Before(), r.Take(ed25519.SignatureSize)
	if err := r.End("a notice"); err != nil {
		return Notice{}, signed{}, err
	}
	if err := notice.check(); err != nil {
		return Notice{}, signed{}, err
	}
	return notice, document, nil
}

// Notice returns a signed notice of the verifier's site. It does not judge whether a newer one is known, see
// [Notice.After]. Refusals are those of [Verifier.Epoch].
func (v Verifier) Notice(data []byte, now time.Time) (Notice, error) {
	notice, document, err := parseNotice(data)
	if err != nil {
		return Notice{}, err
	}
	if err := v.verify("notice", document, noticeContext(v.Deployment, v.Site)); err != nil {
		return Notice{}, err
	}
	if now.Add(Skew).Before(notice.Issued) {
		return Notice{}, core.Refuse(core.ClassIdent, "the notice is of %s, in the future; is the clock right?",
			notice.Issued.Format(time.RFC3339))
	}
	return notice, nil
}
