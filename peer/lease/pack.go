package lease

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"enjambre/core"
	"enjambre/core/fragment"
)

// holdersKept is how many holders of a fragment are at hand. Others are looked for among all when these do
// not help.
const holdersKept = 4

// A cell is one fragment in one island.
type cell struct {
	holders    [holdersKept]slot // the first ones that are not distrusted; 0 in the rest
	lease      uint32            // the lease's number without its upper half; 0 for none
	cause      Cause             // of the next lease, if the last one did not end well
	generation uint8             // how many leases were acknowledged, to tell old complaints
}

func (c *cell) add(s slot) {
	for i, holder := range c.holders {
		if holder == s {
			return
		}
		if holder == 0 {
			c.holders[i] = s
			return
		}
	}
}

func (c *cell) remove(s slot) {
	if i := slices.Index(c.holders[:], s); i >= 0 {
		copy(c.holders[i:], c.holders[i+1:])
		c.holders[holdersKept-1] = 0
	}
}

// A pack is one package in the site.
type pack struct {
	digest    core.Digest
	plan      fragment.Plan
	priority  core.Priority
	withdrawn bool

	sent    []uint32 // of each fragment, up to which byte it was sent; nil before the first
	outside bool     // some of it without a lease
	totals  Totals

	grounds    map[islandID][]cell     // of the main island and each of several members that asks
	askers     []*asker                // by slot, nil where the member did not ask
	reports    map[slot]map[slot]Cause // of each holder, who complains of it and why
	distrusted map[slot]Cause
}

func newPack(event PackageKnown) *pack {
	p := &pack{digest: event.Package, plan: event.Plan}
	p.empty()
	return p
}

// empty forgets the members.
func (p *pack) empty() {
	p.grounds, p.askers = map[islandID][]cell{}, nil
	p.reports, p.distrusted = map[slot]map[slot]Cause{}, map[slot]Cause{}
}

func (p *pack) asker(s slot) *asker {
	if int(s) >= len(p.askers) {
		p.askers = slices.Grow(p.askers, int(s)+1-len(p.askers))[:s+1]
	}
	if p.askers[s] == nil {
		p.askers[s] = newAsker(s, p.plan.Count())
	}
	return p.askers[s]
}

// forget forgets one member. The grounds are to be rebuilt.
func (p *pack) forget(s slot) {
	if int(s) < len(p.askers) {
		p.askers[s] = nil
	}
	for _, a := range p.askers {
		if a != nil {
			a.forgive(s)
		}
	}
	p.clearReports(s)
	delete(p.distrusted, s)
}

// clearReports forgets what a member said of others, and others of it.
func (p *pack) clearReports(s slot) {
	delete(p.reports, s)
	for _, reporters := range p.reports {
		delete(reporters, s)
	}
}

// ground returns the cells of an island.
func (p *pack) ground(o *Site, island islandID) []cell {
	cells, made := p.grounds[island]
	if !made {
		p.grounds[island] = make([]cell, p.plan.Count())
		p.rebuild(o, island)
		cells = p.grounds[island]
	}
	return cells
}

// rebuild makes an island's cells anew, from what its members hold and have on lease. Of two leases of one
// fragment, as they meet when islands join, the younger ends.
func (p *pack) rebuild(o *Site, island islandID) {
	cells, made := p.grounds[island]
	if !made {
		return
	}
	for i := range cells {
		cells[i].holders, cells[i].lease = [holdersKept]slot{}, 0
	}
	for _, a := range p.askers {
		if a == nil || o.members.at(a.slot).island != island {
			continue
		}
		if _, bad := p.distrusted[a.slot]; !bad {
			for index := range cells {
				if a.held.Has(core.FragmentIndex(index)) {
					cells[index].add(a.slot)
				}
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(o.leases)) {
		l := o.leases[id]
		if l.pack != p || l.island != island || !l.binds {
			continue
		}
		if c := &cells[l.fragment]; c.lease == 0 {
			c.lease = uint32(id)
		} else {
			o.cancel(l, CauseIsland)
		}
	}
}

// book enters bytes that were sent and returns how many of them are not sent for the first time.
func (p *pack) book(index core.FragmentIndex, from, bytes int64, cause Cause) (extra int64) {
	if p.sent == nil {
		p.sent = make([]uint32, p.plan.Count())
	}
	end := from + bytes
	first := max(0, end-max(from, int64(p.sent[index])))
	p.sent[index] = max(p.sent[index], uint32(end))
	p.totals.First += first
	p.totals.Extra[cause] += bytes - first
	return bytes - first
}

func (p *pack) sentOf(index core.FragmentIndex) int64 {
	if p.sent == nil {
		return 0
	}
	return int64(p.sent[index])
}

// sorted returns the packages in an order that does not change from run to run.
func (o *Site) sorted() []*pack {
	return slices.SortedFunc(maps.Values(o.packages), func(a, b *pack) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), slices.Compare(a.digest[:], b.digest[:]))
	})
}

func (o *Site) packageKnown(event PackageKnown) {
	if event.Priority > core.MaxPriority {
		panic(fmt.Sprintf("lease: package %v has priority %v", event.Package, event.Priority))
	}
	p := o.packages[event.Package]
	switch {
	case p == nil && len(o.packages) >= MaxPackages && len(o.withdrawn) == 0:
		return // its askers are refused with ReasonUnknown
	case p == nil:
		if len(o.packages) >= MaxPackages {
			delete(o.packages, o.withdrawn[0])
			o.withdrawn = o.withdrawn[1:]
		}
		p = newPack(event)
		o.packages[event.Package] = p
	case p.plan != event.Plan:
		panic(fmt.Sprintf("lease: package %v is cut in another way than before", event.Package))
	case p.withdrawn:
		p.withdrawn = false
		o.withdrawn = slices.DeleteFunc(o.withdrawn, func(d core.Digest) bool { return d == p.digest })
		p.markReturned(o)
	}
	p.priority = event.Priority
	for _, w := range o.waiting {
		if w.pack == p {
			w.rank.priority = p.priority
		}
	}
	slices.SortStableFunc(o.waiting, compareWaiters)
	o.changed = true
}

// markReturned says why a package that was withdrawn is sent again.
func (p *pack) markReturned(o *Site) {
	for index := range p.ground(o, mainIsland) {
		if p.sentOf(core.FragmentIndex(index)) > 0 {
			p.grounds[mainIsland][index].cause = CauseWithdrawn
		}
	}
}

func (o *Site) packageWithdrawn(event PackageWithdrawn) {
	p := o.packages[event.Package]
	if p == nil || p.withdrawn {
		return
	}
	p.withdrawn = true
	o.withdrawn = append(o.withdrawn, p.digest)
	for _, id := range slices.Sorted(maps.Keys(o.leases)) {
		if l := o.leases[id]; l.pack == p {
			o.cancel(l, CauseWithdrawn)
		}
	}
	o.waiting = slices.DeleteFunc(o.waiting, func(w *waiter) bool {
		if w.pack == p {
			o.do(Gone{w.request})
		}
		return w.pack == p
	})
	p.empty()
	o.do(Record{Entry{Kind: KindWithdrawn, At: o.clock.wall, Package: p.digest}})
	o.changed = true
}
