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
		fast := clock{cycle: 1, began: begin}
		number, began := 1, begin // the naive clock
		now := begin
		for range 20 {
			now = now.Add(time.Duration(rapid.IntRange(0, 100_000).Draw(t, "ms")) * time.Millisecond)
			due := [core.MaxPriority + 1]bool{}
			for {
				length := options.cycleLength()
				if number == options.PeriodLength {
					length += options.PeriodLatency
				}
				if now.Before(began.Add(length)) {
					break
				}
				began = began.Add(length)
				number = number%options.PeriodLength + 1
				for priority := range due {
					due[priority] = due[priority] || priority == 0 || number%priority == 0
				}
			}
			reached := fast.advance(now, options)
			if fast.cycle != number || !fast.began.Equal(began) {
				t.Fatalf("%+v: got %+v, want cycle %d since %v", options, fast, number, began)
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
		if reached := then.advance(next, options); !reached.divides(priority) || !then.divides(priority) {
			t.Fatalf("%+v: priority %v is not due at %v", now, priority, next)
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
