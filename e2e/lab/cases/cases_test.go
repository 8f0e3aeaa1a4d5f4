package cases

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"enjambre/core/wanrate"
)

const mib = 1 << 20

// A result is what was measured at one site, or the worst of several.
type result struct {
	bytes float64 // that came over the WAN, for each of the package
	time  float64 // for each of the bound
	sent  float64 // payload by the origin, for each of the package
}

func (r result) String() string {
	return fmt.Sprintf("WAN bytes %.3f, time %.3f, payload %.4f", r.bytes, r.time, r.sent)
}

// bound is how long a line needs for a package in full segments.
func bound(bytes int64, rate wanrate.Rate) time.Duration {
	return time.Duration(float64(bytes) * 8 * 1514 / 1448 / float64(rate) * float64(time.Second))
}

// measure waits until agents have a package, and says what that took at each site.
func (f *fleet) measure(p payload, affected time.Time, most time.Duration, members []*member) []result {
	f.Helper()
	f.awaitComplete(most, members, p)
	var results []result
	sent := f.bodies(p)
	for i, site := range f.topology.Sites {
		ours := func(one body) bool { return f.siteOf(one.remote) == i }
		here := sentTo(sent, ours)
		began, last := firstByte(here), f.lastOf(members, site.Name, p)
		f.Logf("%s: affected %v before the first byte, all have it %v after", site.Name, began.Sub(affected), last.Sub(began))
		results = append(results, result{
			bytes: float64(f.watch.down(i, affected, last)) / float64(p.bytes),
			time:  last.Sub(began).Seconds() / bound(p.bytes, site.Down).Seconds(),
			sent:  float64(payloadBytes(here)) / float64(p.bytes),
		})
	}
	return results
}

// worst is the worst of each value.
func worst(results []result) (all result) {
	for _, one := range results {
		all = result{max(all.bytes, one.bytes), max(all.time, one.time), max(all.sent, one.sent)}
	}
	return all
}

// TestAlone is what the swarm is measured against: agents without it, one WAN, each fetching for itself.
func TestAlone(t *testing.T) {
	f := newFleet(t, plan{
		sites:    sites(1, 5, 20_000_000),
		settings: []string{"DOWNLOAD_FRAG_LATENCY 0"},
		set:      []string{"--swarm", "off"},
	})
	p := f.build(10 * mib)
	got := worst(f.measure(p, f.affect(p), 2*time.Minute, f.members))
	f.awaitSuccess(time.Minute, p, len(f.members))
	report(t, Row{
		Case: "each agent alone: 5 agents, 10 MiB, 20 Mbit/s", Goal: "about 5, for comparison", Measured: got.String(),
		Met: got.bytes > 4.9 && got.bytes < 5.6 && got.time < 6,
	})
}

// TestSwarm: a package crosses a site's WAN once, in the time that takes, however many agents there are.
func TestSwarm(t *testing.T) {
	for _, one := range []struct {
		name           string
		sites, agents  int
		mbit           wanrate.Rate
		bytes          int64
		pace           string
		latency        int // FRAG_LATENCY, seconds
		mostTime       float64
		mostBytes      float64
		allowedMinutes time.Duration
	}{
		{"20 agents, 100 MiB, 20 Mbit/s", 1, 20, 20, 100 * mib, "rate", 10, 1.06, 1.05, 5},
		{"3 sites of 6, 50 MiB, 10 Mbit/s", 3, 6, 10, 50 * mib, "rate", 10, 1.06, 1.05, 5},
		{"20 agents, 100 MiB, 20 Mbit/s, FRAG_LATENCY 10 s", 1, 20, 20, 100 * mib, "latency", 10, 1.10, 1.05, 8},
		{"5 agents, 25 MiB, 20 Mbit/s", 1, 5, 20, 25 * mib, "rate", 10, 1.06, 1.05, 4},
		{"2 agents, 10 MiB, 4 Mbit/s", 1, 2, 4, 10 * mib, "rate", 10, 1.06, 1.05, 4},
		{"20 agents, one fragment", 1, 20, 20, 400 << 10, "rate", 10, 0, 0, 3},
	} {
		t.Run(one.name, func(t *testing.T) {
			f := newFleet(t, plan{
				sites:    sites(one.sites, one.agents, one.mbit*1_000_000),
				settings: []string{fmt.Sprint("DOWNLOAD_FRAG_LATENCY ", one.latency)},
				set:      []string{"--pace", one.pace, "--wan-rate", (one.mbit * 1_000_000).String()},
			})
			p := f.build(one.bytes)
			results := f.measure(p, f.affect(p), one.allowedMinutes*time.Minute, f.members)
			f.awaitSuccess(time.Minute, p, len(f.members))
			got, floor := worst(results), f.floor(p, one.pace, one.latency, one.agents)
			got.time /= floor
			goal := []string{"no fragment twice"}
			met := got.sent <= 1
			if one.mostTime > 0 {
				goal = append(goal, fmt.Sprintf("bytes <= %.2f, time <= %.2f", one.mostBytes, one.mostTime))
				met = met && got.time <= one.mostTime && got.bytes <= one.mostBytes
			}
			measured := []string{got.String()}
			if floor > 1 {
				goal, measured = append(goal, "of the schedule's floor"), append(measured, fmt.Sprintf("floor %.2f bounds", floor))
			}
			if one.sites > 1 {
				between := f.between()
				goal, measured = append(goal, "0 bytes between sites"), append(measured, fmt.Sprintf("%d between sites", between))
				met = met && between == 0
			}
			report(t, Row{Case: one.name, Goal: strings.Join(goal, ", "), Measured: strings.Join(measured, ", "), Met: met})
		})
	}
}

// floor is how many bounds a package needs for its schedule alone: each agent pauses after each of its fragments.
func (f *fleet) floor(p payload, pace string, latency, agents int) float64 {
	if pace == "rate" {
		return 1
	}
	rounds := (p.fragments + agents - 1) / agents
	pauses := time.Duration((rounds-1)*latency) * time.Second
	line := bound(p.bytes, f.topology.Sites[0].Down)
	lastRound := line * time.Duration(p.fragments-(rounds-1)*agents) / time.Duration(p.fragments)
	return max(1, float64(pauses+lastRound)/float64(line))
}

// TestLongLine: few agents behind a satellite keep the line busy all the same: the next ask is at the origin before the
// last body ends.
func TestLongLine(t *testing.T) {
	for agents, most := range map[int]float64{1: 1.3, 2: 1.15, 5: 1.1} {
		t.Run(fmt.Sprint(agents), func(t *testing.T) {
			const rate = 20_000_000
			places := sites(1, agents, rate)
			places[0].RTT, places[0].Queue = 600*time.Millisecond, time.Second
			f := newFleet(t, plan{
				sites:    places,
				settings: []string{"DOWNLOAD_FRAG_LATENCY 0"},
				set:      []string{"--pace", "rate", "--wan-rate", wanrate.Rate(rate).String()},
			})
			p := f.build(100 * mib)
			got := worst(f.measure(p, f.affect(p), 5*time.Minute, f.members))
			f.awaitSuccess(time.Minute, p, len(f.members))
			report(t, Row{
				Case: fmt.Sprintf("%d agents behind a satellite, 600 ms, 100 MiB, 20 Mbit/s", agents),
				Goal: fmt.Sprintf("no fragment twice, time <= %.2f", most), Measured: got.String(),
				Met: got.sent <= 1 && got.time <= most,
			})
		})
	}
}
