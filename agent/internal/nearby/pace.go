package nearby

import (
	"math/rand/v2"
	"time"
)

// Times and bounds of what is said.
const (
	saidEvery   = 5 * time.Minute // unasked, give or take a half
	saidGap     = 2 * time.Second // at least, between two announcements
	answerLeast = 20 * time.Millisecond
	answerMost  = 500 * time.Millisecond // after a question, so that not all answer at once
	enough      = 8                      // answers to a question, after which no more are given
	firstSaid   = 3                      // announcements in the beginning, as many questions
	askMost     = time.Minute            // between two questions of an agent that is alone
	askAgain    = 10 * time.Second       // until one that was not alone looks again whether it is
)

// A pace decides when to announce and when to ask. It has no clock: time comes in.
type pace struct {
	random   *rand.Rand
	sayAt    time.Time // unasked
	says     int
	askAt    time.Time
	asks     int
	answerAt time.Time // zero: nobody has asked
	answers  int       // heard since then
	lastSaid time.Time
}

func newPace(now time.Time, random *rand.Rand) *pace {
	p := &pace{random: random}
	p.sayAt = now.Add(p.between(0, answerMost)) // computers are switched on together
	p.askAt = p.sayAt
	return p
}

func (p *pace) between(least, most time.Duration) time.Duration {
	return least + time.Duration(p.random.Int64N(int64(most-least)))
}

// asked notes a question of somebody.
func (p *pace) asked(now time.Time) {
	if !p.answerAt.IsZero() {
		return
	}
	p.answerAt, p.answers = now.Add(p.between(answerLeast, answerMost)), 0
	if soonest := p.lastSaid.Add(saidGap); p.answerAt.Before(soonest) {
		p.answerAt = soonest
	}
}

// answered notes an announcement of another member of the swarm, which whoever asked has heard too.
func (p *pace) answered() {
	if p.answers++; p.answers >= enough {
		p.answerAt = time.Time{}
	}
}

// due returns whether to announce and whether to ask now.
func (p *pace) due(now time.Time, alone bool) (says, asks bool) {
	if !now.Before(p.sayAt) {
		says = true
		if p.says++; p.says < firstSaid {
			p.sayAt = now.Add(saidGap << (p.says - 1))
		} else {
			p.sayAt = now.Add(p.between(saidEvery/2, saidEvery*3/2))
		}
	}
	if !p.answerAt.IsZero() && !now.Before(p.answerAt) {
		says = true
	}
	if says {
		p.lastSaid, p.answerAt = now, time.Time{}
	}
	if !now.Before(p.askAt) {
		if asks = alone || p.asks < firstSaid; asks {
			p.asks++
			p.askAt = now.Add(min(time.Second<<min(p.asks-1, 16), askMost))
		} else {
			p.asks, p.askAt = firstSaid, now.Add(askAgain)
		}
	}
	return says, asks
}

// next returns when something is due, at the latest.
func (p *pace) next() time.Time {
	at := p.sayAt
	if p.askAt.Before(at) {
		at = p.askAt
	}
	if !p.answerAt.IsZero() && p.answerAt.Before(at) {
		at = p.answerAt
	}
	return at
}

// maxPerSecond is how many messages are read in a second.
const maxPerSecond = 100

// A valve bounds how many messages are looked at. The zero valve is open.
type valve struct {
	since time.Time
	n     int
}

// pass notes a message, and returns how long to wait before it is looked at.
func (v *valve) pass(now time.Time) time.Duration {
	if now.Sub(v.since) >= time.Second || now.Before(v.since) {
		v.since, v.n = now, 0
	}
	if v.n++; v.n <= maxPerSecond {
		return 0
	}
	wait := v.since.Add(time.Second).Sub(now)
	v.since, v.n = now.Add(wait), 1
	return wait
}
