package enrol

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"enjambre/agent/internal/origin"
	"enjambre/core/contact"
)

// RefusedPause is the shortest pause after the server said no: a person has to do something first.
const RefusedPause = time.Hour

// lookEvery is how often a pause is interrupted to see whether somebody has enrolled the agent by hand.
const lookEvery = 5 * time.Second

// A Persistence says how to enrol without giving up. All fields are required.
type Persistence struct {
	Enrolled func() (bool, error)                // whether the agent is enrolled; an error ends it all
	Attempt  func(context.Context) error         // enrols once
	Failed   func(reason error, again time.Time) // is told of each attempt that failed and when the next one is
	Now      func() time.Time                    // the computer's clock, which may be set meanwhile
}

// Persist enrols the agent unless it is enrolled, trying until that succeeds or ctx ends. Pauses grow as those of
// contacts do, up to an hour; after a refusal by the server they are never shorter than [RefusedPause]. Else they end when
// the computer's clock is set, by which the server's certificate could not be judged.
func Persist(ctx context.Context, p Persistence) error {
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	var pace contact.Pace
	var due time.Time // zero: at once
	var isRefused bool
	set := watchClock(p.Now)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		if enrolled, err := p.Enrolled(); enrolled || err != nil {
			return err
		}
		if set() && !isRefused {
			due, pace = time.Time{}, contact.Pace{}
		}
		if now := time.Now(); !now.Before(due) {
			err := p.Attempt(ctx)
			if err == nil {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			pace.Failed(time.Now(), random)
			due = pace.Next()
			if isRefused = refused(err); isRefused {
				due = time.Now().Add(RefusedPause + time.Duration(random.Int64N(int64(RefusedPause)/5)))
			}
			p.Failed(err, due)
		}
		timer.Reset(min(lookEvery, time.Until(due)))
	}
}

// refused reports whether the server answered and said no.
func refused(err error) bool { return errors.Is(err, ErrRefused) || errors.Is(err, origin.ErrRefused) }

// setJump is by how much a clock must leave Go's own, which nobody sets, to count as set.
const setJump = 30 * time.Second

// watchClock returns a function that reports whether a clock was set since it was called last.
func watchClock(now func() time.Time) func() bool {
	began, beganThere := time.Now(), now().Round(0)
	var before time.Duration
	return func() bool {
		ahead := now().Round(0).Sub(beganThere) - time.Since(began)
		isSet := (ahead - before).Abs() > setJump
		before = ahead
		return isSet
	}
}
