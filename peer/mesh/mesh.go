// Package mesh decides which members of a site are an agent's neighbours.
//
// Gossip says who is probably there, and how long a word to them and back takes; a neighbour is a member that a greeted
// connection leads to. A [Mesh] is told both and orders whom to connect to and from whom to part. It decides and does
// nothing else: the same events, times and chance give the same actions.
//
// # The choice
//
// Every member has its own order of all others, by a hash over both IDs, and connects to the first that it has no
// connection with, until it has [MaxNeighbours]; so a site of up to 25 is connected in full, and a larger one is a random
// graph that no member can bend, since nobody else's ID is in the hash. Whoever fails is left alone for [FirstPause],
// twice as long each time, up to [MaxPause]. When more members are there than can be neighbours, one neighbour is replaced
// by a random member every [ReplaceEvery], so that no part of a site stays by itself.
//
// Others choose too: who connects to us is a neighbour whatever our order says, up to [MaxConnected] in all. Beyond that
// the last in our order makes room, never the newcomer: a site where everybody is full must not lock out who comes late.
//
// A computer that slept finds nothing as it was: connections have ended at their other ends, gossip has given it up, and
// whoever could not be reached may be there. [Awoke] has everything made anew.
//
// # The near half
//
// A site may be several buildings, between which the way is longer and often thinner. Of the neighbours, the [MaxNear]
// nearest are the near half: they do not make room, and chance does not replace them. A nearer member is met first when
// there is room, and otherwise takes the place of the last of the near half at the minute's replacement. It does so in
// turn with chance, so that however near some are, or pretend to be, the other half goes on changing. Who has not been
// measured is in no near half, and as good as anybody for the other.
//
// Members are ordered by classes of distance, then by our order: below [NearFloor], below twice that, and so on. To
// take a place, half of the time or less is needed: times that scatter around the border of a class move nobody. See
// near.go.
//
// Not yet: 8 neighbours on Wi-Fi, see docs/decisions/0022, and connections that end when nothing is to be said.
package mesh

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
)

// Bounds and times.
const (
	MaxNeighbours = 24 // that we connect to
	MaxConnected  = 32 // with those that connected to us
	MaxMeetings   = 4  // under way at once
	MaxBelieved   = 4096

	FirstPause   = 10 * time.Second // after a member could not be reached
	MaxPause     = 5 * time.Minute
	ReplaceEvery = time.Minute

	SleepJump = 10 * time.Second // D6: a computer that slept for longer is Awoke
)

// An Event is something that happened; the shell reports it.
type Event interface{ event() }

// A Member is somebody whom gossip believes to be there.
type Member struct {
	Peer id.Peer
	RTT  time.Duration // that a word to it and back takes; 0 or less: not measured
}

// Believed reports all members that gossip believes to be there, without ourselves. What is beyond MaxBelieved is not
// taken.
type Believed struct{ Members []Member }

// Connected reports a member that was greeted, whoever dialled.
type Connected struct{ Peer id.Peer }

// Disconnected reports that a neighbour is no more.
type Disconnected struct{ Peer id.Peer }

// MeetFailed reports that a Meet came to nothing.
type MeetFailed struct{ Peer id.Peer }

// Shunned reports a neighbour that misbehaved: it is parted from, and not met before Until.
type Shunned struct {
	Peer  id.Peer
	Until time.Time
}

// Awoke reports that the computer has slept for longer than a short while ([SleepJump]).
type Awoke struct{}

// WakeDue reports that the time named by NextWake has come.
type WakeDue struct{}

func (Believed) event()     {}
func (Connected) event()    {}
func (Disconnected) event() {}
func (MeetFailed) event()   {}
func (Shunned) event()      {}
func (Awoke) event()        {}
func (WakeDue) event()      {}

// An Action is something the shell must do.
type Action interface{ action() }

// Meet orders to connect to a member. It is answered by Connected or MeetFailed.
type Meet struct{ Peer id.Peer }

// Part orders to disconnect a member. It is answered by Disconnected.
type Part struct{ Peer id.Peer }

// Rejoin orders to begin gossip anew: what it believes is old.
type Rejoin struct{}

func (Meet) action()   {}
func (Part) action()   {}
func (Rejoin) action() {}

// A known is what is kept of one member.
type known struct {
	rank      uint64        // its place in our order
	rtt       time.Duration // as it was told last; 0: not measured
	believed  bool
	connected bool
	meeting   bool
	parting   bool
	renewing  bool // parted from after a sleep, and welcome at once
	failures  int  // in a row
	notBefore time.Time
	shunned   time.Time // until when it is
}

// A Mesh decides for one member. Make one with New; one goroutine owns it.
type Mesh struct {
	self      id.Peer
	random    *rand.Rand
	members   map[id.Peer]*known
	replaceAt time.Time // zero while all can be neighbours
	nearLast  bool      // the one replaced last made place for a nearer one
	last      time.Time
}

// New returns the mesh of a member that has no neighbour yet.
func New(self id.Peer, random *rand.Rand) *Mesh {
	return &Mesh{self: self, random: random, members: map[id.Peer]*known{}}
}

// Step applies one event at the time now and returns what to do about it, in order.
func (m *Mesh) Step(now time.Time, event Event) []Action {
	now = now.Round(0)
	if back := now.Sub(m.last); back < 0 && !m.last.IsZero() {
		m.shift(back)
	}
	m.last = now
	var actions []Action
	switch event := event.(type) {
	case Believed:
		m.believe(event.Members)
	case Connected:
		actions = m.joined(event.Peer)
	case Disconnected:
		m.left(event.Peer)
	case MeetFailed:
		m.failed(now, event.Peer)
	case Shunned:
		actions = m.shun(event)
	case Awoke:
		actions = m.awake()
	case WakeDue:
	default:
		panic(fmt.Sprintf("mesh: event %T is not one of this package", event))
	}
	actions = append(actions, m.replace(now)...)
	actions = append(actions, m.meet(now)...)
	m.forget(now)
	return actions
}

// NextWake returns when Step wants a WakeDue, or false for never.
func (m *Mesh) NextWake() (time.Time, bool) {
	wake, wanted := m.replaceAt, !m.replaceAt.IsZero()
	if m.room() <= 0 {
		return wake, wanted
	}
	for _, one := range m.members {
		if one.isFree() && one.notBefore.After(m.last) && (!wanted || one.notBefore.Before(wake)) {
			wake, wanted = one.notBefore, true
		}
	}
	return wake, wanted
}

// Neighbours returns the members that we are connected with, in order of their IDs.
func (m *Mesh) Neighbours() []id.Peer {
	var list []id.Peer
	for peer, one := range m.members {
		if one.connected {
			list = append(list, peer)
		}
	}
	slices.SortFunc(list, id.Peer.Compare)
	return list
}

// shift moves every time of ours, after the clock was set back.
func (m *Mesh) shift(by time.Duration) {
	if !m.replaceAt.IsZero() {
		m.replaceAt = m.replaceAt.Add(by)
	}
	for _, one := range m.members {
		one.notBefore, one.shunned = one.notBefore.Add(by), one.shunned.Add(by)
	}
}

// member returns what is known of a peer, from now on if nothing was.
func (m *Mesh) member(peer id.Peer) *known {
	one := m.members[peer]
	if one == nil {
		digest := core.DigestOf(append(m.self[:], peer[:]...))
		one = &known{rank: binary.BigEndian.Uint64(digest[:])}
		m.members[peer] = one
	}
	return one
}

// isFree reports whether a member is there and nothing connects us with it.
func (k *known) isFree() bool { return k.believed && !k.connected && !k.meeting }

func (m *Mesh) believe(members []Member) {
	for _, one := range m.members {
		one.believed = false
	}
	for _, told := range members[:min(len(members), MaxBelieved)] {
		if told.Peer != m.self {
			one := m.member(told.Peer)
			one.believed, one.rtt = true, max(told.RTT, 0)
		}
	}
}

// joined takes a neighbour in; the last in our order makes room for it, of those that are not near.
func (m *Mesh) joined(peer id.Peer) []Action {
	if peer == m.self {
		return nil
	}
	one := m.member(peer)
	one.connected, one.meeting, one.parting, one.renewing, one.failures = true, false, false, false, 0
	staying := m.staying()
	if len(staying) <= MaxConnected {
		return nil
	}
	_, others := m.halves(staying)
	for _, last := range slices.Backward(others) {
		if last != peer {
			return m.part(last)
		}
	}
	return nil
}

// staying returns the neighbours that we do not part from, in our order.
func (m *Mesh) staying() []id.Peer {
	return m.inOrder(func(k *known) bool { return k.connected && !k.parting })
}

// inOrder returns the members of which a condition holds, in our order.
func (m *Mesh) inOrder(holds func(*known) bool) []id.Peer {
	var list []id.Peer
	for peer, one := range m.members {
		if holds(one) {
			list = append(list, peer)
		}
	}
	slices.SortFunc(list, func(a, b id.Peer) int {
		switch x, y := m.members[a].rank, m.members[b].rank; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return a.Compare(b)
	})
	return list
}

func (m *Mesh) part(peer id.Peer) []Action {
	m.members[peer].parting = true
	return []Action{Part{peer}}
}

// left forgets a neighbour. It may be met again, after a while: it had its reason.
func (m *Mesh) left(peer id.Peer) {
	one := m.members[peer]
	if one == nil || !one.connected {
		return
	}
	one.connected, one.parting = false, false
	if !one.renewing {
		one.notBefore = later(one.notBefore, m.last.Add(FirstPause))
	}
	one.renewing = false
}

// awake parts from all neighbours, and lets everybody be met at once but those who are shunned.
func (m *Mesh) awake() []Action {
	actions := []Action{Rejoin{}}
	for _, peer := range m.inOrder(func(*known) bool { return true }) {
		one := m.members[peer]
		one.failures, one.notBefore = 0, one.shunned
		if one.connected {
			one.renewing = true
			actions = append(actions, m.part(peer)...)
		}
	}
	return actions
}

func (m *Mesh) failed(now time.Time, peer id.Peer) {
	one := m.members[peer]
	if one == nil || !one.meeting {
		return
	}
	one.meeting = false
	pause := min(FirstPause<<min(one.failures, 10), MaxPause)
	one.failures++
	pause += time.Duration(m.random.Int64N(int64(pause / 5)))
	one.notBefore = later(one.notBefore, now.Add(pause))
}

func (m *Mesh) shun(event Shunned) []Action {
	one := m.member(event.Peer)
	one.shunned = later(one.shunned, event.Until)
	one.notBefore = later(one.notBefore, one.shunned)
	if !one.connected || one.parting {
		return nil
	}
	return m.part(event.Peer)
}

// forget keeps only who is there, connected, or to be left alone for a while yet.
func (m *Mesh) forget(now time.Time) {
	maps.DeleteFunc(m.members, func(_ id.Peer, k *known) bool {
		return !k.believed && !k.connected && !k.meeting && !now.Before(k.notBefore)
	})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
