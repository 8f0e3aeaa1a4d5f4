package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/fragment"
	"enjambre/peer"
)

// A chaos answers a plan's orders as any server, disk, user and clock may. It keeps the shell's duties.
type chaos struct {
	t    *rapid.T
	plan *Plan
	now  time.Time

	talks   []Action // at most one
	infos   []Assignment
	parts   []FetchFragment
	nexts   []AskNext
	acks    []Acknowledge // at most one of a package
	runs    []core.PackageID
	adopted core.PackageID   // which of them ran at the start
	ends    []core.PackageID // that Conclude has ordered
	vault   map[core.PackageID]*fragment.Set
	later   []Event
	tried   map[core.PackageID]bool // its info file could not be had, as the plan knows
	results int                     // not acknowledged
}

// size and priority are those of a package's info file, which never changes.
func size(id core.PackageID) int                 { return int(id) % 4 }
func priorityOf(id core.PackageID) core.Priority { return core.Priority(int(id) % 3) }

func newChaos(t *rapid.T) *chaos {
	w := &chaos{t: t, now: start, vault: map[core.PackageID]*fragment.Set{}, tried: map[core.PackageID]bool{}}
	made, err := New(Options{Random: rand.New(rand.NewPCG(1, 2))}, w.conf(), 0)
	if err != nil {
		t.Fatal(err)
	}
	w.plan = made
	resumed := Resumed{Answered: start.Add(-time.Hour), Origin: w.origin()}
	for id := range core.PackageID(4) {
		id++
		if !rapid.Bool().Draw(t, "known") {
			continue
		}
		resumed.Assignments = append(resumed.Assignments, Assignment{
			Package: id, NotifiedAt: start.Add(-time.Hour), Priority: priorityOf(id), Ranked: rapid.Bool().Draw(t, "ranked"),
		})
		if rapid.Bool().Draw(t, "stored") {
			w.vault[id] = fragment.NewSet(size(id))
			resumed.Stored = append(resumed.Stored, w.stored(id))
		}
		if len(resumed.Running) == 0 && rapid.Bool().Draw(t, "running") {
			resumed.Running = append(resumed.Running, id)
			w.runs, w.adopted = append(w.runs, id), id
		}
	}
	w.step(resumed)
	return w
}

func (w *chaos) conf() cycle.Options {
	conf := quick()
	conf.Paused = rapid.IntRange(0, 9).Draw(w.t, "paused") == 0
	conf.PeriodLength = rapid.IntRange(1, 4).Draw(w.t, "period")
	conf.FragsPerTurn = rapid.IntRange(0, 2).Draw(w.t, "per turn")
	conf.FragLatency = time.Duration(rapid.IntRange(0, 2).Draw(w.t, "latency")) * time.Second
	conf.Timeout = time.Duration(rapid.IntRange(0, 48).Draw(w.t, "timeout")) * time.Hour
	conf.MaxOrigin = rapid.IntRange(0, 2).Draw(w.t, "asks")
	return conf
}

func (w *chaos) stored(id core.PackageID) InfoStored {
	held := fragment.NewSet(size(id))
	for index := range core.FragmentIndex(size(id)) {
		if w.vault[id].Has(index) {
			held.Add(index)
		}
	}
	return InfoStored{Package: id, Priority: priorityOf(id), Held: held}
}

// step tells one event, takes the orders, and holds the plan to what is always true.
func (w *chaos) step(event Event) {
	if failed, is := event.(InfoFailed); is && w.plan.tasks[failed.Package] != nil {
		w.tried[failed.Package] = true
	}
	for _, action := range w.plan.Step(w.now, event) {
		w.inOrder(action)
		switch action := action.(type) {
		case Contact, Report:
			w.talks = append(w.talks, action)
		case FetchInfo:
			w.infos = append(w.infos, action.Assignment)
		case FetchFragment:
			w.parts = append(w.parts, action)
		case AskNext:
			w.check(action.Request, action.Have)
			w.nexts = append(w.nexts, action)
		case Acknowledge:
			if slices.ContainsFunc(w.acks, func(other Acknowledge) bool { return other.Package == action.Package }) {
				w.t.Fatalf("package %v is acknowledged twice at once", action.Package)
			}
			w.check(action.Request, action.Have)
			w.acks = append(w.acks, action)
		case Meet:
			w.later = append(w.later, NeighbourReported{action.Package, peer.MeetFailed(action.Meet)})
		case Run:
			if slices.Contains(w.runs, action.Package) {
				w.t.Fatalf("package %v is run while it runs", action.Package)
			}
			w.runs = append(w.runs, action.Package)
		case Conclude:
			if slices.Contains(w.runs, action.Package) {
				w.t.Fatalf("package %v gets the result %s while it runs", action.Package, action.State)
			}
			w.ends = append(w.ends, action.Package)
		case CancelRun:
			if !slices.Contains(w.runs, action.Package) {
				w.t.Fatalf("a run of package %v is cancelled that was not ordered", action.Package)
			}
		case Drop:
			delete(w.vault, action.Package)
			delete(w.tried, action.Package)
		}
	}
	if len(w.talks) > 1 {
		w.t.Fatalf("%d exchanges with the server at once", len(w.talks))
	}
	if wake, wakes := w.plan.NextWake(); wakes && !wake.After(w.now) {
		w.t.Fatalf("after %T at %v it wants to be woken at %v: the shell would spin", event, w.now, wake)
	}
	w.plan.Tasks()
	w.plan.Progress()
	w.plan.Assignments()
	for len(w.later) > 0 {
		event := w.later[0]
		w.later = w.later[1:]
		w.step(event)
	}
}

// take removes one of a list, drawn.
func take[T any](w *chaos, from *[]T) T {
	at := rapid.IntRange(0, len(*from)-1).Draw(w.t, "which")
	one := (*from)[at]
	*from = slices.Delete(*from, at, at+1)
	return one
}

func (w *chaos) end(id core.PackageID) {
	delete(w.vault, id)
	delete(w.tried, id)
	w.results++
	w.step(Ended{Package: id, Left: w.results})
}

func (w *chaos) talked() {
	switch take(w, &w.talks).(type) {
	case Report:
		if rapid.Bool().Draw(w.t, "fails") {
			w.step(ReportFailed{})
			return
		}
		w.results = 0
		w.step(ReportAnswered{})
	case Contact:
		switch rapid.IntRange(0, 6).Draw(w.t, "contact") {
		case 0:
			w.step(ContactFailed{})
		case 1:
			w.step(Suspended{})
		case 2:
			w.step(ContactAnswered{})
		default:
			w.answer(rapid.SliceOfNDistinct(rapid.IntRange(1, 12), 0, 12, rapid.ID[int]).Draw(w.t, "offers"), w.conf())
		}
	}
}

func (w *chaos) answer(ids []int, conf cycle.Options) {
	w.results = 0
	event := ContactAnswered{Interval: time.Minute, Conf: &conf, Origin: w.origin()}
	event.Partial = rapid.Bool().Draw(w.t, "partial")
	for _, n := range ids {
		id := core.PackageID(n)
		past := Past(rapid.IntRange(0, 3).Draw(w.t, "past"))
		if slices.Contains(w.runs, id) || slices.Contains(w.ends, id) {
			past = Open
		}
		event.Offers = append(event.Offers, Offer{Package: id, Past: past, Force: rapid.Bool().Draw(w.t, "force"),
			Priority: priorityOf(id), Ranked: rapid.IntRange(0, 3).Draw(w.t, "unranked") > 0,
			InfoDigest: core.Digest{byte(max(0, rapid.IntRange(-8, 2).Draw(w.t, "digest")))}})
	}
	w.step(event)
}

func (w *chaos) fetchedInfo() {
	asked := take(w, &w.infos)
	id := asked.Package
	now, known := w.plan.Assignment(id)
	isCurrent := known && now.NotifiedAt.Equal(asked.NotifiedAt)
	switch rapid.IntRange(0, 3).Draw(w.t, "info") {
	case 0:
		w.step(InfoFailed{Package: id, Problem: "no answer"})
	case 1:
		if isCurrent && !slices.Contains(w.runs, id) {
			w.end(id)
		} else {
			w.step(InfoFailed{Package: id, Problem: "not there"})
		}
	default:
		if w.vault[id] == nil {
			w.vault[id] = fragment.NewSet(size(id))
		}
		w.step(w.stored(id))
	}
}

func (w *chaos) fetchedFragment() {
	part := take(w, &w.parts)
	switch kind := rapid.IntRange(0, 3).Draw(w.t, "fragment"); {
	case kind == 0:
		w.step(OriginFailed{Package: part.Package, Index: part.Index, Problem: "nobody there"})
	case kind == 1 || w.vault[part.Package] == nil:
		w.step(FragmentFailed{Package: part.Package, Index: part.Index, Corrupt: rapid.Bool().Draw(w.t, "corrupt")})
	default:
		w.vault[part.Package].Add(part.Index)
		w.step(FragmentStored(part))
	}
}

func (w *chaos) ran() {
	id := take(w, &w.runs)
	wasAdopted := id == w.adopted
	if wasAdopted {
		w.adopted = 0
	}
	switch kind := rapid.IntRange(0, 3).Draw(w.t, "run"); {
	case kind == 0:
		until := w.now.Add(time.Duration(rapid.IntRange(-10, 4000).Draw(w.t, "until")) * time.Second)
		w.step(RunPostponed{Package: id, Until: until, Delayed: rapid.Bool().Draw(w.t, "delayed")})
	case kind == 1 && !wasAdopted:
		held := fragment.NewSet(size(id))
		w.vault[id] = fragment.NewSet(size(id))
		w.step(FragmentsLost{Package: id, Held: held})
	default:
		w.end(id)
	}
}

// TestLaws: whatever server, disk, user and clock do, the plan neither panics nor spins, runs nothing that runs,
// and ends nothing that runs; and once all is well again, it comes to an end.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newChaos(t)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			w.move(rapid.IntRange(0, 13).Draw(t, "move"))
		}
		w.settle()
	})
}

func (w *chaos) move(kind int) {
	switch {
	case kind == 0:
		back := time.Duration(rapid.Int64Range(-int64(72*time.Hour), int64(72*time.Hour)).Draw(w.t, "jump"))
		w.now = w.now.Add(back)
		w.step(WakeDue{})
	case kind == 1:
		w.wake()
	case kind <= 3 && len(w.talks) > 0:
		w.talked()
	case kind == 4 && len(w.infos) > 0:
		w.fetchedInfo()
	case kind == 5 && len(w.parts) > 0:
		w.fetchedFragment()
	case kind == 6 && len(w.runs) > 0:
		w.ran()
	case kind == 7 && len(w.nexts) > 0:
		w.askedNext()
	case kind == 8 && len(w.acks) > 0:
		w.told()
	case kind == 9:
		w.step(NewsHeard{})
	case kind == 10:
		w.step(CallDue{})
	case kind == 11:
		w.step(Moved{})
	case kind == 12 && len(w.runs) == 0:
		w.restart()
	case len(w.ends) > 0:
		w.end(take(w, &w.ends))
	}
}

func (w *chaos) wake() {
	if wake, wakes := w.plan.NextWake(); wakes {
		w.now = wake
		w.step(WakeDue{})
	}
}

// settle lets everything succeed until nothing is left.
func (w *chaos) settle() {
	conf, origin := quick(), w.origin()
	for range 3000 {
		switch {
		case len(w.talks) > 0:
			if _, isReport := w.talks[0].(Report); isReport {
				w.talks, w.results = nil, 0
				w.step(ReportAnswered{})
				continue
			}
			w.talks, w.results = nil, 0
			event := ContactAnswered{Interval: time.Minute, Conf: &conf, Origin: origin}
			for _, id := range slices.Sorted(maps.Keys(w.plan.tasks)) {
				event.Offers = append(event.Offers, Offer{Package: id, Past: Open})
			}
			w.step(event)
		case len(w.infos) > 0:
			id := w.infos[0].Package
			w.infos = w.infos[1:]
			if w.vault[id] == nil {
				w.vault[id] = fragment.NewSet(size(id))
			}
			w.step(w.stored(id))
		case len(w.parts) > 0:
			part := w.parts[0]
			w.parts = w.parts[1:]
			if w.vault[part.Package] == nil {
				w.step(FragmentFailed{Package: part.Package, Index: part.Index})
				continue
			}
			w.vault[part.Package].Add(part.Index)
			w.step(FragmentStored(part))
		case len(w.nexts) > 0:
			asked := w.nexts[0]
			w.nexts = w.nexts[1:]
			if w.vault[asked.Package] == nil {
				w.step(NextFailed{Package: asked.Package})
				continue
			}
			w.vault[asked.Package].Add(asked.Request.Want[0])
			w.step(FragmentStored{Package: asked.Package, Index: asked.Request.Want[0]})
		case len(w.acks) > 0:
			id := w.acks[0].Package
			w.acks = w.acks[1:]
			w.step(Acknowledged{Package: id, Heard: true})
		case len(w.runs) > 0:
			id := w.runs[0]
			w.runs = w.runs[1:]
			w.end(id)
		case len(w.ends) > 0:
			id := w.ends[0]
			w.ends = w.ends[1:]
			w.end(id)
		case w.plan.Idle():
			return
		default:
			w.wake()
		}
	}
	w.t.Fatalf("it does not come to an end: %s", fmt.Sprintf("%+v", w.plan.Tasks()))
}
