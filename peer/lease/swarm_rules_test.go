package lease_test

import (
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/lease"
)

// TestComplaints: three holders are named one after the other; then one new lease is granted, for which all
// wait.
func TestComplaints(t *testing.T) {
	b := newBench(t)
	b.hold(1, 0)
	for member := 2; member <= 5; member++ {
		b.acknowledge(member, 0)
	}
	for member := 11; member <= 30; member++ {
		b.ask(member, 0) // active members, so that nobody is distrusted
	}
	named := func(asker int, failed ...int) int {
		t.Helper()
		refusal, is := b.complain(asker, 0, failed...).(lease.Refuse)
		if !is || refusal.Reason != lease.ReasonHeld || slices.Contains(failed, int(refusal.Holder[31])) {
			b.fail("after %v got %+v", failed, refusal)
		}
		return int(refusal.Holder[31])
	}
	first := named(11)
	second := named(11, first)
	third := named(11, second)
	grant := b.granted(b.complain(11, 0, third))
	b.want("the cause it named", grant, "grant 0 owner-lost")
	other := named(12)
	if got := named(12, other); got == other {
		t.Errorf("%d is named again", got)
	}
	b.want("a second one at its end", b.complain(12, 0, 1, 2, 3, 4, 5), "leased")
	b.send(grant.Lease)
	b.acknowledge(11, 0)
	b.want("the new holder", b.complain(12, 0), "held by 11")
	b.want("and it fails too", b.complain(12, 0, 11), "grant 0 owner-lost")
}

func TestComplaintWithoutOtherHolder(t *testing.T) {
	b := newBench(t)
	b.hold(1, 0)
	b.ask(3, 1)
	b.ask(4, 2)
	b.want("one is enough", b.complain(2, 0, 1), "grant 0 owner-lost")
	b.want("others are still named the first", b.ask(5, 0), "held by 1")
	b.want("about oneself, and nobody", b.complain(6, 0, 6, 77), "held by 1")
}

func TestManyHolders(t *testing.T) {
	b := newBench(t)
	for member := 1; member <= 9; member++ {
		b.acknowledge(member, 3)
	}
	named := map[byte]bool{}
	for asker := 20; asker < 30; asker++ {
		named[b.ask(asker, 3).(lease.Refuse).Holder[31]] = true
	}
	if len(named) < 3 {
		t.Errorf("only %v are named", named)
	}
	for member := 1; member <= 4; member++ { // the ones at hand
		b.step(lease.MemberLeft{Member: name(member)})
	}
	if holder := b.ask(40, 3).(lease.Refuse).Holder[31]; holder < 5 || holder > 9 {
		t.Errorf("%d is named, which left", holder)
	}
}

// TestMembers: who has asked, now or before a restart, is known until it has left.
func TestMembers(t *testing.T) {
	b := newBench(t)
	b.hold(2, 0)
	b.ask(1, 1)
	if got := b.site.Members(); !slices.Equal(got, []id.Peer{name(1), name(2)}) {
		t.Errorf("got %v", got)
	}
	b.step(lease.MemberLeft{Member: name(1)})
	if got := b.site.Members(); !slices.Equal(got, []id.Peer{name(2)}) {
		t.Errorf("after one left: got %v", got)
	}
	again := restarted(t, b)
	if got := again.site.Members(); !slices.Contains(got, name(2)) {
		t.Errorf("after a restart: got %v", got)
	}
	again.step(lease.MemberLeft{Member: name(2)})
	again.want("what was held before", again.ask(3, 0), "grant 0 owner-lost")
}

// TestSilentAndWeightless: who was seen lately and has a line to spare is named first.
func TestSilentAndWeightless(t *testing.T) {
	b := newBench(t)
	b.acknowledge(1, 0)
	b.wake(minute)
	b.say(lease.MemberAsked{Member: name(2), Acknowledged: []core.FragmentIndex{0}, Weightless: true})
	for asker := 10; asker < 15; asker++ {
		b.want("seen", b.ask(asker, 0), "held by 2")
	}
	b.step(lease.MemberSeen{Member: name(1)})
	for asker := 10; asker < 15; asker++ {
		b.want("wired", b.ask(asker, 0), "held by 1")
	}
}

// TestRepeats: once, twice again, and no more today.
func TestRepeats(t *testing.T) {
	b := newBench(t)
	broken := func() {
		t.Helper()
		grant := b.granted(b.ask(1, 0))
		b.step(lease.BytesSent{Lease: grant.Lease, Bytes: size / 2})
		b.step(lease.BodyEnded{Lease: grant.Lease, Failed: true})
	}
	broken()
	broken()
	broken()
	b.want("a fourth time", b.ask(1, 0), "spent")
	b.want("another fragment", b.ask(1, 0, 1), "grant 1 none")
	b.want("another member", b.ask(2, 0), "grant 0 broken")
	b.wake(24 * time.Hour)
	for id := range b.bodies {
		b.step(lease.BodyEnded{Lease: id, Failed: true})
	}
	b.want("tomorrow", b.ask(1, 0), "grant 0 timeout")
}

// TestCost: beyond four fragments a day a member is last in the queue, with an eighth of an equal share while another
// wants the line.
func TestCost(t *testing.T) {
	for title, test := range map[string]struct {
		alive bool // the holder it complains of
		slow  bool
	}{"about one who is there": {true, true}, "about one who is silent": {false, false}} {
		t.Run(title, func(t *testing.T) {
			b := newBench(t)
			b.step(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 1, Rate: 104_500}})
			for index := range core.FragmentIndex(5) {
				b.hold(1, index)
			}
			b.wake(2 * minute)
			for index := range core.FragmentIndex(4) {
				if test.alive {
					b.step(lease.MemberSeen{Member: name(1)})
				}
				grant := b.granted(b.complain(2, index, 1))
				b.send(grant.Lease)
				b.acknowledge(2, index)
			}
			running := b.granted(b.ask(3, 5)).Lease
			b.want("complains again", b.complain(2, 4, 1), "waits")
			b.want("comes later", b.ask(4, 6), "waits")
			order := b.send(running)
			if test.slow {
				b.want("the other is first", answerOf(b.request, order), "grant 6 none")
				order = b.send(2 + running - 1)
			}
			grant := b.granted(answerOf(b.request-1, order))
			if rate := b.bodies[grant.Lease].rate; rate != 100_000 {
				t.Errorf("rate %d of one that is alone", rate)
			}
			b.step(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 2, Rate: 104_500}})
			b.ask(5, 7)
			if rate := b.bodies[grant.Lease].rate; rate != map[bool]int64{true: 6_250, false: 50_000}[test.slow] {
				t.Errorf("rate %d beside another", rate)
			}
		})
	}
}

// TestDistrust: more than a third of the active members, and at least two.
func TestDistrust(t *testing.T) {
	for title, test := range map[string]struct {
		members, complain int
		want              string // for another that wants what the holder has
	}{
		"one of two":   {2, 1, "held by 1"},
		"two of five":  {5, 2, "grant 0 owner-lost"},
		"two of six":   {6, 2, "held by 1"},
		"three of six": {6, 3, "grant 0 owner-lost"},
	} {
		t.Run(title, func(t *testing.T) {
			b := newBench(t)
			b.hold(1, 0)
			b.hold(1, 1)
			for member := 2; member <= test.members; member++ {
				b.ask(member, 0)
			}
			for member := 2; member < 2+test.complain; member++ {
				b.say(lease.MemberAsked{Member: name(member), Failed: []lease.Complaint{{Fragment: 1, Holder: name(1)}}})
			}
			if test.members > 2 {
				b.want("who did not complain", b.ask(test.members, 0), test.want)
			}
			if test.want == "held by 1" {
				return
			}
			b.want("itself", b.ask(1, 7), "distrusted")
			b.acknowledge(1, 2)
			b.want("its word", b.ask(2, 2), "grant 2 none")
			have := fragment.NewSet(8)
			for index := range core.FragmentIndex(7) {
				have.Add(index)
			}
			b.want("while others are not done", b.ask(1, 7), "distrusted")
			have.Add(7)
			for member := 2; member <= test.members; member++ {
				b.say(lease.MemberAsked{Member: name(member), Have: have})
			}
			b.want("then", b.complain(1, 7, 2, 3, 4), "grant 7 none")
		})
	}
}

func TestQuiet(t *testing.T) {
	b := newBench(t)
	b.step(lease.Restarted{})
	b.want("at first", b.ask(1, 0, 1), "waits")
	for member := 2; member <= lease.MaxWaiting; member++ {
		b.ask(member, 1)
	}
	refusal := b.ask(20, 0).(lease.Refuse)
	if b.want("too many", refusal, "quiet"); refusal.RetryAfter < 10*second || refusal.RetryAfter > 15*second {
		t.Errorf("retry after %v", refusal.RetryAfter)
	}
	b.wake(9 * second)
	have := fragment.NewSet(8)
	have.Add(0)
	b.say(lease.MemberAsked{Member: name(21), Have: have})
	b.want("what is learnt", b.ask(22, 0), "held by 21")
	b.want("not yet", answerOf(1, b.wake(second-1)), "waits")
	b.want("then", answerOf(1, b.wake(1)), "grant 1 none")
}

func TestWithdrawn(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 1}})
	b.hold(1, 0)
	grant := b.granted(b.ask(1, 1))
	b.step(lease.BytesSent{Lease: grant.Lease, Bytes: 1})
	b.ask(2, 2)
	actions := b.step(lease.PackageWithdrawn{Package: digest(1)})
	b.want("who waits", answerOf(b.request, actions), "gone")
	if got := resets(actions); !slices.Equal(got, []lease.LeaseID{grant.Lease}) {
		t.Errorf("reset %v", got)
	}
	b.step(lease.BytesSent{Lease: grant.Lease, Bytes: 9}) // what was in the pipe
	b.step(lease.BodyEnded{Lease: grant.Lease, Failed: true})
	b.want("who asks", b.ask(2, 2), "gone")
	b.step(lease.PackageKnown{Package: digest(1), Plan: b.plans[digest(1)], Priority: 5})
	again := b.granted(b.ask(2, 0))
	b.want("when it is back", again, "grant 0 withdrawn")
	b.send(again.Lease)
	b.acknowledge(2, 0)
	b.want("then as ever", b.ask(3, 0), "held by 2")
	totals, _ := b.site.Totals(digest(1))
	if want := (lease.Totals{First: size + 10}); totals.First != want.First || totals.Extra[lease.CauseWithdrawn] != size {
		t.Errorf("got %+v", totals)
	}
	b.want("one that is not known", b.say(lease.MemberAsked{
		Member: name(1), Package: digest(9), Want: []core.FragmentIndex{0},
	}), "unknown")
}

// TestResume: what was sent is not sent again, and costs nothing.
func TestResume(t *testing.T) {
	b := newBench(t)
	grant := b.granted(b.ask(1, 0))
	b.step(lease.BytesSent{Lease: grant.Lease, Bytes: 40_000})
	b.step(lease.BodyEnded{Lease: grant.Lease, Failed: true})
	grant = b.granted(b.say(lease.MemberAsked{
		Member: name(1), Want: []core.FragmentIndex{0}, Resume: lease.Resume{Fragment: 0, From: 39_000},
	}))
	if grant.From != 39_000 {
		t.Errorf("got %+v", grant)
	}
	b.send(grant.Lease)
	totals, _ := b.site.Totals(digest(1))
	if totals.First != size || totals.Extra[lease.CauseBroken] != 1000 || totals.Sent() != size+1000 {
		t.Errorf("got %+v", totals)
	}
}

// TestStockAgents: what they take counts, and what our agents then take again too.
func TestStockAgents(t *testing.T) {
	b := newBench(t)
	grant := b.granted(b.ask(1, 1))
	for range 2 {
		b.step(lease.ServedOutside{Package: digest(1), Fragment: 0, Bytes: size})
	}
	b.step(lease.ServedOutside{Package: digest(1), Fragment: 1, Bytes: size})
	b.send(grant.Lease)
	b.want("no member has it", b.ask(1, 0), "grant 0 no-peers")
	totals, _ := b.site.Totals(digest(1))
	if totals.First != 2*size || totals.Extra[lease.CauseNoPeers] != 2*size {
		t.Errorf("got %+v", totals)
	}
}

// TestClockSetBack: everything goes on as if no time had passed.
func TestClockSetBack(t *testing.T) {
	site := lease.New(random(1))
	at := func(after time.Duration, event lease.Event) []lease.Action { return site.Step(epoch.Add(after), event) }
	at(0, lease.PackageKnown{Package: digest(1), Plan: plan(t, 2, size)})
	at(0, lease.MemberAsked{Request: 1, Member: name(1), Package: digest(1), Want: []core.FragmentIndex{0}})
	at(3*second, lease.WakeDue{})
	at(-time.Hour, lease.WakeDue{})
	if wake, _ := site.NextWake(); !wake.Equal(epoch.Add(2*second - time.Hour)) {
		t.Errorf("next wake %v", wake.Sub(epoch))
	}
	if got := resets(at(2*second-time.Hour, lease.WakeDue{})); len(got) != 1 {
		t.Errorf("reset %v", got)
	}
}

// TestBufferingProxy: when bodies end long before they arrive, a slot is kept until the acknowledgement.
func TestBufferingProxy(t *testing.T) {
	b := newBench(t)
	b.step(lease.PackageKnown{Package: digest(2), Plan: plan(t, 100, size)})
	next := core.FragmentIndex(0)
	ask := func(member int) lease.Action {
		next++
		return b.say(lease.MemberAsked{Member: name(member), Package: digest(2), Want: []core.FragmentIndex{next}})
	}
	fragmentAfter := func(lag time.Duration) {
		t.Helper()
		grant := b.granted(ask(1))
		b.send(grant.Lease)
		b.wake(lag)
		b.say(lease.MemberAsked{Member: name(1), Package: digest(2), Acknowledged: []core.FragmentIndex{grant.Fragment}})
	}
	b.step(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 1}})
	for range 8 {
		fragmentAfter(3 * second)
	}
	b.send(b.granted(ask(1)).Lease)
	b.want("behind a proxy", ask(2), "waits")
	b.want("an acknowledgement has longer then", answerOf(b.request, b.wake(11*second)), "waits")
	b.say(lease.MemberAsked{Member: name(1), Package: digest(2), Acknowledged: []core.FragmentIndex{9}})
	b.step(lease.BodyEnded{Lease: 10, Failed: true})
	for range 9 {
		fragmentAfter(10 * time.Millisecond)
	}
	b.send(b.granted(ask(1)).Lease)
	b.want("without it", ask(2), "grant 21 none")
}

func TestMistakesOfTheShellPanic(t *testing.T) {
	for title, events := range map[string][]lease.Event{
		"bytes of no lease":      {lease.BytesSent{Lease: 9, Bytes: 1}},
		"more than the body has": {lease.BytesSent{Lease: 1, Bytes: size + 1}},
		"no bytes":               {lease.BytesSent{Lease: 1}},
		"two ends":               {lease.BytesSent{Lease: 1, Bytes: size}, lease.BodyEnded{Lease: 1}, lease.BodyEnded{Lease: 1}},
		"a broken policy":        {lease.PolicyChanged{Policy: lease.Policy{Fetchers: -1, Rate: -1}}},
		"another plan":           {lease.PackageKnown{Package: digest(1), Plan: plan(t, 3, size)}},
		"no such priority":       {lease.PackageKnown{Package: digest(1), Priority: 11}},
		"bytes of no fragment":   {lease.ServedOutside{Package: digest(1), Fragment: 8, Bytes: 1}},
	} {
		t.Run(title, func(t *testing.T) {
			site := lease.New(random(1))
			site.Step(epoch, lease.PackageKnown{Package: digest(1), Plan: plan(t, 8, size)})
			site.Step(epoch, lease.MemberAsked{Request: 1, Member: name(1), Package: digest(1), Want: []core.FragmentIndex{0}})
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			for _, event := range events {
				site.Step(epoch, event)
			}
		})
	}
}
