package peer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/lease"
	"enjambre/peer/owner"
)

// Bounds and times (swarm.md's numbers where it has some).
const (
	MaxNeighbours = 32               // that are fetched from and told: 24, and some that are met for a fragment
	MaxAsks       = 4                // under way with one neighbour
	MaxFetches    = 16               // under way with all neighbours
	MaxAcks       = 1024             // fragments acknowledged with one list of wishes
	MaxComplaints = 64               // with one list; the newest
	MaxBusy       = time.Minute      // that a neighbour may say it is busy
	meetLimit     = 30 * time.Second // after which a meeting that nothing is heard of is no reason to wait
	StallTime     = 10 * time.Second // without a byte, after which a fetch is broken off
	lateTime      = time.Second      // by which a Step may be late on a busy computer
	HedgeTime     = 2 * time.Second  // after which a late fragment is asked of a second holder, at the end
	AnnounceEvery = time.Second      // what members have sent; at once, at the end and what the origin has sent
	PatientTime   = time.Minute      // without a new fragment, after which a member of weight 0 asks the origin
	emptyPause    = time.Second      // until the origin is asked again when there was nothing to ask it for
	firstBan      = time.Hour        // for a misbehaviour
	nextBan       = 24 * time.Hour   // for each further one
	hedgeShare    = 100              // the end is when at most one in so many is missing

	originRoom = lease.DefaultFetchers + lease.MaxWaiting // lists of wishes that the origin takes from a site at once
)

// Options configure a Download. The zero Options are an agent that knows of no swarm.
type Options struct {
	Self   id.Peer
	Weight owner.Weight
	Info   core.Digest
	Secret []byte     // the site's, for peer/owner; may be empty
	Leases bool       // the origin grants leases, until LeasesChanged says otherwise
	Random *rand.Rand // required with neighbours; breaks ties among holders
}

// A Download is one package's way to being complete, and its part in its neighbours' ways. Make one with NewDownload;
// one goroutine owns it.
type Download struct {
	options    Options
	held       *fragment.Set
	neighbours []*neighbour // in order of their peers, at most MaxNeighbours
	copies     []uint8      // neighbours that hold each fragment
	fetches    map[core.FragmentIndex][]*fetch
	banned     map[id.Peer]*ban // at most MaxMembers, as many as can be met
	meetings   map[id.Peer]*meeting

	halted   bool                          // nothing is fetched
	asked    map[core.FragmentIndex]bool   // of an origin without leases
	wishing  int                           // AskOrigins under way
	failed   map[core.FragmentIndex]uint64 // which failure at the origin was the fragment's last
	failures uint64

	share      *owner.Share // of the neighbours there are; nil when they have changed
	verified   []core.FragmentIndex
	complaints []Complaint
	news       []core.FragmentIndex // not yet announced
	announceAt time.Time
	progressAt time.Time // of the last new fragment
	last       time.Time
}

// A neighbour is a member that we exchange with.
type neighbour struct {
	peer   id.Peer
	weight owner.Weight
	wants  bool
	held   *fragment.Set
	asks   int
	freeAt time.Time // it was busy
}

// A fetch is one fragment on its way from a neighbour.
type fetch struct {
	from  *neighbour
	began time.Time
	moved time.Time // when a byte last came
}

// A meeting is what a member that is being met holds of what is missing, by the origin's word.
type meeting struct {
	began   time.Time
	indexes []core.FragmentIndex
}

// A ban is what a misbehaviour costs.
type ban struct {
	until time.Time
	times int
}

// NewDownload returns the download of a package of which some fragments are held already. It takes the set over.
func NewDownload(held *fragment.Set, options Options) *Download {
	return &Download{
		options: options, held: held, copies: make([]uint8, held.Size()),
		fetches: map[core.FragmentIndex][]*fetch{}, banned: map[id.Peer]*ban{}, meetings: map[id.Peer]*meeting{},
		asked: map[core.FragmentIndex]bool{}, failed: map[core.FragmentIndex]uint64{},
	}
}

// Size returns how many fragments the package has.
func (d *Download) Size() int { return d.held.Size() }

// Missing returns how many of them are missing.
func (d *Download) Missing() int { return d.held.Size() - d.held.Count() }

// Holds reports whether a fragment is there.
func (d *Download) Holds(index core.FragmentIndex) bool { return d.held.Has(index) }

// Bitmap returns what is held, as fragment.Set.Bytes has it.
func (d *Download) Bitmap() []byte { return d.held.Bytes() }

// Step applies one event at the time now and returns what to do about it, in order.
func (d *Download) Step(now time.Time, event Event) []Action {
	now = now.Round(0)
	if d.progressAt.IsZero() {
		d.progressAt = now
	}
	if back := now.Sub(d.last); back < 0 && !d.last.IsZero() {
		d.shift(back)
	}
	d.excuse(now)
	d.last = now
	var actions []Action
	switch event := event.(type) {
	case OriginAllowed:
		actions = d.originAllowed(now)
	case FragmentStored:
		actions = d.stored(now, event)
	case FragmentFailed:
		d.settle(event.Index)
		d.failures++
		d.failed[event.Index] = d.failures
	case FragmentLost:
		d.held.Remove(event.Index)
	case AskAbandoned:
		d.settle(event.Index)
	case OriginRefused:
		d.wishing = max(0, d.wishing-1)
		actions = d.told(event)
	case MeetFailed:
		d.notMet(event.Peer, event.Index)
	case NeighbourJoined:
		d.joined(event)
	case NeighbourLeft:
		d.left(event.Peer)
	case NeighbourHas:
		d.has(event.Peer, event.Indexes, true)
	case NeighbourDropped:
		d.has(event.Peer, event.Indexes, false)
	case FetchProgressed:
		if f := d.fetching(event.Peer, event.Index); f != nil {
			f.moved = now
		}
	case FetchFailed:
		actions = d.fetchFailed(now, event)
	case LeasesChanged:
		d.options.Leases = event.Granted
	case Halted:
		actions = d.halt(event.On)
	case WakeDue:
	default:
		panic(fmt.Sprintf("peer: event %T is not one of this package", event))
	}
	actions = append(actions, d.stalled(now)...)
	actions = append(actions, d.fetch(now)...)
	return append(actions, d.announce(now)...)
}

// shift moves every time of ours, after the clock was set back.
func (d *Download) shift(by time.Duration) {
	d.announceAt, d.progressAt = d.announceAt.Add(by), d.progressAt.Add(by)
	for _, n := range d.neighbours {
		n.freeAt = n.freeAt.Add(by)
	}
	for _, fetches := range d.fetches {
		for _, f := range fetches {
			f.began, f.moved = f.began.Add(by), f.moved.Add(by)
		}
	}
	for _, b := range d.banned {
		b.until = b.until.Add(by)
	}
	for _, m := range d.meetings {
		m.began = m.began.Add(by)
	}
}

// excuse holds against nobody the time in which this agent itself stood still. As long as a fetch is under way, Step is
// called within StallTime; when it is called later, the computer has slept, or the process was stopped.
func (d *Download) excuse(now time.Time) {
	if d.last.IsZero() || now.Sub(d.last) <= StallTime+lateTime {
		return
	}
	for _, fetches := range d.fetches {
		for _, f := range fetches {
			f.began, f.moved = now, now
		}
	}
}

// settle ends an ask of the origin: the one for this very fragment, or else a list of wishes.
func (d *Download) settle(index core.FragmentIndex) {
	if d.asked[index] {
		delete(d.asked, index)
		return
	}
	d.wishing = max(0, d.wishing-1)
}

// stored takes a fragment in, and calls off whoever else sends it.
func (d *Download) stored(now time.Time, event FragmentStored) []Action {
	index := event.Index
	actions := d.cancel(index, event.From)
	if event.From == (id.Peer{}) {
		d.settle(index)
	}
	delete(d.failed, index)
	if !d.held.Add(index) {
		return actions
	}
	d.progressAt = now
	if len(d.verified) < MaxAcks {
		d.verified = append(d.verified, index)
	}
	switch {
	case event.From == (id.Peer{}), d.isEnd(): // nobody else has it, or few have what many are waiting for
		d.announceAt = now
	case len(d.news) == 0:
		d.announceAt = now.Add(AnnounceEvery)
	}
	d.news = append(d.news, index)
	// The origin is told at once of what only this member has, and of that it is done: others stand back until all are.
	if d.options.Leases && (event.From == (id.Peer{}) || d.Missing() == 0) {
		actions = append(actions, Acknowledge{d.verified})
		d.verified = nil
	}
	return actions
}

// AsksAtOnce returns how many lists of wishes may be under way with an origin that grants leases. While its answer to
// one is on the long way here, others are with it, so that the line is never idle: two of which a body is being sent,
// and some that wait for the next. Among many members fewer do, since the origin lets MaxWaiting wait for a site.
func (d *Download) AsksAtOnce() int {
	members := 1
	for _, n := range d.neighbours {
		if n.wants && n.held.Count() < n.held.Size() && !d.isBanned(n.peer) {
			members++
		}
	}
	return min(max(originRoom/members, 1), lease.MaxOfMember)
}

// originAllowed answers the schedule.
func (d *Download) originAllowed(now time.Time) []Action {
	if patient := d.progressAt.Add(PatientTime); d.options.Leases && d.options.Weight == owner.Never &&
		now.Before(patient) && len(d.neighbours) > 0 {
		return []Action{Postpone{patient}}
	}
	if !d.options.Leases {
		if index, found := d.oldestFailure(); found {
			d.asked[index] = true
			return []Action{FetchFromOrigin{index}}
		}
		return []Action{Postpone{now.Add(emptyPause)}}
	}
	if want := d.wishes(); len(want) > d.wishing { // else those under way ask for all of them
		d.wishing++
		ask := AskOrigin{Want: want, Acknowledged: d.verified, Failed: d.complaints}
		d.verified, d.complaints = nil, nil
		return []Action{ask}
	}
	return []Action{Postpone{now.Add(emptyPause)}}
}

// isElsewhere reports whether a missing fragment need not come from the origin: it is on its way, a neighbour that may be
// asked holds it, or a member that does is being met.
func (d *Download) isElsewhere(index core.FragmentIndex) bool {
	if d.asked[index] || len(d.fetches[index]) > 0 || d.isBeingMet(index) {
		return true
	}
	return d.copies[index] > 0 && slices.ContainsFunc(d.neighbours, func(n *neighbour) bool {
		return n.held.Has(index) && !d.isBanned(n.peer)
	})
}

// oldestFailure chooses what to ask an origin without leases for.
func (d *Download) oldestFailure() (best core.FragmentIndex, found bool) {
	for index := range d.held.Missing() {
		if d.isElsewhere(index) || found && d.failed[index] >= d.failed[best] {
			continue
		}
		best, found = index, true
		if d.failed[index] == 0 {
			break
		}
	}
	return best, found
}

// wishes lists what to ask an origin with leases for. What failed there comes last.
func (d *Download) wishes() []core.FragmentIndex {
	if d.share == nil {
		members := []owner.Member{{Peer: d.options.Self, Weight: d.options.Weight}}
		for _, n := range d.neighbours {
			if n.wants && !d.isBanned(n.peer) {
				members = append(members, owner.Member{Peer: n.peer, Weight: n.weight})
			}
		}
		d.share = owner.NewTable(d.options.Info, d.options.Secret, members).Share(d.options.Self, d.held.Size())
	}
	want := d.share.Want(func(yield func(core.FragmentIndex) bool) {
		for index := range d.held.Missing() {
			if !d.isElsewhere(index) && !yield(index) {
				return
			}
		}
	})
	slices.SortStableFunc(want, func(a, b core.FragmentIndex) int {
		switch fa, fb := d.failed[a], d.failed[b]; {
		case fa < fb:
			return -1
		case fa > fb:
			return 1
		}
		return 0
	})
	return want
}

// NextWake returns when Step wants a WakeDue, or false for never.
func (d *Download) NextWake() (time.Time, bool) {
	var wake time.Time
	consider := func(at time.Time) {
		if wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	if len(d.news) > 0 {
		consider(d.announceAt)
	}
	for index, fetches := range d.fetches {
		for _, f := range fetches {
			consider(f.moved.Add(StallTime))
		}
		if d.isLate(index) {
			consider(fetches[0].began.Add(HedgeTime))
		}
	}
	for _, n := range d.neighbours {
		if d.Missing() > 0 && n.freeAt.After(d.last) {
			consider(n.freeAt)
		}
	}
	if !wake.IsZero() && !wake.After(d.last) {
		wake = d.last.Add(10 * time.Millisecond)
	}
	return wake, !wake.IsZero()
}
