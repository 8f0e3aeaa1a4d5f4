package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/contact"
	"enjambre/core/cycle"
	"enjambre/core/fragment"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/owner"
)

// Bounds.
const (
	MaxCorrupt    = 3                // times that one fragment is corrupt
	MaxRebuilds   = 3                // times that an archive does not hold what was stored
	ProgressPause = 30 * time.Second // between two reports of progress alone
	runPause      = time.Second      // how long a run waits for one that was adopted, or for a contact

	// FreshFor is how old the server's last answer may be when a command starts: else, and after a start, the
	// server is asked first whether the package is still wanted. If it does not answer, commands go on being
	// started for RunOffline.
	FreshFor   = 10 * time.Minute
	RunOffline = 24 * time.Hour
	maxFetches = 4 // info files fetched at once

	// MaxTasks is how many packages are taken at once, so that a server that offers others each time fills neither
	// memory nor what the shell keeps. What is offered beyond it waits for a later contact.
	MaxTasks = 1024
)

// An Assignment is what is remembered of a package that is to be installed. The shell keeps it on the disk.
type Assignment struct {
	Package           core.PackageID `json:"package"`
	NotifiedAt        time.Time      `json:"notifiedAt"`
	Force             bool           `json:"force,omitempty"`
	InfoLocation      string         `json:"infoLocation"`
	FragmentsLocation string         `json:"fragmentsLocation"`
	InfoDigest        core.Digest    `json:"infoDigest,omitzero"` // zero: the server did not say
	Elsewhere         bool           `json:"elsewhere,omitempty"` // FragmentsLocation is asked, whatever grants leases
	Priority          core.Priority  `json:"priority,omitempty"`  // as the server said it, before the info file was had
	Ranked            bool           `json:"ranked,omitempty"`    // whether it did
	Attempts          int            `json:"attempts,omitempty"`  // of the package that ended before this one
	Delays            int            `json:"delays,omitempty"`    // how often the user has delayed it
	RunAfter          time.Time      `json:"runAfter,omitzero"`   // as the user's delay wants
}

// A Past is what this computer remembers of a package that is offered.
type Past int

// The pasts.
const (
	Unknown   Past = iota // it has never ended here
	Open                  // it runs, or its result is not yet acknowledged
	Failed                // it ended here, not installed, and the server knows
	Installed             // it is installed, and the server knows
)

// An Offer is a package that a contact lists.
type Offer struct {
	Package           core.PackageID
	Force             bool
	InfoLocation      string
	FragmentsLocation string
	InfoDigest        core.Digest
	Elsewhere         bool
	Priority          core.Priority
	Ranked            bool // Priority is said; else it is known from the info file only
	Past              Past
	Attempts          int // that ended here
}

// A task is one assignment's way to its end.
type task struct {
	Assignment
	priority core.Priority
	download *peer.Download // nil until the info file is had
	running  bool
	adopted  bool // it ran when the agent started; the schedule does not know of the run
	dropped  bool // not wanted any more, but it runs
	expired  bool // the schedule has given it up

	lent    bool // an origin is asked for leases
	plain   bool // none is, though it grants some: it gives no more of this package today
	voice   voice
	gone    bool // the origin says that it is withdrawn
	wasGone bool // and has said so since the last fragment

	fetching  bool // its info file
	fetchNext time.Time

	corrupt  map[core.FragmentIndex]int
	rebuilds int
	phase    ocs.Phase
	problem  string // the last one; "" after progress
}

// Options configure a Plan.
type Options struct {
	Once   bool         // one contact, no second
	Random *rand.Rand   // for jitter; required
	Self   id.Peer      // who this agent is in its site's swarm
	Weight owner.Weight // its share of what the site fetches
}

// A Plan decides for one agent. Make one with New.
type Plan struct {
	options  Options
	schedule *cycle.Schedule
	conf     cycle.Options // as the server says
	origin   Origin
	plain    bool // it grants no leases, it turned out; until the next contact
	asks     int  // of it that may be open at once, as the schedule was last told
	tasks    map[core.PackageID]*task

	reach     reach
	move      move
	calls     contact.Pace // PROLOG
	reports   contact.Pace
	talking   bool
	knowsTime bool // the server has told the time since the start
	heard     bool // a contact was answered since the start
	silent    bool // suspended: nothing is reported

	answeredAt time.Time     // when a contact was last answered
	triedAt    time.Time     // when one last ended, answered or not
	newsAt     time.Time     // when it was last heard that something has changed since
	heldUntil  time.Time     // until when all runs are held
	together   []cycle.Event // what the schedule is told at once, at most two for each of MaxTasks; nil: it is told singly

	unreported int  // results not acknowledged
	news       bool // progress that the server does not know
	newsAfter  time.Time
	last       time.Time
}

// New returns a plan that goes on with what is remembered. The options of the schedule are the last known.
func New(options Options, conf cycle.Options, unreported int) (*Plan, error) {
	schedule, err := cycle.New(conf)
	if err != nil {
		return nil, err
	}
	return &Plan{
		options: options, schedule: schedule, conf: conf, tasks: map[core.PackageID]*task{}, unreported: unreported,
	}, nil
}

// Assignments returns what the shell must remember, in order of the packages.
func (p *Plan) Assignments() []Assignment {
	assignments := []Assignment{}
	for _, id := range slices.Sorted(maps.Keys(p.tasks)) {
		if t := p.tasks[id]; !t.dropped {
			assignments = append(assignments, t.Assignment)
		}
	}
	return assignments
}

// Conf returns the schedule's options as they were last given.
func (p *Plan) Conf() cycle.Options { return p.conf }

// Step applies one event at the time now and returns what to do about it, in order.
func (p *Plan) Step(now time.Time, event Event) []Action {
	now = now.Round(0)
	if back := now.Sub(p.last); back < 0 {
		p.shift(back)
	}
	p.last = now
	var actions []Action
	switch event := event.(type) {
	case Resumed:
		actions = p.resumed(now, event)
	case ContactAnswered:
		actions = p.contactAnswered(now, event)
	case Suspended:
		actions = p.suspend(now)
	case ContactFailed:
		p.talking, p.triedAt = false, now
		p.calls.Failed(now, p.options.Random)
		p.settle(now)
	case ReportAnswered:
		p.talking, p.move.stale = false, false
		p.told(now, event.Left)
	case ReportFailed:
		p.talking, p.move.stale = false, false
		p.reports.Failed(now, p.options.Random)
	case InfoStored:
		actions = p.infoStored(now, event)
	case InfoFailed:
		actions = p.infoFailed(now, event)
	case FragmentStored:
		actions = p.fragmentStored(now, event)
	case FragmentFailed:
		actions = p.fragmentFailed(now, event)
	case OriginFailed:
		actions = p.originFailed(now, event)
	case RunPostponed:
		actions = p.runPostponed(now, event)
	case FragmentsLost:
		actions = p.fragmentsLost(now, event)
	case Ended:
		actions = p.ended(now, event)
	case OriginRefused:
		actions = p.originRefused(now, event)
	case NextComplete:
		actions = p.nextComplete(now, event)
	case NextFailed:
		actions = p.nextFailed(now, event)
	case NextUnknown:
		actions = p.nextUnknown(now, event)
	case NextGone:
		actions = p.nextGone(now, event)
	case Acknowledged:
		actions = p.acknowledged(now, event)
	case FragmentShared:
		actions = p.fragmentShared(now, event)
	case NeighbourReported:
		actions = p.neighbourReported(now, event)
	case NewsHeard:
		p.newsAt = now
	case CallDue:
		p.calls.Hurry(now)
	case TimeTold:
		actions = p.timeTold(now)
	case Moved:
		p.moved(now)
	case NeighbourCame:
		p.reach.came(event.Peer)
	case LonelinessChanged:
		p.reach.lone(now, event.On)
	case WakeDue:
		actions = p.steps(now, cycle.WakeDue{})
		actions = append(actions, p.wakeDownloads(now)...)
	default:
		panic(fmt.Sprintf("plan: event %T is not one of this package", event))
	}
	actions = append(actions, p.widen(now)...)
	return append(actions, p.due(now)...)
}

// shift moves our own times after the clock was set back; the schedule sees to its own.
func (p *Plan) shift(by time.Duration) {
	p.reach.shift(by)
	p.calls.Shift(by)
	p.reports.Shift(by)
	p.newsAfter = p.newsAfter.Add(by)
	p.answeredAt = p.answeredAt.Add(by)
	p.heldUntil = p.heldUntil.Add(by)
	for _, at := range []*time.Time{&p.triedAt, &p.newsAt} {
		if !at.IsZero() {
			*at = at.Add(by)
		}
	}
	for _, t := range p.tasks {
		t.fetchNext = t.fetchNext.Add(by)
		t.voice.tellAt = t.voice.tellAt.Add(by)
	}
}

// due orders what has come due: info files, then telling the origin, then talking to the server.
func (p *Plan) due(now time.Time) []Action {
	var actions []Action
	fetching := p.fetches()
	for _, t := range p.byUrgency() {
		switch {
		case t.download != nil && !t.gone || t.fetching || t.running || t.expired:
		case p.timedOut(t, now):
			t.expired = true
			actions = append(actions, p.steps(now, cycle.PackageWithdrawn{ID: t.Package})...)
			actions = append(actions, p.timeout(t))
		case t.gone:
		case fetching < maxFetches && !p.conf.Paused && !now.Before(t.fetchNext):
			t.fetching = true
			fetching++
			actions = append(actions, FetchInfo{t.Assignment})
		}
	}
	actions = append(actions, p.acknowledge(now)...)
	if action := p.talk(now); action != nil {
		actions = append(actions, action)
	}
	return actions
}

// fetches returns how many info files are being fetched.
func (p *Plan) fetches() int {
	fetching := 0
	for _, t := range p.tasks {
		if t.fetching {
			fetching++
		}
	}
	return fetching
}

// timedOut reports whether a task that is not in the schedule has waited too long.
func (p *Plan) timedOut(t *task, now time.Time) bool {
	return p.timesOut() && !now.Before(t.NotifiedAt.Add(p.conf.Timeout))
}

func (p *Plan) timeout(t *task) Action {
	detail := "not complete in time"
	if t.problem != "" {
		detail += "; last problem: " + t.problem
	}
	return Conclude{Package: t.Package, State: outcome.Timeout, Detail: detail}
}

// NextWake returns when Step wants a WakeDue, or false for never.
func (p *Plan) NextWake() (time.Time, bool) {
	wake, wanted := p.schedule.NextWake()
	consider := func(at time.Time) {
		if !wanted || at.Before(wake) {
			wake, wanted = at, true
		}
	}
	if at, _, talks := p.nextTalk(); talks {
		consider(at)
	}
	for _, t := range p.tasks {
		if t.download == nil {
			continue
		}
		if at, wakes := t.download.NextWake(); wakes {
			consider(at)
		}
		if at, due := t.acknowledgeAt(); due && !p.move.on {
			consider(at)
		}
	}
	mayFetch := !p.conf.Paused && p.fetches() < maxFetches // else the answer of a fetch under way is what is waited for
	for _, t := range p.tasks {
		if t.download != nil && !t.gone || t.fetching || t.running || t.expired {
			continue
		}
		if mayFetch && !t.gone {
			consider(t.fetchNext)
		}
		if p.timesOut() {
			consider(t.NotifiedAt.Add(p.conf.Timeout))
		}
	}
	return wake, wanted
}

// carry turns the schedule's orders into ours.
func (p *Plan) carry(now time.Time, orders []cycle.Action) []Action {
	var actions []Action
	for _, order := range orders {
		switch order := order.(type) {
		case cycle.AskOrigin:
			if p.move.on {
				actions = append(actions, p.postpone(now, p.tasks[order.ID], now.Add(movePause))...)
				continue
			}
			actions = append(actions, p.tell(now, p.tasks[order.ID], peer.OriginAllowed{})...)
		case cycle.Run:
			actions = append(actions, p.run(now, p.tasks[order.ID])...)
		case cycle.Expire:
			t := p.tasks[order.ID]
			t.expired = true
			actions = append(actions, p.timeout(t))
		case cycle.Refuse:
			p.tasks[order.ID].problem = fmt.Sprintf("more than %d packages wait", cycle.MaxPackages)
			p.tasks[order.ID].download, p.tasks[order.ID].lent = nil, false
			p.tasks[order.ID].fetchNext = now.Add(contact.DefaultInterval)
		}
	}
	return actions
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// heldSet returns a set of its own.
func heldSet(set *fragment.Set) *fragment.Set {
	if set == nil {
		return fragment.NewSet(0)
	}
	return set
}
