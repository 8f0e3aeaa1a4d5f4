// Package pulse decides how a site's news travels (architecture D13): which member asks the server how new its word is,
// whom it tells, and when news make a member call.
//
// The news is the site's epoch, package ticket's: a number that the server raises whenever something changes for the
// site's computers, and the time at which it said so. It decides and does nothing else: a shell feeds events to
// [Pulse.Step] with the server's time as far as known, carries out the actions it returns, and calls again at
// [Pulse.NextWake]. The same events, times and chance give the same actions.
//
// # Who asks
//
// The first of owner.Reporters keeps one ask open at the server, which answers at once when there is news, else when the
// ask has been open for [HoldFor], or [BusyEvery] while something is transferred; then the next ask goes out. A server that
// does not keep asks open, or has no place for one more, answers them all at once: then the first asks when the server's
// last word is [ReportEvery] old, or [BusyEvery]. Who becomes the first lets [SettleFor] pass: while a site is switched
// on, everybody is the first of those it knows of. An ask that fails is repeated after [RetryAfter] and ever longer
// pauses; one that was open for a while was perhaps cut off by something on the way that takes it for dead, so that the
// next is open for half as long.
//
// The server's last word is known to the whole site, so its age is a clock that all members share. When it is
// [ReportEvery] (or BusyEvery) and owner.ReporterSilence old, the second reporter asks, too, and every further
// ReporterSilence the next of the first [reporters]. Whoever knows of no word younger than [StaleAfter] asks for itself,
// and again at that pace, spread by chance: the reporters may all be dead, or on the other side of a split. None of these
// asks stays open.
//
// The server's side is the [Desk], which keeps asks open, and the [Crowd], which chooses the spread.
//
// # Who tells
//
// Each member tells its neighbours of a word that is newer than the last it told them: a higher number at once, the
// same number said again only if it was said [TellEvery] later, so that the contacts of a whole site, each of which
// brings a word of its own, do not go round.
//
// # Who calls
//
// A number above the one that the member's last contact brought is news: a contact is due within the spread that the
// server wants, at a random time so that a site does not call as one, and at most [MaxCalls] in [CallWindow]; further news
// wait, together, for that or, where the server paces calls by the spread, for [CallPause]. [CallSpread] is for servers that say nothing of a spread. [Pulse.Behind]
// says that it is due, so that nothing is started on old news meanwhile.
//
// # Who says how far it is
//
// A member with packages that have not ended says how far they are to the first [Listeners] reporters: every
// [BusyEvery] if that has changed, else every [ReportEvery]; nothing when it has none, since results go to the server
// themselves. What is said to a reporter waits in its [Collection] for the next ask. The second hears it all too, since
// it is the one that asks when the first is silent. A reporter with something to pass on is as busy as one that
// transfers: the shell says so with [TransferChanged].
//
// A member that knows of nobody else after its first contact calls once more, a pause between [LookPause] and twice that
// later: when all computers of a site are switched on together, the server cannot name any of them to the others yet.
package pulse

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/owner"
	"enjambre/peer/ticket"
)

// Listeners is how many reporters a member says to how far it is.
const Listeners = 2

// Times and bounds, of swarm.md section 2 where it has them. It allows one call in 5 min; two in 10 min is the same
// load, and lets what follows soon, such as a withdrawal, not wait for the rest of the five.
const (
	HoldFor     = 45 * time.Second // that an ask stays open; the word is then younger than when the second reporter asks
	ReportEvery = 30 * time.Second // from one word of the server to the next, where no ask stays open
	BusyEvery   = 10 * time.Second // both during a transfer
	SettleFor   = 10 * time.Second // from when a member becomes the first reporter to its first ask
	AskPause    = time.Second      // at least from one ask to the next, however fast news come
	RetryAfter  = 10 * time.Second // after the first failure of an ask, at most; then twice as long
	RetryMost   = time.Minute      // that it ever is
	StaleAfter  = 3 * time.Minute
	TellEvery   = 5 * time.Second
	CallSpread  = time.Minute // where the server says nothing of it
	CallWindow  = 10 * time.Minute
	MaxCalls    = 2               // for news, in a CallWindow
	CallPause   = 5 * time.Second // from then on between calls, where the server paces them by a spread
	LookPause   = 30 * time.Second

	reporters   = 5                // that ask for the site; after them the word is stale
	staleSpread = 30 * time.Second // over which those who know only stale news ask
)

// An Event is something that happened; the shell reports it.
type Event interface{ event() }

// Heard reports a verified epoch of this site.
type Heard struct {
	Epoch  ticket.Epoch
	From   id.Peer       // zero: the server, at a contact
	Spread time.Duration // over which calls are to be spread, at most ticket.MaxSpread; 0: not known
}

// Contacted reports that a contact was answered: all news up to this epoch's number are known. It is followed by what
// Heard would do, since the server has said it.
type Contacted struct{ Epoch ticket.Epoch }

// MembersChanged reports which members gossip believes to be there, without ourselves.
type MembersChanged struct{ Members []owner.Member }

// TransferChanged reports whether fragments are being fetched, or a Collection waits for the next Ask.
type TransferChanged struct{ Busy bool }

// Progressed reports that what the member would say of its packages is other than before.
type Progressed struct {
	Open bool // there are packages that have not ended
}

// WakeDue reports that the time named by NextWake has come.
type WakeDue struct{}

func (Heard) event()           {}
func (Answered) event()        {}
func (AskFailed) event()       {}
func (Contacted) event()       {}
func (MembersChanged) event()  {}
func (TransferChanged) event() {}
func (Progressed) event()      {}
func (WakeDue) event()         {}

// An Action is something the shell must do.
type Action interface{ action() }

// Tell orders to tell all neighbours but one the newest epoch.
type Tell struct{ Except id.Peer }

// Say orders to sign how far the packages are now, and to send it to these members; the zero Peer is nobody.
type Say struct{ To [Listeners]id.Peer }

// Call orders a contact; once it is answered, Contacted reports it.
type Call struct{}

func (Ask) action()  {}
func (Tell) action() {}
func (Say) action()  {}
func (Call) action() {}

// Options configure a Pulse. All but Secret and Weight are required.
type Options struct {
	Self   id.Peer
	Weight owner.Weight // owner.Never: asks for itself only
	Site   core.SiteName
	Secret []byte     // the site's, as for owner.Reporters; may be empty
	Random *rand.Rand // spreads asks and calls
}

// A Pulse is one member's part. Make one with New; one goroutine owns it.
type Pulse struct {
	options Options
	turn    int // ours among the reporters; -1: we are none of the first
	listen  [Listeners]id.Peer

	newest ticket.Epoch // heard
	told   ticket.Epoch // our neighbours
	known  uint64       // the number that our last contact brought
	busy   bool
	ask    asking
	over   time.Duration // spread of calls
	paced  bool          // the server wants that spread

	open    bool      // there is something to say
	changed bool      // and it is other than what was said
	saidAt  time.Time // zero: never

	callAt time.Time // zero: no news
	called bool      // a Call was ordered for the news there are
	calls  []time.Time
	others int       // members besides us
	looked bool      // the first contact is over
	lookAt time.Time // when we call for want of members; zero: never
	last   time.Time
}

// New returns the Pulse of a member that has just been told the site's epoch by the server. If a contact told it, a
// Contacted follows.
func New(now time.Time, options Options, epoch ticket.Epoch) *Pulse {
	p := &Pulse{
		options: options, newest: epoch, told: epoch, known: epoch.Number, last: now.Round(0), over: CallSpread, turn: -1,
		ask: asking{hold: HoldFor},
	}
	p.ask.staleAt = p.stale(earlier(p.last, epoch.Issued))
	p.members(nil)
	return p
}

// Newest returns the newest epoch that the member knows.
func (p *Pulse) Newest() ticket.Epoch { return p.newest }

// Behind reports whether there are news that no contact has brought yet.
func (p *Pulse) Behind() bool { return p.newest.Number > p.known }

// Step applies one event at the time now and returns what to do about it, in order.
func (p *Pulse) Step(now time.Time, event Event) []Action {
	now = now.Round(0)
	if back := now.Sub(p.last); back < 0 {
		p.shift(back)
	}
	p.last = now
	var actions []Action
	switch event := event.(type) {
	case Heard:
		actions = p.heard(now, event)
	case Answered:
		actions = p.answered(now, event)
	case AskFailed:
		p.askFailed(now)
	case Contacted:
		p.known = max(p.known, event.Epoch.Number)
		actions = p.heard(now, Heard{Epoch: event.Epoch})
		if !p.Behind() {
			p.callAt = time.Time{}
		}
		p.called = false
		p.look(now)
		if p.Behind() { // news came while it was under way
			p.news(now)
		}
	case MembersChanged:
		p.members(event.Members)
	case TransferChanged:
		p.busy = event.Busy
	case Progressed:
		p.open, p.changed = event.Open, event.Open
	case WakeDue:
	default:
		panic(fmt.Sprintf("pulse: event %T is not one of this package", event))
	}
	return append(actions, p.due(now)...)
}

// shift moves our own times after the clock was set back; those of epochs are the server's.
func (p *Pulse) shift(by time.Duration) {
	for _, at := range []*time.Time{
		&p.ask.at, &p.ask.againAt, &p.ask.firstAt, &p.ask.staleAt, &p.callAt, &p.lookAt, &p.saidAt,
	} {
		if !at.IsZero() {
			*at = at.Add(by)
		}
	}
	for i := range p.calls {
		p.calls[i] = p.calls[i].Add(by)
	}
}

// members finds our place among the reporters, and the first of the others.
func (p *Pulse) members(others []owner.Member) {
	before := p.turn
	p.others = len(others)
	all := append(slices.Clone(others), owner.Member{Peer: p.options.Self, Weight: p.options.Weight})
	order := owner.Reporters(p.options.Site, p.options.Secret, all)
	p.turn = slices.Index(order, p.options.Self)
	if p.turn >= reporters {
		p.turn = -1
	}
	if p.turn == 0 && before != 0 {
		p.ask.firstAt, p.ask.againAt = p.last, time.Time{}
	}
	p.listen = [Listeners]id.Peer{}
	for i, one := range order[:min(len(order), Listeners)] {
		if one != p.options.Self {
			p.listen[i] = one
		}
	}
}

// look makes another contact due if the first has named nobody, nor gossip.
func (p *Pulse) look(now time.Time) {
	if !p.looked && p.others == 0 {
		p.lookAt = now.Add(LookPause + p.spread(LookPause))
	}
	p.looked = true
}

// heard takes an epoch in.
func (p *Pulse) heard(now time.Time, event Heard) []Action {
	if !event.Epoch.After(p.newest) {
		return nil
	}
	isNews := event.Epoch.Number > p.newest.Number
	p.newest = event.Epoch
	if isNews {
		p.over, p.paced = cmp.Or(event.Spread, CallSpread), event.Spread > 0
	}
	p.ask.staleAt = p.stale(earlier(now, p.newest.Issued))
	if isNews && p.Behind() {
		p.news(now)
	}
	if p.newest.Number == p.told.Number && p.newest.Issued.Sub(p.told.Issued) < TellEvery {
		return nil
	}
	p.told = p.newest
	return []Action{Tell{event.From}}
}

// news makes a contact due, if none is.
func (p *Pulse) news(now time.Time) {
	if !p.callAt.IsZero() || p.called {
		return
	}
	p.callAt = now.Add(p.spread(p.over))
	if len(p.calls) == MaxCalls {
		free := p.calls[0].Add(CallWindow)
		if soon := p.calls[MaxCalls-1].Add(CallPause); p.paced && soon.Before(free) {
			free = soon
		}
		if p.callAt.Before(free) {
			p.callAt = free.Add(p.spread(p.over))
		}
	}
}

// stale returns when we ask for ourselves if nothing is heard that is newer than from.
func (p *Pulse) stale(from time.Time) time.Time { return from.Add(StaleAfter + p.spread(staleSpread)) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (p *Pulse) spread(over time.Duration) time.Duration {
	return time.Duration(p.options.Random.Int64N(int64(over)))
}

// due orders what has come due.
func (p *Pulse) due(now time.Time) []Action {
	var actions []Action
	if at, asks := p.nextAsk(); asks && !now.Before(at) {
		actions = append(actions, p.askNow(now))
	}
	if at, says := p.nextSay(); says && !now.Before(at) {
		p.saidAt, p.changed = now, false
		actions = append(actions, Say{p.listen})
	}
	if !p.callAt.IsZero() && !now.Before(p.callAt) {
		p.callAt, p.called = time.Time{}, true
		p.calls = append(p.calls, now)
		p.calls = p.calls[max(0, len(p.calls)-MaxCalls):]
		actions = append(actions, Call{})
	}
	if !p.lookAt.IsZero() && !now.Before(p.lookAt) {
		p.lookAt = time.Time{}
		if p.others == 0 {
			actions = append(actions, Call{})
		}
	}
	return actions
}

// nextSay returns when we say next how far our packages are.
func (p *Pulse) nextSay() (time.Time, bool) {
	every := ReportEvery
	if p.changed {
		every = BusyEvery
	}
	return p.saidAt.Add(every), p.open && p.listen != [Listeners]id.Peer{}
}

// NextWake returns when Step wants a WakeDue, or false for never.
func (p *Pulse) NextWake() (time.Time, bool) {
	wake, wanted := p.nextAsk()
	if at, says := p.nextSay(); says && (!wanted || at.Before(wake)) {
		wake, wanted = at, true
	}
	for _, at := range []time.Time{p.callAt, p.lookAt} {
		if !at.IsZero() && (!wanted || at.Before(wake)) {
			wake, wanted = at, true
		}
	}
	return wake, wanted
}
