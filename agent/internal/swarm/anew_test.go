package swarm

import (
	"fmt"
	"testing"
	"time"

	"enjambre/core"
)

// TestStartedAnew: a member that died and starts anew is a neighbour at once, although the connection with its former
// life has not ended, whoever dialled that one.
func TestStartedAnew(t *testing.T) {
	p := newParcel(t)
	for _, c := range []struct {
		stays, dies byte // by which the order of IDs differs
		diesDialled bool
	}{{1, 2, true}, {1, 2, false}, {2, 1, true}, {2, 1, false}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			a, before := newMember(t, c.stays, p), newMember(t, c.dies, p)
			for index := range core.FragmentIndex(fragments) {
				a.fill(p, index)
			}
			a.start()
			before.start()
			from, to := a, before
			if c.diesDialled {
				from, to = before, a
			}
			if err := from.Meet(t.Context(), to.reach()); err != nil {
				t.Fatal(err)
			}
			before.isDone()
			a.mu.Lock()
			a.neighbours[before.host.ID()].began = time.Now().Add(-time.Minute)
			a.mu.Unlock()

			now := newMember(t, c.dies, p)
			now.start()
			if err := now.Meet(t.Context(), a.reach()); err != nil {
				t.Fatal(err)
			}
			now.isDone()
		})
	}
}
