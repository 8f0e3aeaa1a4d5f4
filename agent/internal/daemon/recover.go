package daemon

import (
	"os"
	"slices"

	"enjambre/agent/internal/durable"
	"enjambre/agent/internal/execute"
	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/plan"
	"enjambre/agent/internal/state"
	"enjambre/core"
	"enjambre/core/cycle"
)

// maxInterrupted is how often a package that may be run again is, after interruptions.
const maxInterrupted = 2

// resume finds out what became of the commands that were intended when the agent last ended, and returns what the
// plan must know, and the attempts whose commands still run.
func (d *daemon) resume() (plan.Resumed, []ledger.Attempt, error) {
	var running []ledger.Attempt
	jobs := map[string]bool{}
	for _, attempt := range d.ledger.At(ledger.Intended) {
		runs, err := d.settle(attempt)
		if err != nil {
			return plan.Resumed{}, nil, err
		}
		if runs {
			jobs[attempt.Nonce] = true
			running = append(running, attempt)
		}
	}
	if err := d.sweepJobs(jobs); err != nil {
		return plan.Resumed{}, nil, err
	}
	if err := durable.RemoveTemps(d.options.State.Path()); err != nil {
		d.options.Log.Warn("what a crash left half written cannot be removed", "reason", err)
	}
	resumed := plan.Resumed{Answered: d.memory.Answered, Origin: d.memory.Origin}
	for _, attempt := range running {
		resumed.Running = append(resumed.Running, attempt.Package)
	}
	for _, assignment := range d.memory.Assignments {
		attempt, known := d.ledger.Last(assignment.Package)
		if known && attempt.Stage != ledger.Intended && attempt.Number > assignment.Attempts {
			continue // it has ended; the computer stopped before it was taken off the list
		}
		resumed.Assignments = append(resumed.Assignments, assignment)
	}
	for _, id := range d.vault.IDs() {
		assigned := slices.ContainsFunc(resumed.Assignments, func(a plan.Assignment) bool { return a.Package == id })
		kept, err := d.resumeKept(id, assigned)
		if err != nil {
			return plan.Resumed{}, nil, err
		}
		if kept {
			continue
		}
		resumed.Stored = append(resumed.Stored, infoStored(d.vault.Find(id)))
	}
	return resumed, running, nil
}

// settle finds out what became of an intended command, and reports whether it still runs.
//
//	no shim was told to begin         nothing ran: it is run when its turn comes
//	the shim says it did not begin    the same
//	the shim is alive                 it is waited for
//	a result                          that is the result
//	none of these, whatever is left   nobody knows: what the package says, to report it or to run it again
//	a file that is damaged            nobody knows: it is reported
func (d *daemon) settle(attempt ledger.Attempt) (runs bool, err error) {
	status, err := execute.Look(d.job(attempt), attempt.Shim)
	if err != nil { // the same at each start: it must not keep all the others from being run
		d.options.Log.Error("what became of a command cannot be read", "package", attempt.Package, "reason", err)
		err = d.note(attempt.Package, unknowable(err))
		return false, err
	}
	log := d.options.Log.With("package", attempt.Package, "attempt", attempt.Number)
	switch status.Phase {
	case execute.None:
		if attempt.Shim != "" {
			_, err = d.ledger.Intend(attempt.Package, attempt.Info) // before the shim's word of it is swept away
		}
		return false, err
	case execute.Running:
		log.Info("a command that was running still does")
		return true, nil
	case execute.Ended:
		log.Info("a command has ended while the agent was not running")
		err = d.note(attempt.Package, resultOf(status.Result))
		return false, err
	case execute.Interrupted:
		if d.mayRepeat(attempt) {
			log.Warn("a command was interrupted; it will be run again")
			_, err = d.ledger.Interrupt(attempt.Package)
			return false, err
		}
		log.Error("a command was interrupted; nobody knows how far it came")
		err = d.note(attempt.Package, resultOf(status.Result))
		return false, err
	}
	return false, nil
}

// mayRepeat reports whether an interrupted command is run again, at most maxInterrupted times: if the package says so,
// or if it only stores files, which is the same the second time.
func (d *daemon) mayRepeat(attempt ledger.Attempt) bool {
	p := d.vault.Find(attempt.Package)
	return attempt.Interrupted < maxInterrupted && p != nil && p.InfoDigest() == attempt.Info && (p.Info().Retry || p.Info().Action == core.Store)
}

// job returns the folder of an attempt's command.
func (d *daemon) job(attempt ledger.Attempt) string {
	return d.options.State.Path(jobsName, attempt.Nonce)
}

// sweepJobs removes the folders of commands that do not run.
func (d *daemon) sweepJobs(running map[string]bool) error {
	folder := d.options.State.Path(jobsName)
	if err := os.MkdirAll(folder, 0o711); err != nil {
		return err
	}
	// Commands that give up root must get to their folder through these two. Nobody but their owner can list them, and
	// what lies there otherwise is its owner's alone.
	for _, way := range []string{d.options.State.Path(), folder} {
		if err := os.Chmod(way, 0o711); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if running[entry.Name()] {
			continue
		}
		if err := execute.Remove(d.options.State.Path(jobsName, entry.Name())); err != nil {
			d.options.Log.Warn("a command's folder cannot be removed", "folder", entry.Name(), "reason", err)
		}
	}
	return nil
}

// remember takes over what was assigned. What cannot be read is forgotten: the server lists it again.
func (d *daemon) remember() {
	before := memory{Conf: cycle.DefaultOptions()}
	kept, err := state.Recall(d.options.State, workName, before)
	if err == nil {
		err = kept.Conf.Validate()
	}
	if err != nil {
		d.options.Log.Error("what was assigned is forgotten", "reason", err)
		kept = before
	}
	d.memory = kept
}
