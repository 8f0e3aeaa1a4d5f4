package mesh

import (
	"math/bits"
	"slices"
	"time"

	"enjambre/peer/id"
)

// MaxNear is how many neighbours are in the near half.
const MaxNear = MaxNeighbours / 2

// NearFloor is the time below which all members are as near as can be: what is left is how busy the computers are.
const NearFloor = time.Millisecond

// distance returns the class of a time: 0 below NearFloor, 1 below twice that, and so on.
func distance(rtt time.Duration) int { return bits.Len64(uint64(rtt / NearFloor)) }

// isNearer reports whether one time is half of another at most.
func isNearer(one, than time.Duration) bool { return 2*max(one, NearFloor) <= than }

// nearest returns those of a list in our order that were measured, the nearest first.
func (m *Mesh) nearest(ordered []id.Peer) []id.Peer {
	var list []id.Peer
	for _, peer := range ordered {
		if m.members[peer].rtt > 0 {
			list = append(list, peer)
		}
	}
	slices.SortStableFunc(list, func(a, b id.Peer) int {
		return distance(m.members[a].rtt) - distance(m.members[b].rtt)
	})
	return list
}

// halves returns the nearest MaxNear of neighbours in our order, the nearest first, and the others in our order.
func (m *Mesh) halves(neighbours []id.Peer) (near, others []id.Peer) {
	near = m.nearest(neighbours)
	near = near[:min(len(near), MaxNear)]
	for _, peer := range neighbours {
		if !slices.Contains(near, peer) {
			others = append(others, peer)
		}
	}
	return near, others
}

// nearer returns the first of the free ones, in our order, that is to be in the near half: while that is not full, the
// nearest, else one that is nearer than its last.
func (m *Mesh) nearer(near, free []id.Peer) (comes id.Peer, is bool) {
	for _, peer := range m.nearest(free) {
		if len(near) < MaxNear || isNearer(m.members[peer].rtt, m.members[near[len(near)-1]].rtt) {
			return peer, true
		}
	}
	return id.Peer{}, false
}

// free returns who may be met now, in our order.
func (m *Mesh) free(now time.Time) []id.Peer {
	return m.inOrder(func(k *known) bool { return k.isFree() && !now.Before(k.notBefore) })
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

// meet orders to connect, as far as there is room, to whoever is nearer than the near half, else to the first in our
// order.
func (m *Mesh) meet(now time.Time) []Action {
	room := m.room()
	if room <= 0 {
		return nil
	}
	var actions []Action
	free := m.free(now)
	for range min(len(free), room) {
		near, _ := m.halves(m.inOrder(func(k *known) bool { return k.meeting || k.connected && !k.parting }))
		comes, is := m.nearer(near, free)
		if !is {
			comes = free[0]
		}
		free = slices.DeleteFunc(free, func(one id.Peer) bool { return one == comes })
		m.members[comes].meeting = true
		actions = append(actions, Meet{comes})
	}
	return actions
}

// replace exchanges one neighbour for another member, when it is time and there are more than enough: the last of the
// near half for a nearer one, or a random one of the others for a random one.
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
	free := m.free(now)
	if len(free) == 0 {
		return nil
	}
	near, others := m.halves(staying)
	goes, comes := others[m.random.IntN(len(others))], free[m.random.IntN(len(free))]
	nearer, is := m.nearer(near, free)
	if m.nearLast = is && !m.nearLast; m.nearLast {
		comes = nearer
		if len(near) == MaxNear {
			goes = near[MaxNear-1]
		}
	}
	m.members[comes].meeting = true
	return append(m.part(goes), Meet{comes})
}
