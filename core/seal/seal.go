// Package seal signs documents and verifies that enough of the right keys signed them.
//
// A sealed document is a DSSE v1 envelope (Dead Simple Signing Envelope): JSON that holds the payload
// in base64, its type and signatures by Ed25519 over the pre-authentication encoding of both, so a
// signature for one type of document is worth nothing for another:
//
//	{"payloadType":T,"payload":base64(P),"signatures":[{"keyid":hex,"sig":base64},...]}
//	signed bytes = "DSSEv1 " len(T) " " T " " len(P) " " P
//
// An envelope has one spelling, the one that [Sign] writes: [Policy.Verify] encodes what it read
// again and demands equal bytes, which refuses duplicate keys, unknown fields, trailing data and
// other base64 in one stroke. The payload it returns is exactly what was signed; parse that.
//
// Key IDs are the SHA-256 of the raw public key, always computed, never believed. Signatures are
// counted by distinct key and by distinct owner, since one key under two names, or two keys of one
// person, must not satisfy "two people".
package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"enjambre/core"
)

// InfoType is the payload type of a package's info file.
const InfoType = "application/vnd.enjambre.info.v1+xml"

// Bounds of an envelope, checked before any other work.
const (
	MaxEnvelope   = 256 << 10 // bytes
	MaxPayload    = 192 << 10 // bytes
	MaxSignatures = 16
)

// A KeyID names a public key: the SHA-256 of its 32 raw bytes.
type KeyID [sha256.Size]byte

// KeyIDOf returns the ID of a public key.
func KeyIDOf(key ed25519.PublicKey) KeyID { return sha256.Sum256(key) }

// String returns 64 lower-case hex digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// envelope is the JSON of DSSE v1, its fields in the order of the one spelling.
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// preAuthentication is what is signed: DSSE's PAE of type and payload.
func preAuthentication(payloadType string, payload []byte) []byte {
	text := []byte("DSSEv1 ")
	text = strconv.AppendInt(text, int64(len(payloadType)), 10)
	text = append(append(append(text, ' '), payloadType...), ' ')
	text = strconv.AppendInt(text, int64(len(payload)), 10)
	return append(append(text, ' '), payload...)
}

// Sign seals payload with each of the keys, in ascending order of their IDs. It fails without keys,
// with the same key twice, or beyond the bounds.
func Sign(payloadType string, payload []byte, keys ...ed25519.PrivateKey) ([]byte, error) {
	if len(keys) == 0 || len(keys) > MaxSignatures || len(payload) > MaxPayload {
		return nil, core.Refuse(core.ClassLimit, "cannot seal %d bytes with %d keys: at most %d and 1 to %d",
			len(payload), len(keys), MaxPayload, MaxSignatures)
	}
	text := preAuthentication(payloadType, payload)
	var signatures []signature
	for _, key := range keys {
		public, isKey := key.Public().(ed25519.PublicKey)
		if !isKey {
			return nil, errors.New("not an Ed25519 key")
		}
		signatures = append(signatures, signature{
			KeyID: KeyIDOf(public).String(),
			Sig:   base64.StdEncoding.EncodeToString(ed25519.Sign(key, text)),
		})
	}
	slices.SortFunc(signatures, func(a, b signature) int { return strings.Compare(a.KeyID, b.KeyID) })
	for i := 1; i < len(signatures); i++ {
		if signatures[i].KeyID == signatures[i-1].KeyID {
			return nil, core.Refuse(core.ClassKeys, "key %s is given twice", signatures[i].KeyID)
		}
	}
	return encode(envelope{
		PayloadType: payloadType,
		Payload:     base64.StdEncoding.EncodeToString(payload),
		Signatures:  signatures,
	})
}

// encode writes the one spelling of an envelope.
func encode(e envelope) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // the type holds a '+', which some encoders escape
	err := encoder.Encode(e)
	return text.Bytes(), err
}

// A Key is a public key that a policy trusts, and the person or office that holds it.
type Key struct {
	Public ed25519.PublicKey
	Owner  string
}

// A Policy says whose signatures are enough.
type Policy struct {
	Keys      []Key
	Threshold int // distinct owners that must have signed
}

// Check reports every reason why the policy could never do what it promises: a threshold below 1 or
// above the number of owners, malformed or repeated keys.
func (p Policy) Check() error {
	var problems []error
	owners := map[string]bool{}
	seen := map[KeyID]bool{}
	for _, key := range p.Keys {
		if len(key.Public) != ed25519.PublicKeySize {
			problems = append(problems, core.Refuse(core.ClassKeys, "a key of %q has %d bytes, want %d",
				key.Owner, len(key.Public), ed25519.PublicKeySize))
			continue
		}
		id := KeyIDOf(key.Public)
		if seen[id] {
			problems = append(problems, core.Refuse(core.ClassKeys, "key %s is listed twice", id))
		}
		seen[id] = true
		owners[key.Owner] = true
	}
	if p.Threshold < 1 || p.Threshold > len(owners) {
		problems = append(
			problems,
			core.Refuse(core.ClassKeys, "threshold %d with %d owners can never be met as meant",
				p.Threshold, len(owners)),
		)
	}
	return errors.Join(problems...)
}

// Verify returns the payload of an envelope of the given type that enough owners signed. Refusals:
// E_LIMIT beyond the bounds, E_CANON for another spelling, E_TYPE for another type, E_SIG for a
// signature by a trusted key that does not hold, E_THRESHOLD for too few.
func (p Policy) Verify(data []byte, payloadType string) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	opened, payload, err := open(data)
	if err != nil {
		return nil, err
	}
	if opened.PayloadType != payloadType {
		return nil, core.Refuse(core.ClassType, "sealed document of type %q, want %q", opened.PayloadType,
			payloadType)
	}
	text := preAuthentication(payloadType, payload)
	owners := map[string]bool{}
	for _, key := range p.Keys {
		id := KeyIDOf(key.Public).String()
		for _, one := range opened.Signatures {
			if one.KeyID != id {
				continue
			}
			sig, err := base64.StdEncoding.Strict().DecodeString(one.Sig)
			if err != nil || !ed25519.Verify(key.Public, text, sig) {
				return nil, core.Refuse(core.ClassSig, "the signature of key %s (%s) does not hold", id, key.Owner)
			}
			owners[key.Owner] = true
		}
	}
	if len(owners) < p.Threshold {
		return nil, core.Refuse(core.ClassKeys, "signed by %d of the %d owners that the policy demands",
			len(owners), p.Threshold)
	}
	return payload, nil
}

// open decodes an envelope and holds it to its bounds and its one spelling.
func open(data []byte) (envelope, []byte, error) {
	if len(data) > MaxEnvelope {
		return envelope{}, nil, core.Refuse(core.ClassLimit, "envelope of %d bytes: at most %d are allowed",
			len(data), MaxEnvelope)
	}
	var opened envelope
	if err := json.Unmarshal(data, &opened); err != nil {
		return envelope{}, nil, core.Refuse(core.ClassFormat, "envelope: %v", err)
	}
	if len(opened.Signatures) > MaxSignatures {
		return envelope{}, nil, core.Refuse(core.ClassLimit, "%d signatures: at most %d are allowed",
			len(opened.Signatures), MaxSignatures)
	}
	if len(opened.Signatures) == 0 {
		return envelope{}, nil, core.Refuse(core.ClassKeys, "the envelope has no signature")
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(opened.Payload)
	if err != nil {
		return envelope{}, nil, core.Refuse(core.ClassCanon, "the payload is not standard base64: %v", err)
	}
	if len(payload) > MaxPayload {
		return envelope{}, nil, core.Refuse(core.ClassLimit, "payload of %d bytes: at most %d are allowed",
			len(payload), MaxPayload)
	}
	again := opened
	again.Payload = base64.StdEncoding.EncodeToString(payload)
	again.Signatures = slices.Clone(opened.Signatures)
	for i, one := range again.Signatures { // the decoder skips line ends, so this is not what was read
		sig, _ := base64.StdEncoding.DecodeString(one.Sig)
		again.Signatures[i].Sig = base64.StdEncoding.EncodeToString(sig)
	}
	if spelled, err := encode(again); err != nil || !bytes.Equal(spelled, data) {
		return envelope{}, nil, core.Refuse(core.ClassCanon, "the envelope is not in its canonical form")
	}
	for i := 1; i < len(opened.Signatures); i++ {
		if opened.Signatures[i].KeyID <= opened.Signatures[i-1].KeyID {
			return envelope{}, nil, core.Refuse(core.ClassCanon,
				"the signatures are not in ascending order of distinct keys")
		}
	}
	return opened, payload, nil
}
