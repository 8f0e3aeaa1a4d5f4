package plan

import (
	"maps"
	"slices"
	"time"

	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/next"
)

// When an agent takes itself for cut off (swarm.md section 4, islands): when meetings with as many members have failed in a
// row, and with more than there are neighbours. A member that few cannot reach is none of their island's concern, and
// an island that does not exist costs its site a second copy.
const (
	minUnreached = 3
	maxUnreached = 64
	islandTime   = 5 * time.Minute // after the last sign of being cut off, until which it is said
)

// A reach is what the agent knows of whom it can reach. The zero reach is that nothing is wrong.
type reach struct {
	neighbours map[id.Peer]bool // who is connected now, whatever packages they have; at most link.MaxPeers

	lonely    bool             // nobody, although others are there
	unreached map[id.Peer]bool // whom it could not meet, since it last met somebody; at most maxUnreached
	failedAt  time.Time        // last
	until     time.Time        // the origin is told whom it reaches
}

// came notes a neighbour.
func (r *reach) came(who id.Peer) {
	if r.neighbours == nil {
		r.neighbours = map[id.Peer]bool{}
	}
	r.neighbours[who] = true
	r.unreached = nil
}

// note takes in who left, and whom the agent could not meet.
func (r *reach) note(now time.Time, event peer.Event) {
	switch event := event.(type) {
	case peer.NeighbourLeft:
		delete(r.neighbours, event.Peer)
	case peer.MeetFailed:
		if now.Sub(r.failedAt) > islandTime {
			r.unreached = nil
		}
		r.failedAt = now
		if r.unreached == nil {
			r.unreached = map[id.Peer]bool{}
		}
		if len(r.unreached) < maxUnreached {
			r.unreached[event.Peer] = true
		}
		if n := len(r.unreached); n >= minUnreached && n > len(r.neighbours) {
			r.until = now.Add(islandTime)
		}
	}
}

// lone notes whether nobody can be reached. That somebody can be again is said, too: islands are joined by it.
func (r *reach) lone(now time.Time, on bool) {
	r.lonely = on
	r.until = now.Add(islandTime)
}

// isCutOff reports whether the origin is told whom the agent reaches.
func (r *reach) isCutOff(now time.Time) bool { return r.lonely || now.Before(r.until) }

// shift moves the times, after the clock was set back.
func (r *reach) shift(by time.Duration) {
	r.failedAt, r.until = r.failedAt.Add(by), r.until.Add(by)
}

// near returns the neighbours, in order, the first next.MaxReached.
func (r *reach) near() []id.Peer {
	list := slices.SortedFunc(maps.Keys(r.neighbours), id.Peer.Compare)
	return list[:min(len(list), next.MaxReached)]
}
