package lease

import (
	"maps"
	"slices"
	"time"
)

// An islandID numbers the islands of a site.
type islandID uint32

// mainIsland is where all members are that belong to no other.
const mainIsland islandID = 0

// An island is some members that reach each other and, as far as they say, no others.
type island struct {
	members    int
	declaredAt time.Time // last
}

func (o *Site) isAlone(m *member) bool {
	return m.island != mainIsland && o.islands[m.island].members == 1
}

func (o *Site) areTogether(a, b slot) bool { return o.members.at(a).island == o.members.at(b).island }

// islandDeclared makes an island of its own of what a member is in touch with, or joins islands that it
// connects.
//
// What came of a declaration stands for a minute, whatever its member declares then.
//
// One that names members of another island connects the two. One that names only members of its own takes
// them out of it, unless they are more than half of it: then it is the others who are cut off, or dead, and
// the island stays where most are.
func (o *Site) islandDeclared(event IslandDeclared) {
	declarer := o.enter(event.Member)
	if declarer == 0 {
		return
	}
	m := o.members.at(declarer)
	if !m.declaredAt.IsZero() && o.clock.now.Sub(m.declaredAt) < islandPause {
		return
	}
	named := []slot{declarer}
	var foreign []islandID
	for _, id := range event.With[:min(len(event.With), MaxMembers)] {
		s := o.members.slots[id]
		if s == 0 || s == declarer {
			continue
		}
		named = append(named, s)
		if other := o.members.at(s).island; other != m.island {
			foreign = append(foreign, other)
		}
	}
	slices.Sort(named)
	named = slices.Compact(named)
	slices.Sort(foreign)
	foreign = slices.Compact(foreign)
	switch {
	case m.island == mainIsland && len(foreign) > 0: // foreign holds no main island then
		m.declaredAt = o.clock.now
		named = slices.DeleteFunc(named, func(s slot) bool { return o.members.at(s).island != mainIsland })
		o.move(named, foreign[0])
		o.join(declarer, foreign)
	case len(foreign) > 0:
		m.declaredAt = o.clock.now
		o.join(declarer, append(foreign, m.island))
	case 2*len(named) <= o.activeOf(m.island):
		m.declaredAt = o.clock.now
		o.split(named)
	case m.island != mainIsland:
		o.islands[m.island].declaredAt = o.clock.now
	}
	o.changed = true
}

// activeOf returns how many members of an island gave a sign of life lately.
func (o *Site) activeOf(id islandID) (count int) {
	for _, m := range o.members.members[1:] {
		if m != nil && m.island == id && o.clock.now.Sub(m.seenAt) < activeTime {
			count++
		}
	}
	return count
}

// split makes an island of some members.
func (o *Site) split(members []slot) {
	several := 0
	for _, other := range o.islands {
		if other.members > 1 {
			several++
		}
	}
	if len(members) > 1 && several >= MaxIslands {
		return
	}
	o.lastIsland++
	o.islands[o.lastIsland] = &island{declaredAt: o.clock.now}
	o.move(members, o.lastIsland)
}

// join makes one island of several, which a member connects, and sends one member of each to it.
func (o *Site) join(bridge slot, islands []islandID) {
	slices.Sort(islands)
	target := islands[0] // the main island, if it is among them
	for _, id := range islands {
		var chosen slot
		var all []slot
		for _, s := range slices.Sorted(maps.Values(o.members.slots)) {
			if m := o.members.at(s); m.island == id {
				all = append(all, s)
				if s != bridge && (chosen == 0 || m.seenAt.After(o.members.at(chosen).seenAt)) {
					chosen = s
				}
			}
		}
		if len(islands) > 1 && chosen != 0 {
			o.do(Introduce{Member: o.members.at(chosen).id, To: o.members.at(bridge).id})
		}
		if id != target {
			o.move(all, target)
		}
	}
	if target != mainIsland {
		o.islands[target].declaredAt = o.clock.now
	}
}

// move takes members into an island. Their leases go with them, so that what they were to fetch for others is
// free. What they said of others, and others of them, was that they do not reach each other: it is forgotten, and whoever
// is distrusted for nothing else is trusted again.
func (o *Site) move(members []slot, target islandID) {
	touched := map[islandID]bool{target: true}
	for _, s := range members {
		m := o.members.at(s)
		touched[m.island] = true
		for _, l := range m.leases {
			l.island = target
		}
		o.leaveIsland(m)
		m.island = target
		if target != mainIsland {
			o.islands[target].members++
		}
		for _, p := range o.packages {
			p.clearReports(s)
		}
	}
	for _, p := range o.sorted() {
		maps.DeleteFunc(p.distrusted, func(holder slot, _ Cause) bool {
			return touched[o.members.at(holder).island] && !o.isAccused(p, holder)
		})
		for _, id := range slices.Sorted(maps.Keys(touched)) {
			if id != mainIsland && o.islands[id] == nil {
				delete(p.grounds, id)
			} else {
				p.rebuild(o, id)
			}
		}
	}
}

func (o *Site) leaveIsland(m *member) {
	if m.island == mainIsland {
		return
	}
	if old := o.islands[m.island]; old.members > 1 {
		old.members--
	} else {
		delete(o.islands, m.island)
	}
}

// ageIsland takes a member's island back into the main one when nobody has declared it for long.
func (o *Site) ageIsland(m *member) {
	if m.island != mainIsland && o.clock.now.Sub(o.islands[m.island].declaredAt) >= islandLife {
		o.join(o.members.slots[m.id], []islandID{mainIsland, m.island})
	}
}
