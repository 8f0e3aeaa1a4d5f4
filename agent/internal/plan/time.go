package plan

import (
	"time"

	"enjambre/core/cycle"
)

// timesOut reports whether packages can be given up for their age: a computer whose clock is wrong, as many are at their
// start, must not do that before the server has told the time.
func (p *Plan) timesOut() bool { return p.knowsTime && p.conf.Timeout > 0 }

// timeTold lets the schedule judge by its time from now on. A contact that perhaps failed for a wrong clock is due.
func (p *Plan) timeTold(now time.Time) []Action {
	p.calls.Hurry(now)
	return p.believe(now)
}

// believe takes the time for right, and tells the schedule.
func (p *Plan) believe(now time.Time) []Action {
	if p.knowsTime {
		return nil
	}
	p.trust(now)
	return p.carry(now, p.schedule.Step(now, cycle.OptionsChanged{Options: p.paced()}))
}

// trust takes the time for right. What was noted by a clock ahead of it counts from now on.
func (p *Plan) trust(now time.Time) {
	p.knowsTime = true
	for _, t := range p.tasks {
		if t.NotifiedAt.After(now) {
			t.NotifiedAt = now
		}
	}
}
