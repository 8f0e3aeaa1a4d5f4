// Package owner proposes which member of a site fetches which fragment over the WAN, and which one reports.
//
// It is rendezvous hashing, also called highest random weight (D. Thaler and C. Ravishankar, "Using
// name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6(1), 1998): every member
// gives every fragment a random number that all can compute, and the member with the highest owns it. Members
// need not talk to agree; whoever leaves leaves only its own fragments behind, spread over all others;
// whoever joins takes its share of everyone's. Members weigh differently, so the numbers are stretched as in
// C. Schindelhauer and G. Schomaker, "Weighted distributed hash tables" (SPAA 2005):
//
//	score = -weight / ln(h)      h uniform in [0, 1); the highest score wins
//
// and member i wins with probability weight(i) / sum of weights. A logarithm rounds differently from machine
// to machine, so none is taken: scores are in the order of h^(1/weight), hence of h^(4/weight), and with
// weights of 1, 2 and 4 these are h^4, h^2 and h, powers of integers. They are computed in integers as
// fractions of 2^128, rounded down; equal scores go to the smaller peer ID. The result is the same on every
// platform, see testdata.
//
// The random numbers are, with H = xxHash64 with seed 0 and integers in little-endian order:
//
//	table   = H(purpose || 0 || subject || 0 || secret)   purpose: "fragment", "order", "asker" or "reporter"
//	member  = H(table || peer, 32 bytes)
//	h       = H(member || number) / 2^64                  number: fragment index, minute or 0; all are uint64
//
// The subject is a package's info digest or a site's name. The secret, which may be empty, is the site's:
// without it nobody outside can tell who will fetch what. It is no signature: xxHash resists accidents, not
// enemies. A proposal needs no more, since the origin decides who fetches (peer/lease).
package owner

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"enjambre/core"
	"enjambre/peer/id"
)

// A Weight is a member's share of what its site fetches, relative to the others'. There are four, by what
// carries the computer: no other number is a weight.
type Weight uint8

// The weights and their classes.
const (
	Never    Weight = 0 // VPN or metered link: fetches nothing for others, owns nothing
	Light    Weight = 1 // Wi-Fi, on battery
	Medium   Weight = 2 // Wi-Fi or wired
	AlwaysOn Weight = 4 // wired and always on
)

// ParseWeight reads a weight's number. It refuses every other with E_FIELD.
func ParseWeight(number uint8) (Weight, error) {
	switch weight := Weight(number); weight {
	case Never, Light, Medium, AlwaysOn:
		return weight, nil
	}
	return 0, core.Refuse(core.ClassField, "weight %d: use 0, 1, 2 or 4", number)
}

// A Member is somebody who may fetch.
type Member struct {
	Peer   id.Peer
	Weight Weight
}

// A Table ranks some members for one package. It does not change; a new one is made when the members do. Any
// number of goroutines may use it.
type Table struct {
	fragments, askers []ranked
	order             uint64 // from which each member's order of wishes is made, see [Share.Want]
}

// ranked is a member with the seed of its random numbers.
type ranked struct {
	Member
	seed uint64
}

// NewTable makes the table of a package, named by its info digest, over members in any order. A peer that is
// listed twice counts once, with its smaller weight. Members of weight 0 are left out: they never own. The
// time is that of two hashes a member. A weight that ParseWeight refuses is a mistake of ours and panics.
func NewTable(info core.Digest, secret []byte, members []Member) *Table {
	subject := string(info[:])
	return &Table{
		fragments: seeded(tableSeed("fragment", subject, secret), members),
		askers:    seeded(tableSeed("asker", subject, secret), members),
		order:     tableSeed("order", subject, secret),
	}
}

// tableSeed returns the number that all of one purpose and subject share.
func tableSeed(purpose, subject string, secret []byte) uint64 {
	text := []byte(purpose + "\x00" + subject + "\x00")
	return xxhash.Sum64(append(text, secret...))
}

// seeded returns the members that can own, ordered by peer, with their seeds.
func seeded(table uint64, members []Member) []ranked {
	list := make([]ranked, 0, len(members))
	for _, member := range members {
		if _, err := ParseWeight(uint8(member.Weight)); err != nil {
			panic(fmt.Sprintf("owner: member %s: %v", member.Peer, err))
		}
		list = append(list, ranked{member, seedOf(table, member.Peer)})
	}
	slices.SortFunc(list, func(a, b ranked) int {
		if order := a.Peer.Compare(b.Peer); order != 0 {
			return order
		}
		return int(a.Weight) - int(b.Weight)
	})
	list = slices.CompactFunc(list, func(a, b ranked) bool { return a.Peer == b.Peer })
	return slices.DeleteFunc(list, func(one ranked) bool { return one.Weight == Never })
}

// seedOf mixes a table's number with a member.
func seedOf(table uint64, peer id.Peer) uint64 {
	var text [8 + id.KeySize]byte
	binary.LittleEndian.PutUint64(text[:], table)
	copy(text[8:], peer[:])
	return xxhash.Sum64(text[:])
}

// random returns h, as a numerator over 2^64.
func random(seed, number uint64) uint64 {
	var text [16]byte
	binary.LittleEndian.PutUint64(text[:], seed)
	binary.LittleEndian.PutUint64(text[8:], number)
	return xxhash.Sum64(text[:])
}

// A score is h^(4/weight), as a numerator over 2^128, rounded down.
type score struct{ high, low uint64 }

func scoreOf(h uint64, weight Weight) score {
	switch weight {
	case AlwaysOn:
		return score{high: h}
	case Medium:
		high, low := bits.Mul64(h, h)
		return score{high, low}
	}
	return square(bits.Mul64(h, h))
}

// square returns the upper 128 bits of the 256 of (high * 2^64 + low) squared.
func square(high, low uint64) score {
	top, third := bits.Mul64(high, high)
	cross, crossLow := bits.Mul64(high, low)
	below, _ := bits.Mul64(low, low)
	// The square is top:third:0:0 + 2 * (cross:crossLow):0 + below:..., in words of 64 bits. What is below
	// the second word matters by its carry only.
	_, carry := bits.Add64(crossLow, crossLow, 0)
	second, carryOut := bits.Add64(cross, cross, carry)
	_, carry = bits.Add64(crossLow<<1, below, 0)
	low, carry = bits.Add64(third, second, carry)
	high, _ = bits.Add64(top, carryOut, carry)
	return score{high, low}
}

func (s score) over(other score) bool {
	return s.high > other.high || s.high == other.high && s.low > other.low
}

func (s score) compare(other score) int {
	switch {
	case s.over(other):
		return 1
	case other.over(s):
		return -1
	}
	return 0
}

// first returns the member with the highest score for a number; the members are ordered by peer, so of equal
// scores the first is kept.
func first(members []ranked, number uint64) (id.Peer, bool) {
	var best score
	winner := -1
	for i, member := range members {
		if s := scoreOf(random(member.seed, number), member.Weight); winner < 0 || s.over(best) {
			best, winner = s, i
		}
	}
	if winner < 0 {
		return id.Peer{}, false
	}
	return members[winner].Peer, true
}

// rank returns all members, the highest score first.
func rank(members []ranked, number uint64) []id.Peer {
	type scored struct {
		peer id.Peer
		score
	}
	list := make([]scored, len(members))
	for i, member := range members {
		list[i] = scored{member.Peer, scoreOf(random(member.seed, number), member.Weight)}
	}
	slices.SortStableFunc(list, func(a, b scored) int { return b.compare(a.score) })
	peers := make([]id.Peer, len(list))
	for i, one := range list {
		peers[i] = one.peer
	}
	return peers
}

// Owner returns who should fetch a fragment over the WAN; false when every member's weight is 0.
func (t *Table) Owner(index core.FragmentIndex) (id.Peer, bool) {
	return first(t.fragments, uint64(index))
}

// Rank returns the members in the order in which they should fetch a fragment: the owner, then who takes its
// place when it is lost, and so on. Members of weight 0 are not in it.
func (t *Table) Rank(index core.FragmentIndex) []id.Peer { return rank(t.fragments, uint64(index)) }

// Askers returns the members in the order of one minute, counted since 1970. At an origin that grants no
// leases only the first WAN_FETCHERS of it may ask; the next minute it is others' turn.
func (t *Table) Askers(minute int64) []id.Peer { return rank(t.askers, uint64(minute)) }
