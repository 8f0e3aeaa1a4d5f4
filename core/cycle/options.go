package cycle

import (
	"errors"
	"time"

	"enjambre/core"
)

// Bounds of the options. Any period within them fits a time.Duration.
const (
	// MinCycle is the shortest pause after a cycle in which something has failed, and the unit in which the protocol
	// counts latencies. It bounds how often a failed fragment is asked for again when CycleLatency is 0.
	MinCycle = time.Second
	// MaxLatency bounds each of the three latencies.
	MaxLatency = 7 * 24 * time.Hour
	// MaxPeriodLength bounds the number of cycles in a period.
	MaxPeriodLength = 10_000
	// MaxTimeout bounds Timeout: ten years.
	MaxTimeout = 3650 * 24 * time.Hour
	// MaxAsks bounds the asks that are open at once, Options.MaxOrigin.
	MaxAsks = 16
)

// defaultPeriodLength is the manual's (T25).
const defaultPeriodLength = 10

// Options are what the server's CONF and the site's policy say. A zero latency is a latency of zero, as on
// the wire, and not the default, which [DefaultOptions] has.
type Options struct {
	Paused        bool          // ON=0: no turn, no ask, no run, no wake; what arrives is still counted
	PeriodLength  int           // cycles in a period, 1 to MaxPeriodLength; 0 means 10
	CycleLatency  time.Duration // the pause after a cycle; 0 to MaxLatency; 0 at PACE=rate
	PeriodLatency time.Duration // added to that after the last of a period; 0 to MaxLatency; 0 at PACE=rate
	FragLatency   time.Duration // from an origin's answer to the next ask; 0 to MaxLatency; 0 at PACE=rate
	FragsPerTurn  int           // origin fragments in a turn, 0 for all, 1 for the stock agent's pace
	Timeout       time.Duration // from first notification to Expire; 0 for never; to MaxTimeout
	MaxOrigin     int           // asks open at once, 1 to MaxAsks; 0 means 1
}

// DefaultOptions returns the manual's defaults (T25, T26, T28, T32): ten cycles of 60 s, 10 s after each
// fragment, nothing after a period, all fragments in a turn, 30 days.
func DefaultOptions() Options {
	return Options{
		PeriodLength: defaultPeriodLength,
		CycleLatency: 60 * time.Second,
		FragLatency:  10 * time.Second,
		Timeout:      30 * 24 * time.Hour,
	}
}

// Validate reports every option that is out of its bounds, each as a [core.Refusal] of class E_LIMIT.
func (o Options) Validate() error {
	var refusals []error
	refuse := func(format string, args ...any) {
		refusals = append(refusals, core.Refuse(core.ClassLimit, format, args...))
	}
	if o.PeriodLength < 0 || o.PeriodLength > MaxPeriodLength {
		refuse("period length %d: use 1 to %d cycles", o.PeriodLength, MaxPeriodLength)
	}
	for _, latency := range []struct {
		name  string
		value time.Duration
	}{{"cycle", o.CycleLatency}, {"period", o.PeriodLatency}, {"fragment", o.FragLatency}} {
		if latency.value < 0 || latency.value > MaxLatency {
			refuse("%s latency %v: use 0 to %v", latency.name, latency.value, MaxLatency)
		}
	}
	if o.FragsPerTurn < 0 || o.FragsPerTurn > core.MaxFragments {
		refuse("fragments per turn %d: use 1 to %d, or 0 for all", o.FragsPerTurn, core.MaxFragments)
	}
	if o.Timeout < 0 || o.Timeout > MaxTimeout {
		refuse("timeout %v: use up to %v, or 0 for never", o.Timeout, MaxTimeout)
	}
	if o.MaxOrigin < 0 || o.MaxOrigin > MaxAsks {
		refuse("%d asks at once: use 1 to %d", o.MaxOrigin, MaxAsks)
	}
	return errors.Join(refusals...)
}

// NeverOpens reports whether a package of this priority is never downloaded from the origin nor run,
// since no cycle of a period is divided by it (T31).
func (o Options) NeverOpens(priority core.Priority) bool { return int(priority) > o.periodLength() }

func (o Options) periodLength() int {
	if o.PeriodLength == 0 {
		return defaultPeriodLength
	}
	return o.PeriodLength
}

func (o Options) maxOrigin() int { return max(o.MaxOrigin, 1) }

// cyclePause is the pause after a cycle without failures, PeriodLatency apart.
func (o Options) cyclePause() time.Duration { return max(o.CycleLatency, leastPause) }

// period is how long a whole period lasts in which there is nothing to do.
func (o Options) period() time.Duration {
	return time.Duration(o.periodLength())*o.cyclePause() + o.PeriodLatency
}
