package cycle

import (
	"time"

	"enjambre/core"
)

// A clock counts cycles. The zero clock stands still.
type clock struct {
	cycle int       // from 1; 0 while it stands still
	began time.Time // when that cycle began
}

// passed says which cycles began between two looks at the clock.
type passed struct {
	from, to int   // the cycle at the first look and at the second
	periods  int64 // how many periods began between
	length   int   // cycles in a period
}

// advance moves the clock to now, by arithmetic: the time since the last look may be years.
func (c *clock) advance(now time.Time, options Options) passed {
	if c.cycle == 0 {
		return passed{}
	}
	length, period := options.cycleLength(), options.period()
	periodBegan := c.began.Add(-time.Duration(c.cycle-1) * length)
	elapsed := now.Sub(periodBegan)
	reached := passed{
		from:    c.cycle,
		to:      min(int(elapsed%period/length)+1, options.periodLength()), // PeriodLatency is in the last
		periods: int64(elapsed / period),
		length:  options.periodLength(),
	}
	c.cycle = reached.to
	c.began = periodBegan.Add(time.Duration(reached.periods)*period + time.Duration(reached.to-1)*length)
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

// next returns when the next cycle begins that the priority divides; the clock runs and the priority is
// not greater than the length of a period.
func (c *clock) next(priority core.Priority, options Options) time.Time {
	step := max(int(priority), 1)
	cycle := (c.cycle/step + 1) * step
	if cycle > options.periodLength() {
		return c.began.Add(options.period() + time.Duration(step-c.cycle)*options.cycleLength())
	}
	return c.began.Add(time.Duration(cycle-c.cycle) * options.cycleLength())
}

// adjust takes new options into the running cycle: it keeps its number if the period still has it, and
// ends now at the earliest, so that a shorter latency does not skip cycles afterwards.
func (c *clock) adjust(now time.Time, options Options) {
	if c.cycle == 0 {
		return
	}
	length := options.cycleLength()
	if c.cycle >= options.periodLength() {
		c.cycle = options.periodLength()
		length += options.PeriodLatency
	}
	if earliest := now.Add(-length); c.began.Before(earliest) {
		c.began = earliest
	}
}
