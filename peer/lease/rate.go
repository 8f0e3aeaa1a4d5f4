package lease

import (
	"cmp"
	"slices"

	"enjambre/core"
	"enjambre/peer/id"
)

const (
	overheadPerMille = 1045 // IP bytes for 1000 of payload: headers of IP, TCP, TLS and HTTP
	slowShare        = 8    // a slow body yields down to an eighth of an equal share; no body has less
)

// PayloadRate returns what payload, in bytes a second, fills a WAN rate given in IP bytes a second.
func PayloadRate(wan int64) int64 {
	return wan/overheadPerMille*1000 + wan%overheadPerMille*1000/overheadPerMille
}

// A Flow is one body among those that share the site's rate.
type Flow struct {
	Member   id.Peer
	Priority core.Priority
	Slow     bool  // its member has cost too much today
	Cap      int64 // bytes a second that it can take; 0 if that is not known
}

// Shares divides rate, in bytes a second, among flows, at most MaxFetchers of them, and returns each one's
// share.
//
// Every flow has an eighth of an equal share, so that no body that began dies of another's urgency. The rest goes
// to the most urgent priority, divided among its members by max-min: a member gets more than another of its
// priority only if the other takes no more. What they cannot take goes to the next priority, and what nobody else
// takes to the slow ones, in the same order. A member's flows of one priority divide what it has in the same way.
// Shares are whole bytes; up to one for each flow is lost.
func Shares(rate int64, flows []Flow) []int64 {
	shares := make([]int64, len(flows))
	if len(flows) == 0 || rate <= 0 {
		return shares
	}
	all, floor := rate, rate/int64(slowShare*len(flows))
	rooms := make([]int64, len(flows)) // what each can take beyond what it has
	for i, flow := range flows {
		room := all
		if flow.Cap > 0 {
			room = min(room, flow.Cap)
		}
		shares[i] = min(floor, room)
		rooms[i] = room - shares[i]
		rate -= shares[i]
	}
	for _, slow := range []bool{false, true} {
		for _, level := range groups(flows, func(f Flow) core.Priority { return f.Priority }, cmp.Compare) {
			level = slices.DeleteFunc(level, func(i int) bool { return flows[i].Slow != slow })
			rate -= shareLevel(rate, flows, level, rooms, shares)
		}
	}
	return shares
}

// shareLevel divides rate among the flows of one priority and returns how much they took.
func shareLevel(rate int64, flows []Flow, level []int, rooms, shares []int64) (taken int64) {
	members := groups(pick(flows, level), func(f Flow) id.Peer { return f.Member }, compareMembers)
	wants := make([]int64, len(members))
	for i, member := range members {
		for _, j := range member {
			wants[i] += rooms[level[j]]
		}
	}
	for i, granted := range maxMin(rate, wants) {
		own := make([]int64, len(members[i]))
		for k, j := range members[i] {
			own[k] = rooms[level[j]]
		}
		for k, share := range maxMin(granted, own) {
			shares[level[members[i][k]]] += share
			taken += share
		}
	}
	return taken
}

// maxMin divides rate so that nobody gets more than it wants, and more than another only if the other has all
// it wants.
func maxMin(rate int64, wants []int64) []int64 {
	order := make([]int, len(wants))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(wants[a], wants[b]) })
	shares := make([]int64, len(wants))
	for done, i := range order {
		shares[i] = min(wants[i], rate/int64(len(order)-done))
		rate -= shares[i]
	}
	return shares
}

// groups returns the places of the items that have one key, for each key in ascending order.
func groups[T any, K comparable](items []T, key func(T) K, compare func(a, b K) int) [][]int {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compare(key(items[a]), key(items[b])) })
	var all [][]int
	for place, i := range order {
		if place > 0 && key(items[order[place-1]]) == key(items[i]) {
			all[len(all)-1] = append(all[len(all)-1], i)
		} else {
			all = append(all, []int{i})
		}
	}
	return all
}

func pick(flows []Flow, places []int) []Flow {
	picked := make([]Flow, len(places))
	for i, place := range places {
		picked[i] = flows[place]
	}
	return picked
}

func compareMembers(a, b id.Peer) int { return slices.Compare(a[:], b[:]) }
