package lease

import (
	"maps"
	"slices"

	"enjambre/core"
	"enjambre/core/fragment"
)

// What a crash may lose without a charge.
const (
	forgivenFragments = 256 // that a member gets again in a day, or
	forgivenCopies    = 4   // so many times the package, whichever is more: crashes lose a part of it, orders all
	forgivenStarts    = 16  // a day after which what others said of a member is forgotten
)

// A Start is the number of one beginning of a member with a package, drawn by chance: when its agent has started, or
// the package was assigned to it anew. 0: it does not say. At most MaxStart.
type Start uint64

// MaxStart is the highest Start; JavaScript can still hold it.
const MaxStart Start = 1 << 53

// begin takes in that a member has begun anew. Nobody listens to its bodies any more, and what it had may be lost.
// Others could not reach it for a while; that is forgotten a few times a day.
func (o *Site) begin(p *pack, a *asker, start Start) {
	if start == 0 || start == a.start || start == a.ended { // what comes late from the start before begins nothing
		return
	}
	isFirst := a.start == 0
	a.start, a.ended = start, a.start
	a.doubted = fragment.NewSet(p.plan.Count())
	for index := range core.FragmentIndex(p.plan.Count()) {
		if a.held.Has(index) || a.granted.Has(index) {
			a.doubted.Add(index)
		}
	}
	for _, l := range slices.Concat(o.bodies, o.delivered) {
		if l.asker == a {
			o.cancel(l, CauseRestarted)
		}
	}
	o.waiting = slices.DeleteFunc(o.waiting, func(w *waiter) bool {
		if w.asker == a {
			o.refuse(w, ReasonBusy, 0, 0)
		}
		return w.asker == a
	})
	if a.starts++; a.starts <= forgivenStarts && !isFirst {
		o.pardon(p, a.slot)
	}
	o.changed = true
}

// pardon forgets that others could not reach a member while it was away.
func (o *Site) pardon(p *pack, s slot) {
	maps.DeleteFunc(p.reports[s], func(_ slot, said Cause) bool { return said != CauseCorrupt })
	if _, bad := p.distrusted[s]; bad && !o.isAccused(p, s) {
		delete(p.distrusted, s)
		p.rebuild(o, o.members.at(s).island)
	}
}

// takeBack compares what a member had before its new start with what it says that it has, if it says so, and with what
// it wants, which may be said before. What it has not got it has lost: it does not hold that any more, and gets it again
// without a charge.
func (o *Site) takeBack(p *pack, a *asker, have *fragment.Set, want []core.FragmentIndex) {
	if a.doubted == nil {
		return
	}
	for _, index := range want {
		o.forgive(p, a, index)
	}
	if have == nil {
		return
	}
	for index := range core.FragmentIndex(p.plan.Count()) {
		if !have.Has(index) {
			o.forgive(p, a, index)
		}
	}
	a.doubted = nil
}

// forgive takes back one fragment, if the asker had it before its new start and was not lent it since.
func (o *Site) forgive(p *pack, a *asker, index core.FragmentIndex) {
	if !a.doubted.Remove(index) {
		return
	}
	if a.forgiven == nil {
		a.forgiven = fragment.NewSet(p.plan.Count())
	}
	a.forgiven.Add(index)
	o.lose(p, a, index, CauseRestarted)
}

// isForgiven reports whether an asker gets a fragment again without a charge, since a crash lost it.
func (a *asker) isForgiven(p *pack, index core.FragmentIndex) bool {
	most := max(forgivenFragments*p.plan.FragmentSize(), forgivenCopies*p.plan.ArchiveSize())
	return a.forgiven != nil && a.forgiven.Has(index) && a.restarted < most
}
