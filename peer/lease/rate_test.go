package lease_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/lease"
)

func TestPayloadRate(t *testing.T) {
	for wan, want := range map[int64]int64{0: 0, 1: 0, 1045: 1000, 2_500_000: 2_392_344, 1 << 60: 1103274167087891843} {
		if got := lease.PayloadRate(wan); got != want {
			t.Errorf("%d: got %d, want %d", wan, got, want)
		}
	}
}

func TestShares(t *testing.T) {
	flow := func(member int, priority core.Priority) lease.Flow {
		return lease.Flow{Member: name(member), Priority: priority}
	}
	slow := func(f lease.Flow) lease.Flow { f.Slow = true; return f }
	capped := func(f lease.Flow, at int64) lease.Flow { f.Cap = at; return f }
	for title, test := range map[string]struct {
		rate  int64
		flows []lease.Flow
		want  []int64
	}{
		"nobody":              {1000, nil, []int64{}},
		"one has all":         {1000, []lease.Flow{flow(1, 5)}, []int64{1000}},
		"without a rate":      {0, []lease.Flow{flow(1, 5)}, []int64{0}},
		"equals":              {800, []lease.Flow{flow(1, 5), flow(2, 5)}, []int64{400, 400}},
		"two of one member":   {1600, []lease.Flow{flow(1, 5), flow(1, 5), flow(2, 5)}, []int64{416, 417, 767}},
		"the urgent first":    {1600, []lease.Flow{flow(1, 1), flow(2, 0)}, []int64{100, 1500}},
		"what it cannot take": {1600, []lease.Flow{flow(1, 1), capped(flow(2, 0), 600)}, []int64{1000, 600}},
		"max-min": {
			1600, []lease.Flow{capped(flow(1, 5), 200), flow(2, 5), flow(3, 5)}, []int64{200, 700, 700},
		},
		"a cap below the least":      {1600, []lease.Flow{capped(flow(1, 5), 7), flow(2, 5)}, []int64{7, 1593}},
		"slow has an eighth":         {1600, []lease.Flow{slow(flow(1, 0)), flow(2, 5)}, []int64{100, 1500}},
		"slow and alone":             {1600, []lease.Flow{slow(flow(1, 0))}, []int64{1600}},
		"slow among slow":            {1600, []lease.Flow{slow(flow(1, 0)), slow(flow(2, 5))}, []int64{1500, 100}},
		"slow has what others leave": {1600, []lease.Flow{slow(flow(1, 5)), capped(flow(2, 0), 600)}, []int64{1000, 600}},
		"priorities share by member": {1600, []lease.Flow{flow(1, 0), flow(1, 3)}, []int64{1500, 100}},
	} {
		if got := lease.Shares(test.rate, test.flows); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", title, got, test.want)
		}
	}
}

// TestSharesLaws: nothing is given twice or wasted, nobody starves, and nobody could have more at the cost of
// those only that have more already.
func TestSharesLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(0, 5_000_000).Draw(t, "rate")
		flows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) lease.Flow {
			return lease.Flow{
				Member:   name(rapid.IntRange(1, 4).Draw(t, "member")),
				Priority: core.Priority(rapid.IntRange(0, 2).Draw(t, "priority")),
				Slow:     rapid.IntRange(0, 4).Draw(t, "slow") == 0,
				Cap:      rapid.SampledFrom([]int64{0, 0, 1, 1000, 200_000}).Draw(t, "cap"),
			}
		}), 1, 9).Draw(t, "flows")
		shares := lease.Shares(rate, flows)
		floor := rate / int64(8*len(flows))
		var sum int64
		byMember := map[id.Peer]int64{}
		limits := make([]int64, len(flows))
		for i, share := range shares {
			limits[i] = rate
			if flows[i].Cap > 0 {
				limits[i] = min(limits[i], flows[i].Cap)
			}
			if share > limits[i] || share < min(floor, limits[i]) {
				t.Fatalf("flow %d of %+v has %d of %d", i, flows, share, limits[i])
			}
			sum += share
		}
		if sum > rate {
			t.Fatalf("%v is more than %d", shares, rate)
		}
		for i, share := range shares {
			if flows[i].Priority == 1 && !flows[i].Slow {
				byMember[flows[i].Member] += share - min(floor, limits[i])
			}
		}
		lost := int64(2 * len(flows)) // whole bytes
		for i, flow := range flows {
			if shares[i] == limits[i] {
				continue // it has what it can take
			}
			if sum < rate-lost {
				t.Fatalf("%v of %d: %d could take more", shares, rate, i)
			}
			for j, other := range flows {
				extra := shares[j] - min(floor, limits[j])
				if (other.Slow && !flow.Slow || other.Slow == flow.Slow && other.Priority > flow.Priority) && extra > lost {
					t.Fatalf("%v: %d has more than the least, and %d could take it", shares, j, i)
				}
				more := byMember[other.Member] > byMember[flow.Member]+lost && extra > 0
				if !flow.Slow && !other.Slow && flow.Priority == 1 && other.Priority == 1 && more {
					t.Fatalf("%v: the member of %d has more than that of %d, which could take it", shares, j, i)
				}
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 10_450}}) // payload 10,000: a fragment takes 6.55 s
	for member := range 4 {
		b.granted(b.ask(member+1, core.FragmentIndex(member)))
	}
	least, most := time.Hour, time.Duration(0)
	for member := range 200 {
		after := b.ask(member+10, 0).(lease.Refuse).RetryAfter
		least, most = min(least, after), max(most, after)
	}
	queue := 4 * 6553600 * time.Microsecond
	if least < queue || least > queue*11/10 || most > queue*3/2 || most < queue*14/10 {
		t.Errorf("got %v to %v, want %v to one and a half times that", least, most, queue)
	}
}

func TestRates(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 104_500}})
	b.step(lease.PackageKnown{Package: digest(2), Plan: plan(t, 2, size), Priority: 0})
	first := b.granted(b.ask(1, 0)).Lease
	check := func(title string, want ...int64) {
		t.Helper()
		var got []int64
		for id := first; id < first+lease.LeaseID(len(want)); id++ {
			got = append(got, b.bodies[id].rate)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", title, got, want)
		}
	}
	check("alone", 100_000)
	b.granted(b.ask(2, 1))
	check("two", 50_000, 50_000)
	b.say(lease.MemberAsked{Member: name(3), Package: digest(2), Want: []core.FragmentIndex{0}})
	check("an urgent third", 4166, 4166, 100_000-2*4166)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 209_000}})
	check("more at night", 8333, 8333, 200_000-2*8333)
	b.step(lease.PolicyChanged{})
	check("without limit", 0, 0, 0)
}
