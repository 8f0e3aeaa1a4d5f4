package owner

import (
	"testing"

	"enjambre/core"
	"enjambre/core/fragment"
)

// BenchmarkShare measures what a change of neighbours costs, and BenchmarkWant what each ask of the origin
// does.
func BenchmarkShare(b *testing.B) {
	b.Run("50-members-8000-fragments", func(b *testing.B) {
		members := someMembers(50)
		for b.Loop() {
			NewTable(core.Digest{1}, nil, members).Share(members[3].Peer, 8000)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(50*8000), "ns/pair")
	})
}

func BenchmarkWant(b *testing.B) {
	members := someMembers(50)
	share := NewTable(core.Digest{1}, nil, members).Share(members[3].Peer, 8000)
	set := fragment.NewSet(8000)
	b.Run("8000-missing", func(b *testing.B) {
		for b.Loop() {
			share.Want(set.Missing())
		}
	})
}

func BenchmarkRank(b *testing.B) {
	table := NewTable(core.Digest{1}, nil, someMembers(50))
	b.Run("50-members", func(b *testing.B) {
		for b.Loop() {
			table.Rank(7)
		}
	})
}
