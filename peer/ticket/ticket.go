// Package ticket makes and judges the server's three signed words about a site: that a member is there today
// (the [Ticket]), which news is the latest (the [Epoch]), and how the members are to take it (the [Notice]).
//
// Members pass both on, so they are verified against keys and not against who brings them. The key that signs
// is the server's online key: it may say who is where and that something is new, and nothing that it signs is
// ever run. It can be another key than the one that seals packages; where it is the same, a signature for one
// kind of document is still worth nothing for another, since all begin with the name of their kind. Whoever
// verifies gives the public keys that it trusts, the old and the new one while the key is replaced; key IDs
// are those of core/seal, the SHA-256 of the raw public key.
//
// A ticket is, integers in big-endian order,
//
//	version      uint8, Version
//	key ID       32 bytes, of the key that signed
//	peer         32 bytes, the member's Ed25519 key: its peer ID, see peer/id
//	epoch        uint64, the site's when the ticket was issued, at least 1
//	issued       uint64, Unix time in seconds
//	deployment   uint8 length, 1 to MaxName, and as many bytes
//	site         the same
//	signature    64 bytes, Ed25519 over "enjambre site ticket", a zero byte, and all of the above
//
// at most 266 bytes, and an epoch
//
//	version      uint8, Version
//	key ID       32 bytes, of the key that signed
//	number       uint64, at least 1
//	issued       uint64, Unix time in seconds
//	signature    64 bytes, Ed25519 over "enjambre site epoch", a zero byte, deployment and site as in a
//	             ticket, and all of the above
//
// always 113 bytes. An epoch's site is signed and not sent: it is verified by members of that site only, and
// it must fit in gossip. A notice is
//
//	version      uint8, Version
//	key ID       32 bytes, of the key that signed
//	number       uint64, at least 1: of the epoch that it came with
//	issued       uint64, Unix time in seconds
//	spread       uint16, in seconds, 1 to 3600
//	floor        uint64: all tickets of lower epochs are void
//	count        uint8, at most MaxVoid; then of each member whose tickets are void, ascending: the first 16
//	             bytes of the key ID of its key; epoch uint64, at least 1: tickets of lower epochs are void
//	signature    64 bytes, Ed25519 over "enjambre site notice", a zero byte, deployment and site as in a
//	             ticket, and all of the above
//
// at most 1660 bytes. It is a document of its own, beside the epoch, for two reasons: agents that know of epochs alone
// would refuse one with more in it, and it has to go round only when it says something else than before, while the
// epoch is said again every minute. Whoever knows of no notice spreads calls as it did before there were any, and
// takes every ticket for as long as it says. Every ticket, epoch and notice has one spelling.
//
// The package holds no key and reads no clock; the times it judges come from its caller.
package ticket

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/peer/internal/octet"
)

// Version is the version of all formats. Its history:
//
//	1  2026-11-24  the first; the notice since 2026-11-30
const Version = 1

// Bounds.
const (
	MaxSize = 1 << 10 // bytes of a ticket that are read at all
	MaxName = 64      // bytes of a deployment's or a site's name
	MaxKeys = 8       // keys that a Verifier looks at
)

// Lifetimes.
const (
	Lifetime = 24 * time.Hour  // of a ticket
	Skew     = 5 * time.Minute // that the server's time, as a member knows it, may lag behind the server's
)

const (
	ticketLabel = "enjambre site ticket\x00"
	epochLabel  = "enjambre site epoch\x00"
	maxUnix     = 253402300799 // the end of the year 9999
)

// A Ticket is the server's word that a member is at a site.
type Ticket struct {
	Deployment string
	Site       core.SiteName
	Peer       id.Peer
	Epoch      uint64    // the site's when the ticket was issued; at least 1
	Issued     time.Time // in whole seconds
}

// Expires returns the end of the ticket's life.
func (t Ticket) Expires() time.Time { return t.Issued.Add(Lifetime) }

// Sign returns the ticket's bytes, signed with the server's online key. It refuses, with E_FIELD, a ticket
// that no member would accept; Issued loses its fraction of a second.
func (t Ticket) Sign(key ed25519.PrivateKey) ([]byte, error) {
	keyID, err := keyIDOf(key)
	if err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return sign(key, []byte(ticketLabel), t.append(nil, keyID)), nil
}

func (t Ticket) check() error {
	switch {
	case t.Deployment == "" || len(t.Deployment) > MaxName || t.Site == "" || len(t.Site) > MaxName:
		return core.Refuse(core.ClassField, "ticket for deployment %q, site %q: both need 1 to %d bytes",
			clip(t.Deployment), clip(string(t.Site)), MaxName)
	case t.Peer == id.Peer{}:
		return core.Refuse(core.ClassField, "ticket for nobody")
	}
	return checkNews(t.Epoch, t.Issued)
}

// checkNews holds the fields that tickets and epochs share to their bounds.
func checkNews(epoch uint64, issued time.Time) error {
	if unix := issued.Unix(); epoch == 0 || unix < 1 || unix > maxUnix {
		return core.Refuse(core.ClassField, "site epoch %d of Unix time %d: use at least 1, and 1 to %d",
			epoch, unix, int64(maxUnix))
	}
	return nil
}

// append writes all but the signature.
func (t Ticket) append(to []byte, keyID seal.KeyID) []byte {
	to = append(append(append(to, Version), keyID[:]...), t.Peer[:]...)
	to = binary.BigEndian.AppendUint64(to, t.Epoch)
	to = binary.BigEndian.AppendUint64(to, uint64(t.Issued.Unix()))
	return appendNames(to, t.Deployment, t.Site)
}

func appendNames(to []byte, deployment string, site core.SiteName) []byte {
	to = append(append(to, byte(len(deployment))), deployment...)
	return append(append(to, byte(len(site))), site...)
}

// A signed document is what both formats have in common.
type signed struct {
	keyID     seal.KeyID
	text      []byte // all but the signature
	signature []byte
}

// begin reads version and key ID.
func begin(r *octet.Reader, kind string) (signed, error) {
	if version := r.Uint8(); version != Version && !r.Short() {
		return signed{}, core.Refuse(core.ClassVersion, "%s of format %d, this program knows %d", kind, version,
			Version)
	}
	return signed{keyID: seal.KeyID(r.Take(len(seal.KeyID{})))}, nil
}

// readTime reads a Unix time; all that checkNews would refuse become one such time.
func readTime(r *octet.Reader) time.Time {
	return time.Unix(int64(min(r.Uint64(), maxUnix+1)), 0).UTC()
}

// parseTicket reads a ticket without judging it.
func parseTicket(data []byte) (Ticket, signed, error) {
	if len(data) > MaxSize {
		return Ticket{}, signed{}, core.Refuse(core.ClassLimit, "ticket of %d bytes: at most %d are allowed",
			len(data), MaxSize)
	}
	r := octet.Read(data)
	document, err := begin(r, "ticket")
	if err != nil {
		return Ticket{}, signed{}, err
	}
	ticket := Ticket{Peer: id.Peer(r.Take(id.KeySize)), Epoch: r.Uint64(), Issued: readTime(r)}
	ticket.Deployment = string(r.Take(int(r.Uint8())))
	ticket.Site = core.SiteName(r.Take(int(r.Uint8())))
	document.text, document.signature = r.Before(), r.Take(ed25519.SignatureSize)
	if err := r.End("a ticket"); err != nil {
		return Ticket{}, signed{}, err
	}
	if err := ticket.check(); err != nil {
		return Ticket{}, signed{}, err
	}
	return ticket, document, nil
}

// A Verifier knows whose word counts for the members of one site.
type Verifier struct {
	Deployment string
	Site       core.SiteName
	Keys       []ed25519.PublicKey // the server's online keys, at most MaxKeys; none: nothing is accepted
}

// Ticket returns the ticket that shows peer to be at the verifier's site at the time now, which is the
// server's as far as known. Grace is added to the ticket's life: 0, or, while the server cannot be reached,
// as long as the caller takes old tickets for. That the other side is this peer is for the connection to
// prove. Refusals: E_LIMIT and E_FORMAT for what is no ticket, E_VERSION for one of a newer format, E_FIELD
// for impossible values, E_SIG for a signature that does not hold, and E_IDENT for one of an unknown key,
// another peer, deployment, site, or time.
func (v Verifier) Ticket(data []byte, peer id.Peer, now time.Time, grace time.Duration) (Ticket, error) {
	ticket, document, err := parseTicket(data)
	if err != nil {
		return Ticket{}, err
	}
	if err := v.verify("ticket", document, []byte(ticketLabel)); err != nil {
		return Ticket{}, err
	}
	switch {
	case ticket.Peer != peer:
		return Ticket{}, core.Refuse(core.ClassIdent, "the ticket is of member %s, not of %s", ticket.Peer, peer)
	case ticket.Deployment != v.Deployment:
		return Ticket{}, core.Refuse(core.ClassIdent, "the ticket is of deployment %q, this is %q",
			ticket.Deployment, v.Deployment)
	case ticket.Site != v.Site:
		return Ticket{}, core.Refuse(core.ClassIdent, "the ticket is for site %q, this is %q", ticket.Site, v.Site)
	case now.Add(Skew).Before(ticket.Issued):
		return Ticket{}, core.Refuse(core.ClassIdent, "the ticket is valid from %s on; is the clock right?",
			ticket.Issued.Format(time.RFC3339))
	case now.After(ticket.Expires().Add(grace)):
		return Ticket{}, core.Refuse(core.ClassIdent, "the ticket expired at %s; contact the server for another",
			ticket.Expires().Format(time.RFC3339))
	}
	return ticket, nil
}

// verify looks for the key that signed. The text that was signed is context, then the document's.
func (v Verifier) verify(kind string, document signed, context []byte) error {
	for _, key := range v.Keys[:min(len(v.Keys), MaxKeys)] {
		if len(key) != ed25519.PublicKeySize || seal.KeyIDOf(key) != document.keyID {
			continue
		}
		if !ed25519.Verify(key, append(bytes.Clone(context), document.text...), document.signature) {
			return core.Refuse(core.ClassSig, "the %s's signature does not hold", kind)
		}
		return nil
	}
	return core.Refuse(core.ClassIdent, "the %s is signed by key %s, which is none of this deployment's %d",
		kind, document.keyID, len(v.Keys))
}

func keyIDOf(key ed25519.PrivateKey) (seal.KeyID, error) {
	if len(key) != ed25519.PrivateKeySize {
		return seal.KeyID{}, core.Refuse(core.ClassField, "a signing key of %d bytes, want %d", len(key),
			ed25519.PrivateKeySize)
	}
	return seal.KeyIDOf(key.Public().(ed25519.PublicKey)), nil
}

// sign appends the signature over context and text to text.
func sign(key ed25519.PrivateKey, context, text []byte) []byte {
	return append(text, ed25519.Sign(key, append(context, text...))...)
}

// clip shortens a name for a message.
func clip(text string) string { return text[:min(len(text), 80)] }
