package owner

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/peer/id"
)

var weights = []Weight{Never, Light, Medium, AlwaysOn}

// someMembers returns count members whose weights go round.
func someMembers(count int) []Member {
	var members []Member
	for i := range count {
		peer := id.Peer(core.DigestOf([]byte{byte(i), byte(i >> 8), 'm'}))
		members = append(members, Member{peer, weights[i%len(weights)]})
	}
	return members
}

// drawMembers draws up to most distinct members.
func drawMembers(t *rapid.T, most int) []Member {
	members := someMembers(rapid.IntRange(1, most).Draw(t, "members"))
	salt := rapid.Byte().Draw(t, "salt")
	for i := range members {
		members[i].Peer[31] ^= salt
		members[i].Weight = rapid.SampledFrom(weights).Draw(t, "weight")
	}
	return members
}

func drawInfo(t *rapid.T) core.Digest {
	return core.DigestOf([]byte{rapid.Byte().Draw(t, "info"), rapid.Byte().Draw(t, "info")})
}

// TestScoreIsExact holds the 128-bit arithmetic to big integers.
func TestScoreIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edges := rapid.SampledFrom([]uint64{0, 1, 1 << 32, 1<<32 - 1, 1 << 63, math.MaxUint64})
		h := rapid.OneOf(rapid.Uint64(), edges).Draw(t, "h")
		for weight, power := range map[Weight]uint{AlwaysOn: 1, Medium: 2, Light: 4} {
			exact := new(big.Int).Exp(new(big.Int).SetUint64(h), big.NewInt(int64(power)), nil)
			if power == 1 {
				exact.Lsh(exact, 64)
			} else {
				exact.Rsh(exact, 64*power-128)
			}
			got := scoreOf(h, weight)
			low := new(big.Int).And(exact, new(big.Int).SetUint64(math.MaxUint64))
			want := score{new(big.Int).Rsh(exact, 64).Uint64(), low.Uint64()}
			if got != want {
				t.Fatalf("h %d, weight %d: got %v, want %v", h, weight, got, want)
			}
		}
	})
}

// TestScoreOrder: scores are in the order of -w/ln(h), wherever floating point can tell them apart.
func TestScoreOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var scores [2]score
		var textbook [2]float64
		for i := range scores {
			h := rapid.Uint64Range(1, 1<<64-1<<44).Draw(t, "h") // above, ln has too few digits
			weight := rapid.SampledFrom(weights[1:]).Draw(t, "weight")
			scores[i] = scoreOf(h, weight)
			textbook[i] = -float64(weight) / (math.Log(float64(h)) - 64*math.Ln2)
		}
		if math.Abs(textbook[0]-textbook[1]) < 1e-8*textbook[0] {
			return
		}
		tiny := score{low: 1 << 20} // rounding has left too few digits
		if !scores[0].over(tiny) || !scores[1].over(tiny) {
			return
		}
		if scores[0].over(scores[1]) != (textbook[0] > textbook[1]) {
			t.Fatalf("scores %v, textbook %v", scores, textbook)
		}
	})
}

// TestBalance: each member owns its weight's share of the fragments, within six standard deviations of a fair
// lot.
func TestBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const count = 4000
		members := drawMembers(t, 50)
		table := NewTable(drawInfo(t), nil, members)
		owned := map[id.Peer]int{}
		for index := range core.FragmentIndex(count) {
			if owner, ok := table.Owner(index); ok {
				owned[owner]++
			}
		}
		total := 0
		for _, member := range members {
			total += int(member.Weight)
		}
		if total == 0 && len(owned) != 0 {
			t.Fatalf("only members of weight 0, and somebody owns: %v", owned)
		}
		for _, member := range members {
			share := float64(member.Weight) / float64(max(total, 1))
			bound := 6 * math.Sqrt(count*share*(1-share))
			if got := float64(owned[member.Peer]); math.Abs(got-count*share) > bound {
				t.Fatalf("%v of weight %d of %d owns %v of %d, want %.0f +- %.0f", member.Peer, member.Weight,
					total, got, count, count*share, bound)
			}
		}
	})
}

// TestOrderIndependence: neither the order of the list nor a member listed twice changes anything.
func TestOrderIndependence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, info := drawMembers(t, 20), drawInfo(t)
		table := NewTable(info, []byte("s"), members)
		shuffled := rapid.Permutation(members).Draw(t, "order")
		twice := shuffled[rapid.IntRange(0, len(members)-1).Draw(t, "twice")]
		twice.Weight = max(twice.Weight, rapid.SampledFrom(weights).Draw(t, "weight"))
		again := NewTable(info, []byte("s"), append(shuffled, twice))
		for index := range core.FragmentIndex(50) {
			if got, want := again.Rank(index), table.Rank(index); !slices.Equal(got, want) {
				t.Fatalf("fragment %d: got %v, want %v", index, got, want)
			}
		}
		if got, want := again.Askers(7), table.Askers(7); !slices.Equal(got, want) {
			t.Fatalf("askers: got %v, want %v", got, want)
		}
	})
}

// TestMinimalDisruption: when a member leaves, its fragments go to the next of each rank, and nothing else
// moves. Read backwards, a member that joins takes only what becomes its own.
func TestMinimalDisruption(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, info := drawMembers(t, 20), drawInfo(t)
		table := NewTable(info, nil, members)
		gone := rapid.IntRange(0, len(members)-1).Draw(t, "gone")
		smaller := NewTable(info, nil, slices.Delete(slices.Clone(members), gone, gone+1))
		for index := range core.FragmentIndex(100) {
			left := func(peer id.Peer) bool { return peer == members[gone].Peer }
			want := slices.DeleteFunc(table.Rank(index), left)
			if got := smaller.Rank(index); !slices.Equal(got, want) {
				t.Fatalf("fragment %d: got %v, want %v", index, got, want)
			}
		}
	})
}

// TestWeightMonotone: a member that gains weight loses nothing, and no fragment moves between others.
func TestWeightMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, info := drawMembers(t, 12), drawInfo(t)
		raised := rapid.IntRange(0, len(members)-1).Draw(t, "raised")
		members[raised].Weight = Light
		before := NewTable(info, nil, members)
		members[raised].Weight = AlwaysOn
		after := NewTable(info, nil, members)
		for index := range core.FragmentIndex(200) {
			was, _ := before.Owner(index)
			is, _ := after.Owner(index)
			if was != is && is != members[raised].Peer {
				t.Fatalf("fragment %d went from %v to %v; %v gained", index, was, is, members[raised].Peer)
			}
		}
	})
}

// TestRank: everyone of weight above 0 once, the owner first.
func TestRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t, 20)
		table := NewTable(drawInfo(t), nil, members)
		index := core.FragmentIndex(rapid.Uint32().Draw(t, "index"))
		order := table.Rank(index)
		owner, ok := table.Owner(index)
		if ok != (len(order) > 0) || ok && order[0] != owner {
			t.Fatalf("owner %v, %v; rank %v", owner, ok, order)
		}
		able := map[id.Peer]bool{}
		for _, member := range members {
			if member.Weight > 0 {
				able[member.Peer] = true
			}
		}
		for _, peer := range order {
			if !able[peer] {
				t.Fatalf("%v is in the order twice, or cannot own", peer)
			}
			delete(able, peer)
		}
		if len(able) != 0 {
			t.Fatalf("not in the order: %v", slices.Collect(maps.Keys(able)))
		}
	})
}

// TestSeeds: package, secret and purpose each make another order.
func TestSeeds(t *testing.T) {
	members := someMembers(40)
	info := core.DigestOf([]byte("info"))
	orders := map[string][]id.Peer{
		"fragment 0":      NewTable(info, nil, members).Rank(0),
		"fragment 1":      NewTable(info, nil, members).Rank(1),
		"another package": NewTable(core.DigestOf([]byte("other")), nil, members).Rank(0),
		"a secret":        NewTable(info, []byte("secret"), members).Rank(0),
		"another secret":  NewTable(info, []byte("secret2"), members).Rank(0),
		"askers":          NewTable(info, nil, members).Askers(0),
		"next minute":     NewTable(info, nil, members).Askers(1),
		"reporters":       Reporters("lyon", nil, members),
		"another site":    Reporters("lima", nil, members),
		"site's secret":   Reporters("lyon", []byte("secret"), members),
	}
	seen := map[string]string{}
	for name, order := range orders {
		text := fmt.Sprint(order)
		if other, twice := seen[text]; twice {
			t.Errorf("%s and %s have one order", name, other)
		}
		seen[text] = name
	}
}

func TestReporter(t *testing.T) {
	order := Reporters("lyon", nil, someMembers(5)) // of which three may report
	if len(order) != 3 {
		t.Fatalf("got %d reporters, want 3", len(order))
	}
	for _, c := range []struct {
		silence time.Duration
		want    int
	}{
		{-time.Hour, 0}, {0, 0}, {ReporterSilence - 1, 0}, {ReporterSilence, 1}, {2 * ReporterSilence, 2},
		{3 * ReporterSilence, 0}, {math.MaxInt64, int(math.MaxInt64 / ReporterSilence % 3)},
	} {
		if got, ok := Reporter(order, c.silence); !ok || got != order[c.want] {
			t.Errorf("after %v: got %v, %v, want number %d", c.silence, got, ok, c.want)
		}
	}
	if got, ok := Reporter(nil, time.Hour); ok {
		t.Errorf("a site without members has reporter %v", got)
	}
}

func TestParseWeight(t *testing.T) {
	for number := range 256 {
		weight, err := ParseWeight(uint8(number))
		known := slices.Contains(weights, Weight(number))
		if known != (err == nil) || known && int(weight) != number {
			t.Errorf("%d: got %v, %v", number, weight, err)
		}
	}
}
