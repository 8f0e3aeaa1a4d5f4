package daemon

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"enjambre/agent/internal/execute"
	"enjambre/agent/internal/failpoint"
	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/notify"
	"enjambre/agent/internal/plan"
	"enjambre/agent/internal/unpack"
	"enjambre/agent/internal/vault"
	"enjambre/core"
	"enjambre/core/archive"
	"enjambre/core/command"
	"enjambre/core/info"
	"enjambre/core/outcome"
)

// How long a run waits before it is tried again.
const (
	noSpacePause = 10 * time.Minute
	noUserPause  = time.Minute
	userDelay    = 4 * time.Hour // T10: the user's delay is never shorter
	jobPause     = time.Minute   // when the agent's own files are in the way
)

// A postponement says why a package is not run now.
type postponement struct {
	pause   time.Duration
	problem string // "" if nothing is wrong
	delayed bool   // by the user
}

// Error says the problem.
func (p *postponement) Error() string { return p.problem }

// run runs a package whose fragments are all there: ask the user, hash all of it once more, note the intent,
// unpack, hand over to the shim, wait, note the result. Until the command is handed over, the end of before cancels
// the run. The user comes first: an answer can take days, in which the disk can change, and to find nobody, every
// minute, must not cost reading the archive.
func (d *daemon) run(ctx, before context.Context, assignment plan.Assignment, execTime time.Duration) answer {
	id := assignment.Package
	p := d.vault.Find(id)
	if p == nil {
		return d.notRun(before, id, &postponement{pause: jobPause, problem: "its files are gone"})
	}
	session, err := d.consent(before, p.Info(), assignment.Delays)
	if err != nil {
		return d.notRun(before, id, err)
	}
	if err := p.Rehash(before); err != nil {
		return d.notWhole(before, p, err)
	}
	attempt, err := d.ledger.Intend(id, p.InfoDigest())
	if err != nil {
		return d.unnoted(id, err)
	}
	failpoint.Hit("daemon.after_intent")
	shim, err := d.handOver(before, p, attempt, execTime, session)
	if err != nil {
		return d.notRun(before, id, errors.Join(err, execute.Remove(d.job(attempt))))
	}
	if attempt, err = d.ledger.Launch(id, shim.Name()); err != nil {
		shim.Dismiss()
		return d.unnoted(id, err)
	}
	failpoint.Hit("daemon.after_launched")
	if err := shim.Begin(); err != nil {
		return d.notBegun(before, attempt, err)
	}
	done := d.finish(ctx, attempt, shim)
	if text := p.Info().Completion; text != "" && session != nil {
		d.effects.Go(func() { d.tell(ctx, id, *session, text) }) // nothing waits until the user has read it
	}
	return done
}

// windowTitle is what windows for the user are called.
const windowTitle = "Software installation"

// tell shows a package's closing text.
func (d *daemon) tell(ctx context.Context, id core.PackageID, session notify.Session, text string) {
	if err := notify.Tell(ctx, session, windowTitle, text); err != nil && ctx.Err() == nil {
		d.options.Log.Warn("the closing text cannot be shown", "package", id, "reason", err)
	}
}

// notWhole answers a run whose archive is not what it should be.
func (d *daemon) notWhole(ctx context.Context, p *vault.Package, err error) answer {
	id := p.Info().ID
	if core.ClassOf(err) != core.ClassHash {
		return d.notRun(ctx, id, &postponement{pause: jobPause, problem: err.Error()})
	}
	if p.Missing() == 0 { // every fragment is as signed, and the whole is not: no repetition helps
		return d.end(id, ledger.Result{Text: string(outcome.BadDigest), Detail: detail(core.ClassHash, err.Error())})
	}
	held := p.Held()
	return func() plan.Event {
		d.options.Log.Warn("the disk does not hold what was stored", "package", id, "reason", err)
		return plan.FragmentsLost{Package: id, Held: held}
	}
}

// notRun answers a run that came to nothing: postponed, or ended with a result.
func (d *daemon) notRun(ctx context.Context, id core.PackageID, err error) answer {
	var later *postponement
	if ctx.Err() != nil { // the agent stops, or the package is not wanted any more
		later = &postponement{pause: jobPause}
	}
	if later != nil || errors.As(err, &later) {
		return func() plan.Event {
			if later.problem != "" {
				d.options.Log.Warn("package not run yet", "package", id, "reason", later.problem)
			}
			return plan.RunPostponed{
				Package: id, Until: d.clock.now().Add(later.pause), Problem: later.problem, Delayed: later.delayed,
			}
		}
	}
	state := outcome.Execute
	var final *finalError
	if errors.As(err, &final) {
		state = final.state
	}
	return d.end(id, ledger.Result{Text: string(state), Detail: detail(core.ClassOf(err), err.Error())})
}

// consent tells the user what is about to happen, and returns the desktop that the command runs on, if it needs
// one or the user was told something.
func (d *daemon) consent(ctx context.Context, i *info.Info, delays int) (*notify.Session, error) {
	if i.Notice.Text == "" && !i.Interactive && i.Completion == "" {
		return nil, nil
	}
	session, found, err := notify.Active(ctx)
	switch {
	case err != nil && i.Interactive:
		return nil, &postponement{pause: noUserPause, problem: "it needs a user's desktop: " + err.Error()}
	case !found && i.Interactive:
		return nil, &postponement{pause: noUserPause, problem: "it needs a user's desktop, and nobody is logged on"}
	case err != nil || !found: // nobody to ask: it goes on at once
		return nil, nil
	case i.Notice.Text == "":
		return &session, nil
	}
	question := notify.Question{
		Title: windowTitle, Text: i.Notice.Text, Countdown: i.Notice.Countdown, MayCancel: i.Notice.MayCancel,
		MayDelay: i.Notice.MayDelay && delays < i.Notice.MaxDelays, DelaysLeft: max(i.Notice.MaxDelays-delays, 0),
	}
	answer, err := notify.Ask(ctx, session, question)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		d.options.Log.Warn("the user cannot be told", "package", i.ID, "reason", err)
	case answer == notify.Cancel:
		return nil, &finalError{outcome.Aborted, errors.New("the user cancelled it")}
	case answer == notify.Delay:
		return nil, &postponement{pause: userDelay, delayed: true}
	}
	return &session, nil
}

// handOver unpacks the archive, writes the order and starts the shim, which waits for the word to begin. After an error
// nothing has run.
func (d *daemon) handOver(ctx context.Context, p *vault.Package, attempt ledger.Attempt, execTime time.Duration,
	session *notify.Session) (shim *execute.Shim, err error) {
	i, folder := p.Info(), d.job(attempt)
	if err := execute.Make(folder); err != nil {
		return nil, &postponement{pause: jobPause, problem: err.Error()}
	}
	if i.Archive != nil {
		if err := unpackTo(ctx, p, execute.StageFolder(folder)); err != nil {
			return nil, err
		}
	}
	failpoint.Hit("daemon.after_unpack")
	order := execute.Order{
		Package: i.ID, Nonce: attempt.Nonce, OS: i.OS, Action: i.Action, Target: i.Target, Stage: i.Archive != nil,
		TimeLimit: timeLimit(i, execTime), Codes: i.Codes(), Site: d.known.Site,
		Forbidden: []string{d.options.State.Path()},
	}
	if i.Interactive {
		order.Session = session
	}
	if err := execute.Create(folder, order); err != nil {
		return nil, &postponement{pause: jobPause, problem: err.Error()}
	}
	failpoint.Hit("daemon.after_order")
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.options.Log.Info("package runs", "package", i.ID, "action", i.Action, "attempt", attempt.Number)
	shim, err = execute.Launch(d.options.Program, folder)
	if err != nil {
		return nil, &postponement{pause: jobPause, problem: err.Error()}
	}
	return shim, nil
}

// unpackTo unpacks a package's archive.
func unpackTo(ctx context.Context, p *vault.Package, folder string) error {
	i := p.Info()
	source, size := p.Archive()
	options := unpack.Options{}
	if i.Action == core.Launch {
		if line, err := command.Parse(i.Target, i.OS); err == nil { // else its run says why not
			options.Executable = line.Program()
		}
	}
	rules := archive.Rules{OS: i.OS}
	contents := unpack.Contents{Entries: i.Archive.Entries, Bytes: i.Archive.Unpacked}
	err := unpack.Unpack(ctx, source, size, rules, contents, folder, options)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, unpack.ErrNoSpace):
		return &postponement{pause: noSpacePause, problem: detail(core.ClassNoSpace, err.Error())}
	case core.ClassOf(err) != "":
		return &finalError{outcome.DownloadPack, err}
	}
	return &postponement{pause: jobPause, problem: err.Error()}
}

// timeLimit returns how long a command may run: what its package says, or the server's limit if that is the
// default of all packages.
func timeLimit(i *info.Info, execTime time.Duration) time.Duration {
	if i.ExecTime == info.DefaultExecTime && execTime > 0 {
		return execTime
	}
	return i.ExecTime
}

// watch waits for a command that was running when the agent started.
func (d *daemon) watch(ctx context.Context, attempt ledger.Attempt) answer {
	return d.finish(ctx, attempt, nil)
}

// finish waits for a command's end and notes its result. When the agent stops first, the command goes on, and the
// next start finds it. shim is nil for a command of an earlier start.
func (d *daemon) finish(ctx context.Context, attempt ledger.Attempt, shim *execute.Shim) answer {
	id, folder := attempt.Package, d.job(attempt)
	status, err := execute.Wait(ctx, folder, attempt.Shim, shim)
	if ctx.Err() != nil {
		return func() plan.Event { return nil }
	}
	failpoint.Hit("daemon.after_command")
	switch {
	case err != nil:
		return d.end(id, unknowable(err))
	case status.Phase == execute.None:
		return d.notBegun(ctx, attempt, nil)
	case status.Phase == execute.Interrupted && d.mayRepeat(attempt):
		if _, err := d.ledger.Interrupt(id); err != nil {
			return d.unnoted(id, err)
		}
		const problem = "its command was interrupted; it will be run again"
		err = execute.Remove(folder)
		return d.notRun(ctx, id, &postponement{pause: jobPause, problem: problem + because(err)})
	}
	return d.conclusion(attempt, status.Result)
}

// notBegun answers a run whose shim has run nothing and never will, which the ledger notes before the shim's word of
// that is removed.
func (d *daemon) notBegun(ctx context.Context, attempt ledger.Attempt, err error) answer {
	if _, err := d.ledger.Intend(attempt.Package, attempt.Info); err != nil {
		return d.unnoted(attempt.Package, err)
	}
	err = errors.Join(err, execute.Remove(d.job(attempt)))
	problem := "the program that watches commands did not begin" + because(err)
	return d.notRun(ctx, attempt.Package, &postponement{pause: jobPause, problem: problem})
}

// unnoted ends the agent, which cannot note what is about to happen to a package or became of it.
func (d *daemon) unnoted(id core.PackageID, err error) answer {
	return func() plan.Event {
		d.broken = fmt.Errorf("the run of package %s cannot be noted: %w", id, err)
		return nil
	}
}

// unknowable is the result of a command whose files do not say what became of it.
func unknowable(err error) ledger.Result {
	return ledger.Result{Text: string(outcome.Execute), Detail: detail(core.ClassInterrupt, err.Error())}
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// conclusion notes a command's result and cleans up after it. What cannot be cleaned up is the result of a package
// that succeeded otherwise (T43); it is installed all the same.
func (d *daemon) conclusion(attempt ledger.Attempt, result execute.Result) answer {
	noted := resultOf(result)
	folder := d.job(attempt)
	if err := execute.Clean(folder); err != nil && result.Installed {
		noted.Text = string(outcome.Clean)
		noted.Detail = fmt.Sprintf("it succeeded (%s), but cannot be cleaned up: %v", result.Text, err)
	}
	done := d.end(attempt.Package, noted)
	failpoint.Hit("daemon.after_end")
	if err := execute.Remove(folder); err != nil {
		d.options.Log.Warn("a command's folder cannot be removed", "package", attempt.Package, "reason", err)
	}
	return done
}

// resultOf returns what is noted of a command's result.
func resultOf(result execute.Result) ledger.Result {
	noted := ledger.Result{
		Text: result.Text, Detail: detail(result.Class, result.Detail), Output: result.Output,
		Installed: result.Installed,
	}
	if result.Exit != nil {
		noted.Exit = strconv.Itoa(*result.Exit)
	}
	noted.Detail = strings.ToValidUTF8(noted.Detail, "\uFFFD")
	return noted
}
