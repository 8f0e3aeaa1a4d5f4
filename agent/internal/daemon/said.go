package daemon

import (
	"cmp"
	"context"
	"slices"

	"enjambre/agent/internal/plan"
	"enjambre/peer/pulse"
	"enjambre/peer/wire"
)

// lookAtTasks tells the pulse when the packages are farther than it was told.
func (d *daemon) lookAtTasks(ctx context.Context) {
	tasks := d.plan.Tasks()
	if slices.EqualFunc(tasks, d.following.tasks, func(a, b plan.Task) bool {
		return a.Package == b.Package && a.Phase == b.Phase && a.Have == b.Have && a.Of == b.Of
	}) {
		return
	}
	d.following.tasks = tasks
	d.pulse(ctx, pulse.Progressed{Open: len(tasks) > 0})
}

// mostUrgent returns what is said to reporters: of the most urgent packages, in order of their IDs.
func mostUrgent(tasks []plan.Task) []wire.PackageProgress {
	slices.SortStableFunc(tasks, func(a, b plan.Task) int { return cmp.Compare(a.Priority, b.Priority) })
	tasks = tasks[:min(len(tasks), wire.MaxTold)]
	slices.SortFunc(tasks, func(a, b plan.Task) int { return cmp.Compare(a.Package, b.Package) })
	var packages []wire.PackageProgress
	for _, task := range tasks {
		packages = append(packages, wire.PackageProgress{
			Package: task.Package, Phase: task.Phase, Have: uint32(task.Have), Of: uint32(task.Of),
		})
	}
	return packages
}

// said tells what other members say of their packages; nil when nothing is followed.
func (d *daemon) said() <-chan wire.Progress {
	if d.following.site == nil {
		return nil
	}
	return d.following.site.Said()
}

// collect keeps what a member says for the server.
func (d *daemon) collect(ctx context.Context, said wire.Progress) {
	c := &d.following.collection
	if waited := c.Waiting(); d.following.pulse != nil && c.Take(d.clock.now(), said) && !waited {
		d.stepQueue(ctx) // the server is to be asked sooner
	}
}
