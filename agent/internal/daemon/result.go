package daemon

import (
	"errors"
	"fmt"

	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/plan"
	"enjambre/core"
)

// conclude notes a result without a run.
func (d *daemon) conclude(action plan.Conclude) {
	result := ledger.Result{Text: string(action.State), Detail: detail(action.Class, action.Detail)}
	if action.State.Succeeded() {
		result.Text, result.Installed = "SUCCESS_ALREADY_SETUP", true // as stock servers know it
	}
	if event := d.end(action.Package, result)(); event != nil {
		d.queue = append(d.queue, event)
	}
}

// detail joins class and reason as the server shows them.
func detail(class core.Class, reason string) string {
	switch {
	case class == "":
		return reason
	case reason == "":
		return string(class)
	}
	return string(class) + ": " + reason
}

// end notes a package's result and returns what follows from it.
func (d *daemon) end(id core.PackageID, result ledger.Result) answer {
	err := d.note(id, result)
	return func() plan.Event {
		if err != nil {
			d.broken = fmt.Errorf("result %s of package %s cannot be noted: %w", result.Text, id, err)
			return nil
		}
		d.options.Log.Info("package ended", "package", id, "text", result.Text, "detail", result.Detail)
		if !result.Installed {
			d.failed = append(d.failed, id)
		}
		d.retire(id)
		return plan.Ended{Package: id, Left: len(d.ledger.At(ledger.Ended))}
	}
}

// forget removes a package's files.
func (d *daemon) forget(id core.PackageID) {
	delete(d.unflushed, id)
	delete(d.cancels, id)
	d.letGo(id)
	if p := d.vault.Find(id); p != nil {
		d.evicted(p.InfoDigest())
	}
	if err := d.vault.Remove(id); err != nil {
		d.options.Log.Warn("files of a package cannot be removed", "package", id, "reason", err)
	}
}

// overdue says what Once had no time for, besides packages; nil if nothing.
func (d *daemon) overdue() error {
	var lines []error
	if !d.plan.Heard() && d.contacted == nil {
		lines = append(lines, fmt.Errorf("the contact with the server is not over after %v", d.options.MaxTime))
	}
	if left := d.plan.Unreported(); left > 0 && d.undelivered == nil {
		lines = append(lines, fmt.Errorf("results are not delivered after %v: %d are left", d.options.MaxTime, left))
	}
	return errors.Join(lines...)
}

// unfinished says what is left at the end of Once, or went wrong; nil if all is well.
func (d *daemon) unfinished() error {
	d.save()
	var lines []error
	if d.contacted != nil {
		lines = append(lines, d.contacted)
	}
	if d.undelivered != nil {
		lines = append(lines, fmt.Errorf("results are not delivered: %w", d.undelivered))
	}
	for _, id := range d.failed {
		attempt, _ := d.ledger.Last(id)
		lines = append(lines, fmt.Errorf("package %s: %s", id, withDetail(attempt.Result.Text, attempt.Result.Detail)))
	}
	for _, task := range d.plan.Tasks() {
		lines = append(lines, fmt.Errorf("package %s: %s", task.Package, standing(task, d.plan.Conf())))
	}
	return errors.Join(lines...)
}
