package lease_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/lease"
)

// A bench is a Site with package 1 of 8 fragments of 64 KiB, and who asks it what.
type bench struct {
	*watcher
	request lease.RequestID
}

const size = 64 * kib

func newBench(t *testing.T) *bench {
	b := &bench{watcher: newWatcher(t, 1)}
	b.step(lease.PackageKnown{Package: digest(1), Plan: plan(t, 8, size), Priority: 5})
	return b
}

// say sends a request and returns its answer, nil if it waits.
func (b *bench) say(ask lease.MemberAsked) lease.Action {
	b.t.Helper()
	b.request++
	ask.Request = b.request
	if ask.Package == (core.Digest{}) {
		ask.Package = digest(1)
	}
	return answerOf(b.request, b.step(ask))
}

// ask is a member that wants fragments of package 1, and nothing else.
func (b *bench) ask(member int, want ...core.FragmentIndex) lease.Action {
	b.t.Helper()
	return b.say(lease.MemberAsked{Member: name(member), Want: want})
}

// complain is a member that wants one fragment, after holders failed it.
func (b *bench) complain(member int, index core.FragmentIndex, holders ...int) lease.Action {
	b.t.Helper()
	ask := lease.MemberAsked{Member: name(member), Want: []core.FragmentIndex{index}}
	for _, holder := range holders {
		ask.Failed = append(ask.Failed, lease.Complaint{Fragment: index, Holder: name(holder)})
	}
	return b.say(ask)
}

func (b *bench) acknowledge(member int, indexes ...core.FragmentIndex) {
	b.t.Helper()
	b.say(lease.MemberAsked{Member: name(member), Acknowledged: indexes})
}

// granted is the lease by which a member gets a fragment, whole; nothing else will do.
func (b *bench) granted(action lease.Action) lease.Grant {
	b.t.Helper()
	grant, is := action.(lease.Grant)
	if !is {
		b.fail("got %T%+v, want a grant", action, action)
	}
	return grant
}

// send drains what is left of a body and ends it.
func (b *bench) send(id lease.LeaseID) []lease.Action {
	b.t.Helper()
	body := b.bodies[id]
	b.step(lease.BytesSent{Lease: id, Bytes: b.plans[body.pack].Size(body.fragment) - body.from - body.sent})
	return b.step(lease.BodyEnded{Lease: id})
}

// hold makes a member a holder by way of the origin.
func (b *bench) hold(member int, index core.FragmentIndex) {
	b.t.Helper()
	b.send(b.granted(b.ask(member, index)).Lease)
	b.acknowledge(member, index)
}

func answerOf(request lease.RequestID, actions []lease.Action) lease.Action {
	for _, action := range actions {
		switch a := action.(type) {
		case lease.Grant:
			if a.Request == request {
				return a
			}
		case lease.Refuse:
			if a.Request == request {
				return a
			}
		case lease.Gone:
			if a.Request == request {
				return a
			}
		case lease.Complete:
			if a.Request == request {
				return a
			}
		}
	}
	return nil
}

// brief says an answer in a few words.
func brief(action lease.Action) string {
	switch a := action.(type) {
	case nil:
		return "waits"
	case lease.Grant:
		return fmt.Sprintf("grant %d %v", a.Fragment, a.Cause)
	case lease.Refuse:
		if a.Holder == (lease.MemberID{}) {
			return a.Reason.String()
		}
		return fmt.Sprintf("%v by %d", a.Reason, a.Holder[31])
	case lease.Gone:
		return "gone"
	case lease.Complete:
		return "complete"
	}
	return fmt.Sprintf("%T", action)
}

func (b *bench) want(title string, got lease.Action, want string) {
	b.t.Helper()
	if brief(got) != want {
		b.fail("%s: got %q, want %q", title, brief(got), want)
	}
}

// resets returns the bodies that are reset.
func resets(actions []lease.Action) (ids []lease.LeaseID) {
	for _, action := range actions {
		if reset, is := action.(lease.ResetBody); is {
			ids = append(ids, reset.Lease)
		}
	}
	return ids
}

// wake lets time pass and returns what happened meanwhile.
func (b *bench) wake(gap time.Duration) (all []lease.Action) {
	b.t.Helper()
	end := b.now.Add(gap)
	for {
		wake, due := b.site.NextWake()
		if !due || wake.After(end) {
			b.now = end
			return all
		}
		b.now = wake
		all = append(all, b.step(lease.WakeDue{})...)
	}
}

func TestLeaseEnds(t *testing.T) {
	for title, test := range map[string]struct {
		end  func(b *bench, id lease.LeaseID)
		want string // the answer to member 2, who wants the same
	}{
		"running":      {func(*bench, lease.LeaseID) {}, "leased"},
		"ended whole":  {func(b *bench, id lease.LeaseID) { b.send(id) }, "leased"},
		"acknowledged": {func(b *bench, id lease.LeaseID) { b.send(id); b.acknowledge(1, 0) }, "held by 1"},
		"said to be had": {func(b *bench, id lease.LeaseID) {
			b.send(id)
			have := fragment.NewSet(8)
			have.Add(0)
			b.say(lease.MemberAsked{Member: name(1), Have: have})
		}, "held by 1"},
		"broken": {func(b *bench, id lease.LeaseID) {
			b.step(lease.BytesSent{Lease: id, Bytes: 1})
			b.step(lease.BodyEnded{Lease: id, Failed: true})
		}, "grant 0 broken"},
		"broken before its first byte": {func(b *bench, id lease.LeaseID) {
			b.step(lease.BodyEnded{Lease: id, Failed: true})
		}, "grant 0 none"},
		"cut short": {func(b *bench, id lease.LeaseID) {
			b.step(lease.BytesSent{Lease: id, Bytes: size - 1})
			b.step(lease.BodyEnded{Lease: id})
		}, "grant 0 broken"},
		"broken at its end": {func(b *bench, id lease.LeaseID) {
			b.step(lease.BytesSent{Lease: id, Bytes: size})
			b.step(lease.BodyEnded{Lease: id, Failed: true})
		}, "grant 0 broken"},
		"not acknowledged for 9 s": {func(b *bench, id lease.LeaseID) { b.send(id); b.wake(9 * second) }, "leased"},
		"not acknowledged":         {func(b *bench, id lease.LeaseID) { b.send(id); b.wake(10 * second) }, "grant 0 timeout"},
		"stands for 4 s": {func(b *bench, id lease.LeaseID) {
			b.wake(3 * second)
			b.step(lease.BytesSent{Lease: id, Bytes: 1})
			b.wake(4 * second)
		}, "leased"},
		"stands": {func(b *bench, id lease.LeaseID) {
			b.step(lease.BytesSent{Lease: id, Bytes: 16 * kib})
			if got := resets(b.wake(5 * second)); !slices.Equal(got, []lease.LeaseID{id}) {
				b.fail("reset %v", got)
			}
		}, "grant 0 timeout"},
		"drips": {func(b *bench, id lease.LeaseID) {
			for range 5 {
				b.step(lease.BytesSent{Lease: id, Bytes: 1000})
				b.wake(3 * second)
			}
		}, "leased"}, // the site is as slow as that, as far as anybody knows
		"corrupt": {func(b *bench, id lease.LeaseID) {
			b.send(id)
			b.say(lease.MemberAsked{Member: name(1), Failed: []lease.Complaint{{Fragment: 0, Corrupt: true}}})
		}, "grant 0 corrupt"},
		"its member left": {func(b *bench, id lease.LeaseID) {
			b.step(lease.BytesSent{Lease: id, Bytes: 1})
			b.step(lease.MemberLeft{Member: name(1)})
		}, "grant 0 owner-lost"},
		"its holder left": {func(b *bench, id lease.LeaseID) {
			b.send(id)
			b.acknowledge(1, 0)
			b.step(lease.MemberLeft{Member: name(1)})
		}, "grant 0 owner-lost"},
		"its holder lost it": {func(b *bench, id lease.LeaseID) {
			b.send(id)
			b.acknowledge(1, 0)
			b.say(lease.MemberAsked{Member: name(1), Failed: []lease.Complaint{{Fragment: 0, Holder: name(1)}}})
		}, "grant 0 corrupt"},
		"its holder wants it": {func(b *bench, id lease.LeaseID) {
			b.send(id)
			b.acknowledge(1, 0)
			b.want("again", b.say(lease.MemberAsked{
				Member: name(1), Want: []core.FragmentIndex{0}, Have: fragment.NewSet(8),
			}), "grant 0 corrupt")
		}, "leased"},
	} {
		t.Run(title, func(t *testing.T) {
			b := newBench(t)
			test.end(b, b.granted(b.ask(1, 0)).Lease)
			b.want("member 2", b.ask(2, 0), test.want)
		})
	}
}

// TestSlowBody: a body that drips while others flow has four times what it needs.
func TestSlowBody(t *testing.T) {
	b := newBench(t)
	b.step(lease.PackageKnown{Package: digest(2), Plan: plan(t, 500, size), Priority: 5})
	b.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 104_500}}) // payload 100,000
	slow := b.granted(b.ask(1, 0)).Lease
	fast := b.granted(b.say(lease.MemberAsked{Member: name(2), Package: digest(2), Want: []core.FragmentIndex{0}}))
	var at time.Duration
	for range 100 {
		if b.wake(500 * time.Millisecond); b.bodies[slow] == nil || b.bodies[slow].reset {
			at = b.now.Sub(epoch)
			break
		}
		b.step(lease.BytesSent{Lease: slow, Bytes: 10})
		left := size - b.bodies[fast.Lease].sent
		b.step(lease.BytesSent{Lease: fast.Lease, Bytes: min(left, 25_000)})
		if left <= 25_000 {
			b.step(lease.BodyEnded{Lease: fast.Lease})
			b.say(lease.MemberAsked{Member: name(2), Package: digest(2), Acknowledged: []core.FragmentIndex{fast.Fragment}})
			fast = b.granted(b.say(lease.MemberAsked{
				Member: name(2), Package: digest(2), Want: []core.FragmentIndex{fast.Fragment + 1},
			}))
		}
	}
	// 50 kB/s go in, of which half is its share: 4 x 65,536 / 25,000 = 10.5 s
	if at < 8*second || at > 14*second {
		t.Errorf("reset after %v", at)
	}
}

func TestSlots(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 3}})
	first := b.granted(b.ask(1, 0, 1, 2, 3, 4, 5))
	b.want("two for one that is alone", b.ask(1, 0, 1, 2, 3, 4, 5), "grant 1 none")
	b.want("not three", b.ask(1, 0, 1, 2, 3, 4, 5), "waits")
	b.want("another member", b.ask(2, 0, 1, 2, 3, 4, 5), "grant 2 none")
	b.want("no fourth body", b.ask(3, 0, 1, 2, 3, 4, 5), "waits")
	actions := b.send(first.Lease)
	if got := answerOf(5, actions); got == nil || answerOf(3, actions) != nil {
		b.fail("got %v: as many ask as bodies may run, so member 1 is to wait for its second", actions)
	}
	b.want("while 5 is on its way", b.ask(2, 0, 1, 2), "leased")
}

func TestQueue(t *testing.T) {
	b := newBench(t)
	many := plan(t, 100, size)
	for number := range byte(3) {
		b.step(lease.PackageKnown{Package: digest(number + 2), Plan: many, Priority: core.Priority(number)})
	}
	all := make([]core.FragmentIndex, 60)
	for i := range all {
		all[i] = core.FragmentIndex(i)
	}
	member := 0
	wants := func(pack byte, weightless bool) lease.Action {
		member++
		return b.say(lease.MemberAsked{Member: name(member), Package: digest(pack), Want: all, Weightless: weightless})
	}
	var running []lease.LeaseID
	for range 4 {
		running = append(running, b.granted(wants(3, false)).Lease)
	}
	wants(4, false) // 5: of priority 2
	wants(3, true)  // 6: weight 0
	wants(3, false) // 7
	wants(3, false) // 8: hangs up
	wants(2, false) // 9: of priority 0
	wants(3, false) // 10
	b.step(lease.ClientLeft{Request: 8})
	var got []lease.RequestID
	for len(running) > 0 {
		actions := b.send(running[0])
		running = running[1:]
		for _, action := range actions {
			if grant, is := action.(lease.Grant); is {
				got, running = append(got, grant.Request), append(running, grant.Lease)
			}
		}
	}
	if want := []lease.RequestID{9, 7, 10, 6, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestQueueIsFull(t *testing.T) {
	b := newBench(t)
	b.step(lease.PackageKnown{Package: digest(2), Plan: plan(t, 100, size), Priority: 0})
	for member := range 4 {
		b.granted(b.ask(member+1, 0, 1, 2, 3, 4))
	}
	for member := range lease.MaxWaiting {
		b.want("the queue", b.ask(member+5, 4), "waits")
	}
	b.want("one more", b.ask(50, 4), "busy")
	b.request++
	actions := b.step(lease.MemberAsked{
		Request: b.request, Member: name(51), Package: digest(2), Want: []core.FragmentIndex{0},
	})
	if b.want("the last makes room for the urgent", answerOf(20, actions), "busy"); answerOf(b.request, actions) != nil {
		b.fail("the urgent one does not wait")
	}
	b.want("none that is free", b.ask(52, 0, 1), "leased")
	// The bodies go on for 20 s, and stand in nobody's way.
	b.now = b.now.Add(4 * second)
	for range 5 {
		for id, body := range b.bodies {
			if body.running {
				b.step(lease.BytesSent{Lease: id, Bytes: 1})
			}
		}
		b.now = b.now.Add(4*second - time.Millisecond)
	}
	if b.step(lease.WakeDue{}); len(b.asked) > 0 {
		b.fail("%d requests wait for more than 20 s", len(b.asked))
	}
}

func TestMemberWaitsTwice(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Fetchers: 1}})
	b.granted(b.ask(1, 0, 1, 2, 3))
	b.want("first", b.ask(1, 0, 1, 2, 3), "waits")
	b.want("second", b.ask(1, 0, 1, 2, 3), "waits")
	b.want("third", b.ask(1, 0, 1, 2, 3), "busy")
	b.want("nothing to wait for", b.ask(1), "complete")
}

func TestRetryAfter(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 10_450}}) // payload 10,000: a fragment takes 6.55 s
	for member := range 4 {
		b.granted(b.ask(member+1, core.FragmentIndex(member)))
	}
	least, most := time.Hour, time.Duration(0)
	for member := range 200 {
		after := b.ask(member+10, 0).(lease.Refuse).RetryAfter
		least, most = min(least, after), max(most, after)
	}
	queue := 4 * 6553600 * time.Microsecond
	if least < queue || least > queue*11/10 || most > queue*3/2 || most < queue*14/10 {
		t.Errorf("got %v to %v, want %v to one and a half times that", least, most, queue)
	}
}

func TestRates(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 104_500}})
	b.step(lease.PackageKnown{Package: digest(2), Plan: plan(t, 2, size), Priority: 0})
	first := b.granted(b.ask(1, 0)).Lease
	check := func(title string, want ...int64) {
		t.Helper()
		var got []int64
		for id := first; id < first+lease.LeaseID(len(want)); id++ {
			got = append(got, b.bodies[id].rate)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", title, got, want)
		}
	}
	check("alone", 100_000)
	b.granted(b.ask(2, 1))
	check("two", 50_000, 50_000)
	b.say(lease.MemberAsked{Member: name(3), Package: digest(2), Want: []core.FragmentIndex{0}})
	check("an urgent third", 4166, 4166, 100_000-2*4166)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 209_000}})
	check("more at night", 8333, 8333, 200_000-2*8333)
	b.step(lease.PolicyChanged{})
	check("without limit", 0, 0, 0)
}
