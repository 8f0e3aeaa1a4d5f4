package lease_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/lease"
)

// epoch is when every test begins.
var epoch = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

const (
	kib    = int64(1 << 10)
	second = time.Second
	minute = time.Minute
)

// name makes the ID of the member with a number; 0 is nobody.
func name(number int) (id id.Peer) {
	id[0], id[31] = byte(number>>8), byte(number)
	return id
}

// digest makes the digest of the package with a number.
func digest(number byte) (d core.Digest) {
	d[0] = number
	return d
}

// plan cuts a package of whole fragments.
func plan(t testing.TB, fragments int, size int64) fragment.Plan {
	t.Helper()
	p, err := fragment.NewPlan(int64(fragments)*size, size)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// body is what a watcher knows of a lease.
type body struct {
	request  lease.RequestID
	member   id.Peer
	pack     core.Digest
	fragment core.FragmentIndex
	from     int64
	sent     int64
	running  bool
	kept     bool
	reset    bool
	rate     int64
	island   string
	endedAt  time.Time
}

// A beginner is a member that begins with a package.
type beginner struct {
	member id.Peer
	pack   core.Digest
}

// A watcher hands events to a Site and holds every answer to the laws, of which it knows nothing but the
// words.
type watcher struct {
	t      failer
	site   *lease.Site
	now    time.Time
	plans  map[core.Digest]fragment.Plan
	policy lease.Policy

	starts  map[beginner]lease.Start
	asked   map[lease.RequestID]lease.MemberAsked
	askedAt map[lease.RequestID]time.Time
	bodies  map[lease.LeaseID]*body
	sent    map[core.Digest]int64 // payload bytes that went in, counted here
	reached map[core.Digest]map[core.FragmentIndex]int64
	entries []lease.Entry
	grants  int
	islands func(id.Peer) string // in which scope a member is; "" is one for all
	keepAll bool                 // of the trace
	gaps    bool                 // bodies may begin beyond what was sent, so that sums are bounds only
	trace   []step               // the last ones
}

// step is one event and what came of it.
type step struct {
	at      time.Time
	event   lease.Event
	actions []lease.Action
}

// String says it in a line that is the same in every run.
func (s step) String() string {
	if ask, is := s.event.(lease.MemberAsked); is {
		have := ask.Have
		ask.Have = nil // it would print an address
		if have != nil {
			return fmt.Sprintf("%v %+v have %x -> %+v", s.at.Sub(epoch), ask, have.Bytes(), s.actions)
		}
		s.event = ask
	}
	return fmt.Sprintf("%v %T%+v -> %+v", s.at.Sub(epoch), s.event, s.event, s.actions)
}

func newWatcher(t failer, seed uint64) *watcher {
	return &watcher{
		t: t, site: lease.New(random(seed)), now: epoch, policy: lease.Policy{Fetchers: lease.DefaultFetchers},
		plans: map[core.Digest]fragment.Plan{}, asked: map[lease.RequestID]lease.MemberAsked{},
		askedAt: map[lease.RequestID]time.Time{}, bodies: map[lease.LeaseID]*body{}, sent: map[core.Digest]int64{},
		reached: map[core.Digest]map[core.FragmentIndex]int64{}, starts: map[beginner]lease.Start{},
		islands: func(id.Peer) string { return "" },
	}
}

// step hands over one event and checks what comes back.
func (w *watcher) step(event lease.Event) []lease.Action {
	w.t.Helper()
	w.before(event)
	actions := w.site.Step(w.now, event)
	w.note(event, actions)
	for _, action := range actions {
		w.look(action)
	}
	w.after()
	return actions
}

func (w *watcher) before(event lease.Event) {
	switch e := event.(type) {
	case lease.PackageKnown:
		w.plans[e.Package] = e.Plan
	case lease.MemberAsked:
		w.asked[e.Request], w.askedAt[e.Request] = e, w.now
		if e.Start != 0 && e.Start != w.starts[beginner{e.Member, e.Package}] {
			w.starts[beginner{e.Member, e.Package}] = e.Start
			w.void(func(b *body) bool { return b.member == e.Member && b.pack == e.Package })
		}
		w.settleLeases(e)
	case lease.ClientLeft:
		w.answered(e.Request, true)
	case lease.BytesSent:
		b := w.bodies[e.Lease]
		w.count(b.pack, b.fragment, b.from+b.sent, e.Bytes)
		b.sent += e.Bytes
	case lease.ServedOutside:
		w.count(e.Package, e.Fragment, e.From, e.Bytes)
	case lease.BodyEnded:
		b := w.bodies[e.Lease]
		b.running, b.endedAt = false, w.now
		b.kept = b.kept || e.Failed || b.sent < w.plans[b.pack].Size(b.fragment)-b.from
	case lease.MemberLeft:
		w.void(func(b *body) bool { return b.member == e.Member })
	case lease.PackageWithdrawn:
		w.void(func(b *body) bool { return b.pack == e.Package })
	case lease.PolicyChanged:
		w.policy = e.Policy
		w.policy.Fetchers = cmp.Or(w.policy.Fetchers, lease.DefaultFetchers)
	}
}

// void ends the leases whose bodies have ended, of which no action tells.
func (w *watcher) void(which func(*body) bool) {
	for _, b := range w.bodies {
		b.kept = b.kept || !b.running && which(b)
	}
}

// settleLeases ends the leases that a member speaks of.
func (w *watcher) settleLeases(e lease.MemberAsked) {
	for _, b := range w.bodies {
		if b.member != e.Member || b.pack != e.Package {
			continue
		}
		b.kept = b.kept || slices.Contains(e.Acknowledged, b.fragment) || e.Have != nil && e.Have.Has(b.fragment) ||
			slices.ContainsFunc(e.Failed, func(said lease.Complaint) bool {
				return said.Fragment == b.fragment && said.Holder == id.Peer{}
			})
	}
}

func (w *watcher) count(pack core.Digest, index core.FragmentIndex, from, bytes int64) {
	w.sent[pack] += bytes
	if w.reached[pack] == nil {
		w.reached[pack] = map[core.FragmentIndex]int64{}
	}
	w.reached[pack][index] = max(w.reached[pack][index], from+bytes)
}

func (w *watcher) note(event lease.Event, actions []lease.Action) {
	if w.trace = append(w.trace, step{w.now, event, actions}); !w.keepAll && len(w.trace) > 100 {
		w.trace = slices.Clone(w.trace[50:])
	}
}

// answered takes a request off the list of those that wait.
func (w *watcher) answered(request lease.RequestID, mayBeGone bool) lease.MemberAsked {
	w.t.Helper()
	ask, waits := w.asked[request]
	if !waits && !mayBeGone {
		w.fail("request %d is answered, and does not wait", request)
	}
	delete(w.asked, request)
	delete(w.askedAt, request)
	return ask
}

func (w *watcher) look(action lease.Action) {
	w.t.Helper()
	switch a := action.(type) {
	case lease.Grant:
		w.granted(a, w.answered(a.Request, false))
	case lease.Refuse:
		ask := w.answered(a.Request, false)
		if a.RetryAfter < 100*time.Millisecond || a.RetryAfter > 5*minute || a.Holder == ask.Member {
			w.fail("%+v answers %+v", a, ask)
		}
	case lease.Gone:
		w.answered(a.Request, false)
	case lease.Complete:
		w.answered(a.Request, false)
	case lease.ResetBody:
		b := w.bodies[a.Lease]
		if b == nil || !b.running || b.reset {
			w.fail("reset of lease %d, whose body does not run", a.Lease)
		}
		b.reset, b.kept = true, true
	case lease.SetRate:
		w.bodies[a.Lease].rate = a.BytesPerSecond
	case lease.Record:
		entry, err := lease.ParseEntry(a.Entry.Append(nil))
		if err != nil || !sameEntry(entry, a.Entry) {
			w.fail("entry %+v reads as %+v, %v", a.Entry, entry, err)
		}
		if e := a.Entry; e.Kind == lease.KindRepaired {
			if int64(e.From) != w.reached[e.Package][e.Fragment] {
				w.fail("%+v repairs what is known, or leaves a gap", e)
			}
			w.count(e.Package, e.Fragment, int64(e.From), int64(e.Bytes))
		}
		w.entries = append(w.entries, a.Entry)
	}
}

// sameEntry compares, with times as the file has them.
func sameEntry(a, b lease.Entry) bool {
	same := a.At.UnixMilli() == b.At.UnixMilli()
	a.At, b.At = time.Time{}, time.Time{}
	return same && a == b
}

// granted: no fragment is on lease twice in one scope, and nobody has more bodies than it may.
func (w *watcher) granted(a lease.Grant, ask lease.MemberAsked) {
	w.t.Helper()
	w.grants++
	b := &body{
		request: a.Request, member: ask.Member, pack: ask.Package, fragment: a.Fragment, from: a.From, running: true,
		island: w.islands(ask.Member),
	}
	if !slices.Contains(ask.Want, a.Fragment) {
		w.fail("%+v answers %+v", a, ask)
	}
	own, running := 0, 1
	for id, other := range w.bodies {
		if !other.running && w.now.Sub(other.endedAt) >= 10*second {
			other.kept = true // it need not have been acknowledged in time
		}
		if !other.kept && other.pack == b.pack && other.fragment == b.fragment && other.island == b.island {
			w.fail("lease %d of fragment %d, which lease %d has", a.Lease, a.Fragment, id)
		}
		if other.running && !other.reset {
			running++
			if other.member == b.member {
				own++
			}
		}
	}
	if own >= 2 || running > w.policy.Fetchers {
		w.fail("%+v makes %d bodies, %d of its member", a, running, own+1)
	}
	if first := w.reached[b.pack][b.fragment] == 0; a.Cause == lease.NoCause && !first {
		w.fail("%+v has no cause, and the fragment was sent before", a)
	}
	w.bodies[a.Lease] = b
}

// after holds the whole state to the laws.
func (w *watcher) after() {
	w.t.Helper()
	for id, b := range w.bodies {
		if !b.running && b.kept {
			delete(w.bodies, id)
		}
	}
	if len(w.asked) > lease.MaxWaiting {
		w.fail("%d requests wait", len(w.asked))
	}
	for request, at := range w.askedAt {
		if w.now.Sub(at) >= 20*second {
			w.fail("request %d waits since %v", request, at.Sub(epoch))
		}
	}
	for pack, sent := range w.sent {
		var first int64
		for _, reached := range w.reached[pack] {
			first += reached
		}
		totals, _ := w.site.Totals(pack)
		if totals.Sent() != sent || totals.First > first || totals.First < first && !w.gaps {
			w.fail("%d bytes were sent, %d for the first time: got %+v", sent, first, totals)
		}
	}
	if wake, due := w.site.NextWake(); due && !wake.After(w.now) {
		w.fail("the next wake %v is not later", wake.Sub(epoch))
	} else if !due && len(w.asked) > 0 {
		w.fail("%d requests wait and nothing would ever happen", len(w.asked))
	}
}

func (w *watcher) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%v: %s\n%s", w.now.Sub(epoch), fmt.Sprintf(format, args...), w.lines())
}

func (w *watcher) lines() (text string) {
	for _, step := range w.trace {
		text += step.String() + "\n"
	}
	return text
}

// summed returns the totals that the ledger alone gives.
func (w *watcher) summed(pack core.Digest) (totals lease.Totals) {
	for _, e := range w.entries {
		if e.Package == pack && (e.Kind == lease.KindSent || e.Kind == lease.KindRepaired) {
			totals.First += int64(e.Bytes - e.Extra)
			totals.Extra[e.Cause] += int64(e.Extra)
		}
	}
	return totals
}
