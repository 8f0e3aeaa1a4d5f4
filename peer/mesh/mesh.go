// Package mesh decides which members of a site are an agent's neighbours.
//
// Gossip says who is probably there; a neighbour is a member that a greeted connection leads to. A [Mesh] is told both
// and orders whom to connect to and from whom to part. It decides and does nothing else: the same events, times and
// chance give the same actions.
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
// Not yet: half of the neighbours by the time that a word to them and back takes. Within a site all are near.
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

// Believed reports all members that gossip believes to be there, without ourselves. What is beyond MaxBelieved is not
// taken.
type Believed struct{ Peers []id.Peer }

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
	rank      uint64 // its place in our order
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
		m.believe(event.Peers)
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

func (m *Mesh) believe(peers []id.Peer) {
	for _, one := range m.members {
		one.believed = false
	}
	for _, peer := range peers[:min(len(peers), MaxBelieved)] {
		if peer != m.self {
			m.member(peer).believed = true
		}
	}
}

// joined takes a neighbour in; the last in our order makes room for it.
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
	for _, last := range slices.Backward(staying) {
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

// room returns how many members may be met now.
func (m *Mesh) room() int {
	meeting, busy := 0, 0
	for _, one := range m.members {
		if one.meeting {
			meeting++
		}
		if one.meeting || one.connected && !one.parting {
			busy++
		}
	}
	return min(MaxMeetings-meeting, MaxNeighbours-busy)
}

// meet orders to connect to the first in our order, as far as there is room.
func (m *Mesh) meet(now time.Time) []Action {
	room := m.room()
	if room <= 0 {
		return nil
	}
	var actions []Action
	free := m.inOrder(func(k *known) bool { return k.isFree() && !now.Before(k.notBefore) })
	for _, peer := range free[:min(len(free), room)] {
		m.members[peer].meeting = true
		actions = append(actions, Meet{peer})
	}
	return actions
}

// replace exchanges a random neighbour for a random other member, when it is time and there are more than enough.
func (m *Mesh) replace(now time.Time) []Action {
	staying := m.staying()
	if len(staying) < MaxNeighbours || len(m.members) == len(staying) {
		m.replaceAt = time.Time{}
		return nil
	}
	if m.replaceAt.IsZero() {
		m.replaceAt = now.Add(ReplaceEvery)
	}
	if now.Before(m.replaceAt) {
		return nil
	}
	m.replaceAt = now.Add(ReplaceEvery)
	free := m.inOrder(func(k *known) bool { return k.isFree() && !now.Before(k.notBefore) })
	if len(free) == 0 {
		return nil
	}
	comes := free[m.random.IntN(len(free))]
	goes := staying[m.random.IntN(len(staying))]
	m.members[comes].meeting = true
	return append(m.part(goes), Meet{comes})
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
