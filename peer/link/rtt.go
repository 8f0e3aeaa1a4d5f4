package link

import (
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"enjambre/peer/id"
)

// keptTimes is how many measurements of a member count. Whatever disturbs one makes it longer, so the least is the
// truest; who has moved farther away is found out after as many.
const keptTimes = 4

// A heard is a member with what was measured of it.
type heard struct {
	Rumour
	times []time.Duration // the last ones, at most keptTimes
}

// NotifyPingComplete notes how long a member took to answer a probe. memberlist sends one a second, to one after the
// other in random order, and calls this only for answers that came straight back as a packet.
func (g *Gossip) NotifyPingComplete(node *memberlist.Node, rtt time.Duration, _ []byte) {
	member, err := id.Parse(node.Name)
	if err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.there[member]
	if one == nil { // it went meanwhile
		return
	}
	if len(one.times) == keptTimes {
		one.times = slices.Delete(one.times, 0, 1)
	}
	one.times = append(one.times, max(rtt, 1)) // a clock may be too coarse to tell; 0 would be not measured
	one.RTT = slices.Min(one.times)
}

// AckPayload returns what our answers to probes carry besides: nothing.
func (g *Gossip) AckPayload() []byte { return nil }

var _ memberlist.PingDelegate = (*Gossip)(nil)
