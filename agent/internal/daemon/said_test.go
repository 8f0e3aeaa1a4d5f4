package daemon

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"enjambre/agent/internal/member"
	"enjambre/agent/internal/plan"
	"enjambre/core"
	"enjambre/core/ocs"
	peerid "enjambre/peer/id"
	"enjambre/peer/owner"
	"enjambre/peer/wire"
)

// TestSay: how far packages are is said when they have begun, and not again as long as nothing changes; what others say
// waits for the server, and is forgotten with the site.
func TestSay(t *testing.T) {
	d := newDaemon(t)
	others := []owner.Member{{Peer: peerid.Peer{2}, Weight: owner.AlwaysOn}}
	fake := &fakeSite{view: member.View{Site: "lyon", Others: others}}
	d.following.site = fake
	now := d.clock.now()
	fake.contacted(1, now)
	d.followContact(t.Context())
	d.beat(t.Context())
	if len(fake.says) != 0 || d.following.busy {
		t.Errorf("with nothing to do: said %v, busy %v", fake.says, d.following.busy)
	}
	d.plan.Step(now, plan.Resumed{Assignments: []plan.Assignment{
		{Package: 8, NotifiedAt: now}, {Package: 7, NotifiedAt: now},
	}})
	for range 3 {
		d.beat(t.Context())
	}
	want := [][]wire.PackageProgress{{{Package: 7, Phase: ocs.Downloading}, {Package: 8, Phase: ocs.Downloading}}}
	if !reflect.DeepEqual(fake.says, want) {
		t.Errorf("said %v, want %v", fake.says, want)
	}
	other := wire.Progress{Peer: peerid.Peer{2}, Issued: now}
	d.collect(t.Context(), other)
	d.collect(t.Context(), other)
	if batch := d.following.collection.Batch(now); len(batch) != 1 || !d.following.busy {
		t.Errorf("%d wait, busy %v", len(batch), d.following.busy)
	}
	fake.view.Site = "paris"
	d.lookAtSite(t.Context())
	d.beat(t.Context())
	if d.following.collection.Waiting() || d.following.busy {
		t.Error("what was said at another site waits")
	}
	if len(fake.says) != 2 {
		t.Errorf("said %d times, want once to the new site", len(fake.says)-1)
	}
	fake.view.Site = ""
	d.lookAtSite(t.Context())
	d.collect(t.Context(), other)
	if d.following.collection.Waiting() {
		t.Error("something waits at no site")
	}
}

// TestMostUrgent: of many packages the most urgent are said, in order of their IDs.
func TestMostUrgent(t *testing.T) {
	var tasks []plan.Task
	for i := range 2 * wire.MaxTold {
		tasks = append(tasks, plan.Task{
			Package: core.PackageID(1000 - i), Priority: core.Priority(i % 2), Phase: ocs.Installing, Have: 3, Of: 4,
		})
	}
	got := mostUrgent(tasks)
	first := wire.PackageProgress{Package: 1000 - 2*wire.MaxTold + 2, Phase: ocs.Installing, Have: 3, Of: 4}
	if len(got) != wire.MaxTold || got[0] != first {
		t.Errorf("got %d, the first %+v", len(got), got[0])
	}
	if !slices.IsSortedFunc(got, func(a, b wire.PackageProgress) int { return int(a.Package - b.Package) }) {
		t.Errorf("not in order: %v", got)
	}
	progress := wire.Progress{Peer: peerid.Peer{1}, Issued: time.Unix(1, 0), Packages: got}
	if _, err := wire.Append(nil, progress); err != nil {
		t.Error(err)
	}
}
