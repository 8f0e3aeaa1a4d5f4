package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/fragment"
	"enjambre/core/outcome"
)

var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func newPlan(t testing.TB, conf cycle.Options, once bool) *Plan {
	t.Helper()
	p, err := New(Options{Once: once, Random: rand.New(rand.NewPCG(1, 2))}, conf, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// quick is a schedule that wastes no time.
func quick() cycle.Options {
	return cycle.Options{PeriodLength: 10, CycleLatency: time.Second, Timeout: 24 * time.Hour, MaxOrigin: 1}
}

func offer(id core.PackageID, past Past) Offer {
	return Offer{Package: id, InfoLocation: "a/download", FragmentsLocation: "a/download", Past: past}
}

// step steps and holds the actions to what is wanted, as fmt prints them.
func step(t *testing.T, p *Plan, now time.Time, event Event, want ...Action) {
	t.Helper()
	got := p.Step(now, event)
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("%T: got %+v, want %+v", event, got, want)
	}
}

// TestOnePackage: from the first contact to the acknowledged result.
func TestOnePackage(t *testing.T) {
	p := newPlan(t, quick(), true)
	conf := quick()
	assignment := Assignment{
		Package: 7, NotifiedAt: start, InfoLocation: "a/download", FragmentsLocation: "a/download",
	}
	step(t, p, start, Resumed{}, Contact{})
	step(t, p, start, ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Unknown)}}, FetchInfo{assignment})
	step(t, p, start, InfoFailed{Package: 7, Problem: "no answer"})
	if tasks := p.Tasks(); len(tasks) != 1 || tasks[0].Problem != "no answer" || tasks[0].Known {
		t.Errorf("got %+v", tasks)
	}
	wake, wakes := p.NextWake()
	if want := start.Add(time.Second); !wakes || !wake.Equal(want) {
		t.Errorf("wake at %v, want %v", wake, want)
	}
	now := wake
	step(t, p, now, WakeDue{}, FetchInfo{assignment})
	step(t, p, now, InfoStored{Package: 7, Priority: 1, Held: fragment.NewSet(2)}, FetchFragment{7, 0})
	step(t, p, now, FragmentStored{7, 0}, FetchFragment{7, 1})
	step(t, p, now, FragmentFailed{Package: 7, Index: 1, Problem: "half a body"})
	now = now.Add(time.Second)
	step(t, p, now, WakeDue{}, FetchFragment{7, 1})
	step(t, p, now, FragmentStored{7, 1}, Run{7})
	step(t, p, now, Ended{7, 1}, Report{})
	if p.Idle() {
		t.Error("idle before the result is acknowledged")
	}
	step(t, p, now, ReportFailed{})
	wake, _ = p.NextWake()
	step(t, p, wake, WakeDue{}, Report{})
	step(t, p, wake, ReportAnswered{})
	if _, wakes := p.NextWake(); wakes || !p.Idle() || p.Stuck() {
		t.Errorf("something is left: %+v", p.Tasks())
	}
}

// TestOffers: what a package's past makes of its offer.
func TestOffers(t *testing.T) {
	forced := offer(1, Installed)
	forced.Force = true
	for _, c := range []struct {
		offer Offer
		want  string // the type of the first action, "" for none
	}{
		{offer(1, Unknown), "plan.FetchInfo"}, {offer(1, Failed), "plan.FetchInfo"}, {forced, "plan.FetchInfo"},
		{offer(1, Installed), "plan.Conclude"}, {offer(1, Open), ""},
	} {
		p := newPlan(t, quick(), true)
		p.Step(start, Resumed{})
		conf := quick()
		got := ""
		if actions := p.Step(start, ContactAnswered{Conf: &conf, Offers: []Offer{c.offer}}); len(actions) > 0 {
			got = fmt.Sprintf("%T", actions[0])
		}
		if got != c.want {
			t.Errorf("%+v: got %q, want %q", c.offer, got, c.want)
		}
	}
}

// TestManyOffers: while all the info files are fetched that may be at once, the others wake nobody.
func TestManyOffers(t *testing.T) {
	p := newPlan(t, quick(), false)
	conf := quick()
	event := ContactAnswered{Interval: time.Hour, Conf: &conf}
	for id := range core.PackageID(256) {
		event.Offers = append(event.Offers, offer(id+1, Unknown))
	}
	p.Step(start, Resumed{})
	if fetches := len(p.Step(start, event)); fetches != maxFetches {
		t.Errorf("%d fetches at once", fetches)
	}
	p.Step(start.Add(ProgressPause), WakeDue{}) // the report is under way, too
	if wake, wakes := p.NextWake(); !wakes || wake.Before(start.Add(ProgressPause+time.Second)) {
		t.Errorf("wake at %v, %v: the shell spins", wake, wakes)
	}
	if fetches := p.Step(start, InfoFailed{Package: 1}); !slices.ContainsFunc(fetches, func(action Action) bool {
		fetch, isFetch := action.(FetchInfo)
		return isFetch && fetch.Assignment.Package == 5
	}) {
		t.Errorf("a free place is not taken: %+v", fetches)
	}
}

// TestEverMoreOffers: what a server offers in parts, other packages each time, is bounded.
func TestEverMoreOffers(t *testing.T) {
	p := newPlan(t, quick(), false)
	p.Step(start, Resumed{})
	conf := quick()
	for id := core.PackageID(1); id < 5000; {
		event := ContactAnswered{Interval: time.Hour, Conf: &conf, Partial: true}
		for range 256 {
			event.Offers = append(event.Offers, offer(id, Unknown))
			id++
		}
		p.Step(start, event)
	}
	if count := len(p.Assignments()); count != MaxTasks {
		t.Errorf("%d packages are taken, want %d", count, MaxTasks)
	}
}

// TestOtherInfo: when the server announces another info file under a package's ID, nothing of the old one is run.
func TestOtherInfo(t *testing.T) {
	conf := quick()
	first, second := offer(7, Unknown), offer(7, Unknown)
	first.InfoDigest, second.InfoDigest = core.Digest{1}, core.Digest{2}
	for _, runs := range []bool{false, true} {
		p := newPlan(t, quick(), false)
		p.Step(start, Resumed{})
		p.Step(start, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{first}})
		held := fragment.NewSet(1)
		if runs {
			held.Add(0)
		}
		p.Step(start, InfoStored{Package: 7, Priority: 1, Held: held})
		actions := p.Step(start, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{second}})
		if runs {
			if !slices.Contains(actions, Action(CancelRun{7})) {
				t.Errorf("while it is about to run: got %+v", actions)
			}
			continue
		}
		fetch, isFetch := actions[len(actions)-1].(FetchInfo)
		if !slices.Contains(actions, Action(Drop{7})) || !isFetch || fetch.Assignment.InfoDigest != second.InfoDigest {
			t.Errorf("got %+v", actions)
		}
	}
}

// TestAdoptedInterrupted: a command that ran when the agent started, is interrupted and may be repeated, is run
// again when its time comes; one that is not wanted any more is forgotten.
func TestAdoptedInterrupted(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		p := newPlan(t, quick(), false)
		resumed := Resumed{
			Running: []core.PackageID{7}, Answered: start,
			Stored: []InfoStored{{Package: 7, Priority: 1, Held: fragment.NewSet(0)}},
		}
		if wanted {
			resumed.Assignments = []Assignment{{Package: 7, NotifiedAt: start}}
		}
		p.Step(start, resumed)
		p.Step(start, ContactAnswered{Interval: time.Hour}) // nothing about deployment
		until := start.Add(time.Minute)
		actions := p.Step(start, RunPostponed{Package: 7, Until: until, Problem: "interrupted"})
		if dropped := slices.Contains(actions, Action(Drop{7})); dropped == wanted {
			t.Errorf("wanted %v: got %+v", wanted, actions)
		}
		if slices.Contains(p.Step(until.Add(-time.Second), WakeDue{}), Action(Run{7})) {
			t.Error("it runs too early")
		}
		if ran := slices.Contains(p.Step(until, WakeDue{}), Action(Run{7})); ran != wanted {
			t.Errorf("wanted %v: run %v", wanted, ran)
		}
	}
}

// TestSwitchedOffWhileAsking: a command that has not started, since the user is still being asked, is not started
// any more once the server has switched deployment off or has taken this agent for a copy.
func TestSwitchedOffWhileAsking(t *testing.T) {
	off := quick()
	off.Paused = true
	for _, event := range []Event{Suspended{}, ContactAnswered{Conf: &off, Offers: []Offer{offer(7, Open)}}} {
		p := complete(t)
		if actions := p.Step(start, event); !slices.Contains(actions, Action(CancelRun{7})) {
			t.Errorf("%T: got %+v", event, actions)
		}
		p.Step(start, RunPostponed{Package: 7, Until: start})
		if actions := p.Step(start.Add(time.Minute), WakeDue{}); slices.Contains(actions, Action(Run{7})) {
			t.Errorf("%T: it runs", event)
		}
		conf := quick()
		wanted := ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Open)}}
		if actions := p.Step(start.Add(2*time.Minute), wanted); !slices.Contains(actions, Action(Run{7})) {
			t.Errorf("%T: it is not run when it is wanted again: %+v", event, actions)
		}
	}
}

// complete brings a plan to the point where package 7 runs.
func complete(t *testing.T) *Plan {
	t.Helper()
	p := newPlan(t, quick(), false)
	conf := quick()
	p.Step(start, Resumed{})
	p.Step(start, ContactAnswered{Interval: time.Hour, Conf: &conf, Offers: []Offer{offer(7, Unknown)}})
	p.Step(start, ReportAnswered{})
	held := fragment.NewSet(1)
	held.Add(0)
	step(t, p, start, InfoStored{Package: 7, Priority: 1, Held: held}, Run{7})
	return p
}

// TestUnaffected: what is not offered any more goes at once, unless it runs (T56).
func TestUnaffected(t *testing.T) {
	conf := quick()
	p := complete(t)
	if actions := p.Step(start, ContactAnswered{Conf: &conf}); !slices.Contains(actions, Action(CancelRun{7})) {
		t.Errorf("got %+v", actions)
	}
	if len(p.Tasks()) != 0 || len(p.Assignments()) != 0 {
		t.Errorf("got %+v", p.Tasks())
	}
	p.Step(start, Ended{7, 1})
	if p.unreported != 1 {
		t.Error("the result of what ran is lost")
	}
	p = complete(t)
	p.Step(start, RunPostponed{Package: 7, Until: start.Add(time.Hour), Problem: "nobody is logged on"})
	actions := p.Step(start, ContactAnswered{Conf: &conf})
	if len(actions) != 1 || actions[0] != (Drop{7}) || len(p.Tasks()) != 0 {
		t.Errorf("got %+v, %+v", actions, p.Tasks())
	}
}

// TestNotTakenBack: what is not offered stays when the server's list does not say all.
func TestNotTakenBack(t *testing.T) {
	conf, off := quick(), quick()
	off.Paused = true
	for _, answer := range []ContactAnswered{{}, {Conf: &off}, {Conf: &conf, Partial: true}} {
		p := complete(t)
		p.Step(start, RunPostponed{Package: 7, Until: start.Add(time.Hour)})
		p.Step(start, answer)
		if len(p.Tasks()) != 1 {
			t.Errorf("%+v: the package is dropped", answer)
		}
	}
}

// TestSuspended: an agent whose identity is another's runs and reports nothing, until it is told otherwise.
func TestSuspended(t *testing.T) {
	p := complete(t)
	p.Step(start, RunPostponed{Package: 7, Until: start.Add(time.Second)})
	p.Step(start, Suspended{})
	p.Step(start, Ended{8, 1})
	for now := start; now.Before(start.Add(50 * time.Minute)); now = now.Add(time.Minute) {
		if actions := p.Step(now, WakeDue{}); len(actions) > 0 {
			t.Fatalf("after %v: %+v", now.Sub(start), actions)
		}
	}
	now, _ := p.NextWake()
	step(t, p, now, WakeDue{}, Contact{})
	conf := quick()
	if actions := p.Step(now, ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Unknown)}}); !slices.Contains(actions, Action(Run{7})) {
		t.Errorf("got %+v", actions)
	}
}

// TestGivenUp: when a package ends without running.
func TestGivenUp(t *testing.T) {
	t.Run("timeout before the info file", func(t *testing.T) {
		p := newPlan(t, quick(), true)
		conf := quick()
		p.Step(start, Resumed{})
		p.Step(start, ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Unknown)}})
		p.Step(start, ReportAnswered{})
		p.Step(start, InfoFailed{Package: 7, Problem: "connection refused"})
		got := p.Step(start.Add(25*time.Hour), WakeDue{})
		want := Conclude{7, outcome.Timeout, "", "not complete in time; last problem: connection refused"}
		if len(got) == 0 || got[0] != want {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("timeout of the schedule", func(t *testing.T) {
		p := complete(t)
		p.Step(start, RunPostponed{Package: 7, Until: start.Add(time.Hour), Problem: "nobody is logged on"})
		got := p.Step(start.Add(25*time.Hour), WakeDue{})
		if conclude, is := got[0].(Conclude); !is || conclude.State != outcome.Timeout ||
			!strings.Contains(conclude.Detail, "nobody") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("corrupt", func(t *testing.T) {
		p := newPlan(t, quick(), true)
		conf := quick()
		p.Step(start, Resumed{})
		p.Step(start, ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Unknown)}})
		actions := p.Step(start, InfoStored{Package: 7, Priority: 1, Held: fragment.NewSet(1)})
		now := start
		for times := 1; ; times++ {
			if !slices.Contains(actions, Action(FetchFragment{7, 0})) {
				t.Fatalf("time %d: got %+v", times, actions)
			}
			actions = p.Step(now, FragmentFailed{Package: 7, Index: 0, Corrupt: true, Problem: "wrong digest"})
			if times == MaxCorrupt {
				break
			}
			now = now.Add(time.Second)
			actions = p.Step(now, WakeDue{})
		}
		if !slices.Contains(actions, Action(Conclude{7, outcome.BadDigest, core.ClassHash, "wrong digest"})) {
			t.Errorf("got %+v", actions)
		}
	})
	t.Run("the disk forgets", func(t *testing.T) {
		p := complete(t)
		now := start
		for times := 1; times <= MaxRebuilds; times++ {
			actions := p.Step(now, FragmentsLost{Package: 7, Held: fragment.NewSet(1)})
			if times == MaxRebuilds {
				conclude, is := actions[0].(Conclude)
				if !is || conclude.State != outcome.Build {
					t.Errorf("got %+v", actions)
				}
				break
			}
			now = now.Add(time.Second) // the pause, if the origin was asked in this cycle
			if actions = append(actions, p.Step(now, WakeDue{})...); !slices.Contains(actions, Action(FetchFragment{7, 0})) {
				t.Fatalf("time %d: got %+v", times, actions)
			}
			if actions := p.Step(now, FragmentStored{7, 0}); !slices.Contains(actions, Action(Run{7})) {
				t.Fatalf("time %d: got %+v", times, actions)
			}
		}
	})
}

// TestFresh: a command starts only if the server has lately had the chance to say that it is not wanted any more.
func TestFresh(t *testing.T) {
	conf := quick()
	conf.Timeout = 0
	p := newPlan(t, conf, false)
	resumed := Resumed{
		Assignments: []Assignment{{Package: 7, NotifiedAt: start}}, Stored: []InfoStored{{Package: 7, Priority: 1}},
		Answered: start.Add(-FreshFor),
	}
	step(t, p, start, resumed, Contact{})
	step(t, p, start.Add(runPause), WakeDue{})
	now := start.Add(2 * runPause)
	step(t, p, now, ContactFailed{})
	step(t, p, now, WakeDue{}, Run{7}, Report{}) // it is not to be reached: nothing speaks against it
	p.Step(now, ReportFailed{})
	p.Step(now, RunPostponed{Package: 7, Until: now.Add(time.Hour)})

	now = start.Add(RunOffline)
	for { // it has been silent for too long
		actions := p.Step(now, WakeDue{})
		if slices.Contains(actions, Action(Report{})) {
			actions = append(actions, p.Step(now, ReportFailed{})...)
		}
		if slices.Contains(actions, Action(Run{7})) {
			t.Fatalf("it runs %v after the last answer", now.Sub(start))
		}
		if slices.Contains(actions, Action(Contact{})) {
			break
		}
		wake, wakes := p.NextWake()
		if !wakes {
			t.Fatal("nothing happens any more")
		}
		now = wake
	}
	p.Step(now, ContactFailed{})
	wake, _ := p.NextWake()
	if actions := p.Step(wake, WakeDue{}); slices.Contains(actions, Action(Run{7})) ||
		!strings.Contains(p.Tasks()[0].Problem, "has not answered") {
		t.Errorf("got %+v, %+v", actions, p.Tasks())
	}
}

// TestNews: no command starts on an answer that is older than news, and news make the server be asked.
func TestNews(t *testing.T) {
	conf := quick()
	p := newPlan(t, conf, false)
	resumed := Resumed{
		Assignments: []Assignment{{Package: 7, NotifiedAt: start}}, Answered: start,
		Stored: []InfoStored{{Package: 7, Priority: 1, Held: fragment.NewSet(0)}},
	}
	step(t, p, start, resumed, Contact{})
	now := start.Add(time.Second)
	p.Step(now, NewsHeard{}) // while the server is being asked
	if actions := p.Step(now, CallDue{}); len(actions) != 0 {
		t.Errorf("two contacts at once: %+v", actions)
	}
	now = now.Add(2 * runPause)
	if actions := p.Step(now, WakeDue{}); slices.Contains(actions, Action(Run{7})) {
		t.Error("it runs before any answer")
	}
	p.Step(now, ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Unknown)}})
	p.Step(now.Add(1), NewsHeard{}) // that answer was given before
	ran := false
	for range 10 {
		now = now.Add(runPause)
		actions := p.Step(now, WakeDue{})
		switch {
		case slices.Contains(actions, Action(Run{7})):
			t.Fatal("it runs on old news")
		case slices.Contains(actions, Action(Contact{})):
			ran = slices.Contains(p.Step(now, ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Unknown)}}), Action(Run{7}))
			for range 3 {
				now = now.Add(runPause)
				ran = ran || slices.Contains(p.Step(now, WakeDue{}), Action(Run{7}))
			}
			if !ran {
				t.Error("it does not run once the server has answered")
			}
			return
		}
	}
	t.Error("the server is not asked")
}

// TestAdopted: a command that runs since before the start keeps others from running, and its result counts.
func TestAdopted(t *testing.T) {
	p := newPlan(t, quick(), false)
	held := fragment.NewSet(0)
	answered := start
	assignments := []Assignment{{Package: 7, NotifiedAt: start}, {Package: 8, NotifiedAt: start}}
	actions := p.Step(start, Resumed{
		Assignments: assignments, Running: []core.PackageID{7},
		Stored:   []InfoStored{{Package: 7, Priority: 1, Held: held}, {Package: 8, Priority: 1}, {Package: 9}},
		Answered: answered,
	})
	if !reflect.DeepEqual(actions, []Action{Drop{9}, Contact{}}) {
		t.Errorf("got %+v", actions)
	}
	p.Step(start, ContactAnswered{})
	if actions := p.Step(start.Add(time.Second), WakeDue{}); len(actions) != 0 {
		t.Errorf("it does not wait: %+v", actions)
	}
	if actions := p.Step(start.Add(2*time.Second), Ended{7, 1}); !slices.Contains(actions, Action(Run{8})) {
		t.Errorf("got %+v", actions)
	}
}

// TestStuck: what can never be due, and what only waits.
func TestStuck(t *testing.T) {
	p := newPlan(t, quick(), true)
	conf := quick()
	conf.PeriodLength = 3
	p.Step(start, Resumed{})
	p.Step(start, ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Unknown)}})
	p.Step(start, ReportAnswered{})
	if p.Stuck() {
		t.Error("stuck before the info file is there")
	}
	p.Step(start, InfoStored{Package: 7, Priority: 5, Held: fragment.NewSet(1)})
	if !p.Stuck() || !p.Tasks()[0].NeverOpens {
		t.Error("a priority above the period can be due")
	}
	conf.PeriodLength, conf.Paused = 10, true
	p.Step(start, ContactAnswered{Conf: &conf, Offers: []Offer{offer(7, Unknown)}})
	if !p.Stuck() {
		t.Error("with deployment switched off something can be due")
	}
}

// A world is a server and a disk as a shell sees them, on virtual time and by chance.
type world struct {
	t       *testing.T
	random  *rand.Rand
	plan    *Plan
	now     time.Time
	healthy bool

	offered  map[core.PackageID]bool // by the server
	past     map[core.PackageID]Past
	runs     map[core.PackageID]int
	running  core.PackageID
	talks    int
	waiting  []func() Event // answers that are owed
	trace    []string
	unsent   int
	concerns map[core.PackageID]string
}

func (w *world) chance(percent int) bool { return !w.healthy && w.random.IntN(100) < percent }

// do owes an answer for each action.
func (w *world) do(actions []Action) {
	for _, action := range actions {
		w.trace = append(w.trace, fmt.Sprintf("%v %T %+v", w.now.Sub(start), action, action))
		switch action := action.(type) {
		case Contact, Report:
			if w.talks++; w.talks > 1 {
				w.t.Fatal("two exchanges at once")
			}
			w.waiting = append(w.waiting, func() Event { return w.talk(action) })
		case FetchInfo:
			w.waiting = append(w.waiting, func() Event { return w.info(action.Assignment.Package) })
		case FetchFragment:
			w.waiting = append(w.waiting, func() Event { return w.fragment(action) })
		case Run:
			if w.running != 0 {
				w.t.Fatalf("package %v runs while %v does", action.Package, w.running)
			}
			w.running = action.Package
			w.waiting = append(w.waiting, func() Event { return w.run(action.Package) })
		case Conclude:
			w.end(action.Package, action.State == outcome.AlreadySetup)
			w.waiting = append(w.waiting, func() Event { return Ended{action.Package, w.unsent} })
		}
	}
}

func (w *world) end(id core.PackageID, installed bool) {
	w.past[id] = Open
	w.unsent++
	w.concerns[id] = map[bool]string{true: "installed", false: "failed"}[installed]
}

func (w *world) talk(action Action) Event {
	w.talks--
	if w.chance(30) {
		if _, isContact := action.(Contact); isContact {
			return ContactFailed{}
		}
		return ReportFailed{}
	}
	for id, past := range w.past { // the results are sent first
		if past == Open {
			w.past[id] = Failed
			if w.concerns[id] == "installed" {
				w.past[id] = Installed
			}
			delete(w.offered, id)
		}
	}
	w.unsent = 0
	if _, isContact := action.(Report); isContact {
		return ReportAnswered{}
	}
	conf := quick()
	conf.Paused = w.chance(5)
	answer := ContactAnswered{Interval: time.Minute, Conf: &conf}
	for _, id := range slices.Sorted(maps.Keys(w.offered)) {
		answer.Offers = append(answer.Offers, offer(id, w.past[id]))
	}
	return answer
}

func (w *world) info(id core.PackageID) Event {
	if w.chance(40) {
		return InfoFailed{Package: id, Problem: "no answer"}
	}
	return InfoStored{Package: id, Priority: core.Priority(id % 11), Held: fragment.NewSet(int(id % 4))}
}

func (w *world) fragment(action FetchFragment) Event {
	switch {
	case w.chance(20):
		return FragmentFailed{Package: action.Package, Index: action.Index, Problem: "half", Corrupt: w.chance(20)}
	case w.chance(10):
		return OriginFailed{Package: action.Package, Index: action.Index, Problem: "refused"}
	}
	return FragmentStored(action)
}

func (w *world) run(id core.PackageID) Event {
	w.running = 0
	switch {
	case w.chance(20):
		return RunPostponed{Package: id, Until: w.now.Add(time.Minute), Delayed: w.chance(50)}
	case w.chance(20):
		return FragmentsLost{Package: id, Held: fragment.NewSet(int(id % 4))}
	}
	w.runs[id]++
	w.end(id, true)
	return Ended{id, w.unsent}
}

// next lets one thing happen.
func (w *world) next() {
	if len(w.waiting) > 0 && w.random.IntN(4) > 0 {
		i := w.random.IntN(len(w.waiting))
		answer := w.waiting[i]
		w.waiting = slices.Delete(w.waiting, i, i+1)
		w.do(w.plan.Step(w.now, answer()))
		return
	}
	if wake, wakes := w.plan.NextWake(); wakes && wake.After(w.now) {
		w.now = wake
	}
	if w.chance(2) {
		w.now = w.now.Add(-time.Hour)
	}
	w.do(w.plan.Step(w.now, WakeDue{}))
}

// TestWorlds: whatever goes wrong, each installed package ran once, nothing runs or talks twice at once, and when
// all is well again everything offered ends.
func TestWorlds(t *testing.T) {
	traces := map[uint64]string{}
	for _, seed := range append(seeds(60), 1, 2) {
		w := &world{
			t: t, random: rand.New(rand.NewPCG(seed, 7)), now: start, offered: map[core.PackageID]bool{},
			past: map[core.PackageID]Past{}, runs: map[core.PackageID]int{}, concerns: map[core.PackageID]string{},
		}
		plan, err := New(Options{Random: w.random}, quick(), 0)
		if err != nil {
			t.Fatal(err)
		}
		w.plan = plan
		w.do(plan.Step(w.now, Resumed{}))
		for i := range 400 {
			if i%40 == 0 && i < 320 {
				id := core.PackageID(1 + w.random.IntN(30))
				if w.past[id] == Unknown {
					w.offered[id] = true
				}
				for _, id := range slices.Sorted(maps.Keys(w.offered)) {
					if w.past[id] == Unknown && w.chance(5) && w.running != id {
						delete(w.offered, id)
						break
					}
				}
			}
			w.next()
		}
		w.healthy = true
		for i := 0; len(w.plan.Tasks()) > 0 || len(w.offered) > 0 || w.plan.unreported > 0; i++ {
			if i == 3000 {
				t.Fatalf("seed %d: left: offered %v, tasks %+v, unreported %d", seed, w.offered, w.plan.Tasks(),
					w.plan.unreported)
			}
			w.next()
		}
		for id, times := range w.runs {
			if times > 1 {
				t.Errorf("seed %d: package %v ran %d times", seed, id, times)
			}
		}
		trace := strings.Join(w.trace, "\n")
		if before, again := traces[seed]; again && before != trace {
			t.Errorf("seed %d: two runs differ", seed)
		}
		traces[seed] = trace
	}
}

func seeds(n uint64) []uint64 {
	var all []uint64
	for seed := range n {
		all = append(all, seed)
	}
	return all
}
