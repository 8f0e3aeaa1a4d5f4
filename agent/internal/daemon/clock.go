package daemon

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"enjambre/agent/internal/failpoint"
	"enjambre/agent/internal/state"
)

// clockSlack is how far the server's time may be from ours before ours is moved: it says whole seconds.
const clockSlack = 3 * time.Second

// floorEvery is how much time passes before the floor is remembered anew.
const floorEvery = 10 * time.Minute

// setJump is by how much the computer's clock must leave the steady one to count as set.
const setJump = 30 * time.Second

// A clock tells the time by which timeouts, schedules and certificates are judged: the server's, as learnt since the
// start, carried on by a clock that nobody sets. Before the server has told it, it is the computer's own as it stands
// now, since that may be set any moment; but never before the last time that was learnt in earlier starts, and what has
// passed since: a computer whose battery is empty wakes up in the past.
//
// What the computer says is good enough to try whether the server's certificate is valid, and for nothing that cannot be
// taken back: see isTold.
type clock struct {
	folder *state.Folder
	slept  func() time.Duration // how long the computer has slept since it started
	wall   func() time.Time
	steady func() time.Duration

	mu    sync.Mutex
	told  bool          // by the server, since the start
	base  time.Time     // if told, the time when steady was 0
	floor time.Time     // as remembered
	zero  time.Duration // steady time at the start
	start time.Time     // the floor, or the computer's time if none, at the start
	ahead time.Duration // of the computer's clock before the steady one, as last looked at
}

// A remembered is what is kept in clock.json.
type remembered struct {
	Floor time.Time `json:"floor"`
}

// LastTold returns the time that the server has told the agent of a state folder last, as far as it is remembered; zero
// for none.
func LastTold(folder *state.Folder) time.Time {
	var kept remembered
	_ = folder.Load(clockName, &kept) // a help, no duty
	return kept.Floor
}

// newClock returns a clock. What was remembered and cannot be read any more is forgotten: it is a help, no duty.
func newClock(folder *state.Folder, log *slog.Logger) *clock {
	return newClockOf(folder, log, failpoint.Now, steady)
}

// newClockOf is newClock over other clocks than the computer's.
func newClockOf(folder *state.Folder, log *slog.Logger, wall func() time.Time, steady func() time.Duration) *clock {
	var kept remembered
	if err := folder.Load(clockName, &kept); err != nil {
		log.Warn("the last known time is forgotten", "reason", err)
		kept = remembered{}
	}
	c := &clock{folder: folder, slept: slept, wall: wall, steady: steady, floor: kept.Floor, zero: steady()}
	c.start = c.floor
	c.ahead = c.wallAhead()
	return c
}

// wallAhead returns how far the computer's clock is before the steady one, from an arbitrary origin.
func (c *clock) wallAhead() time.Duration {
	const origin = 1_750_000_000 // 2025: a duration reaches 292 years to each side of it
	return c.wall().Round(0).Sub(time.Unix(origin, 0)) - c.steady()
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := c.steady() - c.zero
	if c.told {
		return c.base.Add(passed)
	}
	now := c.wall().Round(0)
	if least := c.start.Add(passed); now.Before(least) {
		return least
	}
	return now
}

// isTold reports whether the server has told the time since the start. Before that nothing is given up, thrown away or
// held against anybody for its age.
func (c *clock) isTold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told
}

// wasSet reports whether somebody has set the computer's clock since the last call, or the start. It does not matter
// any more once the server has told the time.
func (c *clock) wasSet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.ahead
	c.ahead = c.wallAhead()
	return !c.told && (c.ahead-before).Abs() > setJump
}

// learn takes over the server's time.
func (c *clock) learn(theirs time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := c.steady() - c.zero
	if wrong := theirs.Sub(c.base.Add(passed)); !c.told || wrong > clockSlack || wrong < -clockSlack {
		c.base = theirs.Round(0).Add(-passed)
	}
	c.told = true
	if theirs.Sub(c.floor).Abs() < floorEvery { // a server that was wrong once is believed when it is right again
		return nil
	}
	c.floor = theirs.UTC().Truncate(time.Second)
	if err := c.folder.Save(clockName, remembered{c.floor}); err != nil {
		return fmt.Errorf("remember the server's time: %w", err)
	}
	return nil
}
