package pulse

import (
	"math"
	"time"

	"enjambre/peer/ticket"
)

// CallRate is how many computers the server would have call in a second because of news, of all sites together.
const CallRate = 200

// A Crowd counts the computers that are about to call the server because of news, and chooses over how long those of the
// next news are to spread their calls: such that all of them call at CallRate about. Sites that hear of something one
// after the other, as when a script goes through them, count together as if they had heard at once. The zero Crowd is
// nobody; one goroutine owns it.
type Crowd struct {
	waiting float64 // have not called yet at the time at, if they call as they are to
	at      time.Time
}

// Join adds the computers of one or more sites that hear of news now, of so many that there are in all, and returns over
// how long they are to call: in whole seconds, 1 s to ticket.MaxSpread. A computer that has not called yet because of the
// news before calls once for both, so no more wait than there are.
func (c *Crowd) Join(now time.Time, computers, all int) time.Duration {
	if passed := now.Sub(c.at).Seconds(); passed > 0 { // not after the clock was set back
		c.waiting = max(0, c.waiting-passed*CallRate)
	}
	c.at = now
	c.waiting = min(c.waiting+float64(computers), float64(max(computers, all)), ticket.MaxSpread.Seconds()*CallRate)
	return max(time.Duration(math.Ceil(c.waiting/CallRate))*time.Second, time.Second)
}
