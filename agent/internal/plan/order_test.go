package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/fragment"
)

// ranked is an offer of which the server says the priority.
func ranked(id core.PackageID, priority core.Priority) Offer {
	one := offer(id, Unknown)
	one.Priority, one.Ranked = priority, true
	return one
}

// ordered carries out a plan's orders, as long as there are any: each info file is of priority ID / 10, only those of
// priority 0 have an archive, of two fragments, and whatever is ordered succeeds at once. It returns what ran.
func ordered(p *Plan, now time.Time, actions []Action, until func() bool) (ran []core.PackageID) {
	for range 1000 {
		for len(actions) > 0 {
			action := actions[0]
			actions = actions[1:]
			var event Event
			switch action := action.(type) {
			case FetchFragment:
				event = FragmentStored(action)
			case Run:
				ran = append(ran, action.Package)
				event = Ended{Package: action.Package}
			case Report:
				event = ReportAnswered{}
			default:
				continue
			}
			actions = append(actions, p.Step(now, event)...)
		}
		wake, wakes := p.NextWake()
		if until() || !wakes {
			return ran
		}
		now = wake
		actions = p.Step(now, WakeDue{})
	}
	return ran
}

// stored is a package whose info file is had.
func stored(id core.PackageID) InfoStored {
	fragments := 0
	if id < 10 {
		fragments = 2
	}
	return InfoStored{Package: id, Priority: core.Priority(id / 10), Held: fragment.NewSet(fragments)}
}

// TestPriorityOrder: whatever the order of the offers and of their info files, commands without archive do not run before
// the more urgent package with one; a restart at any step changes nothing of that.
func TestPriorityOrder(outer *testing.T) {
	rapid.Check(outer, func(t *rapid.T) {
		conf := quick()
		p := newPlan(outer, conf, false)
		p.Step(start, Resumed{})
		offers := []Offer{ranked(1, 0), ranked(11, 1), ranked(12, 1), ranked(21, 2)}
		answer := ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: rapid.Permutation(offers).Draw(t, "offers")}
		p.Step(start, answer)
		infos := rapid.Permutation([]core.PackageID{1, 11, 12, 21}).Draw(t, "infos")
		before := rapid.IntRange(0, 4).Draw(t, "before the restart")
		var ran []core.PackageID
		now := start
		// again is the server's next answer, which does not offer what has ended.
		again := func() Event {
			left := answer
			left.Offers = nil
			for _, one := range answer.Offers {
				if !slices.Contains(ran, one.Package) {
					left.Offers = append(left.Offers, one)
				}
			}
			return left
		}
		for i, id := range infos {
			if i == before {
				resumed := Resumed{Assignments: p.Assignments(), Answered: start}
				for _, had := range infos[:i] {
					if _, assigned := p.Assignment(had); assigned {
						resumed.Stored = append(resumed.Stored, stored(had))
					}
				}
				p = newPlan(outer, conf, false)
				p.Step(now, resumed)
				if rapid.Bool().Draw(t, "answered early") {
					ran = append(ran, ordered(p, now, p.Step(now, again()), func() bool { return true })...)
				}
			}
			ran = append(ran, ordered(p, now, p.Step(now, stored(id)), func() bool { return true })...)
			now = now.Add(100 * time.Millisecond)
		}
		ran = append(ran, ordered(p, now, p.Step(now, again()), func() bool { return len(p.Tasks()) == 0 })...)
		if !slices.Equal(ran, []core.PackageID{1, 11, 12, 21}) {
			t.Fatalf("ran %v", ran)
		}
	})
}

// TestUrgentWithoutInfo: priority 0 whose info file cannot be had blocks, and it is said why; when it is given up, refused
// or withdrawn, the others go on.
func TestUrgentWithoutInfo(t *testing.T) {
	conf := quick()
	for name, end := range map[string]Event{
		"refused":   Ended{Package: 1},
		"withdrawn": ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{ranked(11, 1)}},
		"had":       InfoStored{Package: 1, Priority: 0, Held: fragment.NewSet(0)},
		"time over": nil,
	} {
		p := newPlan(t, conf, false)
		p.Step(start, Resumed{})
		p.Step(start, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{ranked(11, 1), ranked(1, 0)}})
		none[Run](t, p.Step(start, stored(11)))
		none[Run](t, p.Step(start, InfoFailed{Package: 1, Problem: "no answer"}))
		tasks := p.Tasks()
		want := "waits for package 1 of priority 0, whose info file is not there yet (no answer)"
		if tasks[1].Waits != want || tasks[0].Waits != "" {
			t.Errorf("%s: got %+v", name, tasks)
		}
		now := start.Add(time.Minute)
		for range 3 {
			actions := p.Step(now, WakeDue{})
			none[Run](t, actions)
			if slices.ContainsFunc(actions, func(a Action) bool { _, is := a.(FetchInfo); return is }) && end == nil {
				p.Step(now, InfoFailed{Package: 1, Problem: "no answer"})
			}
		}
		var actions []Action
		if end == nil {
			now = start.Add(conf.Timeout)
			actions = p.Step(now, WakeDue{})
			if !slices.ContainsFunc(actions, func(a Action) bool {
				conclude, is := a.(Conclude)
				return is && conclude.Package == 1 && strings.Contains(conclude.Detail, "no answer")
			}) {
				t.Errorf("got %+v", actions)
			}
			continue // both end so
		}
		actions = p.Step(now, end)
		if name == "had" {
			one[Run](t, actions)
			actions = p.Step(now, Ended{Package: 1})
		}
		if got := one[Run](t, actions); got.Package != 11 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// TestInfoOrder: the most urgent info files are fetched first, however many there are.
func TestInfoOrder(t *testing.T) {
	conf := quick()
	p := newPlan(t, conf, false)
	p.Step(start, Resumed{})
	answer := ContactAnswered{Interval: time.Hour, Conf: &conf}
	for id := core.PackageID(1); id <= 20; id++ {
		answer.Offers = append(answer.Offers, ranked(id, core.Priority((20-id)/2)))
	}
	var fetched []core.PackageID
	for _, action := range p.Step(start, answer) {
		fetched = append(fetched, action.(FetchInfo).Assignment.Package)
	}
	if !slices.Equal(fetched, []core.PackageID{19, 20, 17, 18}) {
		t.Errorf("got %v", fetched)
	}
}

// TestUnranked: a server that says no priority, as a stock server, is served as ever: each package when its info file is
// had, and none waits for another's.
func TestUnranked(t *testing.T) {
	conf := quick()
	p := newPlan(t, conf, false)
	p.Step(start, Resumed{})
	p.Step(start, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(1, Unknown), offer(11, Unknown)}})
	if got := one[Run](t, p.Step(start, stored(11))); got.Package != 11 {
		t.Errorf("got %+v", got)
	}
	one[FetchFragment](t, p.Step(start, stored(1)))
}
