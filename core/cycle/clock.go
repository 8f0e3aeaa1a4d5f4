package cycle

import (
	"time"

	"enjambre/core"
)

// leastPause is how long a pause lasts when the latencies are 0, so that whole periods have a length to count by.
const leastPause = time.Millisecond

// A clock counts cycles. The zero clock stands still.
type clock struct {
	cycle int       // from 1; 0 while it stands still
	ended time.Time // when the work of that cycle ended and its pause began; zero while it is at work

	answered bool // the origin has answered an ask in this cycle
	failed   bool // with a failure
}

// passed says which cycles began between two looks at the clock.
type passed struct {
	from, to int   // the cycle at the first look and at the second
	periods  int64 // how many periods began between
	length   int   // cycles in a period
}

// pauses reports whether the work of the running cycle has ended.
func (c *clock) pauses() bool { return !c.ended.IsZero() }

// rests reports whether only priority 0 may ask the origin. A cycle in which the origin has not been asked has
// nothing to rest from.
func (c *clock) rests() bool { return c.pauses() && c.answered }

// begins returns when the next cycle does; the clock pauses. After a failure that is never at once.
func (c *clock) begins(options Options) time.Time {
	pause := options.cyclePause()
	if c.cycle >= options.periodLength() {
		pause += options.PeriodLatency
	}
	if c.failed {
		pause = max(pause, MinCycle)
	}
	return c.ended.Add(pause)
}

// advance moves a clock that pauses to now, by arithmetic, as if there were nothing to do in any cycle: the time may be
// years.
func (c *clock) advance(now time.Time, options Options) passed {
	reached := passed{from: c.cycle, to: c.cycle, length: options.periodLength()}
	begins := c.begins(options)
	if now.Before(begins) {
		return reached
	}
	length, period := options.cyclePause(), options.period()
	reached.to++
	if c.cycle >= reached.length {
		reached.to, reached.periods = 1, 1
	}
	periodBegan := begins.Add(-time.Duration(reached.to-1) * length)
	elapsed := now.Sub(periodBegan)
	whole := int64(elapsed / period)
	reached.periods += whole
	reached.to = min(int(elapsed%period/length)+1, reached.length) // PeriodLatency is in the last
	ended := periodBegan.Add(time.Duration(whole)*period + time.Duration(reached.to-1)*length)
	*c = clock{cycle: reached.to, ended: ended}
	return reached
}

// divides reports whether the priority divides one of the cycles that began.
func (p passed) divides(priority core.Priority) bool {
	n := int(priority)
	switch {
	case p.periods == 0 && p.to == p.from:
		return false
	case n == 0:
		return true
	case p.periods == 0:
		return p.to/n > p.from/n
	default: // the rest of the first period, the beginning of the last, and whole ones between
		return p.length/n > p.from/n || p.to >= n || p.periods > 1 && p.length >= n
	}
}

// divides reports whether the priority divides the running cycle.
func (c *clock) divides(priority core.Priority) bool {
	return c.cycle > 0 && (priority == 0 || c.cycle%int(priority) == 0)
}

// due returns the number of the next cycle that the priority divides, which is not greater than the length of a period.
// again says that it is in the next period.
func (c *clock) due(priority core.Priority, options Options) (cycle int, again bool) {
	step := max(int(priority), 1)
	if cycle = (c.cycle/step + 1) * step; cycle > options.periodLength() {
		return step, true
	}
	return cycle, false
}

// next returns when that cycle begins if there is nothing to do in those before; the clock pauses.
func (c *clock) next(priority core.Priority, options Options) time.Time {
	cycle, again := c.due(priority, options)
	first := c.cycle + 1 // it begins when this pause ends
	if first > options.periodLength() {
		first, again = 1, false
	}
	at := c.begins(options)
	if again {
		at = at.Add(options.period())
	}
	return at.Add(time.Duration(cycle-first) * options.cyclePause())
}

// adjust takes new options into the running cycle: it keeps its number if the period still has it, and a pause ends
// now at the earliest, so that a shorter latency does not skip cycles afterwards.
func (c *clock) adjust(now time.Time, options Options) {
	c.cycle = min(c.cycle, options.periodLength())
	if !c.pauses() {
		return
	}
	if over := now.Sub(c.begins(options)); over > 0 {
		c.ended = c.ended.Add(over)
	}
}
