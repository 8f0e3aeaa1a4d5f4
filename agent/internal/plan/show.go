package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/cycle"
	"enjambre/core/ocs"
)

// A Task is where one package stands, for display.
type Task struct {
	Package    core.PackageID `json:"package"`
	Priority   core.Priority  `json:"priority"` // while it is not Known, as the server said it, or 0
	Known      bool           `json:"known"`    // its info file is there; otherwise the counts mean nothing
	Phase      ocs.Phase      `json:"phase"`
	Have       int            `json:"have"` // fragments
	Of         int            `json:"of"`
	Running    bool           `json:"running,omitempty"`
	NeverOpens bool           `json:"neverDue,omitempty"`     // its priority exceeds the period's length
	OpensIn    int            `json:"opensInCycle,omitempty"` // when its turn is closed
	OpensAt    time.Time      `json:"opensAt,omitzero"`       // at the earliest, while the running cycle pauses
	Waits      string         `json:"waits,omitempty"`        // for what is more urgent, and why
	RunAfter   time.Time      `json:"runAfter,omitzero"`
	Problem    string         `json:"problem,omitempty"` // the last one
}

// Tasks returns where all packages stand, in order of their IDs.
func (p *Plan) Tasks() []Task {
	turns := map[core.PackageID]int{}
	all := p.schedule.Turns()
	for i, turn := range all {
		turns[turn.ID] = i
	}
	tasks := []Task{}
	for _, id := range slices.Sorted(maps.Keys(p.tasks)) {
		t := p.tasks[id]
		if t.dropped {
			continue
		}
		shown := Task{
			Package: id, Priority: t.priority, Known: t.download != nil, Phase: t.phase, Running: t.running,
			RunAfter: t.RunAfter, Problem: t.problem,
		}
		if t.download != nil {
			shown.Of = t.download.Size()
			shown.Have = shown.Of - t.download.Missing()
		}
		if at, scheduled := turns[id]; scheduled {
			shown.NeverOpens, shown.OpensIn, shown.OpensAt = all[at].NeverOpens, all[at].OpensIn, all[at].OpensAt
			shown.Waits = p.waits(all[at])
		}
		tasks = append(tasks, shown)
	}
	return tasks
}

// waits says what more urgent package keeps another from going on, and why; "" if none does.
func (p *Plan) waits(turn cycle.Turn) string {
	t := p.tasks[turn.WaitsFor]
	if t == nil || turn.NeverOpens || turn.Running {
		return ""
	}
	text := fmt.Sprintf("waits for package %v of priority %v", t.Package, t.priority)
	if t.download == nil {
		text += ", whose info file is not there yet"
	} else {
		text += fmt.Sprintf(", of which %d of %d fragments are there", t.download.Size()-t.download.Missing(), t.download.Size())
	}
	if t.problem != "" {
		text += " (" + t.problem + ")"
	}
	return text
}

// Progress returns what the server is told of it.
func (p *Plan) Progress() ocs.Progress {
	var progress ocs.Progress
	for _, task := range p.Tasks() {
		if len(progress.Packages) < ocs.MaxPacks {
			progress.Packages = append(progress.Packages, ocs.PackageProgress{
				Package: task.Package, Phase: task.Phase, Have: task.Have, Of: task.Of, Problem: task.Problem,
			})
		}
	}
	return progress
}

// NextContact returns when the server is called next, and how often in a row that has failed.
func (p *Plan) NextContact() (at time.Time, failures int) { return p.calls.Next(), p.calls.Failures() }

// Downloads reports whether fragments are on their way or wanted.
func (p *Plan) Downloads() bool {
	for _, t := range p.tasks {
		if t.download != nil && t.download.Missing() > 0 && !t.gone && !t.expired && !p.conf.Paused {
			return true
		}
	}
	return false
}

// Answered returns when the server last answered a contact; zero if never.
func (p *Plan) Answered() time.Time { return p.answeredAt }

// Cycle returns the running cycle's number, 0 while the schedule stands still.
func (p *Plan) Cycle() int { return p.schedule.Cycle() }

// Unreported returns how many results the server has not acknowledged.
func (p *Plan) Unreported() int { return p.unreported }

// Heard reports whether a contact was answered since the start.
func (p *Plan) Heard() bool { return p.heard }

// Idle reports whether there is nothing left to do: no package, no result to report, no exchange under way.
func (p *Plan) Idle() bool { return len(p.tasks) == 0 && p.unreported == 0 && !p.talking }

// Stuck reports whether packages are left and none of them can ever be due: each has a priority above the
// period's length or is withdrawn at the origin, or deployment is switched off.
func (p *Plan) Stuck() bool {
	if len(p.tasks) == 0 || p.unreported > 0 || p.talking {
		return false
	}
	for _, t := range p.tasks {
		waits := t.download != nil && p.conf.NeverOpens(t.priority) || p.conf.Paused || t.gone
		if t.running || t.expired || !waits {
			return false
		}
	}
	return true
}
