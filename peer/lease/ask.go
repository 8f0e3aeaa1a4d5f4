package lease

import (
	"cmp"
	"slices"
	"time"

	"enjambre/core"
)

// A waiter is a request that is not answered yet.
type waiter struct {
	request RequestID
	pack    *pack
	asker   *asker
	want    []core.FragmentIndex
	resume  Resume
	until   time.Time
	rank    rank
}

// A rank is a place in the queue.
type rank struct {
	slow       bool // the member has cost too much today
	priority   core.Priority
	weightless bool
	request    RequestID // the order of arrival
}

func (r rank) compare(other rank) int {
	return cmp.Or(compareBools(r.slow, other.slow), cmp.Compare(r.priority, other.priority),
		compareBools(r.weightless, other.weightless), cmp.Compare(r.request, other.request))
}

func compareWaiters(a, b *waiter) int { return a.rank.compare(b.rank) }

// compareBools orders false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (o *Site) memberAsked(event MemberAsked) {
	w := &waiter{request: event.Request, pack: o.packages[event.Package], resume: event.Resume}
	switch {
	case w.pack == nil:
		o.refuse(w, ReasonUnknown, 0, 0)
		return
	case w.pack.withdrawn:
		o.do(Gone{event.Request})
		return
	}
	s := o.enter(event.Member)
	if s == 0 {
		o.refuse(w, ReasonBusy, 0, 0)
		return
	}
	m := o.members.at(s)
	m.weightless = event.Weightless
	o.ageIsland(m)
	w.asker = w.pack.asker(s)
	w.asker.askedAt = o.clock.now
	w.asker.today(o.clock.now)
	o.begin(w.pack, w.asker, event.Start)
	o.hear(w.pack, w.asker, event)
	w.want = wanted(event.Want, w.pack.plan.Count())
	if len(w.want) == 0 {
		o.do(Complete{event.Request})
		return
	}
	if o.waitingOf(s) >= maxWaiting {
		o.refuse(w, ReasonBusy, 0, 0)
		return
	}
	w.until = o.clock.now.Add(waitLimit)
	w.rank = rank{w.asker.isSlow(w.pack), w.pack.priority, m.weightless, event.Request}
	place, _ := slices.BinarySearchFunc(o.waiting, w, compareWaiters)
	o.waiting = slices.Insert(o.waiting, place, w)
	o.changed = true
}

// hear takes in what a request says besides what it wants.
func (o *Site) hear(p *pack, a *asker, event MemberAsked) {
	for _, index := range event.Acknowledged[:min(len(event.Acknowledged), MaxAcknowledged)] {
		if int(index) < p.plan.Count() {
			o.acknowledge(p, a, index)
		}
	}
	have := event.Have
	if have != nil && have.Size() != p.plan.Count() {
		have = nil
	}
	if have != nil && (have.Count() != a.held.Count() || o.mayRepair()) {
		for index := range core.FragmentIndex(have.Size()) {
			switch {
			case have.Has(index) && !a.held.Has(index):
				o.acknowledge(p, a, index)
			case have.Has(index):
				o.repair(p, a, index)
			}
		}
	}
	o.takeBack(p, a, have, wanted(event.Want, p.plan.Count()))
	if have != nil {
		for _, index := range wanted(event.Want, have.Size()) {
			if !have.Has(index) {
				o.lose(p, a, index, CauseCorrupt)
			}
		}
	}
	o.complain(p, a, event.Failed[:min(len(event.Failed), MaxFailed)])
}

// wanted returns what of a request's list can be wanted.
func wanted(list []core.FragmentIndex, size int) []core.FragmentIndex {
	var want []core.FragmentIndex
	for _, index := range list[:min(len(list), MaxWant)] {
		if int(index) < size {
			want = append(want, index)
		}
	}
	return want
}

func (o *Site) waitingOf(s slot) (count int) {
	for _, w := range o.waiting {
		if w.asker.slot == s {
			count++
		}
	}
	return count
}

func (o *Site) clientLeft(event ClientLeft) {
	o.waiting = slices.DeleteFunc(o.waiting, func(w *waiter) bool { return w.request == event.Request })
	o.changed = true // fewer members ask, so that one may have two bodies
}

// acknowledge makes the asker a holder, and ends the lease by which it got the fragment.
func (o *Site) acknowledge(p *pack, a *asker, index core.FragmentIndex) {
	o.repair(p, a, index)
	a.held.Add(index)
	if a.doubted != nil {
		a.doubted.Remove(index)
	}
	delete(a.complaints, index)
	m := o.members.at(a.slot)
	if _, bad := p.distrusted[a.slot]; !bad && !o.isAlone(m) {
		c := &p.ground(o, m.island)[index]
		c.add(a.slot)
		c.cause = NoCause
	}
	if l := o.leaseOf(m, p, index); l != nil {
		o.keep(l)
	}
	o.changed = true
}

// leaseOf returns the lease that a member has for a fragment, or nil.
func (o *Site) leaseOf(m *member, p *pack, index core.FragmentIndex) *lease {
	for _, l := range m.leases {
		if l.pack == p && l.fragment == index {
			return l
		}
	}
	return nil
}

// keep ends a lease well.
func (o *Site) keep(l *lease) {
	if c := o.cellOf(l); c != nil {
		c.lease = 0
		c.generation++
	}
	if !l.running {
		lag := o.clock.now.Sub(l.endedAt)
		o.buffering.note(lag > 2*time.Second && lag > l.endedAt.Sub(l.grantedAt))
		o.finish(l)
	}
	o.unbind(l)
	o.do(Record{Entry{
		Kind: KindKept, At: o.clock.wall, Package: l.pack.digest, Member: o.memberOf(l).id, Fragment: l.fragment,
	}})
}

// settle answers the requests that can be answered now, in order of rank.
func (o *Site) settle() {
	if !o.quietUntil.IsZero() && !o.isQuiet() {
		o.quietUntil, o.changed = time.Time{}, true
	}
	for _, w := range o.waiting {
		o.changed = o.changed || !w.until.After(o.clock.now)
	}
	for o.changed { // a grant can leave those before it nothing that is free
		o.changed = false
		for i := 0; i < len(o.waiting); {
			if o.answer(o.waiting[i]) {
				o.waiting = slices.Delete(o.waiting, i, i+1)
			} else {
				i++
			}
		}
	}
	for last := len(o.waiting) - 1; last >= MaxWaiting; last-- {
		w := o.waiting[last]
		o.waiting = o.waiting[:last]
		if o.isQuiet() {
			o.refuse(w, ReasonQuiet, 0, 0)
		} else {
			o.refuse(w, ReasonBusy, 0, 0)
		}
	}
}

// answer answers a request, or returns false if it has to wait.
func (o *Site) answer(w *waiter) bool {
	choice := o.choose(w)
	switch {
	case choice.verdict == isMine:
		o.do(Complete{w.request})
	case choice.verdict != isFree:
		o.refuse(w, choice.verdict.reason(), choice.fragment, choice.holder)
	case o.mustStandBack(w):
		o.refuse(w, ReasonDistrusted, 0, 0)
	case !o.isQuiet() && o.hasSlot(w):
		o.grant(w, choice.fragment)
	case !w.until.After(o.clock.now):
		o.refuse(w, ReasonBusy, 0, 0)
	default:
		return false
	}
	return true
}

// hasSlot reports whether another body may run, and another one of this member.
func (o *Site) hasSlot(w *waiter) bool {
	bodies, own := len(o.bodies), countOf(o.bodies, w.asker.slot)
	unacknowledged := countOf(o.delivered, w.asker.slot)
	if o.buffering.found {
		bodies, own = bodies+len(o.delivered), own+unacknowledged
	}
	limit := 1
	if bodies < o.policy.Fetchers && own == limit && o.fewAsk() {
		limit = maxBodies
	}
	return bodies < o.policy.Fetchers && own < limit && unacknowledged < maxUnacknowledged
}

func countOf(leases []*lease, s slot) (count int) {
	for _, l := range leases {
		if l.slot == s {
			count++
		}
	}
	return count
}

// fewAsk reports whether fewer members than bodies may run have one or wait for one.
func (o *Site) fewAsk() bool {
	asking := make([]slot, 0, MaxFetchers)
	note := func(s slot) bool {
		if !slices.Contains(asking, s) {
			asking = append(asking, s)
		}
		return len(asking) >= o.policy.Fetchers
	}
	for _, l := range o.bodies {
		if note(l.slot) {
			return false
		}
	}
	for _, l := range o.delivered {
		if note(l.slot) {
			return false
		}
	}
	for _, w := range o.waiting {
		if note(w.asker.slot) {
			return false
		}
	}
	return true
}

// grant lends a fragment.
func (o *Site) grant(w *waiter, index core.FragmentIndex) {
	m, p := o.members.at(w.asker.slot), w.pack
	var from int64
	if r := w.resume; r.Fragment == index && r.From > 0 && r.From < p.plan.Size(index) {
		from = r.From
		o.repairUpTo(p, w.asker, index, from)
	}
	o.lastLease++
	if uint32(o.lastLease) == 0 {
		o.lastLease++ // 0 is no lease in a cell
	}
	l := &lease{
		id: o.lastLease, slot: w.asker.slot, asker: w.asker, pack: p, fragment: index, island: m.island,
		cause: o.nextCause(w, index), charged: o.isCharged(w, index), slow: w.rank.slow,
		alone: o.isAlone(m), binds: true, running: true,
		grantedAt: o.clock.now, drainedAt: o.clock.now, recordedAt: o.clock.now,
		from: from, size: p.plan.Size(index) - from,
	}
	l.entry = Entry{
		Kind: KindSent, Package: p.digest, Member: m.id, Fragment: index, From: uint32(l.from),
		Begins: true, Charged: l.charged,
	}
	w.asker.countGrant(w.pack, index)
	m.leases = append(m.leases, l)
	o.leases[l.id] = l
	o.bodies = append(o.bodies, l)
	if !o.isAlone(m) {
		c := &p.ground(o, m.island)[index]
		c.lease, c.cause = uint32(l.id), NoCause
	}
	o.changed = true
	o.do(Grant{Request: w.request, Lease: l.id, Fragment: index, From: l.from, Cause: l.cause})
}

// refuse answers with an estimate of when asking again is of use.
func (o *Site) refuse(w *waiter, reason Reason, index core.FragmentIndex, holder slot) {
	var size int64 = core.MinFragmentSize
	if w.pack != nil {
		size = w.pack.plan.FragmentSize()
	}
	queue := len(o.bodies)
	for _, other := range o.waiting {
		if other != w {
			queue++
		}
	}
	after := seconds(float64(max(1, queue)) * float64(size) / o.meter.rate)
	if reason == ReasonQuiet {
		after = max(after, o.quietUntil.Sub(o.clock.now))
	}
	after += time.Duration(o.random.Float64() / 2 * float64(after))
	refusal := Refuse{
		Request: w.request, Reason: reason, Fragment: index, RetryAfter: min(max(after, minRetry), maxRetry),
	}
	if holder != 0 {
		refusal.Holder = o.members.at(holder).id
	}
	o.do(refusal)
}
