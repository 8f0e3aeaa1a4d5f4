// Package id names the members of a swarm: a peer ID is an agent's Ed25519 public key, spelled as libp2p
// spells it.
//
// The libp2p peer ID of an Ed25519 key is not a hash: it holds the key, in the identity multihash of the
// key's protobuf encoding. So a [Peer] is the key itself, and two spellings follow from it:
//
//	bytes  00 24                  multihash: identity, 36 bytes follow
//	       08 01 12 20            protobuf: key type Ed25519; data, 32 bytes
//	       the key                32 bytes
//	text   base58btc of the bytes, 52 characters that begin with "12D3Koo"
//
// The source is the libp2p specification, peer-ids/peer-ids.md. Only this kind of peer ID exists here: an RSA
// or another key is refused, and so is a CID, the other text that the specification allows. The package
// imports no libp2p, so that whoever decides about members needs none.
package id

import (
	"bytes"
	"crypto/ed25519"

	"enjambre/core"
)

// Sizes of the spellings. All peer IDs have these lengths: the prefix fixes the order of magnitude.
const (
	KeySize   = ed25519.PublicKeySize // bytes of a Peer
	BytesSize = len(prefix) + KeySize // bytes of the multihash
	TextSize  = 52                    // characters of the text
)

// prefix is the multihash and protobuf framing in front of the key.
const prefix = "\x00\x24\x08\x01\x12\x20"

// A Peer names a member: it is its raw Ed25519 public key. The zero Peer names nobody. Peers compare with ==
// and order by bytes, see [Peer.Compare].
type Peer [KeySize]byte

// FromKey returns the peer that holds a key. It refuses, with E_IDENT, what is no Ed25519 public key.
func FromKey(key ed25519.PublicKey) (Peer, error) {
	if len(key) != KeySize {
		return Peer{}, core.Refuse(core.ClassIdent, "an Ed25519 key has %d bytes, not %d", KeySize, len(key))
	}
	peer := Peer(key)
	if peer == (Peer{}) {
		return Peer{}, core.Refuse(core.ClassIdent, "a key of zeros is nobody's")
	}
	return peer, nil
}

// FromBytes reads the multihash that Bytes returns. Refusals are of class E_IDENT.
func FromBytes(data []byte) (Peer, error) {
	key, isEd25519 := bytes.CutPrefix(data, []byte(prefix))
	if !isEd25519 || len(data) != BytesSize {
		return Peer{}, core.Refuse(core.ClassIdent, "%d bytes are not the peer ID of an Ed25519 key",
			len(data))
	}
	return FromKey(key)
}

// Parse reads the text that String returns, and no other spelling. Refusals are of class E_IDENT.
func Parse(text string) (Peer, error) {
	if len(text) != TextSize {
		return Peer{}, core.Refuse(core.ClassIdent, "peer ID of %d characters, want %d from 12D3Koo on",
			len(text), TextSize)
	}
	data, ok := decode58(text)
	if !ok {
		return Peer{}, core.Refuse(core.ClassIdent, "peer ID %q is not base58 of an Ed25519 key's", text)
	}
	return FromBytes(data)
}

// Key returns the public key.
func (p Peer) Key() ed25519.PublicKey { return p[:] }

// Bytes returns the multihash, BytesSize bytes: what libp2p's peer.ID holds.
func (p Peer) Bytes() []byte { return append([]byte(prefix), p[:]...) }

// String returns the text, TextSize characters.
func (p Peer) String() string { return encode58(p.Bytes()) }

// Compare orders peers by the bytes of their keys: -1, 0 or 1.
func (p Peer) Compare(other Peer) int { return bytes.Compare(p[:], other[:]) }

// MarshalText makes the peer ID a string in JSON and in logs.
func (p Peer) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the reverse of MarshalText, with the rules of [Parse].
func (p *Peer) UnmarshalText(text []byte) (err error) {
	*p, err = Parse(string(text))
	return err
}
