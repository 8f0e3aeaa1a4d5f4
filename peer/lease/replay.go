package lease

import (
	"fmt"

	"enjambre/peer/id"
)

// Replay takes in what a ledger says, in its order, in as many calls as the caller likes. The packages must
// be known already: entries of others are skipped. It must come before the first Step but those of
// PackageKnown.
//
// Sums, who had what and what members cost are as before; leases are not, since their bodies ended with the
// process.
func (o *Site) Replay(entries []Entry) {
	if len(o.leases) > 0 || len(o.waiting) > 0 {
		panic(fmt.Sprintf("lease: Replay with %d leases and %d requests", len(o.leases), len(o.waiting)))
	}
	for _, e := range entries {
		p := o.packages[e.Package]
		if p == nil || p.withdrawn || int(e.Fragment) >= p.plan.Count() {
			continue
		}
		switch e.Kind {
		case KindSent:
			o.replaySent(p, e)
		case KindRepaired:
			if end := int64(e.From) + int64(e.Bytes); end <= p.plan.Size(e.Fragment) {
				p.replayBytes(e)
				o.enterAt(e)
			}
		case KindKept:
			if s := o.enterAt(e); s != 0 {
				a := p.asker(s)
				a.held.Add(e.Fragment)
				p.ground(o, mainIsland)[e.Fragment].add(s)
				p.ground(o, mainIsland)[e.Fragment].cause = NoCause
			}
		case KindWithdrawn:
			p.empty()
			p.markReturned(o)
		}
	}
}

// enterAt enters a member of the past. It is as silent as its last entry is old.
func (o *Site) enterAt(e Entry) slot {
	if e.Member == (id.Peer{}) {
		return 0
	}
	s := o.members.slots[e.Member]
	if s == 0 {
		s = o.enter(e.Member)
	}
	if s != 0 {
		o.members.at(s).seenAt = earlier(e.At, o.clock.now)
	}
	return s
}

func (o *Site) replaySent(p *pack, e Entry) {
	if int64(e.From)+int64(e.Bytes) > p.plan.Size(e.Fragment) {
		return // of a package that was cut in another way
	}
	p.replayBytes(e)
	s := o.enterAt(e)
	if s == 0 {
		p.outside = p.outside || e.Member == id.Peer{}
		return
	}
	a := p.asker(s)
	a.today(earlier(e.At, o.clock.now))
	if e.Begins && (e.Cause != CauseRestarted || !a.granted.Has(e.Fragment)) { // that was forgiven
		a.countGrant(p, e.Fragment)
	}
	if e.Charged {
		a.cost += int64(e.Extra)
	}
	if e.Cause == CauseRestarted {
		a.restarted += int64(e.Extra)
	}
}

// replayBytes books as the entry does: which bytes were extra was decided when they were sent.
func (p *pack) replayBytes(e Entry) {
	if p.sent == nil {
		p.sent = make([]uint32, p.plan.Count())
	}
	p.sent[e.Fragment] = max(p.sent[e.Fragment], e.From+e.Bytes)
	p.totals.Add(e)
}
