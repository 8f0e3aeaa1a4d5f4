package cycle

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
)

// TestClock compares the arithmetic with counting cycle by cycle.
func TestClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := Options{
			PeriodLength:  rapid.IntRange(1, 12).Draw(t, "length"),
			CycleLatency:  time.Duration(rapid.IntRange(0, 5).Draw(t, "cycle")) * time.Second,
			PeriodLatency: time.Duration(rapid.IntRange(0, 9000).Draw(t, "period")) * time.Millisecond,
		}
		begin := time.Unix(1_700_000_000, 0)
		failed := rapid.Bool().Draw(t, "failed")
		fast := clock{cycle: rapid.IntRange(1, options.PeriodLength).Draw(t, "cycle"), ended: begin, failed: failed}
		number, ended := fast.cycle, begin // the naive clock
		now := begin
		for range 20 {
			most := 100_000
			if options.CycleLatency == 0 { // the naive clock has a thousand cycles a second
				most = 3_000
			}
			now = now.Add(time.Duration(rapid.IntRange(0, most).Draw(t, "ms")) * time.Millisecond)
			due := [core.MaxPriority + 1]bool{}
			for {
				pause := max(options.CycleLatency, time.Millisecond)
				if number == options.PeriodLength {
					pause += options.PeriodLatency
				}
				if failed {
					pause = max(pause, time.Second)
				}
				if now.Before(ended.Add(pause)) {
					break
				}
				ended, failed = ended.Add(pause), false
				number = number%options.PeriodLength + 1
				for priority := range due {
					due[priority] = due[priority] || priority == 0 || number%priority == 0
				}
			}
			reached := fast.advance(now, options)
			if fast.cycle != number || !fast.ended.Equal(ended) || fast.failed != failed {
				t.Fatalf("%+v: got %+v, want cycle %d, which ended at %v", options, fast, number, ended)
			}
			for priority, want := range due {
				if got := reached.divides(core.Priority(priority)); got != want {
					t.Fatalf("%+v, %+v, priority %d: got %v, want %v", options, reached, priority, got, want)
				}
			}
			checkNext(t, fast, options)
		}
	})
}

// checkNext compares next with looking at the clock just before and just then.
func checkNext(t *rapid.T, now clock, options Options) {
	for priority := range core.MaxPriority + 1 {
		if options.NeverOpens(priority) {
			continue
		}
		next := now.next(priority, options)
		before, then := now, now
		if early := before.advance(next.Add(-1), options); early.divides(priority) {
			t.Fatalf("%+v: priority %v is due before %v", now, priority, next)
		}
		reached := then.advance(next, options)
		cycle, _ := now.due(priority, options)
		if !reached.divides(priority) || !then.divides(priority) || then.cycle != cycle {
			t.Fatalf("%+v: priority %v is not due at %v, in cycle %d", now, priority, next, cycle)
		}
	}
}

func TestIdxSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var set idxSet
		naive := map[core.FragmentIndex]bool{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			index := core.FragmentIndex(rapid.IntRange(0, 200).Draw(t, "index"))
			if rapid.Bool().Draw(t, "add") {
				if got := set.add(index); got == naive[index] {
					t.Fatalf("add %d: got %v", index, got)
				}
				naive[index] = true
			} else {
				set.remove(index)
				delete(naive, index)
			}
			if set.size != len(naive) || set.has(index) != naive[index] {
				t.Fatalf("size %d, has %v; want %d, %v", set.size, set.has(index), len(naive), naive[index])
			}
		}
	})
}
