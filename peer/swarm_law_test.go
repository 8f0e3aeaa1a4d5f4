package peer_test

import (
	"fmt"
	"testing"
	"time"

	"enjambre/core/cycle"
)

// rate is PACE=rate: no latency, the origin's rate alone.
func rate() cycle.Options { return cycle.Options{PeriodLength: 10, CycleLatency: time.Second} }

// TestSwarmCalm: without faults no fragment crosses the WAN twice, whatever each member happens to see of the others,
// and the last member is done soon after the first copy could be.
func TestSwarmCalm(t *testing.T) {
	worst := 0.0
	for seed := range uint64(150) {
		members := 2 + int(seed%11)
		fragments := 8 + int(seed%5)*12
		s := newSite(t, seed, members, fragments, 3, rate())
		took := s.run(seed, time.Hour)
		totals, _ := s.origin.Totals(info)
		if totals.Sent() != s.plan.ArchiveSize() || totals.First != s.plan.ArchiveSize() {
			t.Errorf("seed %d: %d members, R = %.4f", seed, members, float64(totals.Sent())/float64(s.plan.ArchiveSize()))
		}
		bound := time.Duration(int64(time.Second) * s.plan.ArchiveSize() / near.rate)
		worst = max(worst, float64(took-2*time.Second)/float64(bound))
		if took > bound*11/10+4*time.Second {
			t.Errorf("seed %d: %d members, %d fragments: %v, the bound is %v", seed, members, fragments, took, bound)
		}
	}
	t.Logf("the slowest took %.2f of its bound, start apart", worst)
}

// TestSwarmLongLine: few members behind a long line keep it as busy as near ones: the next ask is with the origin before
// the last body ends.
func TestSwarmLongLine(t *testing.T) {
	const rate = 20_000_000 / 8 * 1000 / 1045
	most := map[int]float64{1: 1.3, 2: 1.15, 5: 1.1}
	for members, goal := range most {
		for _, size := range []int64{256 << 10, 512 << 10} {
			for _, trip := range []time.Duration{2 * time.Millisecond, 30 * time.Millisecond, 600 * time.Millisecond} {
				t.Run(fmt.Sprintf("%d members, %v, %d KiB", members, trip, size>>10), func(t *testing.T) {
					wan := line{fragment: size, rate: rate, delay: trip / 2}
					for seed := range uint64(8) {
						s := newSiteBehind(t, wan, seed, members, int(50<<20/size), members-1, cycle.Options{
							PeriodLength: 10, CycleLatency: time.Second,
						})
						took := s.run(seed, time.Hour) - s.first.Sub(began)
						bound := time.Duration(int64(time.Second) * s.plan.ArchiveSize() / rate)
						if ratio := float64(took) / float64(bound); ratio > goal {
							t.Errorf("seed %d: %.2f of the bound, want at most %.2f", seed, ratio, goal)
						}
						if totals, _ := s.origin.Totals(info); totals.Sent() != s.plan.ArchiveSize() {
							t.Errorf("seed %d: R = %.4f", seed, float64(totals.Sent())/float64(s.plan.ArchiveSize()))
						}
					}
				})
			}
		}
	}
}

// TestSwarmCrashes: members die at any moment; the others complete, and each death costs the WAN at most what was on
// its way to it.
func TestSwarmCrashes(t *testing.T) {
	for seed := range uint64(120) {
		members, deaths := 6+int(seed%7), 1+int(seed%3)
		s := newSite(t, seed, members, 40, 4, rate())
		for n := range deaths {
			victim := s.members[n]
			s.after(time.Duration(s.random.Int64N(int64(9*time.Second))), func() { s.kill(victim) })
		}
		s.run(seed, time.Hour)
		totals, _ := s.origin.Totals(info)
		if extra := totals.Sent() - totals.First; extra > int64(deaths)*2*near.fragment || totals.First != s.plan.ArchiveSize() {
			t.Errorf("seed %d: %d deaths cost %.1f fragments; causes %v", seed, deaths, float64(extra)/float64(near.fragment), totals.Extra)
		}
	}
}

// TestSwarmLatency: with the manual's pauses no fragment crosses twice either.
func TestSwarmLatency(t *testing.T) {
	options := rate()
	options.FragLatency = 2 * time.Second
	for seed := range uint64(40) {
		s := newSite(t, seed, 5, 20, 4, options)
		s.run(seed, time.Hour)
		if totals, _ := s.origin.Totals(info); totals.Sent() != s.plan.ArchiveSize() {
			t.Errorf("seed %d: R = %.4f", seed, float64(totals.Sent())/float64(s.plan.ArchiveSize()))
		}
	}
}

// TestSwarmLatencyFloor: with the manual's FRAG_LATENCY a site of 20 takes what the latencies of each member's share take
// and one fragment's time, and hardly more: no pause between cycles gets in between, as the package's turn stays open.
func TestSwarmLatencyFloor(t *testing.T) {
	options := cycle.DefaultOptions()
	const members, fragments = 20, 200
	floor := (fragments/members-1)*options.FragLatency + time.Duration(near.fragment*int64(time.Second)*members/near.rate)
	for seed := range uint64(5) {
		s := newSite(t, seed, members, fragments, 3, options)
		took := s.run(seed, time.Hour)
		if totals, _ := s.origin.Totals(info); totals.Sent() != s.plan.ArchiveSize() || took > floor*11/10+4*time.Second {
			t.Errorf("seed %d: %v, the schedule's floor is %v; %d bytes", seed, took, floor, totals.Sent())
		}
		t.Logf("seed %d: %v, the schedule's floor is %v", seed, took, floor)
	}
}

// TestSwarmRepeats: one seed is one history.
func TestSwarmRepeats(t *testing.T) {
	for seed := range uint64(5) {
		var traces [2][32]byte
		for i := range traces {
			s := newSite(t, seed, 8, 30, 3, rate())
			s.after(3*time.Second, func() { s.kill(s.members[2]) })
			s.run(seed, time.Hour)
			traces[i] = s.trace
		}
		if traces[0] != traces[1] {
			t.Errorf("seed %d: two histories", seed)
		}
	}
}
