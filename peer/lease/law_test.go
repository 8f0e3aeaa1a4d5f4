package lease_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/lease"
)

const (
	lawMembers   = 5
	lawFragments = 6
	lawPacks     = 2
)

// A mob is some members that say anything, behind a shell that is correct.
type mob struct {
	*watcher
	request lease.RequestID
	islands bool
}

func indexes(t *rapid.T, label string) []core.FragmentIndex {
	return rapid.SliceOfN(rapid.Map(rapid.IntRange(0, lawFragments), func(i int) core.FragmentIndex {
		return core.FragmentIndex(i) // one more than there are
	}), 0, 4).Draw(t, label)
}

func anybody(t *rapid.T) id.Peer { return name(rapid.IntRange(1, lawMembers).Draw(t, "member")) }

// ask draws what a member may say.
func (m *mob) ask(t *rapid.T) lease.Event {
	m.request++
	ask := lease.MemberAsked{
		Request: m.request, Member: anybody(t), Package: digest(byte(rapid.IntRange(1, lawPacks).Draw(t, "package"))),
		Want: indexes(t, "want"), Weightless: rapid.IntRange(0, 5).Draw(t, "weight") == 0,
	}
	if rapid.IntRange(0, 4).Draw(t, "starts") == 0 {
		ask.Start = lease.Start(rapid.IntRange(1, 3).Draw(t, "start"))
	}
	if rapid.Bool().Draw(t, "acknowledges") {
		ask.Acknowledged = indexes(t, "acknowledged")
	}
	if rapid.IntRange(0, 2).Draw(t, "complains") == 0 {
		for _, index := range indexes(t, "failed") {
			ask.Failed = append(ask.Failed, lease.Complaint{
				Fragment: index, Holder: name(rapid.IntRange(0, lawMembers+1).Draw(t, "holder")),
				Corrupt: rapid.Bool().Draw(t, "corrupt"),
			})
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "has") == 0 {
		ask.Have = fragment.NewSet(rapid.IntRange(lawFragments-1, lawFragments).Draw(t, "size"))
		for _, index := range indexes(t, "have") {
			ask.Have.Add(index)
		}
	}
	return ask
}

// event draws what may happen now, given what goes on.
func (m *mob) event(t *rapid.T) lease.Event {
	kinds := []string{"ask", "ask", "ask", "ask", "wake", "seen", "rare"}
	var going []lease.LeaseID
	for _, id := range slices.Sorted(maps.Keys(m.bodies)) {
		if m.bodies[id].running {
			going = append(going, id)
		}
	}
	if len(going) > 0 {
		kinds = append(kinds, "sent", "sent", "sent", "sent", "ended", "ended")
	}
	if len(m.asked) > 0 {
		kinds = append(kinds, "left")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "ask":
		return m.ask(t)
	case "seen":
		return lease.MemberSeen{Member: anybody(t)}
	case "left":
		return lease.ClientLeft{Request: rapid.SampledFrom(slices.Sorted(maps.Keys(m.asked))).Draw(t, "request")}
	case "sent", "ended":
		id := rapid.SampledFrom(going).Draw(t, "lease")
		b := m.bodies[id]
		left := m.plans[b.pack].Size(b.fragment) - b.from - b.sent
		if left > 0 && rapid.IntRange(0, 3).Draw(t, "sends") > 0 {
			return lease.BytesSent{Lease: id, Bytes: rapid.SampledFrom([]int64{min(left, 5000), left}).Draw(t, "bytes")}
		}
		return lease.BodyEnded{Lease: id, Failed: rapid.IntRange(0, 3).Draw(t, "fails") == 0}
	case "rare":
		return m.rare(t)
	}
	return lease.WakeDue{}
}

func (m *mob) rare(t *rapid.T) lease.Event {
	pack := digest(byte(rapid.IntRange(1, lawPacks).Draw(t, "package")))
	switch rapid.IntRange(0, 6).Draw(t, "rare") {
	case 0:
		return lease.PackageWithdrawn{Package: pack}
	case 1, 2:
		return lease.PackageKnown{Package: pack, Plan: m.plans[pack], Priority: core.Priority(pack[0])}
	case 3:
		return lease.MemberLeft{Member: anybody(t)}
	case 4:
		return lease.PolicyChanged{Policy: lease.Policy{
			Fetchers: rapid.IntRange(0, 6).Draw(t, "fetchers"),
			Rate:     rapid.SampledFrom([]int64{0, 1, 100_000}).Draw(t, "rate"),
		}}
	case 5:
		index := core.FragmentIndex(rapid.IntRange(0, lawFragments-1).Draw(t, "fragment"))
		return lease.ServedOutside{Package: pack, Fragment: index, Bytes: m.plans[pack].Size(index)}
	}
	if !m.islands {
		return lease.Restarted{Torn: rapid.Bool().Draw(t, "torn")}
	}
	event := lease.IslandDeclared{Member: anybody(t)}
	for range rapid.IntRange(0, 2).Draw(t, "met") {
		event.With = append(event.With, name(rapid.IntRange(1, lawMembers+1).Draw(t, "other")))
	}
	return event
}

// TestLaws holds a Site to the watcher's laws, whatever members say and in whatever order.
func TestLaws(t *testing.T) {
	for _, islands := range []bool{false, true} {
		t.Run(map[bool]string{false: "one island", true: "islands"}[islands], func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { checkLaws(t, islands) })
		})
	}
}

func checkLaws(t *rapid.T, islands bool) {
	m := &mob{watcher: newWatcher(t, 7), islands: islands}
	if islands { // only the Site knows who is in which
		m.watcher.islands = func(id id.Peer) string { return id.String() + string(id[31:]) }
	}
	p, err := fragment.NewPlan(lawFragments*16*kib-100, 16*kib)
	if err != nil {
		t.Fatal(err)
	}
	for number := range byte(lawPacks) {
		m.step(lease.PackageKnown{Package: digest(number + 1), Plan: p, Priority: core.Priority(number + 1)})
	}
	for range rapid.IntRange(1, 150).Draw(t, "steps") {
		gap := rapid.SampledFrom([]time.Duration{
			0, 0, 0, time.Millisecond, 100 * time.Millisecond, second, 4 * second, 9 * second, 3 * minute,
		}).Draw(t, "gap")
		m.pass(gap)
		m.step(m.event(t))
	}
	// What is left is answered, and what runs ends, without anybody's help.
	for range 200 {
		wake, due := m.site.NextWake()
		if !due {
			break
		}
		m.now = wake
		m.step(lease.WakeDue{})
	}
	if _, due := m.site.NextWake(); due || len(m.asked) > 0 {
		m.fail("%d requests are left", len(m.asked))
	}
	for _, b := range m.bodies {
		if b.running && !b.reset {
			m.fail("a body of %v runs for ever", b.member)
		}
	}
	m.checkLedger()
}

// pass lets time pass, with the wakes that come due.
func (w *watcher) pass(gap time.Duration) {
	w.t.Helper()
	end := w.now.Add(gap)
	for {
		wake, due := w.site.NextWake()
		if !due || wake.After(end) {
			break
		}
		w.now = wake
		w.step(lease.WakeDue{})
	}
	w.now = end
}

// checkLedger ends all bodies and compares the ledger's sums with the Site's, and with those of one that
// replays it.
func (w *watcher) checkLedger() {
	w.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(w.bodies)) {
		if w.bodies[id].running {
			w.step(lease.BodyEnded{Lease: id, Failed: true})
		}
	}
	replayed := lease.New(random(1))
	for pack, plan := range w.plans {
		replayed.Step(w.now, lease.PackageKnown{Package: pack, Plan: plan})
	}
	replayed.Replay(w.entries)
	for pack := range w.plans {
		totals, _ := w.site.Totals(pack)
		if summed := w.summed(pack); summed != totals {
			w.fail("the ledger says %+v, the site %+v", summed, totals)
		}
		if again, _ := replayed.Totals(pack); again != totals {
			w.fail("replayed %+v, the site %+v", again, totals)
		}
	}
}
