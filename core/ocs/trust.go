package ocs

import (
	"bytes"
	"slices"

	"enjambre/core"
)

// MaxAuthorities is how many authorities a server may tell its agents to trust. Each has at most 8 KiB.
const (
	MaxAuthorities = 4
	MaxAuthority   = maxBlob
)

// TrustDigest names a set of certificates, the DER of each, in any order: it is the SHA-256 of their bytes
// one after another in ascending order, each certificate once. The empty set has the zero Digest.
func TrustDigest(certificates [][]byte) core.Digest {
	if len(certificates) == 0 {
		return core.Digest{}
	}
	sorted := slices.SortedFunc(slices.Values(certificates), bytes.Compare)
	return core.DigestOf(bytes.Join(slices.CompactFunc(sorted, bytes.Equal), nil))
}
