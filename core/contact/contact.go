// Package contact decides when an agent calls its server.
//
// A contact that was answered is followed by the next one after the server's interval, give or take a tenth, so
// that computers switched on together drift apart. One that failed is repeated after a pause that doubles from
// [FirstPause] up to the interval, spread over half to all of itself: a server that comes back is not met by
// everyone at once. The first contact is due at once.
//
// A [Pace] reads no clock and no chance of its own.
package contact

import (
	"math/rand/v2"
	"time"
)

// Bounds of an interval, and what holds until the server has named one (architecture: CONTACT_SECONDS).
const (
	MinInterval     = 5 * time.Second
	MaxInterval     = 7 * 24 * time.Hour
	DefaultInterval = time.Hour
)

// FirstPause is the pause after the first failure in a row; MaxPause bounds it after many.
const (
	FirstPause = 10 * time.Second
	MaxPause   = time.Hour
)

// A Pace knows when the next contact is due. The zero Pace has one due at once.
type Pace struct {
	interval time.Duration // zero: DefaultInterval
	failures int           // in a row
	next     time.Time
}

// Next returns when the next contact is due; the zero time is at once.
func (p *Pace) Next() time.Time { return p.next }

// Failures returns how many contacts in a row have failed.
func (p *Pace) Failures() int { return p.failures }

// Answered notes that a contact was answered. The interval is what the server wants from now on, held to its
// bounds; zero keeps the one there is.
func (p *Pace) Answered(now time.Time, interval time.Duration, random *rand.Rand) {
	if interval > 0 {
		p.interval = min(max(interval, MinInterval), MaxInterval)
	}
	p.failures = 0
	every := p.every()
	p.next = now.Add(every - every/10 + jitter(every/5, random))
}

// Failed notes that a contact was not answered.
func (p *Pace) Failed(now time.Time, random *rand.Rand) {
	pause := FirstPause
	for i := 0; i < p.failures && pause < MaxPause; i++ {
		pause *= 2
	}
	pause = min(pause, MaxPause, p.every())
	p.failures++
	p.next = now.Add(pause/2 + jitter(pause/2, random))
}

// Hurry makes the next contact due at the given time, if it is not due before.
func (p *Pace) Hurry(at time.Time) {
	if at.Before(p.next) {
		p.next = at
	}
}

// Shift moves the next contact, after the clock jumped.
func (p *Pace) Shift(by time.Duration) {
	if !p.next.IsZero() {
		p.next = p.next.Add(by)
	}
}

func (p *Pace) every() time.Duration {
	if p.interval == 0 {
		return DefaultInterval
	}
	return p.interval
}

// jitter returns 0 to most.
func jitter(most time.Duration, random *rand.Rand) time.Duration {
	return time.Duration(random.Int64N(int64(most) + 1))
}
