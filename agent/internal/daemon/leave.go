package daemon

import "time"

// leaveTime is how long the agent's end waits for what is under way. All of it ends at once but what hangs in the kernel,
// and then a service manager would kill the agent anyway; what must not be lost is on the disk before anything is done.
const leaveTime = 5 * time.Second

// leave waits for what is under way, but for what hangs.
func (d *daemon) leave() {
	over := make(chan struct{})
	go func() { // ends with the last effect, or with the process
		d.effects.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(leaveTime):
		d.hung = true
		d.options.Log.Warn("something hangs and is left behind", "waited", leaveTime)
	}
}
