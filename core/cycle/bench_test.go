package cycle_test

import (
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
)

// BenchmarkStep measures one fragment from the origin and the next ask, with NextWake, while 100 packages
// wait.
func BenchmarkStep(b *testing.B) {
	b.Run("100-packages", func(b *testing.B) {
		w := newWorld(b, cycle.Options{PeriodLength: 10, CycleLatency: time.Minute, Timeout: 30 * day})
		for id := core.PackageID(100); id > 0; id-- { // the first, 100, is the one that asks
			w.schedule.Step(epoch, pack(id, 1+core.Priority((100-id)/10), core.MaxFragments))
		}
		w.schedule.Step(epoch, cycle.AskPostponed{ID: 100}) // cedes to 91, the most urgent
		now := epoch
		for b.Loop() {
			now = now.Add(time.Millisecond)
			arrived := cycle.FragmentArrived{ID: 91, Missing: core.MaxFragments, FromOrigin: true}
			if actions := w.schedule.Step(now, arrived); len(actions) != 1 {
				b.Fatalf("got %v, want one ask", actions)
			}
			w.schedule.NextWake()
		}
	})
}
