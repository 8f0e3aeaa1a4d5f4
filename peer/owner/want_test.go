package owner

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
)

// TestWant holds Want to its definition, spelled out by sorting everything.
func TestWant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t, 10)
		count := rapid.IntRange(1, 300).Draw(t, "count")
		held := fragment.NewSet(count)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "held"), 0))
		for index := range core.FragmentIndex(count) {
			if random.IntN(4) == 0 {
				held.Add(index)
			}
		}
		self := members[0].Peer
		if rapid.Bool().Draw(t, "stranger") {
			self = id.Peer{1}
		}
		table := NewTable(drawInfo(t), nil, members)
		share := table.Share(self, count)
		var own, others []core.FragmentIndex
		for index := range held.Missing() {
			if owner, ok := table.Owner(index); ok && owner == self {
				own = append(own, index)
			} else {
				others = append(others, index)
			}
		}
		byPlace := func(list []core.FragmentIndex) {
			place := func(index core.FragmentIndex) uint64 { return randomOf(share, index) }
			slices.SortFunc(list, func(a, b core.FragmentIndex) int {
				if place(a) < place(b) {
					return -1
				}
				return 1
			})
		}
		byPlace(own)
		byPlace(others)
		want := append(own, others...)
		want = want[:min(len(want), MaxWant)]
		if got := share.Want(held.Missing()); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func randomOf(share *Share, index core.FragmentIndex) uint64 {
	return random(share.seed, uint64(index))
}

// TestWantSpreads: two members that both see all fragments as missing first name different ones, and later
// ones in different orders.
func TestWantSpreads(t *testing.T) {
	members := someMembers(8) // two of weight 4
	table := NewTable(core.DigestOf([]byte("info")), nil, members)
	set := fragment.NewSet(64 * len(members))
	first, second := table.Share(members[3].Peer, set.Size()), table.Share(members[7].Peer, set.Size())
	a, b := first.Want(set.Missing()), second.Want(set.Missing())
	for _, index := range a {
		if slices.Contains(b, index) {
			t.Errorf("both begin with fragment %d", index)
		}
	}
	light := table.Share(members[1].Peer, set.Size()).Want(set.Missing())
	metered := table.Share(members[0].Peer, set.Size()).Want(set.Missing())
	if len(light) != MaxWant || len(metered) != MaxWant || slices.Equal(light, metered) {
		t.Errorf("got %v and %v, want 64 each in two orders", light, metered)
	}
	twice := func(yield func(core.FragmentIndex) bool) {
		for range 2 {
			for index := range core.FragmentIndex(5) {
				if !yield(index) {
					return
				}
			}
		}
	}
	if got := first.Want(twice); len(got) != 5 {
		t.Errorf("5 fragments named twice: got %v", got)
	}
	if shares := table.Share(members[0].Peer, 100); shares.Count() != 0 || shares.Owns(3) {
		t.Errorf("weight 0 owns %d fragments", shares.Count())
	}
}
