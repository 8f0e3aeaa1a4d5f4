package lease

import (
	"slices"
	"time"
)

const (
	meterTime   = time.Second // of sending, after which the rate is measured anew
	firstRate   = 128 << 10   // bytes a second believed before anything is measured: 1 Mbit/s
	slowestRate = 4 << 10     // bytes a second; a site that is slower is not told from one that is dead
)

// A meter measures how fast bytes go into the site while bodies run.
//
// It learns only from bodies that are not slowed. What an eighth of the measured rate brings says nothing of the
// line: a meter that believed it would find an eighth of an eighth next.
type meter struct {
	rate   float64 // bytes a second
	limit  float64 // of the policy; 0 for none
	known  bool    // the rate was measured
	bytes  int64   // since the last measurement
	free   int64   // of them, those of bodies that were not slowed
	active time.Duration
}

func newMeter() meter { return meter{rate: firstRate} }

// bound says what the policy allows, in payload bytes a second. It is believed until something is measured.
func (m *meter) bound(limit int64) {
	m.limit = float64(limit)
	if limit > 0 && (!m.known || m.rate > m.limit) {
		m.rate = max(slowestRate, m.limit)
	}
}

// count takes in what drained from a running body.
func (m *meter) count(l *lease, bytes int64) {
	m.bytes += bytes
	if !l.slowed {
		m.free += bytes
	}
}

// pass lets time pass for the bodies that run.
func (m *meter) pass(passed time.Duration, bodies []*lease) {
	if len(bodies) == 0 || passed == 0 {
		return
	}
	for _, l := range bodies {
		if m.known || m.limit > 0 { // a guess entitles to nothing
			l.entitled += float64(m.share(l, len(bodies)) * passed.Seconds())
		}
	}
	if m.active += min(passed, meterTime); m.active < meterTime || m.bytes == 0 {
		return // a body that stands says nothing of the line
	}
	sample := float64(m.bytes) / m.active.Seconds()
	if m.free == 0 { // nor do the slowed ones beside it
		m.bytes, m.active = 0, 0
		return
	}
	if m.known {
		sample = m.rate + float64((sample-m.rate)/4)
	}
	m.rate, m.known, m.bytes, m.free, m.active = max(slowestRate, sample), true, 0, 0, 0
}

// share returns the bytes a second that a body among so many can be expected to get.
func (m *meter) share(l *lease, bodies int) float64 {
	share := m.rate / float64(max(1, bodies))
	if l.rate > 0 {
		share = min(share, float64(l.rate))
	}
	return max(1, share)
}

// reshare orders the rates that changed. Bodies of members that have cost too much are slowed while another body
// wants the line, and only then.
func (o *Site) reshare() {
	limit := PayloadRate(o.policy.Rate)
	flows := make([]Flow, len(o.bodies))
	for i, l := range o.bodies {
		flows[i] = Flow{Member: o.memberOf(l).id, Priority: l.pack.priority, Slow: l.slow}
	}
	shares := Shares(limit, flows)
	yield := slices.ContainsFunc(o.bodies, func(l *lease) bool { return !l.slow })
	for i, l := range o.bodies {
		rate := max(1, shares[i])
		if o.policy.Rate == 0 {
			rate = o.slowRate(l, yield)
		}
		l.slowed, l.among = l.slow && yield, len(flows)
		if rate != l.rate {
			l.rate = rate
			o.do(SetRate{l.id, rate})
		}
	}
}

// slowRate returns how fast a body may be sent where no rate is set: an eighth of an equal share of the measured rate
// if it has to yield, else as fast as it goes.
func (o *Site) slowRate(l *lease, yield bool) int64 {
	switch {
	case !l.slow || !yield:
		return 0
	case l.slowed && l.rate > 0 && l.among == len(o.bodies):
		return l.rate // no order for each byte that is measured
	}
	return max(1, int64(o.meter.rate)/int64(slowShare*len(o.bodies)))
}

// A proxy is the suspicion that something between origin and site takes bodies faster than the site does:
// then a body's end says nothing, and its slot is kept until the acknowledgement.
type proxy struct {
	late  int // acknowledgements that came late, less those that came in time
	found bool
}

const proxyCertain = 8

// note counts an acknowledgement, late or in time.
func (p *proxy) note(late bool) {
	if late {
		p.late = min(p.late+1, 2*proxyCertain)
	} else {
		p.late = max(p.late-1, 0)
	}
	p.found = p.late >= proxyCertain || p.found && p.late > 0
}
