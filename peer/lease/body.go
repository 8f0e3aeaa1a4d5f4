package lease

import (
	"fmt"
	"slices"
	"time"

	"enjambre/core"
)

// When a lease is overdue.
const (
	stallLimit   = 5 * time.Second  // without a byte that drained
	stallBytes   = 32 << 10         // whose time at the body's share is allowed in any case: two pieces
	needTimes    = 4                // the time a fragment needs at its share
	minNeed      = 10 * time.Second // but so long in any case
	maxNeed      = 10 * time.Minute // and no longer
	ackLimit     = 10 * time.Second // from a body's end to its acknowledgement
	bufferedAcks = 6                // times longer behind a proxy that buffers
	hair         = time.Millisecond // by which a computed time is late rather than early
)

// A lease is one grant and its body.
type lease struct {
	id       LeaseID
	slot     slot
	asker    *asker
	pack     *pack
	fragment core.FragmentIndex
	island   islandID
	cause    Cause // NoCause for a first copy
	charged  bool  // its extra bytes are the member's cost
	slow     bool  // its member has cost too much
	slowed   bool  // and it yields to others now
	among    int   // bodies, itself included, when its rate was last judged
	alone    bool  // its member was an island of one

	binds    bool // it keeps others from the fragment: neither acknowledged nor ended
	running  bool // its body is, and has a slot
	from     int64
	size     int64 // of the body
	sent     int64
	rate     int64   // as last ordered; 0 for no limit
	entitled float64 // bytes that its share of the measured rate would have taken since

	grantedAt, drainedAt, endedAt time.Time
	deadline                      time.Time // of the acknowledgement, once the body has ended

	entry      Entry // bytes that are not recorded yet
	recordedAt time.Time
}

// member returns whose lease it is; nil after the member was dropped.
func (o *Site) memberOf(l *lease) *member { return o.members.at(l.slot) }

// overdueAt returns when a running body will have taken too long if nothing changes.
func (o *Site) overdueAt(l *lease) time.Time {
	share := o.meter.share(l, len(o.bodies))
	stall := max(stallLimit, seconds(stallBytes/share))
	needed := o.clock.now
	if left := needTimes*float64(l.size) - l.entitled; left > 0 {
		needed = needed.Add(seconds(left/share) + hair)
	}
	needed = later(needed, l.grantedAt.Add(minNeed))
	return earlier(l.drainedAt.Add(stall), earlier(needed, l.grantedAt.Add(maxNeed)))
}

func (o *Site) isOverdue(l *lease) bool { return !o.overdueAt(l).After(o.clock.now) }

func (o *Site) lease(id LeaseID, event Event) *lease {
	l := o.leases[id]
	if l == nil {
		panic(fmt.Sprintf("lease: %T of lease %d, which has ended or never was", event, id))
	}
	return l
}

func (o *Site) bytesSent(event BytesSent) {
	l := o.lease(event.Lease, event)
	if event.Bytes < 1 || l.sent+event.Bytes > l.size || !l.endedAt.IsZero() {
		panic(fmt.Sprintf("lease: %+v after %d of %d bytes", event, l.sent, l.size))
	}
	cause := o.extraCause(l)
	extra := l.pack.book(l.fragment, l.from+l.sent, event.Bytes, cause)
	if extra > 0 && l.entry.Extra > 0 && l.entry.Cause != cause {
		o.record(l)
	}
	if extra > 0 {
		l.entry.Cause = cause
	}
	if l.charged {
		l.asker.cost += extra
	}
	if cause == CauseRestarted {
		l.asker.restarted += extra
	}
	l.entry.Bytes += uint32(event.Bytes)
	l.entry.Extra += uint32(extra)
	l.sent += event.Bytes
	l.drainedAt = o.clock.now
	if l.running {
		o.meter.count(l, event.Bytes)
	}
	if o.clock.now.Sub(l.recordedAt) >= flushTime {
		o.record(l)
	}
}

// extraCause says why bytes of a lease are not sent for the first time. A first copy's can be so only if
// another island's lease, or a stock agent, overtook it.
func (o *Site) extraCause(l *lease) Cause {
	switch {
	case l.cause != NoCause:
		return l.cause
	case l.alone, l.pack.outside:
		return CauseNoPeers
	}
	return CauseIsland
}

// record orders to write down what was sent since the last entry.
func (o *Site) record(l *lease) {
	l.recordedAt = o.clock.now
	if l.entry.Bytes == 0 {
		return
	}
	entry := l.entry
	entry.At = o.clock.wall
	o.do(Record{entry})
	l.entry.From += l.entry.Bytes
	l.entry.Begins, l.entry.Bytes, l.entry.Extra, l.entry.Cause = false, 0, 0, NoCause
}

func (o *Site) bodyEnded(event BodyEnded) {
	l := o.lease(event.Lease, event)
	if !l.endedAt.IsZero() {
		panic(fmt.Sprintf("lease: %+v ends a second time", event))
	}
	o.record(l)
	l.endedAt = o.clock.now
	o.stop(l)
	switch whole := l.sent == l.size && !event.Failed; {
	case !l.binds:
		delete(o.leases, l.id)
	case whole:
		share := o.meter.share(l, len(o.bodies)+1)
		limit := max(ackLimit, min(seconds(needTimes*float64(l.size)/share), maxNeed))
		if o.buffering.found {
			limit *= bufferedAcks
		}
		l.deadline = o.clock.now.Add(limit)
		o.delivered = append(o.delivered, l)
	default:
		o.release(l, CauseBroken)
		delete(o.leases, l.id)
	}
}

// stop gives the slot of a running body back.
func (o *Site) stop(l *lease) {
	if l.running {
		l.running = false
		o.bodies = slices.DeleteFunc(o.bodies, func(other *lease) bool { return other == l })
		o.changed = true
	}
}

// release ends a lease without an acknowledgement: its fragment is free again, under a cause.
func (o *Site) release(l *lease, cause Cause) {
	if c := o.cellOf(l); c != nil {
		c.lease, c.cause = 0, cause
	}
	o.unbind(l)
}

// unbind ends a lease's hold on its fragment. The body may go on.
func (o *Site) unbind(l *lease) {
	l.binds = false
	if m := o.memberOf(l); m != nil {
		m.leases = slices.DeleteFunc(m.leases, func(other *lease) bool { return other == l })
	}
	o.changed = true
}

// cellOf returns the cell that the lease binds; nil if it binds none.
func (o *Site) cellOf(l *lease) *cell {
	cells := l.pack.grounds[l.island]
	if cells == nil || cells[l.fragment].lease != uint32(l.id) {
		return nil
	}
	return &cells[l.fragment]
}

// reset breaks a running body off. What still drains until its end is booked.
func (o *Site) reset(l *lease, cause Cause) {
	o.record(l)
	o.stop(l)
	if l.binds {
		o.release(l, cause)
	}
	if l.cause == NoCause {
		l.cause = cause
	}
	o.do(ResetBody{l.id})
}

// finish forgets a lease whose body has ended.
func (o *Site) finish(l *lease) {
	o.delivered = slices.DeleteFunc(o.delivered, func(other *lease) bool { return other == l })
	delete(o.leases, l.id)
}

// cancel ends a lease in whatever state.
func (o *Site) cancel(l *lease, cause Cause) {
	switch {
	case l.running:
		o.reset(l, cause)
	case !l.endedAt.IsZero():
		o.finish(l)
		o.release(l, cause)
	}
}

func (o *Site) servedOutside(event ServedOutside) {
	p := o.packages[event.Package]
	if p == nil {
		return
	}
	end := event.From + event.Bytes
	if event.From < 0 || event.Bytes < 1 || end > p.plan.Size(event.Fragment) {
		panic(fmt.Sprintf("lease: %+v is not in the package", event))
	}
	p.outside = true
	extra := p.book(event.Fragment, event.From, event.Bytes, CauseNoPeers)
	entry := Entry{
		Kind: KindSent, At: o.clock.wall, Package: p.digest, Fragment: event.Fragment,
		From: uint32(event.From), Bytes: uint32(event.Bytes), Extra: uint32(extra),
	}
	if extra > 0 {
		entry.Cause = CauseNoPeers
	}
	o.do(Record{entry})
}

// seconds turns a number of seconds into a duration of at most an hour.
func seconds(number float64) time.Duration {
	return time.Duration(min(max(number, 0), 3600) * float64(time.Second))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
