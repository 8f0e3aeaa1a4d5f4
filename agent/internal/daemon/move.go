package daemon

import (
	"context"
	"time"

	"enjambre/agent/internal/plan"
	"enjambre/peer/mesh"
)

// lookAround notices that the computer has slept or moved, or that its clock was set.
func (d *daemon) lookAround(ctx context.Context) {
	d.noticeSleep()
	d.noticeTime()
	if len(d.queue) > 0 {
		d.stepQueue(ctx)
	}
	if at, wanted := d.locateDue(); wanted && !d.clock.now().Before(at) {
		d.locate(ctx)
	}
}

// noticeSleep gives up connections to the server from before a sleep, and calls it: the computer may be elsewhere now. The
// member sees to its own connections.
func (d *daemon) noticeSleep() {
	now := d.clock.slept()
	if now-d.slept <= mesh.SleepJump {
		return
	}
	d.slept = now
	d.talker.Client().Renew()
	d.swarm.locateAt = time.Time{}
	d.queue = append(d.queue, plan.Moved{})
}

// lookAtClock is how often it is looked whether the computer's clock was set, until the server has told the time.
const lookAtClock = 10 * time.Second

// noticeTime notices that the computer's clock was set before the server has told the time, and calls the server: its
// certificate may be valid now. Whenever our time has gone back, nothing waits for what is a time far ahead now.
func (d *daemon) noticeTime() {
	if d.clock.wasSet() {
		d.options.Log.Info("the clock of this computer was set", "now", d.clock.now())
		d.queue = append(d.queue, plan.CallDue{})
	}
	now := d.clock.now()
	if now.Before(d.lookedAt) {
		d.flushAt, d.swarm.tidyAt, d.swarm.locateAt, d.shown.at = now, now, now, time.Time{}
	}
	d.lookedAt = now
}

// locateDue returns when it is to be looked at where the computer is; false while no member could reach it anyway.
func (d *daemon) locateDue() (time.Time, bool) {
	wanted := d.swarm.member != nil && !d.options.Once && !d.swarm.locating && d.swarm.member.At().IsValid()
	return d.swarm.locateAt, wanted
}

// locate looks at which address leads to the server. When it is another than the one where members find the agent, the
// agent listens there, and the server is called, so that it can tell others.
func (d *daemon) locate(ctx context.Context) {
	d.swarm.locating = true
	before := d.swarm.member.At()
	d.spawn(ctx, func(ctx context.Context) answer {
		local, err := d.talker.Client().Local(ctx)
		moved := err == nil && !d.swarm.member.IsAt(local)
		if moved {
			at, _ := d.swarm.member.Listen(ctx, local)
			moved = at.IsValid() && at != before
		}
		return func() plan.Event {
			d.swarm.locating, d.swarm.locateAt = false, d.clock.now().Add(locateEvery)
			if !moved {
				return nil
			}
			d.swarm.locateAt = d.clock.now().Add(moveRest)
			d.talker.Client().Renew() // connections from where it was lead nowhere, and nobody says so
			return plan.Moved{}
		}
	})
}
