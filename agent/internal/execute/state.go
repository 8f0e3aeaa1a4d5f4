package execute

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"enjambre/core"
	"enjambre/core/outcome"
)

// A Phase is how far a job is.
type Phase string

// The phases, in their order.
const (
	None        Phase = "none"        // not ordered, or withdrawn: nothing has run
	Ordered     Phase = "ordered"     // not begun: nothing has run, and a shim may be started, again too
	Running     Phase = "running"     // the shim lives, or has died and its command lives
	Interrupted Phase = "interrupted" // begun and over, and nobody knows how far it came
	Ended       Phase = "ended"       // there is a result
)

// A State is what a job's folder says.
type State struct {
	Phase  Phase
	Result Result // when Ended; when Interrupted, what to report if it is not run again
}

// A record is what "started" holds.
type record struct {
	Shim  process   `json:"shim"`
	Until time.Time `json:"until"` // from then on the command does not count as running without the shim
}

func readStarted(folder string) (record, error) {
	var started record
	return started, readJSON(folder, startedFile, &started)
}

// isWithdrawn reports whether it is not a shim's record but the order, put in its place by [Withdraw].
func (r record) isWithdrawn() bool { return r.Shim == process{} }

// orphanGrace is how much longer than its time limit a command may live whose shim is dead.
const orphanGrace = time.Minute

// Look returns a job's state. It never changes anything, and may be called at any time. With an error, such
// as a damaged file, the phase is Running if the error leaves open whether it is, else None.
func Look(folder string) (State, error) {
	if _, err := os.Stat(filepath.Join(folder, orderFile)); errors.Is(err, fs.ErrNotExist) {
		return State{Phase: None}, nil
	} else if err != nil {
		return State{Phase: Running}, fmt.Errorf("look at job: %w", err)
	}
	state, found, err := ended(folder)
	if found || err != nil {
		return state, err
	}
	started, err := readStarted(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return State{Phase: Ordered}, nil
	case err != nil:
		return State{Phase: Running}, fmt.Errorf("look at job: %w", err)
	case started.isWithdrawn():
		return State{Phase: None}, nil
	case started.Shim.alive() || orphaned(folder, started):
		return State{Phase: Running}, nil
	}
	// The shim may have written its result and ended since we looked for it.
	state, found, err = ended(folder)
	if found || err != nil {
		return state, err
	}
	return State{Phase: Interrupted, Result: interrupted(folder)}, nil
}

// ended reads the result, if there is one.
func ended(folder string) (state State, found bool, err error) {
	err = readJSON(folder, resultFile, &state.Result)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return State{}, false, nil
	case err != nil:
		return State{Phase: None}, false, fmt.Errorf("look at job: %w", err)
	}
	state.Phase = Ended
	return state, true, nil
}

// orphaned reports whether the command of a dead shim goes on.
func orphaned(folder string, started record) bool {
	var command process
	if err := readJSON(folder, commandFile, &command); err != nil {
		return false // it was not started, or the power failed
	}
	return command.alive() && time.Now().Before(started.Until)
}

// interrupted is what can be said about a job that was begun and not finished.
func interrupted(folder string) Result {
	return Result{
		Text: string(outcome.Execute), Class: core.ClassInterrupt, Output: readOutput(folder),
		Detail: "a crash or a restart ended the command, or what watched it; how far it came is unknown",
	}
}

// How Wait looks: often at first, since most commands are short.
const (
	minPause   = 20 * time.Millisecond
	maxPause   = time.Second
	startGrace = 30 * time.Second // for a shim to begin, on a busy computer
)

// Wait waits for a job's end and returns its state: Ended or Interrupted; Ordered if no shim has begun it
// within 30 s, or its shim has ended without; None if there is no order. shimEnded is what [Launch]
// returned; with it Wait notices the end at once, without it (nil) within a second. It returns ctx's error
// when ctx ends, and leaves the job alone.
func Wait(ctx context.Context, folder string, shimEnded <-chan struct{}) (State, error) {
	pause := minPause
	for begun := time.Now(); ; pause = min(2*pause, maxPause) {
		over := false
		select {
		case <-shimEnded:
			over = true
		default:
		}
		state, err := Look(folder)
		isPending := state.Phase == Ordered && !over && time.Since(begun) < startGrace
		if err != nil || state.Phase != Running && !isPending {
			return state, err
		}
		timer := time.NewTimer(pause)
		if over {
			shimEnded = nil // its command goes on without it
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return state, context.Cause(ctx)
		case <-shimEnded:
			timer.Stop()
		case <-timer.C:
		}
	}
}
