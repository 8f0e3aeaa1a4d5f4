package daemon

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"enjambre/agent/internal/state"
)

// clockSlack is how far the server's time may be from ours before ours is moved: it says whole seconds.
const clockSlack = 3 * time.Second

// floorEvery is how much time passes before the floor is remembered anew.
const floorEvery = 10 * time.Minute

// A clock tells the time by which timeouts, schedules and certificates are judged: the server's, as learnt at the
// last contact, carried on by a clock that nobody sets. Before the first contact it is the computer's own, but
// never before the last that was learnt: a computer whose battery is empty wakes up in the past.
type clock struct {
	folder *state.Folder
	slept  func() time.Duration // how long the computer has slept since it started

	mu    sync.Mutex
	base  time.Time     // the time when steady was 0
	floor time.Time     // as remembered
	zero  time.Duration // steady time at the start
}

// A remembered is what is kept in clock.json.
type remembered struct {
	Floor time.Time `json:"floor"`
}

// newClock returns a clock. What was remembered and cannot be read any more is forgotten: it is a help, no duty.
func newClock(folder *state.Folder, log *slog.Logger) *clock {
	var kept remembered
	if err := folder.Load(clockName, &kept); err != nil {
		log.Warn("the last known time is forgotten", "reason", err)
		kept = remembered{}
	}
	c := &clock{folder: folder, slept: slept, base: time.Now().Round(0), floor: kept.Floor, zero: steady()}
	if c.base.Before(c.floor) {
		c.base = c.floor
	}
	return c
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base.Add(steady() - c.zero)
}

// learn takes over the server's time.
func (c *clock) learn(theirs time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := steady() - c.zero
	if wrong := theirs.Sub(c.base.Add(passed)); wrong > clockSlack || wrong < -clockSlack {
		c.base = theirs.Round(0).Add(-passed)
	}
	if theirs.Before(c.floor.Add(floorEvery)) {
		return nil
	}
	c.floor = theirs.UTC().Truncate(time.Second)
	if err := c.folder.Save(clockName, remembered{c.floor}); err != nil {
		return fmt.Errorf("remember the server's time: %w", err)
	}
	return nil
}
