package origin

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/lease"
	"enjambre/server/internal/store"
)

// Times of a site.
const (
	flushPause   = time.Second     // between two writes of the ledger
	refreshPause = 5 * time.Second // between two looks at the packages and the policy, while something goes on
	idleTime     = time.Hour       // without a request, after which a site is put away
	storeWait    = 2 * time.Second // for a look into the store
	stopWait     = 5 * time.Second // for bodies to end when the server stops
)

// maxInbox is how many messages wait for a site's goroutine; who sends more waits.
const maxInbox = 64

// An ask is a request until it is answered. Exactly one answer comes, also to one that has left.
type ask struct {
	event  lease.MemberAsked
	island *lease.IslandDeclared // before it; nil: it says nothing
	pack   store.Package         // zero if it is not on record
	id     core.PackageID
	judged time.Time   // when it was about to be asked at which site its member is
	answer chan answer // with room for one
}

// An answer is what the site decided: one of lease's four, with the body if it is a Grant. A nil action says
// that the asker has left, that the site ends, or that it is old.
type answer struct {
	action lease.Action
	body   *body
	sent   int64 // bytes of the package that went into the site so far, or are on their way
	isOld  bool  // members have left since its member was judged to be here

	introduce id.Peer // whom the asker is to connect to; zero: nobody
}

// A message is what a site's goroutine is told: one of its fields.
type message struct {
	asked   *ask
	left    *ask
	event   lease.Event
	outside *outside
	totals  *totalsQuery
}

type totalsQuery struct {
	digest core.Digest
	answer chan lease.Totals // with room for one
}

// A keeper is one site: its goroutine owns a lease.Site and its ledger.
type keeper struct {
	name  core.SiteName
	inbox chan message
	done  chan struct{} // closed when the goroutine has ended
	users int           // requests that hold it; guarded by Handler.mu

	// Of the goroutine alone.
	options  *Options
	log      *slog.Logger
	site     *lease.Site
	ledger   *ledger
	requests lease.RequestID // the last one given out
	waiting  map[lease.RequestID]*ask
	unsaid   []lease.RequestID // decided, and answered once the ledger is synced; one of a member, as its agent has it
	bodies   map[lease.LeaseID]*body
	known    map[core.PackageID]store.Package
	meetings introducer

	usedAt, flushedAt, refreshedAt time.Time
	lookedAt                       time.Time // when it was last seen who is at the site
	leftAt                         time.Time // the same, when somebody was not any more
	stopping                       bool
}

func newKeeper(name core.SiteName, options *Options) *keeper {
	return &keeper{
		name: name, inbox: make(chan message, maxInbox), done: make(chan struct{}), options: options,
		log:     options.Log.With("site", string(name)),
		site:    lease.New(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))),
		waiting: map[lease.RequestID]*ask{}, bodies: map[lease.LeaseID]*body{},
		known: map[core.PackageID]store.Package{}, meetings: introducer{},
	}
}

// tell hands over a message; false if the site has ended.
func (k *keeper) tell(m message) bool {
	select {
	case k.inbox <- m:
		return true
	case <-k.done:
		return false
	}
}

// run keeps the site until ctx ends, or until nobody has used it for an hour and retire agrees. A site that
// cannot begin ends at once.
func (k *keeper) run(ctx context.Context, retire func(failed bool) bool) {
	defer close(k.done)
	if err := k.begin(ctx); err != nil {
		if ctx.Err() == nil {
			k.log.Error("a site's members are sent nothing", "reason", err)
		}
		retire(true)
		return
	}
	defer k.ledger.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case m := <-k.inbox:
			k.handle(ctx, m)
			if time.Since(k.flushedAt) >= flushPause && k.ledger.dirty() { // many messages leave the timer no time
				k.elapse(ctx)
			}
		case <-timer.C:
			k.elapse(ctx)
			if time.Since(k.usedAt) >= idleTime && len(k.bodies) == 0 && retire(false) {
				return
			}
		case <-ctx.Done():
			k.stop()
			return
		}
		timer.Reset(k.pause())
	}
}

// begin learns what is on record.
func (k *keeper) begin(ctx context.Context) error {
	now := time.Now()
	k.usedAt, k.refreshedAt = now, now
	if err := k.refreshPackages(ctx); err != nil {
		return err
	}
	known := map[core.Digest]bool{}
	for _, p := range k.known {
		known[p.InfoDigest] = true
	}
	l, existed, err := openLedger(k.options.Folder, k.name, func(d core.Digest) bool { return known[d] },
		k.site.Replay, k.log)
	if err != nil {
		return err
	}
	k.ledger = l
	if existed { // otherwise nobody here can hold anything
		k.step(lease.Restarted{Torn: l.torn})
	}
	return k.refreshPolicy(ctx)
}

// pause returns how long nothing is due.
func (k *keeper) pause() time.Duration {
	now := time.Now()
	due := k.usedAt.Add(idleTime)
	if !due.After(now) {
		due = now.Add(time.Minute) // somebody still uses it
	}
	consider := func(at time.Time) {
		if at.Before(due) {
			due = at
		}
	}
	if at, ok := k.site.NextWake(); ok {
		consider(at)
	}
	if k.ledger.dirty() {
		consider(k.flushedAt.Add(flushPause))
	}
	if k.busy() {
		consider(k.refreshedAt.Add(refreshPause))
	}
	return max(time.Millisecond, due.Sub(now))
}

func (k *keeper) busy() bool { return len(k.bodies) > 0 || len(k.waiting) > 0 }

// elapse does what time asks for.
func (k *keeper) elapse(ctx context.Context) {
	now := time.Now()
	if now.Sub(k.flushedAt) >= flushPause {
		k.flushedAt = now
		k.ledger.flush()
		k.confirm()
	}
	if k.busy() && now.Sub(k.refreshedAt) >= refreshPause {
		k.refresh(ctx)
	}
	k.step(lease.WakeDue{})
}

// learn reports a package, if that is news.
func (k *keeper) learn(p store.Package) {
	old, known := k.known[p.ID]
	if known && old.InfoDigest == p.InfoDigest && old.Priority == p.Priority {
		return
	}
	if known && old.InfoDigest != p.InfoDigest {
		k.forget(p.ID)
	}
	plan, err := planOf(p)
	if err != nil {
		k.log.Error("a package is not given to a site", "package", p.ID, "reason", err)
		return
	}
	k.known[p.ID] = p
	k.step(lease.PackageKnown{Package: p.InfoDigest, Plan: plan, Priority: p.Priority})
}

// planOf returns how a package is cut.
func planOf(p store.Package) (fragment.Plan, error) {
	if p.ArchiveSize == 0 {
		return fragment.Plan{}, nil
	}
	return fragment.NewPlan(p.ArchiveSize, p.FragmentSize)
}

// forget reports that a package is not on record any more.
func (k *keeper) forget(id core.PackageID) {
	if p, known := k.known[id]; known {
		delete(k.known, id)
		k.step(lease.PackageWithdrawn{Package: p.InfoDigest})
	}
}

// handle takes in one message.
func (k *keeper) handle(ctx context.Context, m message) {
	switch {
	case m.asked != nil:
		k.ask(ctx, m.asked)
	case m.left != nil:
		for request, a := range k.waiting {
			if a == m.left {
				delete(k.waiting, request)
				k.step(lease.ClientLeft{Request: request})
				a.answer <- answer{}
			}
		}
	case m.outside != nil:
		k.usedAt = time.Now()
		k.bookOutside(m.outside)
	case m.totals != nil:
		totals, _ := k.site.Totals(m.totals.digest)
		m.totals.answer <- totals
	default:
		k.report(m.event)
	}
}

// report passes on what a body's writer says.
func (k *keeper) report(event lease.Event) {
	k.step(event)
	if ended, ok := event.(lease.BodyEnded); ok {
		delete(k.bodies, ended.Lease)
	}
}

// ask passes a request on.
func (k *keeper) ask(ctx context.Context, a *ask) {
	k.usedAt = time.Now()
	if k.usedAt.Sub(k.lookedAt) >= refreshPause {
		k.look(ctx)
	}
	if !a.judged.After(k.leftAt) {
		a.answer <- answer{isOld: true}
		return
	}
	if a.pack.ID == 0 {
		k.forget(a.id)
		a.answer <- answer{action: lease.Gone{}}
		return
	}
	k.learn(a.pack)
	k.requests++
	a.event.Request = k.requests
	k.waiting[a.event.Request] = a
	if a.island != nil {
		k.step(*a.island)
	}
	k.step(a.event)
}

// step reports an event and carries out what follows from it.
func (k *keeper) step(event lease.Event) {
	var completed []lease.Complete
	var answers []func() // given when all is carried out: a body must not begin before its rate is set
	later := func(request lease.RequestID, with answer) {
		answers = append(answers, func() { k.answer(request, with) })
	}
	for _, action := range k.site.Step(time.Now(), event) {
		if _, isRecord := action.(lease.Record); k.stopping && !isRecord {
			continue // all have been answered
		}
		switch action := action.(type) {
		case lease.Grant:
			b := newBody()
			k.bodies[action.Lease] = b
			later(action.Request, answer{action: action, body: b})
		case lease.Refuse:
			later(action.Request, answer{action: action})
		case lease.Gone:
			later(action.Request, answer{action: action})
		case lease.Complete:
			completed = append(completed, action)
		case lease.ResetBody:
			k.bodies[action.Lease].breakOff()
		case lease.SetRate:
			k.bodies[action.Lease].rate.Store(action.BytesPerSecond)
		case lease.Introduce:
			k.meetings.note(action, time.Now())
		case lease.Record:
			k.ledger.append(action.Entry)
		}
	}
	for _, action := range completed {
		if k.isToBeSynced(action.Request) {
			k.unsaid = append(k.unsaid, action.Request)
		} else {
			later(action.Request, answer{action: action})
		}
	}
	for _, give := range answers {
		give()
	}
}

// confirm answers those whose acknowledgements are in the ledger now.
func (k *keeper) confirm() {
	for _, request := range k.unsaid {
		if k.waiting[request] != nil { // else it has left
			k.answer(request, answer{action: lease.Complete{Request: request}})
		}
	}
	k.unsaid = nil
}

// isToBeSynced reports whether an answer says that acknowledgements were heard, and they are not on the disk yet. Who
// was answered does not say them again, so a killed server would have lost them for good.
func (k *keeper) isToBeSynced(request lease.RequestID) bool {
	a := k.waiting[request]
	return a != nil && len(a.event.Want) == 0 && k.ledger != nil && k.ledger.dirty() && !k.ledger.failing
}

func (k *keeper) answer(request lease.RequestID, with answer) {
	a := k.waiting[request]
	with.sent = k.site.Given(a.event.Package)
	with.introduce = k.meetings.take(a.event.Member, time.Now())
	a.answer <- with
	delete(k.waiting, request)
}

// stop breaks all bodies off and books what they still report.
func (k *keeper) stop() {
	k.stopping = true
	for _, b := range k.bodies {
		b.breakOff()
	}
	for _, a := range k.waiting {
		a.answer <- answer{}
	}
	patience := time.NewTimer(stopWait)
	defer patience.Stop()
	for len(k.bodies) > 0 {
		select {
		case m := <-k.inbox:
			if m.event != nil {
				k.report(m.event)
			}
		case <-patience.C:
			k.log.Warn("bodies did not end in time; what they sent last is not in the ledger", "bodies", len(k.bodies))
			return
		}
	}
}

// errEnded says that a site was put away while it was asked.
var errEnded = errors.New("the site's goroutine has ended")
