package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"enjambre/agent/internal/config"
	"enjambre/agent/internal/daemon"
	"enjambre/agent/internal/state"
)

// How a service that cannot work waits.
const (
	firstPause = 5 * time.Second
	maxPause   = 5 * time.Minute
	lookEvery  = 5 * time.Second // whether a file was put right
	sayEvery   = time.Hour       // that the log has the same reason again
)

// A stay keeps a service alive whatever is wrong with its files: a program that ends is started again every few seconds
// by the service manager, and tells nobody why. All fields are required.
type stay struct {
	attempt func(context.Context) error                                      // works until it cannot, or ctx ends
	failed  func(reason error, isNews bool, again time.Time) (tidyUp func()) // shows why it waits, until tidyUp
	look    func() string                                                    // differs when a file has changed
}

// run makes attempts until ctx ends: after a pause that grows, or as soon as a file has changed. A wrong command line and
// another agent that runs with the same folder end it at once: no file is to be mended.
func (s stay) run(ctx context.Context) error {
	pause, reason, said := firstPause, "", time.Time{}
	for {
		began := time.Now()
		err := s.attempt(ctx)
		var usage *usageError
		if err == nil || ctx.Err() != nil || errors.As(err, &usage) || errors.Is(err, state.ErrRunning) {
			return err
		}
		if time.Since(began) > maxPause { // it worked for a while
			pause = firstPause
		}
		now := time.Now()
		isNews := err.Error() != reason || now.Sub(said) >= sayEvery
		if isNews {
			reason, said = err.Error(), now
		}
		tidyUp := s.failed(err, isNews, now.Add(pause))
		s.wait(ctx, pause)
		tidyUp()
		if ctx.Err() != nil {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

// wait returns after the pause, when a file has changed, or when ctx ends.
func (s stay) wait(ctx context.Context, pause time.Duration) {
	before := s.look()
	for end := time.Now().Add(pause); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(lookEvery, time.Until(end))):
		}
		if s.look() != before {
			return
		}
	}
}

// serve is the service: it works, and where it cannot, says why in its log and status and tries again.
func (p *program) serve(ctx context.Context, f runFlags) error {
	err := stay{
		attempt: func(ctx context.Context) error { return p.work(ctx, f) },
		failed: func(reason error, isNews bool, again time.Time) func() {
			return p.showTrouble(f, reason, isNews, again)
		},
		look: f.look,
	}.run(ctx)
	if ctx.Err() != nil {
		return nil // a service that was asked to end has done what it should
	}
	return err
}

// showTrouble says in log and status why the service does not work, as the one agent of its folder.
func (p *program) showTrouble(f runFlags, reason error, isNews bool, again time.Time) (tidyUp func()) {
	settings := f.settingsOrDefault()
	log, closeLog, logErr := p.serviceLog(settings)
	if isNews {
		log.Error("the agent cannot work; it tries again, and as soon as a file of it changes", "reason", reason,
			"again", again.Round(time.Second))
	}
	folder, err := state.Find(settings.State)
	if err != nil {
		return func() { _ = closeLog() }
	}
	unlock, err := folder.Lock()
	if err != nil { // another agent runs, whose status it is
		return func() { _ = closeLog() }
	}
	status := daemon.Status{Process: os.Getpid(), Started: time.Now(), LastProblem: errors.Join(reason, logErr).Error()}
	if err := folder.Publish(daemon.StatusName, status); err != nil {
		log.Warn("the status cannot be shown", "reason", err)
	}
	return func() {
		unlock()
		_ = closeLog() // what it holds is written
	}
}

// settingsOrDefault returns the settings, or where they cannot be read, what holds without a file.
func (f runFlags) settingsOrDefault() config.Config {
	settings, err := f.settings()
	if err == nil {
		return settings
	}
	settings = config.Default()
	settings.State = f.state
	if folder, err := settings.Folder(); err == nil {
		settings.State = folder
	}
	return settings
}

// look returns what the agent's files look like. It leaves out what a waiting service writes itself.
func (f runFlags) look() string {
	var seen strings.Builder
	see := func(name string, isFolder bool) {
		stat, err := os.Stat(name)
		switch {
		case err != nil:
			fmt.Fprintln(&seen, name, err)
		case isFolder: // whose time changes with everything in it
			fmt.Fprintln(&seen, name, stat.Mode(), ownerOf(stat))
		default:
			fmt.Fprintln(&seen, name, stat.Mode(), stat.Size(), stat.ModTime())
		}
	}
	if file, err := f.file(); err == nil && file != "" {
		see(file, false)
	}
	settings := f.settingsOrDefault()
	see(settings.State, true)
	entries, err := os.ReadDir(settings.State)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(&seen, err)
	}
	for _, entry := range entries { // some twenty
		switch name := entry.Name(); {
		case name == "lock", name == "pid", name == daemon.StatusName+".json", strings.HasPrefix(name, "."),
			strings.HasSuffix(name, ".log"):
		default:
			see(settings.State+string(os.PathSeparator)+name, entry.IsDir())
		}
	}
	return seen.String()
}

// log opens the log. The service does without its file where that cannot be written to.
func (p *program) log(settings config.Config, service bool) (log *slog.Logger, done func() error, err error) {
	if !service {
		return openLog(settings, false, p.stderr)
	}
	log, done, problem := p.serviceLog(settings)
	if problem != nil {
		log.Warn("the log goes to the standard error output alone", "reason", problem)
	}
	return log, done, nil
}

// serviceLog opens the log of a service: one that cannot be written to does not keep it from its work, and the standard
// error output, which a service manager keeps too, must do.
func (p *program) serviceLog(settings config.Config) (log *slog.Logger, done func() error, problem error) {
	log, done, problem = openLog(settings, true, p.stderr)
	if problem == nil {
		return log, done, nil
	}
	settings.LogFile = ""
	log, done, _ = openLog(settings, true, p.stderr) // opens no file
	return log, done, problem
}
