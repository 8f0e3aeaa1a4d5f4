package daemon

import (
	"os"
	"slices"
	"testing"

	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/plan"
	"enjambre/core"
)

// TestSources: what members sent is told with the progress and noted with the result, and a start goes on counting.
func TestSources(t *testing.T) {
	d := newDaemon(t)
	d.known.Device = "pc-2026-01-01-00-00-00"
	d.plan.Step(d.clock.now(), plan.Resumed{Assignments: []plan.Assignment{
		{Package: id, NotifiedAt: d.clock.now()}, {Package: id + 1, NotifiedAt: d.clock.now()},
	}})
	d.swarm.sources.add(id, 0, 40)
	d.swarm.sources.add(id+1, 7, 0)
	d.swarm.sources.add(id, 5, 2)
	for _, sent := range []int64{512, 2560, 1536, 0, -1} { // it may take back what a body did not bring
		d.swarm.sources.site(id, sent, 1536)
	}
	d.swarm.sources.site(id+1, 512, 0)
	told := d.toldProgress().Packages
	if len(told) != 2 || told[0].Shared != 42 || told[1].Shared != 0 {
		t.Errorf("told %+v", told)
	}
	d.show()
	d.publish()

	again := &daemon{options: d.options, known: d.known, ledger: d.ledger}
	again.resumeSources()
	if got, want := again.swarm.sources.all(), []Source{{id, 5, 42, 1}, {id + 1, 7, 0, 0}}; !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	again.swarm.sources.add(id, 0, 8)
	if err := again.note(id, ledger.Result{Text: "SUCCESS_0"}); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.ledger.Last(id); got.Result.Shared != 50 {
		t.Errorf("noted %+v", got)
	}

	again.known.Device = "other-2026-01-01-00-00-00" // enrolled anew
	again.swarm.sources = sources{}
	again.resumeSources()
	if got := again.swarm.sources.all(); len(got) != 0 {
		t.Errorf("of another computer: got %+v", got)
	}
}

// TestSourcesLost: a status that cannot be read costs the counts, and nothing else.
func TestSourcesLost(t *testing.T) {
	for _, content := range []string{"", "{", `{"newer":1}`, `{"sources":[{"package":"7","members":-5}]}`} {
		d := newDaemon(t)
		if err := os.WriteFile(d.options.State.Path(StatusName+".json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		d.resumeSources()
		d.swarm.sources.add(7, 0, 3)
		if got := d.swarm.sources.members(7); got != 3 {
			t.Errorf("%s: got %d bytes", content, got)
		}
	}
}

// TestSourcesBound: the oldest packages go.
func TestSourcesBound(t *testing.T) {
	var s sources
	for i := range core.PackageID(maxSources + 3) {
		s.add(i+1, 1, 1)
	}
	if got := s.all(); len(got) != maxSources || got[0].Package != 4 || s.members(3) != 0 || s.members(4) != 1 {
		t.Errorf("got %d packages from %s on", len(got), got[0].Package)
	}
}
