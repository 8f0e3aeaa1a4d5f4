package daemon

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"enjambre/agent/internal/member"
	"enjambre/agent/internal/plan"
	"enjambre/agent/internal/swarm"
	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/ocs"
	"enjambre/peer"
	peerid "enjambre/peer/id"
)

// Times and bounds of what concerns members.
const (
	keepAge       = 7 * 24 * time.Hour // that a package is kept for members after it has ended
	tidyEvery     = time.Hour
	progressEvery = time.Second      // that the plan is told of a fetch's progress
	askMembers    = 3                // that are asked for an info file before the server is
	documentTime  = 10 * time.Second // that one of them may take
	localTime     = 2 * time.Second  // that finding out our own address may take before the first contact
	maxMeetings   = 16               // that the server's answers cause, at once

	// It is looked at whether another address leads to the server: until that is seen, what old neighbours are sending still
	// comes, over two WANs. It takes three system calls and no packet.
	locateEvery = 500 * time.Millisecond
	moveRest    = 10 * time.Second // after a move, for computers whose way to the server changes all the time
)

// swarming is the daemon's part in the site's swarm. Only the goroutine that owns the plan uses it, but member and
// sources.
type swarming struct {
	member  *member.Member // nil in tests without swarm
	fetches map[memberFetch]*underWay
	meeting map[rendezvous]bool // at most maxMeetings
	sources sources
	tidyAt  time.Time

	lonely   bool      // as the plan was told
	locateAt time.Time // when it is looked at where the computer is
	locating bool
}

// A memberFetch is a fragment asked of a neighbour.
type memberFetch struct {
	id    core.PackageID
	from  peerid.Peer
	index core.FragmentIndex
}

// A rendezvous is with a member, for a package.
type rendezvous struct {
	id   core.PackageID
	with peerid.Peer
}

// An underWay is a fetch that can be cancelled.
type underWay struct{ cancel context.CancelFunc }

// openSwarm makes the membership; it listens from the first contact on.
func (d *daemon) openSwarm() (err error) {
	d.swarm.fetches, d.swarm.meeting = map[memberFetch]*underWay{}, map[rendezvous]bool{}
	d.swarm.member, err = member.New(member.Options{
		State: d.options.State, Vault: d.vault, Deployment: d.known.Deployment, Off: d.options.SwarmOff,
		MDNS: d.options.SwarmMDNS, Tunnels: d.options.SwarmTunnels, Port: d.options.SwarmPort, Now: d.clock.now, Slept: d.clock.slept,
		Log: d.options.Log,
	})
	if err == nil && !d.options.Once { // a single contact follows nothing
		d.following.site = d.swarm.member
	}
	return err
}

// evicted unshares what the vault has removed to make room.
func (d *daemon) evicted(info core.Digest) {
	if d.swarm.member != nil {
		d.swarm.member.Unshare(info)
	}
}

// self returns who the agent is in a swarm, and its weight as far as it can be known before the first contact.
func (d *daemon) self(ctx context.Context) plan.Options {
	ctx, cancel := context.WithTimeout(ctx, localTime)
	defer cancel()
	if local, err := d.talker.Client().Local(ctx); err == nil {
		d.swarm.member.See(local)
	}
	return plan.Options{
		Once: d.options.Once, Random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		Self: d.swarm.member.Self(), Weight: d.swarm.member.Weight(),
	}
}

// listen opens the port for members and fills in where it is.
func (d *daemon) listen(ctx context.Context, prolog *ocs.Prolog) {
	local, err := d.talker.Client().Local(ctx)
	if err != nil { // such as no name service without the WAN
		local, err = d.swarm.member.Toward(ctx)
	}
	if err != nil {
		local = d.swarm.member.Aside()
	}
	if !local.IsValid() {
		d.swarm.member.Nowhere(err)
		return
	}
	at, weight := d.swarm.member.Listen(ctx, local)
	if at.IsValid() {
		prolog.Listen, prolog.Also, prolog.Weight = at, d.swarm.member.Also(), int(weight)
	}
}

// told hands on what the server says of the site, once its time is learnt.
func (d *daemon) told(reply ocs.PrologReply, err error) {
	switch {
	case d.swarm.member == nil:
	case err != nil:
		d.swarm.member.Unreached()
	case reply.Cloned:
		d.swarm.member.Told(nil)
	default:
		d.swarm.member.Told(reply.Swarm)
	}
}

// feel tells the plan when the agent can reach nobody, and when it can again.
func (d *daemon) feel() {
	if d.swarm.member == nil {
		return
	}
	if now := d.swarm.member.Lonely(); now != d.swarm.lonely {
		d.swarm.lonely = now
		d.queue = append(d.queue, plan.LonelinessChanged{On: now})
	}
}

// reports returns what neighbours say; nil without swarm.
func (d *daemon) reports() <-chan swarm.Report {
	if d.swarm.member == nil {
		return nil
	}
	return d.swarm.member.Reports()
}

// reported makes of what a neighbour says what the plan needs; nil if that is nothing.
func (d *daemon) reported(report swarm.Report) plan.Event {
	switch {
	case report.Event == nil:
		return plan.NeighbourCame{Peer: report.Came}
	case report.Info == core.Digest{}:
		return plan.NeighbourReported{Event: report.Event}
	}
	p := d.vault.FindInfo(report.Info)
	if p == nil {
		return nil
	}
	return plan.NeighbourReported{Package: p.Info().ID, Event: report.Event}
}

// follow does for the swarm what an event means, once the plan has been told.
func (d *daemon) follow(ctx context.Context, event plan.Event) {
	if d.swarm.member == nil {
		return
	}
	switch event := event.(type) {
	case plan.ContactAnswered:
		d.followContact(ctx)
	case plan.Resumed:
		for _, one := range event.Stored {
			d.share(one.Package)
		}
	case plan.InfoStored:
		d.share(event.Package)
	case plan.FragmentsLost: // neighbours forget what we said, and hear what is left
		if p := d.vault.Find(event.Package); p != nil {
			d.swarm.member.Unshare(p.InfoDigest())
			d.share(event.Package)
		}
	}
}

// share tells the neighbours of a package, and the plan what they have said of it before.
func (d *daemon) share(id core.PackageID) {
	p := d.vault.Find(id)
	if p == nil || p.Info().NoSwarm {
		return
	}
	for _, said := range d.swarm.member.Share(p.InfoDigest()) {
		d.queue = append(d.queue, plan.NeighbourReported{Package: id, Event: said})
	}
}

// doSwarm sets about an action that concerns neighbours.
func (d *daemon) doSwarm(ctx context.Context, action plan.Action) {
	switch action := action.(type) {
	case plan.FetchFromMember:
		key := memberFetch{action.Package, action.Peer, action.Index}
		fetching, cancel := context.WithCancel(ctx)
		this := &underWay{cancel}
		d.swarm.fetches[key] = this
		// The answer is heard also when the fetch is cancelled or over: only the end of everything is no one's news.
		d.spawn(ctx, func(context.Context) answer { return d.fetchFromMember(fetching, key, this) })
	case plan.CancelFetch:
		key := memberFetch{action.Package, action.Peer, action.Index}
		if this := d.swarm.fetches[key]; this != nil {
			this.cancel()
			delete(d.swarm.fetches, key)
		}
	case plan.Announce:
		if p := d.vault.Find(action.Package); p != nil {
			d.swarm.member.Announce(action.Peer, p.InfoDigest(), action.Indexes)
		}
	case plan.Misbehaved:
		d.options.Log.Warn("a member misbehaves and is not asked", "member", action.Peer, "package", action.Package,
			"failure", action.Why, "until", action.Until)
		d.swarm.member.Shun(action.Peer, action.Until)
	case plan.Meet:
		d.meet(ctx, action)
	}
}

// meet sets about meeting a member that the server names. That it was met is reported by the swarm.
func (d *daemon) meet(ctx context.Context, order plan.Meet) {
	p, this := d.vault.Find(order.Package), rendezvous{order.Package, order.Peer}
	if p == nil || d.swarm.meeting[this] {
		return
	}
	if len(d.swarm.meeting) == maxMeetings {
		d.queue = append(d.queue, plan.NeighbourReported{Package: order.Package, Event: peer.MeetFailed(order.Meet)})
		return
	}
	info := p.InfoDigest()
	d.swarm.meeting[this] = true
	d.spawn(ctx, func(ctx context.Context) answer {
		err := d.swarm.member.Meet(ctx, order.Peer, info)
		return func() plan.Event {
			delete(d.swarm.meeting, this)
			if err == nil {
				return nil
			}
			d.options.Log.Debug("no meeting", "package", order.Package, "fragment", order.Index+1, "reason", err)
			return plan.NeighbourReported{Package: order.Package, Event: peer.MeetFailed(order.Meet)}
		}
	})
}

// fetchFromMember fetches one fragment from a neighbour, verifies and stores it.
func (d *daemon) fetchFromMember(ctx context.Context, key memberFetch, this *underWay) answer {
	defer this.cancel()
	failed := func(why peer.Failure, after time.Duration, err error) answer {
		return func() plan.Event {
			if d.swarm.fetches[key] != this { // it was cancelled, which nobody waits for
				return nil
			}
			delete(d.swarm.fetches, key)
			d.options.Log.Debug("fragment not had from a member", "package", key.id, "fragment", key.index+1,
				"member", key.from, "reason", err)
			return plan.NeighbourReported{Package: key.id, Event: peer.FetchFailed{
				Peer: key.from, Index: key.index, Why: why, RetryAfter: after,
			}}
		}
	}
	p := d.vault.Find(key.id)
	if p == nil {
		return failed(peer.Broken, 0, errors.New("the package is dropped"))
	}
	size := p.Info().Archive.Plan.Size(key.index)
	store := func(data []byte) error { return p.Store(key.index, data) }
	err := d.swarm.member.Fetch(ctx, key.from, p.InfoDigest(), key.index, size, d.progress(ctx, key), store)
	var refused *swarm.FetchError
	switch {
	case errors.As(err, &refused):
		return failed(refused.Why, refused.RetryAfter, err)
	case core.ClassOf(err) == core.ClassHash:
		return failed(peer.Corrupt, 0, err)
	case err != nil:
		d.options.Log.Warn("fragment cannot be stored", "package", key.id, "fragment", key.index+1, "reason", err)
		return failed(peer.Broken, 0, err)
	}
	return func() plan.Event { // also when it was cancelled just now: it is there
		if d.swarm.fetches[key] == this {
			delete(d.swarm.fetches, key)
		}
		d.stored(p)
		d.swarm.sources.add(key.id, 0, size)
		return plan.FragmentShared{Package: key.id, Index: key.index, From: key.from}
	}
}

// progress returns what is called as bytes of a fragment come: it tells the plan now and then.
func (d *daemon) progress(ctx context.Context, key memberFetch) func() {
	var last time.Time
	return func() {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			event := plan.NeighbourReported{Package: key.id, Event: peer.FetchProgressed{Peer: key.from, Index: key.index}}
			select {
			case d.answers <- func() plan.Event { return event }:
			case <-ctx.Done():
			}
		}
	}
}

// holders counts the neighbours that share each package that is here.
func (d *daemon) holders() map[core.PackageID]int {
	if d.swarm.member == nil {
		return nil
	}
	count := map[core.PackageID]int{}
	for _, id := range d.vault.IDs() {
		if n := len(d.swarm.member.Sharers(d.vault.Find(id).InfoDigest())); n > 0 {
			count[id] = n
		}
	}
	return count
}

// documents asks a few neighbours for an assignment's info file and digests. What they give is verified as what the
// server gives; false says that it must be asked.
func (d *daemon) documents(ctx context.Context, assignment plan.Assignment) (sealed, bool) {
	if d.swarm.member == nil || assignment.InfoDigest == (core.Digest{}) {
		return sealed{}, false
	}
	asked := d.swarm.member.Sharers(assignment.InfoDigest)
	rand.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
	for _, one := range asked[:min(len(asked), askMembers)] {
		had, err := d.documentsFrom(ctx, one, assignment)
		if err == nil {
			d.options.Log.Info("info file had from a member", "package", assignment.Package, "member", one)
			return had, true
		}
		d.options.Log.Debug("info file not had from a member", "package", assignment.Package, "member", one, "reason", err)
	}
	return sealed{}, false
}

// documentsFrom asks one neighbour.
func (d *daemon) documentsFrom(ctx context.Context, from peerid.Peer, assignment plan.Assignment) (sealed, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTime)
	defer cancel()
	envelope, err := d.swarm.member.Info(ctx, from, assignment.InfoDigest)
	if err != nil {
		return sealed{}, err
	}
	had, err := d.unseal(envelope, assignment)
	if err != nil || had.Info.Archive == nil {
		return had, err
	}
	if had.digests, err = d.swarm.member.Digests(ctx, from, assignment.InfoDigest); err != nil {
		return sealed{}, err
	}
	_, err = fragment.ParseDigests(had.digests, had.Info.Archive.Plan, had.Info.Archive.Digests)
	return had, err
}
