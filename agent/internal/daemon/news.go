package daemon

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"enjambre/agent/internal/member"
	"enjambre/agent/internal/plan"
	"enjambre/core/ocs"
	peerid "enjambre/peer/id"
	"enjambre/peer/owner"
	"enjambre/peer/pulse"
	"enjambre/peer/ticket"
	"enjambre/peer/wire"
)

// A site is what of the membership concerns news; a *member.Member.
type site interface {
	Self() peerid.Peer
	Weight() owner.Weight
	View() member.View
	Changed() <-chan struct{}
	Learn(said ocs.ProgressReply) (ticket.Epoch, error)
	Tell(except peerid.Peer)
	Say(packages []wire.PackageProgress, to ...peerid.Peer)
	Said() <-chan wire.Progress
}

// following is how the daemon follows its site's news: peer/pulse decides. Only the goroutine that owns the plan uses it.
type following struct {
	site  site         // nil: nothing is followed
	pulse *pulse.Pulse // nil: in no swarm, or the server has said nothing of news
	seen  member.View  // what the pulse was told
	busy  bool         // as the pulse was told
	tasks []plan.Task  // as the pulse was told

	collection pulse.Collection // what the server is to be told of the others

	asks   uint64             // that were made; only the last one's answer counts
	giveUp context.CancelFunc // of the last ask; nil: there was none

	checked uint64 // the news of this site up to which was asked whether what is kept is still wanted
}

// changed tells when there is something to follow.
func (d *daemon) changed() <-chan struct{} {
	if d.following.site == nil {
		return nil
	}
	return d.following.site.Changed()
}

// lookAtSite tells the pulse what has changed at the site.
func (d *daemon) lookAtSite(ctx context.Context) {
	view := d.following.site.View()
	before := d.following.seen
	d.following.seen = view
	switch {
	case view.Site == "" || view.Epoch.Number == 0:
		d.following.pulse = nil
		d.following.noAsk()
		return
	case d.following.pulse == nil || view.Site != before.Site:
		d.following.noAsk() // of another site
		d.following.busy, d.following.checked = false, 0
		d.following.tasks, d.following.collection = nil, pulse.Collection{}
		d.following.pulse = pulse.New(d.clock.now(), pulse.Options{
			Self: d.following.site.Self(), Weight: d.following.site.Weight(), Site: view.Site,
			Random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		}, view.Epoch)
		d.pulse(ctx, pulse.MembersChanged{Members: view.Others})
		return
	}
	if !slices.Equal(view.Others, before.Others) {
		d.pulse(ctx, pulse.MembersChanged{Members: view.Others})
	}
	if view.Epoch != before.Epoch {
		from := view.From
		if from == d.following.site.Self() { // the server has said it
			from = peerid.Peer{}
		}
		d.pulse(ctx, pulse.Heard{Epoch: view.Epoch, From: from, Spread: view.Spread})
	}
}

// followContact tells the pulse that a contact was answered, which has brought all news up to what it said; and the plan,
// which has been told of the contact, if it knows of newer ones.
func (d *daemon) followContact(ctx context.Context) {
	if d.following.site == nil {
		return
	}
	// First that this answer has brought them, or what the server has just said would be news; unless a pulse is to begin.
	view := d.following.site.View()
	isKnown := d.following.pulse != nil && view.Site == d.following.seen.Site
	if isKnown {
		d.pulse(ctx, pulse.Contacted{Epoch: view.Contacted})
	}
	d.lookAtSite(ctx)
	if d.following.pulse == nil {
		return
	}
	if !isKnown {
		d.pulse(ctx, pulse.Contacted{Epoch: view.Contacted})
	}
	d.checkKept(ctx)
	if d.following.pulse.Behind() {
		d.queue = append(d.queue, plan.NewsHeard{})
	}
}

// beat lets the pulse see to what has come due, to how far the packages are, and to whether there is much to report.
func (d *daemon) beat(ctx context.Context) {
	if d.following.pulse == nil {
		return
	}
	d.lookAtTasks(ctx)
	if busy := d.plan.Downloads() || d.following.collection.Waiting(); busy != d.following.busy {
		d.following.busy = busy
		d.pulse(ctx, pulse.TransferChanged{Busy: busy})
	}
	if at, wanted := d.following.pulse.NextWake(); wanted && !d.clock.now().Before(at) {
		d.pulse(ctx, pulse.WakeDue{})
	}
}

// more reports whether events for the plan wait; once none does, the pulse beats, which may bring some.
func (d *daemon) more(ctx context.Context) bool {
	if len(d.queue) == 0 {
		d.beat(ctx)
	}
	return len(d.queue) > 0
}

// pulseDue returns when beat has something to do.
func (d *daemon) pulseDue() (time.Time, bool) {
	if d.following.pulse == nil {
		return time.Time{}, false
	}
	return d.following.pulse.NextWake()
}

// pulse steps the pulse and does what it orders.
func (d *daemon) pulse(ctx context.Context, event pulse.Event) {
	wasBehind := d.following.pulse.Behind()
	for _, action := range d.following.pulse.Step(d.clock.now(), event) {
		switch action := action.(type) {
		case pulse.Ask:
			progress, batch := d.toldProgress(), d.following.collection.Batch(d.clock.now())
			for _, said := range batch {
				progress.Said = append(progress.Said, said.Frame)
			}
			progress.Wait, progress.Known = action.Wait, action.Known
			number, asking := d.following.nextAsk(ctx)
			d.spawn(ctx, func(ctx context.Context) answer { return d.ask(ctx, asking, number, progress, batch) })
		case pulse.Tell:
			d.following.site.Tell(action.Except)
		case pulse.Say:
			d.following.site.Say(mostUrgent(d.plan.Tasks()), action.To[:]...)
		case pulse.Call:
			d.queue = append(d.queue, plan.CallDue{})
		}
	}
	if isBehind := d.following.pulse.Behind(); isBehind && !wasBehind {
		d.options.Log.Info("there are news at the site", "epoch", d.following.pulse.Newest().Number)
		d.queue = append(d.queue, plan.NewsHeard{})
	}
}

// errNoEpoch says that the server answers and says nothing of news.
var errNoEpoch = errors.New("the server says nothing of the site's news")

// noAsk gives the last ask up.
func (f *following) noAsk() {
	if f.giveUp != nil {
		f.giveUp()
	}
	f.asks, f.giveUp = f.asks+1, nil
}

// nextAsk gives the last ask up for another, and returns the number of that and a context for it.
func (f *following) nextAsk(ctx context.Context) (number uint64, asking context.Context) {
	f.noAsk()
	asking, f.giveUp = context.WithCancel(ctx)
	return f.asks, asking
}

// ask asks the server for its word, for the whole site, and tells it of all members. Nothing waits for the answer, which
// may be long in coming; if the ask was given up meanwhile it does not count.
func (d *daemon) ask(ctx, asking context.Context, number uint64, progress ocs.Progress, batch []pulse.Said) answer {
	said, err := d.talker.Ask(asking, progress)
	isTold := err == nil
	if err == nil && len(said.Epoch) == 0 {
		err = errNoEpoch
	}
	return func() plan.Event {
		if d.following.pulse == nil || d.following.asks != number {
			return nil
		}
		if isTold {
			d.following.collection.Sent(batch)
		}
		d.learnTime()
		var epoch ticket.Epoch
		if err == nil {
			epoch, err = d.following.site.Learn(said)
		}
		if err != nil {
			d.options.Log.Debug("the server does not say what is new", "reason", err)
			d.pulse(ctx, pulse.AskFailed{})
			return nil
		}
		d.pulse(ctx, pulse.Answered{Epoch: epoch, Spread: d.following.site.View().Spread})
		return nil
	}
}
