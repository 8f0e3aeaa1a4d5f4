package owner

import (
	"iter"
	"slices"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
)

// MaxWant is how many fragments an agent names to the origin at once.
const MaxWant = 64

// A Share is one member's part of a package: the fragments that it owns, and an order of all that is its own.
// It does not change; a new one is made of a new table. Any number of goroutines may use it.
type Share struct {
	own  *fragment.Set
	seed uint64
}

// Share computes the part of a member among the table's, which are its neighbours that want the package and
// itself, of a package of count fragments, 0 to core.MaxFragments. A member that is not in the table, or
// whose weight is 0, owns nothing. The time is that of a hash for each member and fragment: one table, one
// Share.
func (t *Table) Share(self id.Peer, count int) *Share {
	share := &Share{own: fragment.NewSet(count), seed: seedOf(t.order, self)}
	if !slices.ContainsFunc(t.fragments, func(one ranked) bool { return one.Peer == self }) {
		return share
	}
	for index := range core.FragmentIndex(count) {
		if owner, _ := t.Owner(index); owner == self {
			share.own.Add(index)
		}
	}
	return share
}

// Owns reports whether a fragment is the member's to fetch.
func (s *Share) Owns(index core.FragmentIndex) bool { return s.own.Has(index) }

// Count returns how many fragments the member owns.
func (s *Share) Count() int { return s.own.Count() }

// Want returns what the member should ask the origin for, at most MaxWant fragments in the order of its
// wishes: of the missing ones, which are those that neither it nor a neighbour of it holds, first its own,
// then the others. Both are in an order that hashing gives this member and package, so that members that see
// different neighbours do not ask for the same, and one that asks again asks alike. A missing fragment that
// the package does not have is one of the others. The time grows with the number of missing fragments; memory
// does not.
func (s *Share) Want(missing iter.Seq[core.FragmentIndex]) []core.FragmentIndex {
	var best []wish // in order, at most MaxWant
	for index := range missing {
		one := wish{!s.Owns(index), random(s.seed, uint64(index)), index}
		if len(best) == MaxWant && best[MaxWant-1].compare(one) < 0 {
			continue
		}
		if at, named := slices.BinarySearchFunc(best, one, wish.compare); !named {
			best = slices.Insert(best[:min(len(best), MaxWant-1)], at, one)
		}
	}
	indexes := make([]core.FragmentIndex, len(best))
	for i, one := range best {
		indexes[i] = one.index
	}
	return indexes
}

// A wish is a missing fragment with its place in a member's order.
type wish struct {
	foreign bool // another member owns it
	place   uint64
	index   core.FragmentIndex
}

func (w wish) compare(other wish) int {
	switch {
	case w.foreign != other.foreign:
		if other.foreign {
			return -1
		}
		return 1
	case w.place < other.place:
		return -1
	case w.place > other.place:
		return 1
	}
	return int(w.index) - int(other.index)
}
