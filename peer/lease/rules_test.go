package lease_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
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
		if a.Holder == (id.Peer{}) {
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
		"acknowledged late by one who leaves": {func(b *bench, id lease.LeaseID) {
			b.send(id)
			b.wake(11 * second)
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

// TestBytesAfterReset: what still drains of a body that is overdue is booked, under that cause if it is extra.
func TestBytesAfterReset(t *testing.T) {
	b := newBench(t)
	late := b.granted(b.ask(1, 0)).Lease
	b.step(lease.BytesSent{Lease: late, Bytes: 16 * kib})
	if got := b.site.Given(digest(1)); got != size { // as if it ended well
		t.Errorf("%d bytes are given, want %d", got, int64(size))
	}
	b.wake(5 * second)
	if got := b.site.Given(digest(1)); got != 16*kib {
		t.Errorf("%d bytes are given, want what was sent", got)
	}
	next := b.granted(b.ask(2, 0))
	b.want("the next", next, "grant 0 timeout")
	b.step(lease.BytesSent{Lease: next.Lease, Bytes: 40 * kib})
	b.step(lease.BytesSent{Lease: late, Bytes: 30 * kib})
	b.step(lease.BodyEnded{Lease: late, Failed: true})
	totals, _ := b.site.Totals(digest(1))
	if totals.First != 46*kib || totals.Extra[lease.CauseTimeout] != 40*kib {
		t.Errorf("got %+v", totals)
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

// TestTenSecondsInAnyCase: on a fast line, where a body needs an instant, a slow one still has 10 s.
func TestTenSecondsInAnyCase(t *testing.T) {
	b := newBench(t)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 100_000_000}})
	id := b.granted(b.ask(1, 0)).Lease
	for range 3 {
		b.step(lease.BytesSent{Lease: id, Bytes: 16 * kib})
		if got := resets(b.wake(3300 * time.Millisecond)); got != nil {
			b.fail("reset %v", got)
		}
	}
	b.step(lease.BytesSent{Lease: id, Bytes: 1})
	if got := resets(b.wake(second)); len(got) != 1 {
		b.fail("reset %v after 10.9 s", got)
	}
}
