package ticket

import (
	"crypto/ed25519"
	"encoding/binary"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
	"enjambre/peer/internal/octet"
)

// EpochSize is the length of a signed epoch, in bytes.
const EpochSize = 1 + len(seal.KeyID{}) + 8 + 8 + ed25519.SignatureSize

// An Epoch is the server's word on what is new at a site: whoever knows a lower number has news to ask for.
// The server issues the same number again to say that it still holds.
type Epoch struct {
	Number uint64    // at least 1
	Issued time.Time // in whole seconds
}

// Sign returns the epoch's bytes for a site, signed with the server's online key. It refuses, with E_FIELD,
// an epoch that no member would accept; Issued loses its fraction of a second.
func (e Epoch) Sign(key ed25519.PrivateKey, deployment string, site core.SiteName) ([]byte, error) {
	keyID, err := keyIDOf(key)
	if err != nil {
		return nil, err
	}
	if deployment == "" || len(deployment) > MaxName || site == "" || len(site) > MaxName {
		return nil, core.Refuse(core.ClassField, "epoch for deployment %q, site %q: both need 1 to %d bytes",
			clip(deployment), clip(string(site)), MaxName)
	}
	if err := checkNews(e.Number, e.Issued); err != nil {
		return nil, err
	}
	return sign(key, epochContext(deployment, site), e.append(nil, keyID)), nil
}

// append writes all but the signature.
func (e Epoch) append(to []byte, keyID seal.KeyID) []byte {
	to = append(append(to, Version), keyID[:]...)
	to = binary.BigEndian.AppendUint64(to, e.Number)
	return binary.BigEndian.AppendUint64(to, uint64(e.Issued.Unix()))
}

// epochContext is what is signed before an epoch's own bytes.
func epochContext(deployment string, site core.SiteName) []byte {
	return appendNames([]byte(epochLabel), deployment, site)
}

// After reports whether e is news to who knows other: a higher number, or the same said later. Any epoch is
// after the zero Epoch.
func (e Epoch) After(other Epoch) bool {
	if e.Number != other.Number {
		return e.Number > other.Number
	}
	return e.Issued.After(other.Issued)
}

// Age returns how long ago the server issued the epoch, at least 0.
func (e Epoch) Age(now time.Time) time.Duration { return max(0, now.Sub(e.Issued)) }

// parseEpoch reads an epoch without judging it.
func parseEpoch(data []byte) (Epoch, signed, error) {
	r := octet.Read(data)
	document, err := begin(r, "epoch")
	if err != nil {
		return Epoch{}, signed{}, err
	}
	epoch := Epoch{Number: r.Uint64(), Issued: readTime(r)}
	document.text, document.signature = r.Before(), r.Take(ed25519.SignatureSize)
	if err := r.End("an epoch"); err != nil {
		return Epoch{}, signed{}, err
	}
	if err := checkNews(epoch.Number, epoch.Issued); err != nil {
		return Epoch{}, signed{}, err
	}
	return epoch, document, nil
}

// Epoch returns a signed epoch of the verifier's site. It does not judge how old the epoch is, see
// [Epoch.Age], nor whether a newer one is known, see [Epoch.After]; it refuses one from the future, with
// E_IDENT. The other refusals are those of [Verifier.Ticket]; an epoch of another site has a signature that
// does not hold.
func (v Verifier) Epoch(data []byte, now time.Time) (Epoch, error) {
	epoch, document, err := parseEpoch(data)
	if err != nil {
		return Epoch{}, err
	}
	if err := v.verify("epoch", document, epochContext(v.Deployment, v.Site)); err != nil {
		return Epoch{}, err
	}
	if now.Add(Skew).Before(epoch.Issued) {
		return Epoch{}, core.Refuse(core.ClassIdent, "the epoch is of %s, in the future; is the clock right?",
			epoch.Issued.Format(time.RFC3339))
	}
	return epoch, nil
}
