package lease

import (
	"maps"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
)

// A slot is a member's place in the roster, from 1; 0 is nobody's.
type slot uint16

// A member is what the Site knows of a member whatever the package.
type member struct {
	id         id.Peer
	seenAt     time.Time
	weightless bool
	island     islandID
	declaredAt time.Time
	leases     []*lease // that were not acknowledged and did not end otherwise
}

// A roster gives members slots.
type roster struct {
	slots   map[id.Peer]slot
	members []*member // by slot; nil where nobody is
}

func newRoster() roster {
	return roster{slots: map[id.Peer]slot{}, members: make([]*member, 1)}
}

func (r *roster) at(s slot) *member { return r.members[s] }

func (r *roster) see(id id.Peer, now time.Time) {
	if s := r.slots[id]; s != 0 {
		r.members[s].seenAt = now
	}
}

// add gives a new member a slot; 0 if there is none left.
func (r *roster) add(id id.Peer, now time.Time) slot {
	place := slices.Index(r.members[1:], nil) + 1
	if place == 0 {
		if len(r.members) > MaxMembers {
			return 0
		}
		r.members = append(r.members, nil)
		place = len(r.members) - 1
	}
	r.members[place] = &member{id: id, seenAt: now}
	r.slots[id] = slot(place)
	return slot(place)
}

func (r *roster) remove(s slot) {
	delete(r.slots, r.members[s].id)
	r.members[s] = nil
}

// enter returns the slot of a member that asks. If the roster is full, the member that has been silent the
// longest makes room, unless it was seen lately: then 0.
func (o *Site) enter(id id.Peer) slot {
	if s := o.members.slots[id]; s != 0 {
		o.members.at(s).seenAt = o.clock.now
		return s
	}
	if s := o.members.add(id, o.clock.now); s != 0 {
		return s
	}
	oldest := slot(1)
	for s := range o.members.members[1:] {
		if o.members.at(slot(s + 1)).seenAt.Before(o.members.at(oldest).seenAt) {
			oldest = slot(s + 1)
		}
	}
	if o.clock.now.Sub(o.members.at(oldest).seenAt) < activeTime {
		return 0
	}
	o.drop(oldest)
	return o.members.add(id, o.clock.now)
}

// Members returns who is known of the site, at most MaxMembers, in order of their IDs: who has asked, and who had
// asked by the ledger. Who of them has left, the shell reports.
func (o *Site) Members() []id.Peer {
	return slices.SortedFunc(maps.Keys(o.members.slots), id.Peer.Compare)
}

func (o *Site) memberLeft(event MemberLeft) {
	if s := o.members.slots[event.Member]; s != 0 {
		o.drop(s)
	}
}

// drop forgets a member: its leases are void, its requests refused, and it holds nothing.
func (o *Site) drop(s slot) {
	m := o.members.at(s)
	for _, l := range slices.Clone(m.leases) {
		o.cancel(l, CauseOwnerLost)
	}
	for _, l := range slices.Clone(o.bodies) {
		if l.slot == s {
			o.reset(l, CauseOwnerLost) // acknowledged, and its body not ended yet
		}
	}
	o.waiting = slices.DeleteFunc(o.waiting, func(w *waiter) bool {
		if w.asker.slot == s {
			o.refuse(w, ReasonBusy, 0, 0)
		}
		return w.asker.slot == s
	})
	o.leaveIsland(m)
	o.members.remove(s)
	for _, p := range o.sorted() {
		p.forget(s)
		p.rebuild(o, m.island)
	}
	o.changed = true
}

// An asker is what the Site knows of a member in respect of one package. Its sets take 8 KiB each at most; two of them
// are there only after it has begun anew.
type asker struct {
	slot    slot
	askedAt time.Time
	held    *fragment.Set // acknowledged, or said to be had

	dayAt   time.Time                    // since when times and cost are counted
	granted *fragment.Set                // at least once
	repeats map[core.FragmentIndex]uint8 // beyond once
	cost    int64                        // bytes of repeats and complaints

	start     Start         // its present one; 0 if it has not said
	ended     Start         // the one before
	starts    int           // today
	doubted   *fragment.Set // what it had before that, until it says what it has now; nil then
	forgiven  *fragment.Set // what it lost by a crash and was not granted again; nil if it never said so
	restarted int64         // bytes of that which were sent again today

	complaints map[core.FragmentIndex]*complaint // at most maxComplaints
}

func newAsker(s slot, size int) *asker {
	return &asker{
		slot: s, held: fragment.NewSet(size), granted: fragment.NewSet(size),
		repeats: map[core.FragmentIndex]uint8{}, complaints: map[core.FragmentIndex]*complaint{},
	}
}

// today begins a new day of counting if the last is over.
func (a *asker) today(now time.Time) {
	if now.Sub(a.dayAt) < day {
		return
	}
	a.dayAt, a.cost, a.starts, a.restarted = now, 0, 0, 0
	if a.granted.Count() > 0 {
		a.granted = fragment.NewSet(a.granted.Size())
		clear(a.repeats)
	}
}

// times returns how often the asker was granted a fragment today, since a crash lost it.
func (a *asker) times(p *pack, index core.FragmentIndex) int {
	if !a.granted.Has(index) || a.isForgiven(p, index) {
		return 0
	}
	return 1 + int(a.repeats[index])
}

func (a *asker) countGrant(p *pack, index core.FragmentIndex) {
	switch {
	case a.isForgiven(p, index):
		delete(a.repeats, index)
		a.granted.Add(index)
	case !a.granted.Add(index):
		a.repeats[index]++
	}
	for _, set := range []*fragment.Set{a.forgiven, a.doubted} {
		if set != nil {
			set.Remove(index)
		}
	}
}

// isSlow reports whether the asker has cost more today than a member may.
func (a *asker) isSlow(p *pack) bool {
	return a.cost >= max(4*p.plan.FragmentSize(), p.plan.ArchiveSize()/50)
}

func (a *asker) isActive(now time.Time) bool { return now.Sub(a.askedAt) < activeTime }
