package lease

import (
	"slices"

	"enjambre/core"
	"enjambre/peer/id"
)

const (
	maxComplaints = 1024 // fragments of a package that one asker complains of at a time
	maxReported   = 64   // holders of a package that one asker can make suspect
	holdersTried  = 3    // that an asker is named before the fragment is free for it
	failedKept    = 8    // holders that are not named again
)

// A complaint is what failed one asker at one fragment. A nil complaint is none.
type complaint struct {
	failed     [failedKept]slot // the newest overwrites the oldest
	next       uint8
	count      uint8 // since a lease was last acknowledged
	generation uint8 // of the cell then
	cause      Cause
}

func (c *complaint) hasFailed(s slot) bool { return c != nil && slices.Contains(c.failed[:], s) }

// isExhausted reports whether the asker tried as many holders as it has to, since there was a new one.
func (c *complaint) isExhausted(at *cell) bool {
	return c != nil && c.generation == at.generation && c.count >= holdersTried
}

func (c *complaint) note(s slot, generation uint8) {
	if c.generation != generation {
		c.generation, c.count = generation, 0
	}
	if c.hasFailed(s) {
		return
	}
	c.failed[c.next%failedKept] = s
	c.next = (c.next + 1) % failedKept
	c.count = min(c.count+1, holdersTried)
}

// forgive forgets what a member did, since its slot becomes another's.
func (a *asker) forgive(s slot) {
	for _, c := range a.complaints {
		if i := slices.Index(c.failed[:], s); i >= 0 {
			c.failed[i] = 0
		}
	}
}

// complain takes an asker's complaints in.
func (o *Site) complain(p *pack, a *asker, list []Complaint) {
	for _, said := range list {
		if int(said.Fragment) >= p.plan.Count() {
			continue
		}
		switch s := o.members.slots[said.Holder]; {
		case said.Holder == id.Peer{}:
			if l := o.leaseOf(o.members.at(a.slot), p, said.Fragment); l != nil {
				o.cancel(l, CauseCorrupt)
			}
		case s == a.slot:
			o.lose(p, a, said.Fragment, CauseCorrupt)
		case s != 0 && !a.held.Has(said.Fragment):
			o.blame(p, a, s, said)
		}
	}
	o.changed = o.changed || len(list) > 0
}

// lose takes back that an asker holds a fragment, by its own word. If nobody else holds it, it is sent again for the
// cause given.
func (o *Site) lose(p *pack, a *asker, index core.FragmentIndex, cause Cause) {
	if !a.held.Remove(index) {
		return
	}
	cells := p.grounds[o.members.at(a.slot).island]
	if cells == nil {
		return
	}
	c := &cells[index]
	full := c.holders[holdersKept-1] != 0
	c.remove(a.slot)
	for _, other := range p.askers {
		if full && other != nil && other.held.Has(index) && o.areTogether(a.slot, other.slot) {
			if _, bad := p.distrusted[other.slot]; !bad {
				c.add(other.slot)
			}
		}
	}
	if c.holders[0] == 0 {
		c.cause = cause
	}
}

// blame notes that a holder failed an asker.
func (o *Site) blame(p *pack, a *asker, holder slot, said Complaint) {
	cause := CauseOwnerLost
	if said.Corrupt {
		cause = CauseCorrupt
	}
	c := a.complaints[said.Fragment]
	if c == nil {
		if len(a.complaints) >= maxComplaints {
			return
		}
		c = &complaint{}
		a.complaints[said.Fragment] = c
	}
	generation := uint8(0)
	if cells := p.grounds[o.members.at(a.slot).island]; cells != nil {
		generation = cells[said.Fragment].generation
	}
	c.note(holder, generation)
	c.cause = cause
	if o.areTogether(a.slot, holder) && p.report(a.slot, holder, cause) {
		o.judgeTrust(p, holder, cause)
	}
}

// report notes that one member complains of another and reports whether that is new. Wrong bytes weigh most.
func (p *pack) report(by, holder slot, cause Cause) bool {
	reporters := p.reports[holder]
	if _, said := reporters[by]; said {
		if cause == CauseCorrupt {
			reporters[by] = cause
		}
		return false
	}
	said := 0
	for _, others := range p.reports {
		if _, has := others[by]; has {
			said++
		}
	}
	if said >= maxReported {
		return false
	}
	if reporters == nil {
		reporters = map[slot]Cause{}
		p.reports[holder] = reporters
	}
	reporters[by] = cause
	return true
}

// isAccused reports whether more than a third of the active members of a holder's island, and at least two, complain of
// it.
func (o *Site) isAccused(p *pack, holder slot) bool {
	active, complaining := 0, 0
	for _, a := range p.askers {
		if a == nil || !a.isActive(o.clock.now) || !o.areTogether(a.slot, holder) {
			continue
		}
		active++
		if _, complains := p.reports[holder][a.slot]; complains {
			complaining++
		}
	}
	return complaining >= 2 && 3*complaining > active
}

// judgeTrust distrusts a holder that is accused.
func (o *Site) judgeTrust(p *pack, holder slot, cause Cause) {
	if _, known := p.distrusted[holder]; known || !o.isAccused(p, holder) {
		return
	}
	p.distrusted[holder] = cause
	island := o.members.at(holder).island
	cells := p.grounds[island]
	var lost []core.FragmentIndex
	for index := range cells {
		if cells[index].holders[0] == holder && cells[index].holders[1] == 0 {
			lost = append(lost, core.FragmentIndex(index))
		}
	}
	p.rebuild(o, island)
	for _, index := range lost {
		if cells[index].holders[0] == 0 {
			cells[index].cause = cause
		}
	}
}

// mustStandBack reports whether a request is a distrusted member's, while others of its island are not done.
func (o *Site) mustStandBack(w *waiter) bool {
	if _, bad := w.pack.distrusted[w.asker.slot]; !bad {
		return false
	}
	return slices.ContainsFunc(w.pack.askers, func(a *asker) bool {
		if a == nil || a == w.asker || !a.isActive(o.clock.now) || a.held.Full() || !o.areTogether(a.slot, w.asker.slot) {
			return false
		}
		_, bad := w.pack.distrusted[a.slot]
		return !bad
	})
}
