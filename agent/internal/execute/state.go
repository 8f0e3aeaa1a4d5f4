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
	None        Phase = "none"        // nothing has run, and no shim will ever begin it
	Running     Phase = "running"     // the shim lives, or has died and its command lives
	Interrupted Phase = "interrupted" // begun perhaps, and over; nobody knows how far it came
	Ended       Phase = "ended"       // there is a result
)

// A State is what is known of a job.
type State struct {
	Phase  Phase
	Result Result // when Ended; when Interrupted, what to report if it is not run again
}

// A record is what "started" holds.
type record struct {
	Shim process `json:"shim"`
}

func readStarted(folder string) (record, error) {
	var started record
	return started, readJSON(folder, startedFile, &started)
}

// orphanGrace is how much longer than its time limit a command may live whose shim is dead.
const orphanGrace = time.Minute

// Look returns a job's state. shim is the [Shim.Name] that was noted before the shim was told to begin, or "" if
// none was. It never changes anything, and may be called at any time. With an error, such as a damaged file, the
// phase is Running if the error leaves open whether it is, else None.
//
// Files of a job can vanish: commands, cleaners and backups take them away. So what is not there proves nothing once
// a shim was told to begin: that nothing has run is believed of the shim alone, which leaves word of it.
func Look(folder, shim string) (State, error) {
	state, found, damaged := ended(folder)
	if found {
		return state, nil
	}
	isNoted := shim != ""
	noted, _ := parseProcess(shim) // one that cannot be read is not alive
	started, err := readStarted(folder)
	hasBegun := isNoted || !errors.Is(err, fs.ErrNotExist)
	switch {
	case isNoted && noted.alive():
		return State{Phase: Running}, nil
	case exists(folder, declinedFile) || !hasBegun && damaged == nil:
		return State{Phase: None}, nil
	case err == nil && started.Shim.alive() || isOrphaned(folder):
		return State{Phase: Running}, nil
	}
	// The shim may have written its result and ended since we looked for it.
	if state, found, damaged = ended(folder); found || damaged != nil {
		return state, damaged
	}
	if err != nil && !isNoted {
		return State{Phase: Running}, fmt.Errorf("look at job: %w", err)
	}
	return State{Phase: Interrupted, Result: interrupted(folder)}, nil
}

// exists reports whether a job has a file.
func exists(folder, name string) bool {
	_, err := os.Lstat(filepath.Join(folder, name))
	return err == nil
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

// A commandRecord is what "command" holds.
type commandRecord struct {
	process
	// Until is from when on the command does not count as running without its shim, in time since the computer
	// started: clocks are set.
	Until time.Duration `json:"until_ns"`
}

// isOrphaned reports whether the command of a dead shim goes on.
func isOrphaned(folder string) bool {
	var command commandRecord
	if err := readJSON(folder, commandFile, &command); err != nil {
		return false // it was not started, or the power failed
	}
	return command.alive() && sinceBoot() < command.Until
}

// interrupted is what can be said about a job that was begun and not finished.
func interrupted(folder string) Result {
	return Result{
		Text: string(outcome.Execute), Class: core.ClassInterrupt, Output: readOutput(folder),
		Detail: "a crash or a restart ended the command, or what watched it, or its files were removed; how far it " +
			"came is unknown",
	}
}

// How Wait looks: often at first, since most commands are short.
const (
	minPause = 20 * time.Millisecond
	maxPause = time.Second
)

// Wait waits for a job's end and returns its state: Ended or Interrupted; None if nothing has run and nothing will.
// name is as in [Look]. shim is what [Launch] returned; with it Wait notices the end at once, without it (nil)
// within a second. It returns ctx's error when ctx ends, and leaves the job alone.
func Wait(ctx context.Context, folder, name string, shim *Shim) (State, error) {
	var over <-chan struct{}
	if shim != nil {
		over = shim.ended
	}
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		state, err := Look(folder, name)
		switch {
		case shim != nil && state.Phase != Ended && shim.hasDeclined():
			return State{Phase: None}, nil
		case err != nil || state.Phase != Running:
			return state, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return state, context.Cause(ctx)
		case <-over:
			timer.Stop()
			over = nil // its command may go on without it
		case <-timer.C:
		}
	}
}
