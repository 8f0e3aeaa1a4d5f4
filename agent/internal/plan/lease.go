package plan

import (
	"maps"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/peer"
	"enjambre/peer/lease"
	"enjambre/peer/next"
)

// maxComplaints is how many complaints go with one request: beside them, the bitmap of the largest package and a full
// list of wishes still fit into next.MaxText; maxCutOff, beside whom the agent reaches too.
const (
	maxComplaints = 48
	maxCutOff     = 24
)

// An acknowledgement that was not heard is repeated after tellPause, at most maxTells times; then it goes with the next
// request for a fragment.
const (
	tellPause = 5 * time.Second
	maxTells  = 5
)

// withdrawn is what is shown of a package that the origin says is withdrawn.
const withdrawn = "withdrawn, as the origin says: the server is asked"

// An Origin is what the server says of the origin that grants leases. The zero Origin is that there is none.
type Origin struct {
	Address string `json:"address,omitempty"` // host:port
	AtRate  bool   `json:"atRate,omitempty"`  // it keeps the site's rate, so that all latencies are 0 while it is asked
}

// A voice is what an origin that grants leases is still to be told of a package.
type voice struct {
	start      uint64               // of this beginning with the package; see next.Request
	whole      bool                 // all that is held: what it knows is not certain
	verified   []core.FragmentIndex // since the last request, in any order; none while whole
	complaints []next.Complaint     // at most next.MaxFailed, the newest
	asked      voiceAsked           // what the request for a fragment under way says

	due     bool // verified fragments are to be told now
	telling bool // an Acknowledge is under way
	tells   int  // that were not heard, in a row
	tellAt  time.Time
}

// A voiceAsked is what would be lost with the requests for fragments that are under way.
type voiceAsked struct {
	complaints []next.Complaint // at most next.MaxFailed, the newest
	whole      bool             // the last one said all that is held
	missing    int              // fragments then
}

// verify notes fragments that were verified.
func (v *voice) verify(indexes []core.FragmentIndex) {
	if v.whole {
		return
	}
	if v.verified = append(v.verified, indexes...); len(v.verified) >= next.MaxAcknowledged {
		v.whole, v.verified = true, nil
	}
}

// complain notes complaints; the newest are kept.
func (v *voice) complain(complaints ...next.Complaint) {
	v.complaints = append(v.complaints, complaints...)
	v.complaints = v.complaints[max(0, len(v.complaints)-next.MaxFailed):]
}

// say takes out what a request can say of what is verified.
func (v *voice) say(request *next.Request, bitmap []byte) {
	if v.whole {
		request.Have = bitmap
	} else if len(v.verified) > 0 {
		slices.Sort(v.verified)
		request.Acknowledged = slices.Compact(v.verified)
	}
	v.whole, v.verified, v.due = false, nil, false
}

// unheard notes that a request for a fragment may not have been heard.
func (v *voice) unheard() {
	v.whole, v.verified = true, nil
	v.complaints = slices.Concat(v.asked.complaints, v.complaints)
	v.complain()
	v.asked = voiceAsked{}
}

// leases reports whether the origin is asked for what it would lend.
func (p *Plan) leases() bool { return p.origin.Address != "" && !p.plain }

// lends reports whether the origin that grants leases is asked for a package.
func (p *Plan) lends(t *task) bool { return p.leases() && !t.plain && !t.Elsewhere }

// Origin returns what the server last said of the origin that grants leases.
func (p *Plan) Origin() Origin { return p.origin }

// Leases reports whether that origin is asked; false while it is taken for one that grants none.
func (p *Plan) Leases() bool { return p.leases() }

// paced returns the schedule's options: the server's, without pauses where the origin keeps the rate, and without an end
// of patience while the time is not known; and without pauses as many asks at once as keep a long line busy. Who pauses
// after each fragment has one.
func (p *Plan) paced() cycle.Options {
	conf := p.conf
	if !p.knowsTime {
		conf.Timeout = 0
	}
	if p.leases() && p.origin.AtRate {
		conf.FragLatency, conf.CycleLatency, conf.PeriodLatency = 0, 0, 0
	}
	if p.leases() && conf.FragLatency == 0 && conf.MaxOrigin == 0 {
		conf.MaxOrigin = p.asksAtOnce()
	}
	return conf
}

// asksAtOnce returns the fewest that a package allows: what one leaves over is not the others'. Of plain files there is
// one at a time.
func (p *Plan) asksAtOnce() int {
	most := lease.MaxOfMember
	for _, t := range p.tasks {
		switch {
		case t.download == nil || t.download.Missing() == 0:
		case t.lent:
			most = min(most, t.download.AsksAtOnce())
		default:
			most = 1
		}
	}
	return most
}

// widen tells the schedule how many asks may be open, when neighbours came or went.
func (p *Plan) widen(now time.Time) []Action {
	conf := p.paced()
	if conf.MaxOrigin == p.asks {
		return nil
	}
	p.asks = conf.MaxOrigin
	return p.carry(now, p.schedule.Step(now, cycle.OptionsChanged{Options: conf}))
}

// setOrigin takes over who grants leases, and whether it is asked. The schedule gets its options after this.
func (p *Plan) setOrigin(now time.Time, origin Origin, plain bool) []Action {
	other := origin.Address != p.origin.Address
	p.origin, p.plain = origin, plain
	var actions []Action
	for _, t := range p.sorted() {
		if other {
			t.voice.whole, t.voice.verified = true, nil
		}
		actions = append(actions, p.setPlain(now, t, t.plain && plain)...)
	}
	return actions
}

// setPlain says whether a package's fragments are fetched as plain files although the origin grants leases.
func (p *Plan) setPlain(now time.Time, t *task, plain bool) []Action {
	t.plain = plain
	lent := p.lends(t)
	if lent == t.lent || t.download == nil {
		return nil
	}
	t.lent = lent
	t.voice.whole, t.voice.verified = true, nil
	return p.tell(now, t, peer.LeasesChanged{Granted: lent})
}

// sorted returns the tasks in order of their packages.
func (p *Plan) sorted() []*task {
	var tasks []*task
	for _, id := range slices.Sorted(maps.Keys(p.tasks)) {
		tasks = append(tasks, p.tasks[id])
	}
	return tasks
}

// askNext makes a request of a list of wishes.
func (p *Plan) askNext(now time.Time, t *task, wishes peer.AskOrigin) Action {
	v := &t.voice
	v.verify(wishes.Acknowledged)
	for _, c := range wishes.Failed {
		v.complain(next.Complaint{Fragment: c.Index, Holder: c.Peer, Corrupt: c.Corrupt})
	}
	request := next.Request{Weight: p.options.Weight, Want: wishes.Want, Start: v.start}
	most := maxComplaints
	if p.reach.isCutOff(now) {
		request.CutOff, request.Reached = true, p.reach.near()
		most = maxCutOff
	}
	if said := min(len(v.complaints), most); said > 0 {
		request.Failed, v.complaints = v.complaints[:said:said], v.complaints[said:]
	}
	bitmap := t.download.Bitmap()
	lost := slices.Concat(v.asked.complaints, request.Failed)
	v.asked = voiceAsked{
		complaints: lost[max(0, len(lost)-next.MaxFailed):], whole: v.whole, missing: t.download.Missing(),
	}
	v.say(&request, bitmap)
	return AskNext{Package: t.Package, Request: request, Have: bitmap}
}

// acknowledge orders to tell what is due. What a request for a fragment has said meanwhile is not due any more.
func (p *Plan) acknowledge(now time.Time) []Action {
	if p.move.on {
		return nil
	}
	var actions []Action
	for _, t := range p.sorted() {
		v := &t.voice
		if !t.lent || t.expired || t.dropped || !v.due || v.telling || now.Before(v.tellAt) {
			continue
		}
		request, bitmap := next.Request{Weight: p.options.Weight, Start: v.start}, t.download.Bitmap()
		v.say(&request, bitmap)
		v.telling = true
		actions = append(actions, Acknowledge{Package: t.Package, Request: request, Have: bitmap})
	}
	return actions
}

// acknowledgeAt returns when acknowledge has something to do.
func (t *task) acknowledgeAt() (time.Time, bool) {
	v := &t.voice
	return v.tellAt, t.lent && !t.expired && !t.dropped && v.due && !v.telling
}

func (p *Plan) acknowledged(now time.Time, event Acknowledged) []Action {
	t := p.tasks[event.Package]
	if t == nil {
		return nil
	}
	v := &t.voice
	v.telling = false
	switch {
	case event.Withdrawn && t.download != nil:
		return p.gone(now, t)
	case event.Heard:
		v.tells, v.tellAt = 0, now
		return nil
	}
	v.whole, v.verified = true, nil
	v.tells++
	v.due, v.tellAt = v.tells <= maxTells, now.Add(tellPause)
	return nil
}

// lent returns the package that an answer of the origin is about, if it is still one to fetch; the list of wishes is
// answered.
func (p *Plan) lent(now time.Time, id core.PackageID) (*task, []Action) {
	t := p.tasks[id]
	if t == nil || t.download == nil {
		return nil, nil
	}
	return t, p.tell(now, t, peer.OriginRefused{})
}

// postpone lets a package ask again at a later time.
func (p *Plan) postpone(now time.Time, t *task, until time.Time) []Action {
	return p.steps(now, cycle.AskPostponed{ID: t.Package, Until: until})
}

func (p *Plan) originRefused(now time.Time, event OriginRefused) []Action {
	t := p.tasks[event.Package]
	if t == nil || t.download == nil {
		return nil
	}
	t.voice.asked = voiceAsked{}
	actions := p.tell(now, t, peer.OriginRefused{Index: event.Index, Holder: event.Holder})
	if event.Reason == lease.ReasonSpent.String() {
		event.RetryAfter = 0
		actions = append(actions, p.setPlain(now, t, true)...)
	}
	return append(actions, p.postpone(now, t, now.Add(event.RetryAfter))...)
}

// nextComplete takes over that the origin believes all that was wanted to be here. It is told what is; if it had been,
// it is of no use in this opening.
func (p *Plan) nextComplete(now time.Time, event NextComplete) []Action {
	t, actions := p.lent(now, event.Package)
	if t == nil {
		return nil
	}
	said := t.voice.asked.whole && t.voice.asked.missing == t.download.Missing() // else another ask brought what it wanted
	t.voice.asked = voiceAsked{}
	t.voice.whole, t.voice.verified = true, nil
	if !said {
		return append(actions, p.postpone(now, t, now)...)
	}
	p.trouble(t, "the origin has nothing more to give, and fragments are missing")
	return append(actions, p.steps(now, cycle.TurnFailed{ID: t.Package})...)
}

func (p *Plan) nextFailed(now time.Time, event NextFailed) []Action {
	t, actions := p.lent(now, event.Package)
	if t == nil {
		return nil
	}
	t.voice.unheard()
	p.trouble(t, event.Problem)
	if p.move.on { // it was broken off for that
		return append(actions, p.postpone(now, t, now.Add(movePause))...)
	}
	return append(actions, p.steps(now, cycle.TurnFailed{ID: t.Package})...)
}

// nextUnknown takes what answers for an origin that grants no leases, until the next contact.
func (p *Plan) nextUnknown(now time.Time, event NextUnknown) []Action {
	t, actions := p.lent(now, event.Package)
	actions = append(actions, p.setOrigin(now, p.origin, true)...)
	actions = append(actions, p.steps(now, cycle.OptionsChanged{Options: p.paced()})...)
	if t == nil {
		return actions
	}
	t.voice.unheard()
	return append(actions, p.postpone(now, t, now)...)
}

func (p *Plan) nextGone(now time.Time, event NextGone) []Action {
	t, actions := p.lent(now, event.Package)
	if t == nil {
		return nil
	}
	t.voice.asked = voiceAsked{}
	return append(actions, p.gone(now, t)...)
}

// gone stops a package that the origin says is withdrawn, until a contact says what holds. The server is asked at once,
// but only once: one that goes on to offer what its origin refuses is asked again at its usual pace.
func (p *Plan) gone(now time.Time, t *task) []Action {
	if t.gone || t.expired || t.dropped {
		return nil
	}
	t.gone = true
	p.trouble(t, withdrawn)
	if !t.wasGone {
		p.calls.Hurry(now)
		p.heard = false // so that also the one contact of Once is repeated
	}
	t.wasGone = true
	actions := p.tell(now, t, peer.Halted{On: true})
	actions = append(actions, p.steps(now, cycle.PackageWithdrawn{ID: t.Package})...)
	if t.running && !t.adopted {
		actions = append(actions, CancelRun{t.Package})
	}
	return actions
}

// back goes on with a package that the server offers although its origin took it for withdrawn.
func (p *Plan) back(now time.Time, t *task) []Action {
	if !t.gone {
		return nil
	}
	t.gone = false
	if t.problem == withdrawn {
		t.problem = ""
	}
	actions := p.tell(now, t, peer.Halted{})
	if t.adopted || t.expired {
		return actions
	}
	return append(actions, p.schedules(now, t)...)
}

// corruptAtOrigin tells the origin that a body of its was wrong.
func (t *task) corruptAtOrigin(index core.FragmentIndex) {
	if t.lent {
		t.voice.complain(next.Complaint{Fragment: index, Corrupt: true})
	}
}
