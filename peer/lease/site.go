package lease

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"enjambre/core"
)

// Times of the machine.
const (
	waitLimit   = 20 * time.Second // that a request waits for a slot
	quietTime   = 10 * time.Second // after a restart
	activeTime  = 5 * time.Minute  // after its last request a member still counts as active
	silentTime  = time.Minute      // without a sign of life a complaint about a member is believed
	islandPause = time.Minute      // between two declarations of one member
	islandLife  = 30 * time.Minute // of an island after its last declaration
	day         = 24 * time.Hour   // for which repeats and cost are counted
	flushTime   = time.Second      // between two entries of one lease
	minRetry    = 100 * time.Millisecond
	maxRetry    = 5 * time.Minute
)

// Limits of one member.
const (
	maxBodies         = 2 // at once, while few ask
	maxWaiting        = MaxOfMember - maxBodies
	maxUnacknowledged = 8 // bodies that ended whole and were not acknowledged yet: a second of them behind a long line
	maxTimes          = 3 // that a member gets a fragment in a day
)

// DefaultFetchers is how many bodies run at once in a site when its policy does not say.
const DefaultFetchers = 4

// A Policy is what the administrator sets for a site (WAN_FETCHERS, WAN_RATE).
type Policy struct {
	Fetchers int   // bodies at once, 1 to MaxFetchers; 0: DefaultFetchers
	Rate     int64 // IP bytes a second towards the site, of this hour; 0: no limit
}

// Validate reports all mistakes at once.
func (p Policy) Validate() error {
	var mistakes []error
	if p.Fetchers < 0 || p.Fetchers > MaxFetchers {
		mistakes = append(mistakes,
			core.Refuse(core.ClassLimit, "WAN_FETCHERS %d: use 1 to %d", p.Fetchers, MaxFetchers))
	}
	if p.Rate < 0 {
		mistakes = append(mistakes, core.Refuse(core.ClassLimit, "WAN_RATE %d: use 0 (no limit) or more", p.Rate))
	}
	return errors.Join(mistakes...)
}

// A Site is the origin's memory of one site. Make one with [New]; one goroutine owns it.
type Site struct {
	policy   Policy
	random   *rand.Rand
	clock    clock
	meter    meter
	members  roster
	packages map[core.Digest]*pack // at most MaxPackages
	islands  map[islandID]*island

	leases    map[LeaseID]*lease // all that a BodyEnded or an acknowledgement is still to come for
	bodies    []*lease           // running, in order of grant; at most MaxFetchers
	delivered []*lease           // ended whole and not acknowledged; at most maxUnacknowledged of a member
	waiting   []*waiter          // in order of rank; at most MaxWaiting between two steps
	buffering proxy

	quietUntil  time.Time
	repairUntil time.Time // until when what members have is believed to have been sent
	lastLease   LeaseID
	lastIsland  islandID
	withdrawn   []core.Digest // packages that were withdrawn, the oldest first
	changed     bool          // something that a waiting request may be waiting for
	actions     []Action      // of this step
}

// New returns a Site without packages, with the default policy. Chance comes from random alone.
func New(random *rand.Rand) *Site {
	return &Site{
		policy: Policy{Fetchers: DefaultFetchers}, random: random, meter: newMeter(), members: newRoster(),
		packages: map[core.Digest]*pack{}, islands: map[islandID]*island{}, leases: map[LeaseID]*lease{},
	}
}

// Step applies one event at the time now and returns what to do about it, in order. Only the wall clock of
// now counts. If it was set back, everything goes on as if no time had passed.
func (o *Site) Step(now time.Time, event Event) []Action {
	passed := o.clock.advance(now)
	o.meter.pass(passed, o.bodies)
	o.actions = nil
	switch event := event.(type) {
	case PackageKnown:
		o.packageKnown(event)
	case PackageWithdrawn:
		o.packageWithdrawn(event)
	case MemberAsked:
		o.memberAsked(event)
	case ClientLeft:
		o.clientLeft(event)
	case BytesSent:
		o.bytesSent(event)
	case BodyEnded:
		o.bodyEnded(event)
	case ServedOutside:
		o.servedOutside(event)
	case MemberSeen:
		o.members.see(event.Member, o.clock.now)
	case MemberLeft:
		o.memberLeft(event)
	case IslandDeclared:
		o.islandDeclared(event)
	case PolicyChanged:
		o.policyChanged(event)
	case Restarted:
		o.quietUntil = o.clock.now.Add(quietTime)
		if event.Torn {
			o.repairUntil = o.clock.now.Add(day)
		}
	case WakeDue:
	default:
		panic(fmt.Sprintf("lease: event %T is not one of this package", event))
	}
	for again := true; again; { // a better share can leave a body that stands without excuse
		o.expire()
		o.settle()
		o.reshare()
		again = slices.ContainsFunc(o.bodies, o.isOverdue)
	}
	return o.actions
}

func (o *Site) do(action Action) { o.actions = append(o.actions, action) }

func (o *Site) policyChanged(event PolicyChanged) {
	if err := event.Policy.Validate(); err != nil {
		panic(fmt.Sprintf("lease: %v", err))
	}
	o.policy = event.Policy
	if o.policy.Fetchers == 0 {
		o.policy.Fetchers = DefaultFetchers
	}
	o.meter.bound(PayloadRate(o.policy.Rate))
	o.changed = true
}

// NextWake returns when Step wants a WakeDue, or false for never.
func (o *Site) NextWake() (time.Time, bool) {
	var next time.Time
	consider := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, l := range o.bodies {
		consider(o.overdueAt(l))
	}
	for _, l := range o.delivered {
		consider(l.deadline)
	}
	for _, w := range o.waiting {
		consider(w.until)
		if o.isQuiet() {
			consider(o.quietUntil)
		}
	}
	return o.clock.outside(next), !next.IsZero()
}

func (o *Site) isQuiet() bool { return o.clock.now.Before(o.quietUntil) }

// expire ends what is overdue.
func (o *Site) expire() {
	for i := 0; i < len(o.bodies); {
		if l := o.bodies[i]; o.isOverdue(l) {
			o.reset(l, CauseTimeout) // takes it out of bodies
		} else {
			i++
		}
	}
	for i := 0; i < len(o.delivered); {
		if l := o.delivered[i]; !l.deadline.After(o.clock.now) {
			o.buffering.note(true)
			o.finish(l)
			o.release(l, CauseTimeout)
		} else {
			i++
		}
	}
}

// Totals says what went into a site of one package, in payload bytes.
type Totals struct {
	First int64 // sent for the first time
	Extra [causeCount]int64
}

// Add counts the bytes of a ledger's entry.
func (t *Totals) Add(e Entry) {
	if e.Kind == KindSent || e.Kind == KindRepaired {
		t.First += int64(e.Bytes - e.Extra)
		t.Extra[e.Cause] += int64(e.Extra)
	}
}

// Sent returns all that went into the site.
func (t Totals) Sent() int64 {
	sent := t.First
	for _, extra := range t.Extra {
		sent += extra
	}
	return sent
}

// Totals returns what was sent of a package; false if it is not known.
func (o *Site) Totals(digest core.Digest) (Totals, bool) {
	if p := o.packages[digest]; p != nil {
		return p.totals, true
	}
	return Totals{}, false
}

// Given returns the bytes of a package that went into the site, with those that the bodies under way will bring if they
// end well.
func (o *Site) Given(digest core.Digest) int64 {
	p := o.packages[digest]
	if p == nil {
		return 0
	}
	given := p.totals.Sent()
	for _, l := range o.bodies {
		if l.pack == p {
			given += l.size - l.sent
		}
	}
	return given
}

// A clock counts the time that passed. It stands still while the wall clock is behind what it has shown.
type clock struct {
	wall, now time.Time // what was last handed in; the same, as if it had never been set back
}

func (c *clock) advance(wall time.Time) time.Duration {
	wall = wall.Round(0)
	if c.wall.IsZero() {
		c.wall, c.now = wall, wall
		return 0
	}
	passed := max(0, wall.Sub(c.wall))
	c.wall, c.now = wall, c.now.Add(passed)
	return passed
}

// outside returns what the wall clock will show.
func (c *clock) outside(at time.Time) time.Time { return at.Add(c.wall.Sub(c.now)) }
