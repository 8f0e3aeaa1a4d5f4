package lease

import (
	"slices"

	"enjambre/core"
)

// A verdict says what a fragment is to an asker.
type verdict uint8

// The verdicts, from what says least to what decides.
const (
	isMine   verdict = iota // the asker has it
	isSpent                 // it had it three times today
	isLeased                // it is on its way to another
	isHeld                  // another has it
	isFree
)

func (v verdict) reason() Reason {
	return [...]Reason{isSpent: ReasonSpent, isLeased: ReasonLeased, isHeld: ReasonHeld}[v]
}

type choice struct {
	verdict  verdict
	fragment core.FragmentIndex
	holder   slot
}

// choose returns the first wanted fragment that is free, or the best that there is to say.
func (o *Site) choose(w *waiter) (best choice) {
	for _, index := range w.want {
		verdict, holder := o.judge(w.pack, w.asker, index)
		if verdict > best.verdict {
			best = choice{verdict, index, holder}
		}
		if verdict == isFree {
			break
		}
	}
	return best
}

// judge says what a fragment is to an asker, and who has it if somebody has.
func (o *Site) judge(p *pack, a *asker, index core.FragmentIndex) (verdict, slot) {
	m := o.members.at(a.slot)
	switch {
	case a.held.Has(index):
		return isMine, 0
	case o.leaseOf(m, p, index) != nil:
		return isLeased, 0
	case o.isAlone(m):
		if a.times(p, index) >= maxTimes {
			return isSpent, 0
		}
		return isFree, 0
	}
	c := &p.ground(o, m.island)[index]
	complaint := a.complaints[index]
	holder := slot(0)
	if !complaint.isExhausted(c) {
		holder = o.usable(p, a, c, index)
	}
	switch {
	case holder != 0:
		return isHeld, holder
	case c.lease != 0:
		return isLeased, 0
	case a.times(p, index) >= maxTimes:
		return isSpent, 0
	}
	return isFree, 0
}

// usable returns a holder that did not fail this asker: one that was seen lately and has a line to spare if
// there is one, and not the same for all who ask.
func (o *Site) usable(p *pack, a *asker, c *cell, index core.FragmentIndex) slot {
	candidates := c.holders[:]
	if end := slices.Index(candidates, 0); end >= 0 {
		candidates = candidates[:end]
	}
	best, found := slot(0), -1
	weigh := func(s slot) {
		if s == a.slot || a.complaints[index].hasFailed(s) {
			return
		}
		value := 0
		if !o.isSilent(s) {
			value += 2
		}
		if !o.members.at(s).weightless {
			value++
		}
		if value > found {
			best, found = s, value
		}
	}
	for i := range candidates {
		weigh(candidates[(i+int(a.slot))%len(candidates)])
	}
	if best != 0 || len(candidates) < holdersKept {
		return best
	}
	island := o.members.at(a.slot).island
	for _, other := range p.askers { // there may be more holders than a cell keeps
		if other != nil && other.held.Has(index) && o.members.at(other.slot).island == island {
			if _, bad := p.distrusted[other.slot]; !bad {
				weigh(other.slot)
			}
		}
	}
	return best
}

func (o *Site) isSilent(s slot) bool {
	m := o.members.at(s)
	return m == nil || o.clock.now.Sub(m.seenAt) >= silentTime
}

// nextCause says why a free fragment goes into the site, if it has been there.
func (o *Site) nextCause(w *waiter, index core.FragmentIndex) Cause {
	p, m := w.pack, o.members.at(w.asker.slot)
	if p.sentOf(index) == 0 && !p.isLeased(index) {
		return NoCause
	}
	if w.asker.isForgiven(p, index) {
		return CauseRestarted
	}
	if o.isAlone(m) {
		return CauseNoPeers
	}
	if cause := p.ground(o, m.island)[index].cause; cause != NoCause {
		return cause
	}
	if complaint := w.asker.complaints[index]; complaint != nil {
		return complaint.cause
	}
	switch {
	case m.island != mainIsland || len(o.islands) > 0:
		return CauseIsland
	case p.outside:
		return CauseNoPeers
	case p.sentOf(index) < p.plan.Size(index):
		return CauseBroken
	}
	return CauseOwnerLost
}

// isLeased reports whether a fragment is on its way into any island.
func (p *pack) isLeased(index core.FragmentIndex) bool {
	for _, cells := range p.grounds {
		if cells[index].lease != 0 {
			return true
		}
	}
	return false
}

// isCharged reports whether what a new lease sends once more is the member's cost: a repeat, or a complaint
// about somebody who is there.
func (o *Site) isCharged(w *waiter, index core.FragmentIndex) bool {
	if w.asker.isForgiven(w.pack, index) {
		return false
	}
	if w.asker.times(w.pack, index) > 0 {
		return true
	}
	m := o.members.at(w.asker.slot)
	complaint := w.asker.complaints[index]
	if complaint == nil || o.isAlone(m) || w.pack.ground(o, m.island)[index].cause != NoCause {
		return false
	}
	return slices.ContainsFunc(complaint.failed[:], func(s slot) bool {
		_, bad := w.pack.distrusted[s]
		return s != 0 && !bad && !o.isSilent(s)
	})
}
