package cases

import (
	"fmt"
	"testing"
	"time"
)

// TestSplit: a site whose computers are in two halves that do not reach each other pays for two copies, and, once it is
// whole again, for one.
func TestSplit(t *testing.T) {
	f := newFleet(t, paced(8, "20mbit"))
	halves := [][]*member{f.members[:4], f.members[4:]}
	each := func(change func(host string, others ...string) error) {
		t.Helper()
		for i, half := range halves {
			for _, one := range half {
				var others []string
				for _, other := range halves[1-i] {
					others = append(others, other.host)
				}
				if err := change(one.host, others...); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	each(f.lab.Isolate)
	f.await(4*time.Minute, "each half is alone", func() bool { return f.have(3) })
	split := f.build(20 * mib)
	last := f.run(split)
	apart, apartTime := f.awaitLedger(split), f.timeOf(split, last, 20e6)

	each(f.lab.Unite)
	healed := time.Now()
	f.await(8*time.Minute, "all are together", func() bool { return f.have(7) })
	took := time.Since(healed)
	whole := f.build(20 * mib)
	last = f.run(whole)
	together, togetherTime := f.awaitLedger(whole), f.timeOf(whole, last, 20e6)
	report(t, Row{
		Case: "8 agents in two halves that do not reach each other, 20 MiB; then another 20 MiB, when they do again",
		Goal: "<= 2.05 copies in <= 6 bounds; together again in <= 180 s; then no fragment twice in <= 1.10",
		Measured: fmt.Sprintf("%.2f copies, time %.2f, %v; together after %.0f s; %.2f copies, time %.2f, %v",
			copiesOf(apart, split), apartTime, apart, took.Seconds(), copiesOf(together, whole), togetherTime, together),
		Met: copiesOf(apart, split) <= 2.05 && apartTime <= 6 && took <= 3*time.Minute && copiesOf(together, whole) <= 1 &&
			togetherTime <= 1.10,
	})
}

// copiesOf is what went into a site of a package.
func copiesOf(sent traffic, p payload) float64 { return float64(sent.OriginBytes) / float64(p.bytes) }

// have reports whether each agent has so many neighbours.
func (f *fleet) have(neighbours int) bool {
	for _, m := range f.members {
		if m.log.read(f.T); m.log.neighbours != neighbours {
			return false
		}
	}
	return true
}

// run affects a package to all, and returns when the last has it.
func (f *fleet) run(p payload) time.Time {
	f.Helper()
	f.must("affect", "--package", p.id.String(), "--query", "os = linux")
	last := f.awaitComplete(6*time.Minute, f.members, p)
	f.awaitSuccess(2*time.Minute, p, len(f.members))
	return last
}
