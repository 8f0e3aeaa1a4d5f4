package plan

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/fragment"
	"enjambre/core/outcome"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/next"
	"enjambre/peer/owner"
)

var lender = Origin{Address: "origin.example.net:443"}

// lent returns a plan that has just been told of package 7, of so many fragments, and of an origin that grants leases.
func lent(t *testing.T, conf cycle.Options, origin Origin, fragments int) (*Plan, AskNext) {
	t.Helper()
	p := newPlan(t, quick(), false)
	p.options.Weight = owner.Medium
	p.Step(start, Resumed{})
	p.Step(start, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Unknown)}, Origin: origin})
	actions := p.Step(start, InfoStored{Package: 7, Priority: 1, Info: core.Digest{7}, Held: fragment.NewSet(fragments)})
	if len(actions) != 1 {
		t.Fatalf("got %+v", actions)
	}
	asked, isNext := actions[0].(AskNext)
	if !isNext {
		t.Fatalf("got %+v", actions)
	}
	return p, asked
}

// one returns the only action of a type, and fails if there is not exactly one.
func one[T Action](t *testing.T, actions []Action) T {
	t.Helper()
	var found []T
	for _, action := range actions {
		if typed, is := action.(T); is {
			found = append(found, typed)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d of %T, want 1: %+v", len(found), *new(T), actions)
	}
	return found[0]
}

// none fails if there is an action of a type.
func none[T Action](t *testing.T, actions []Action) {
	t.Helper()
	if slices.ContainsFunc(actions, func(action Action) bool { _, is := action.(T); return is }) {
		t.Fatalf("there is a %T: %+v", *new(T), actions)
	}
}

// TestNextInARow: an agent that is alone is sent one fragment after the other, says with each request what it has
// verified, and tells the last one at once.
func TestNextInARow(t *testing.T) {
	p, asked := lent(t, quick(), lender, 3)
	if !slices.Equal(asked.Request.Have, []byte{0}) || asked.Request.Weight != owner.Medium {
		t.Errorf("the first request does not say all that is held: %+v", asked.Request)
	}
	var got []core.FragmentIndex
	for range 2 {
		sent := asked.Request.Want[0]
		got = append(got, sent)
		actions := p.Step(start, FragmentStored{7, sent})
		none[Acknowledge](t, actions)
		asked = one[AskNext](t, actions)
		if want := []core.FragmentIndex{sent}; !slices.Equal(asked.Request.Acknowledged, want) || asked.Request.Have != nil {
			t.Errorf("got %+v, want %v acknowledged", asked.Request, want)
		}
		if slices.Contains(asked.Request.Want, sent) || len(asked.Request.Want) != 3-len(got) {
			t.Errorf("after %v it wants %v", got, asked.Request.Want)
		}
	}
	last := asked.Request.Want[0]
	actions := p.Step(start, FragmentStored{7, last})
	if told := one[Acknowledge](t, actions); !slices.Equal(told.Request.Acknowledged, []core.FragmentIndex{last}) ||
		told.Request.Want != nil {
		t.Errorf("got %+v", told)
	}
	one[Run](t, actions)
}

// TestNextPaces: FRAG_LATENCY holds, unless the origin keeps the rate; while the agent pauses it acknowledges.
func TestNextPaces(t *testing.T) {
	conf := quick()
	conf.FragLatency = 10 * time.Second
	atRate := lender
	atRate.AtRate = true
	p, asked := lent(t, conf, atRate, 2)
	one[AskNext](t, p.Step(start, FragmentStored{7, asked.Request.Want[0]}))
	if p.Conf().FragLatency != conf.FragLatency {
		t.Errorf("what is remembered has no pauses: %+v", p.Conf())
	}

	p, asked = lent(t, conf, lender, 3)
	sent := asked.Request.Want[0]
	actions := p.Step(start, FragmentStored{7, sent})
	none[AskNext](t, actions)
	told := one[Acknowledge](t, actions)
	if !slices.Equal(told.Request.Acknowledged, []core.FragmentIndex{sent}) || told.Request.Want != nil {
		t.Errorf("got %+v", told.Request)
	}
	p.Step(start, Acknowledged{Package: 7, Heard: true})
	now := start.Add(conf.FragLatency)
	if asked := one[AskNext](t, p.Step(now, WakeDue{})); asked.Request.Acknowledged != nil || asked.Request.Have != nil {
		t.Errorf("it is told twice: %+v", asked.Request)
	}
	origin := atRate // the site's pace changes while a fragment is on its way
	p.Step(now, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Open)}, Origin: origin})
	one[AskNext](t, p.Step(now, FragmentStored{7, 1}))
}

// TestAcknowledgeMerged: one acknowledgement of a package is under way at a time; what comes meanwhile goes with the
// next, and what was not heard is told again, whole, a few times.
func TestAcknowledgeMerged(t *testing.T) {
	conf := quick()
	conf.FragLatency = time.Hour
	p, asked := lent(t, conf, lender, 40)
	first, second := asked.Request.Want[0], asked.Request.Want[1]
	one[Acknowledge](t, p.Step(start, FragmentStored{7, first}))
	none[Acknowledge](t, p.Step(start, FragmentStored{7, second})) // by a plain fetch, say
	told := one[Acknowledge](t, p.Step(start, Acknowledged{Package: 7, Heard: true}))
	if want := []core.FragmentIndex{second}; !slices.Equal(told.Request.Acknowledged, want) {
		t.Errorf("got %+v, want %v", told.Request, want)
	}
	now := start
	for range maxTells {
		none[Acknowledge](t, p.Step(now, Acknowledged{Package: 7}))
		if wake, wakes := p.NextWake(); !wakes || wake.After(now.Add(tellPause)) {
			t.Fatalf("wake in %v", wake.Sub(now))
		}
		now = now.Add(tellPause)
		told := one[Acknowledge](t, p.Step(now, WakeDue{}))
		if held, err := fragment.ParseSet(told.Request.Have, 40); err != nil || held.Count() != 2 || !held.Has(first) {
			t.Errorf("it does not say all that is held: %+v, %v", told.Request, err)
		}
	}
	p.Step(now, Acknowledged{Package: 7})
	none[Acknowledge](t, p.Step(now.Add(10*tellPause), WakeDue{}))
	asked = one[AskNext](t, p.Step(start.Add(2*time.Hour), WakeDue{}))
	if asked.Request.Have == nil {
		t.Errorf("what was never heard is forgotten: %+v", asked.Request)
	}
}

// TestNextRefused: a holder is met for what it has; the origin is asked again when it says, told who was not reached,
// and no pause follows, since nothing was sent.
func TestNextRefused(t *testing.T) {
	conf := quick()
	conf.FragLatency = time.Hour
	p, asked := lent(t, conf, lender, 2)
	holder, index := id.Peer{9}, asked.Request.Want[0]
	meet := peer.Meet{Peer: holder, Index: index}
	step(t, p, start, OriginRefused{Package: 7, Index: index, Holder: holder, RetryAfter: 3 * time.Second}, Meet{7, meet})
	step(t, p, start, NeighbourReported{7, peer.MeetFailed(meet)})
	now := start.Add(3 * time.Second)
	if wake, wakes := p.NextWake(); !wakes || !wake.Equal(now) {
		t.Errorf("wake in %v", wake.Sub(start))
	}
	again := one[AskNext](t, p.Step(now, WakeDue{}))
	complaint := []next.Complaint{{Fragment: index, Holder: holder}}
	if !slices.Equal(again.Request.Failed, complaint) || again.Request.Have != nil {
		t.Errorf("got %+v", again.Request)
	}
	// The request is lost: what it said is said again.
	p.Step(now, NextFailed{7, "nobody there"})
	if problem := p.Tasks()[0].Problem; problem != "nobody there" {
		t.Errorf("shown is %q", problem)
	}
	now = now.Add(2 * time.Hour)
	again = one[AskNext](t, p.Step(now, WakeDue{}))
	if !slices.Equal(again.Request.Failed, complaint) || again.Request.Have == nil {
		t.Errorf("got %+v", again.Request)
	}
	p.Step(now, FragmentStored{7, index})
	if again = one[AskNext](t, p.Step(now.Add(2*time.Hour), WakeDue{})); again.Request.Failed != nil {
		t.Errorf("it complains twice: %+v", again.Request)
	}
}

// TestNextCorrupt: the origin is told of a body that was wrong; as with plain files the third time is the end.
func TestNextCorrupt(t *testing.T) {
	p, asked := lent(t, quick(), lender, 1)
	now := start
	for i := range MaxCorrupt {
		if want := []next.Complaint{{Corrupt: true}}; i > 0 && !slices.Equal(asked.Request.Failed, want) {
			t.Errorf("got %+v, want %+v", asked.Request.Failed, want)
		}
		actions := p.Step(now, FragmentFailed{Package: 7, Corrupt: true, Problem: "other bytes"})
		if i == MaxCorrupt-1 {
			if ended := one[Conclude](t, actions); ended.State != outcome.BadDigest {
				t.Errorf("got %+v", ended)
			}
			break
		}
		now = now.Add(time.Second)
		asked = one[AskNext](t, p.Step(now, WakeDue{}))
	}
}

// TestNextComplete: an origin that believes all to be here is told what is; if it goes on, the turn is over.
func TestNextComplete(t *testing.T) {
	p, asked := lent(t, quick(), lender, 2)
	asked = one[AskNext](t, p.Step(start, FragmentStored{7, asked.Request.Want[0]}))
	step(t, p, start, NextComplete{7})
	now := start.Add(cycle.MinPause)
	if asked = one[AskNext](t, p.Step(now, WakeDue{})); asked.Request.Have == nil {
		t.Errorf("got %+v", asked.Request)
	}
	p.Step(now, NextComplete{7})
	none[AskNext](t, p.Step(now.Add(cycle.MinPause), WakeDue{}))
	one[AskNext](t, p.Step(now.Add(time.Second), WakeDue{}))
}

// TestNextUnknown: where nobody speaks of leases, plain files are fetched, at the schedule's pace, until a contact.
func TestNextUnknown(t *testing.T) {
	conf := quick()
	conf.FragLatency = time.Minute
	origin := Origin{Address: "a:443", AtRate: true}
	p, _ := lent(t, conf, origin, 3)
	step(t, p, start, NextUnknown{7})
	now := start.Add(cycle.MinPause)
	step(t, p, now, WakeDue{}, FetchFragment{7, 0})
	step(t, p, now, FragmentStored{7, 0})
	if p.Leases() || p.Origin() != origin {
		t.Errorf("leases %v from %+v", p.Leases(), p.Origin())
	}
	now = now.Add(time.Minute)
	if actions := p.Step(now, WakeDue{}); !slices.Contains(actions, Action(FetchFragment{7, 1})) {
		t.Errorf("got %+v", actions)
	}
	p.Step(now, ContactAnswered{Interval: time.Hour}) // nothing about deployment: everything goes on
	if p.Leases() {
		t.Error("leases are asked for again")
	}
	p.Step(now, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Open)}, Origin: origin})
	asked := one[AskNext](t, p.Step(now, FragmentStored{7, 1}))
	if held, err := fragment.ParseSet(asked.Request.Have, 3); err != nil || held.Count() != 2 {
		t.Errorf("it does not say what it got as plain files: %+v", asked.Request)
	}
}

// TestNextSpent: of what the origin gives no more today the rest comes as plain files; the next contact lifts that.
func TestNextSpent(t *testing.T) {
	p, asked := lent(t, quick(), lender, 2)
	spent := OriginRefused{Package: 7, Index: asked.Request.Want[0], RetryAfter: time.Hour, Reason: "spent"}
	p.Step(start, spent)
	now := start.Add(cycle.MinPause)
	one[FetchFragment](t, p.Step(now, WakeDue{}))
	actions := p.Step(now, FragmentStored{7, 0})
	if !p.Leases() || !slices.Contains(actions, Action(FetchFragment{7, 1})) {
		t.Errorf("got %+v", actions)
	}
	conf := quick()
	p.Step(now, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Open)}, Origin: lender})
	p.Step(now, FragmentFailed{Package: 7, Index: 1})
	asked = one[AskNext](t, p.Step(now.Add(time.Second), WakeDue{}))
	if !slices.Equal(asked.Request.Have, []byte{1}) {
		t.Errorf("got %+v", asked.Request)
	}
}

// TestNextGone: what the origin calls withdrawn is neither fetched nor started; the server is asked at once.
func TestNextGone(t *testing.T) {
	p, asked := lent(t, quick(), lender, 2)
	p.Step(start, ReportAnswered{})
	held := fragment.NewSet(2)
	held.Add(0)
	member := id.Peer{9}
	p.Step(start, NeighbourReported{0, peer.NeighbourJoined{Peer: member, Weight: owner.Medium, Wants: true, Held: held}})
	actions := p.Step(start, NextGone{7})
	one[CancelFetch](t, actions)
	one[Contact](t, actions)
	now := start.Add(time.Minute)
	announced := peer.NeighbourHas{Peer: member, Indexes: asked.Request.Want}
	for _, event := range []Event{WakeDue{}, NeighbourReported{7, announced}} {
		actions = p.Step(now, event)
		none[AskNext](t, actions)
		none[FetchFromMember](t, actions)
	}
	conf := quick()
	answer := ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Open)}, Origin: lender}
	actions = p.Step(now, answer)
	fetch := FetchFromMember{7, peer.FetchFromMember{Peer: member, Index: 0}}
	if !slices.Contains(actions, Action(fetch)) {
		t.Errorf("it does not go on: %+v", actions)
	}
	p.Step(now, NeighbourReported{0, peer.NeighbourLeft{Peer: member}})
	now = now.Add(2 * time.Second)
	one[AskNext](t, p.Step(now, WakeDue{}))
	p.Step(now, ReportAnswered{})
	none[Contact](t, p.Step(now, NextGone{7})) // the server knows, and offers it all the same
	answer.Offers = nil
	one[Drop](t, p.Step(now, answer))
}

// TestAcknowledgeGone: a package whose last fragment is acknowledged may turn out to be withdrawn: it is not started.
func TestAcknowledgeGone(t *testing.T) {
	p, _ := lent(t, quick(), lender, 1)
	one[Run](t, p.Step(start, FragmentStored{7, 0}))
	one[CancelRun](t, p.Step(start, Acknowledged{Package: 7, Withdrawn: true}))
	now := start.Add(time.Minute)
	none[Run](t, p.Step(now, RunPostponed{Package: 7, Until: now}))
	none[Run](t, p.Step(now.Add(time.Minute), WakeDue{}))
	conf := quick()
	now = now.Add(2 * time.Minute)
	one[Run](t, p.Step(now, ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Open)}, Origin: lender}))
}

// TestNextRemembered: after a start the origin is the one there was, and hears first what is held.
func TestNextRemembered(t *testing.T) {
	before, _ := lent(t, quick(), Origin{Address: "a:443", AtRate: true}, 2)
	p := newPlan(t, before.Conf(), false)
	held := fragment.NewSet(2)
	held.Add(1)
	actions := p.Step(start, Resumed{
		Assignments: before.Assignments(), Answered: start, Origin: before.Origin(),
		Stored: []InfoStored{{Package: 7, Priority: 1, Held: held}},
	})
	asked := one[AskNext](t, actions)
	if before.tasks[7].voice.start == asked.Request.Start || asked.Request.Start == 0 {
		t.Errorf("the new start has the number %d, the one before %d", asked.Request.Start, before.tasks[7].voice.start)
	}
	if asked.Request.Start = 0; !reflect.DeepEqual(asked.Request, next.Request{
		Want: []core.FragmentIndex{0}, Have: []byte{2},
	}) {
		t.Errorf("got %+v", asked.Request)
	}
}

// TestRequestFits: the largest package's request fits, whatever there is to say, and the rest is said with the next.
func TestRequestFits(t *testing.T) {
	conf := quick()
	p, asked := lent(t, conf, lender, core.MaxFragments)
	task := p.tasks[7]
	stored := asked.Request.Want[0]
	for n := range next.MaxFailed + 5 {
		holder := id.Peer{0xff, 0xff, 0xff, byte(n)}
		task.download.Step(start, peer.MeetFailed{Peer: holder, Index: core.MaxFragments - 1})
	}
	for _, event := range []Event{FragmentStored{7, stored}, NextFailed{7, "nobody"}} {
		actions := p.Step(start, event)
		if _, failed := event.(NextFailed); failed {
			actions = p.Step(start.Add(time.Second), WakeDue{})
		}
		asked = one[AskNext](t, actions)
		said := asked.Request
		said.Have, said.Acknowledged = asked.Have, nil
		if err := said.Put(next.Header{}); err != nil || len(said.Failed) != maxComplaints {
			t.Errorf("%d complaints: %v", len(said.Failed), err)
		}
	}
	asked = one[AskNext](t, p.Step(start.Add(time.Second), FragmentStored{7, asked.Request.Want[0]}))
	if len(asked.Request.Failed) != next.MaxFailed-maxComplaints {
		t.Errorf("%d complaints are left, want %d", len(asked.Request.Failed), next.MaxFailed-maxComplaints)
	}
	task.voice.verify(make([]core.FragmentIndex, next.MaxAcknowledged))
	if !task.voice.whole || task.voice.verified != nil {
		t.Error("what is too much to be said one by one is not said whole")
	}
}

// TestElsewhere: fragments that another web server has are fetched there, although the site has an origin that grants
// leases; and from the origin again once the server says so.
func TestElsewhere(t *testing.T) {
	p := newPlan(t, quick(), false)
	p.options.Weight = owner.Medium
	p.Step(start, Resumed{})
	there := offer(7, Unknown)
	there.Elsewhere, there.FragmentsLocation = true, "web.lyon.example.net/download"
	contact := func(now time.Time, offers ...Offer) []Action {
		conf := quick()
		return p.Step(now, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: offers, Origin: lender})
	}
	contact(start, there, offer(8, Unknown))
	actions := p.Step(start, InfoStored{Package: 7, Priority: 1, Info: core.Digest{7}, Held: fragment.NewSet(3)})
	none[AskNext](t, actions)
	now, fetch := start, one[FetchFragment](t, actions)
	if held, known := p.Assignment(7); !known || held.FragmentsLocation != "web.lyon.example.net/download" || !held.Elsewhere {
		t.Errorf("got %+v", held)
	}
	actions = p.Step(now, InfoStored{Package: 8, Priority: 1, Info: core.Digest{8}, Held: fragment.NewSet(3)})
	none[AskNext](t, actions) // one at a time
	actions = p.Step(now, FragmentStored{7, fetch.Index})
	none[AskNext](t, actions)
	none[Acknowledge](t, actions) // the origin has nothing to do with it
	fetch = one[FetchFragment](t, actions)

	resumed := newPlan(t, quick(), false)
	held := fragment.NewSet(3)
	one[FetchFragment](t, resumed.Step(now, Resumed{
		Assignments: p.Assignments(), Answered: start, Origin: lender,
		Stored: []InfoStored{{Package: 7, Priority: 1, Info: core.Digest{7}, Held: held}},
	}))

	contact(now, offer(7, Unknown), offer(8, Unknown))
	actions = p.Step(now, FragmentFailed{Package: 7, Index: fetch.Index, Problem: "404"})
	if asked := one[AskNext](t, actions); asked.Package != 8 { // a package that fails lets others go before it
		t.Errorf("got %+v", asked)
	}
	actions = p.Step(now, NextGone{8})
	if asked := one[AskNext](t, append(actions, p.Step(now.Add(time.Second), WakeDue{})...)); asked.Package != 7 {
		t.Errorf("got %+v", asked)
	}
}
