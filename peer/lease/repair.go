package lease

import "enjambre/core"

// repair books what the end of a ledger lost. A member has verified a fragment, so its bytes went into the site: those
// that the ledger does not know were sent for the first time. It books none twice, and never more than the package has.
//
// It trusts a member's word, and takes what a member brought from another site for sent into this one. So it does that
// only for a day after an origin that did not end well.
func (o *Site) repair(p *pack, a *asker, index core.FragmentIndex) {
	o.repairUpTo(p, a, index, p.plan.Size(index))
}

// repairUpTo does so for the first bytes of a fragment, which the asker has.
func (o *Site) repairUpTo(p *pack, a *asker, index core.FragmentIndex, end int64) {
	from := p.sentOf(index)
	if from >= end || !o.mayRepair() || o.isOnItsWay(p, index) {
		return
	}
	p.book(index, from, end-from, NoCause)
	o.do(Record{Entry{
		Kind: KindRepaired, At: o.clock.wall, Package: p.digest, Member: o.members.at(a.slot).id, Fragment: index,
		From: uint32(from), Bytes: uint32(end - from),
	}})
}

func (o *Site) mayRepair() bool { return o.clock.now.Before(o.repairUntil) }

// isOnItsWay reports whether a body of a fragment runs: what it has yet to report is not lost.
func (o *Site) isOnItsWay(p *pack, index core.FragmentIndex) bool {
	for _, l := range o.leases {
		if l.pack == p && l.fragment == index && l.endedAt.IsZero() {
			return true
		}
	}
	return false
}
