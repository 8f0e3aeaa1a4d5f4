package execute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"enjambre/agent/internal/failpoint"
	"enjambre/agent/internal/unpack"
	"enjambre/core"
	"enjambre/core/command"
	"enjambre/core/outcome"
)

// Errors of Run.
var (
	// ErrBegun says that another shim has begun the job. This one has done nothing.
	ErrBegun = errors.New("the job was begun before")
	// ErrNotBegun says that nothing has run, and nothing will.
	ErrNotBegun = errors.New("the job is not begun")
)

// Run is the shim: it carries out the order in a folder and writes the result there, once it has read the word to
// begin from input. It is meant to be a process of its own, whose file mask and children it makes its own.
//
// Whatever is wrong with the package is a result, and no error. An error that is an [ErrNotBegun] says that nothing
// has run; any other, that the result could not be written, which then counts as interrupted.
func Run(folder string, input io.Reader) error {
	order, err := readOrder(folder)
	if err != nil {
		return fmt.Errorf("run %s: %w: %w", folder, ErrNotBegun, err)
	}
	if err := awaitWord(input); err != nil {
		_ = createDurable(folder, declinedFile, nil) // else the job counts as begun, if the agent has noted it
		return fmt.Errorf("run package %s: %w: %w", order.Package, ErrNotBegun, err)
	}
	failpoint.Hit("execute.before_started")
	if err := begin(folder); err != nil {
		return fmt.Errorf("run package %s: %w: %w", order.Package, ErrNotBegun, err)
	}
	failpoint.Hit("execute.after_started")
	nameShim()
	job := &job{folder: folder, order: order}
	defer job.linger()
	result := job.carryOut()
	failpoint.Hit("execute.after_command")
	if err := finish(folder, result); err != nil {
		return fmt.Errorf("keep the result of package %s: %w", order.Package, err)
	}
	failpoint.Hit("execute.after_result")
	return nil
}

// begin says durably that this process runs the job, unless another has said so.
func begin(folder string) error {
	shim, err := ourselves()
	if err != nil {
		return err
	}
	data, err := json.Marshal(record{Shim: shim})
	if err == nil {
		err = createDurable(folder, startedFile, data)
	}
	if errors.Is(err, fs.ErrExist) {
		return ErrBegun
	}
	return err
}

// finish writes the result, durably. A folder that the command has removed is made again: what became of the command
// is known here and nowhere else.
func finish(folder string, result Result) error {
	data, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	beside, err := writeBeside(folder, resultFile, data)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(filepath.Dir(folder), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := Make(folder); err != nil {
			return err
		}
		beside, err = writeBeside(folder, resultFile, data)
	}
	if err != nil {
		return err
	}
	failpoint.Hit("execute.before_result")
	return publish(beside, filepath.Join(folder, resultFile))
}

// A job is an order being carried out.
type job struct {
	folder string
	order  Order
	work   string // the command's working directory
	lodge  string // of what the command may make; "" if there is none
	env    *environment
	said   *output // nil: no command was started
}

// carryOut does what the order says.
func (j *job) carryOut() Result {
	if err := j.prepare(); err != nil {
		return failed(fmt.Errorf("prepare the command: %w", err))
	}
	if j.order.Action == core.Store {
		return j.store()
	}
	cmd, err := j.command()
	if err != nil {
		return failed(err)
	}
	result := j.supervise(cmd)
	if j.said != nil {
		result.Output = j.said.text()
	}
	return result
}

// prepare makes what a command finds around it.
func (j *job) prepare() error {
	SetMask()
	// A shutdown asks every process to end. The command decides what that means, and we report it; a
	// handler, unlike a signal that is ignored, is not passed on to the command.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if err := adopt(); err != nil {
		return err
	}
	var err error
	if j.lodge, err = makeLodge(); err != nil {
		return err
	}
	j.work = StageFolder(j.folder)
	if !j.order.Stage {
		j.work = filepath.Join(j.lodge, workFolder)
	}
	if _, err := os.Stat(j.work); err != nil {
		return err
	}
	if j.order.Stage && j.order.Action != core.Store {
		// A command that gives up root goes on in its folder and runs its programs. Nobody else can guess the job's name.
		if err := errors.Join(os.Chmod(j.folder, 0o711), os.Chmod(j.work, 0o755)); err != nil {
			return err
		}
	}
	j.env = newEnvironment(serviceEnvironment(), j.order, j.work, filepath.Join(j.lodge, temporary))
	return nil
}

// store places the stage's files.
func (j *job) store() Result {
	to, err := command.Expand(j.order.Target, j.env.value, j.order.OS)
	if err != nil {
		return failed(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), j.order.TimeLimit)
	defer cancel()
	forbidden := slices.Concat(j.order.Forbidden, []string{j.folder})
	err = unpack.Place(ctx, j.work, to, unpack.PlaceOptions{Forbidden: forbidden})
	switch {
	case err == nil:
		return Result{Text: string(outcome.Success), Installed: true}
	case errors.Is(err, context.DeadlineExceeded):
		return failed(j.overtime(0))
	}
	result := failed(err)
	if errors.Is(err, unpack.ErrNoSpace) {
		result.Class = core.ClassNoSpace
	}
	return result
}

// killWait is how long it is waited for the end of a command that was killed.
const killWait = 6 * time.Second

// supervise runs a command to its end, or to its time limit.
func (j *job) supervise(cmd *exec.Cmd) Result {
	said := newOutput(j.folder)
	cmd, err := j.start(cmd, said)
	if err != nil {
		said.close()
		return failed(err)
	}
	j.said = said
	j.noteCommand(cmd.Process.Pid)
	spareShim() // now: what the command starts is to be spared no more than anything else
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { said.watch(stop); close(stopped) }() // ends with this function
	defer func() { close(stop); <-stopped }()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }() // ends with the command, or with this process
	limit := time.NewTimer(j.order.TimeLimit)
	defer limit.Stop()
	select {
	case err := <-done:
		if cmd.ProcessState == nil {
			return failed(core.Refuse(core.ClassExec, "the command was lost: %v", err))
		}
		return judge(j.order, cmd.ProcessState)
	case <-limit.C:
	}
	result := failed(j.overtime(endTree(cmd.Process)))
	select {
	case <-done:
	case <-time.After(killWait): // it cannot be killed
	}
	return result
}

// start starts a command, through the shell if it is a script that does not say by what it is to be run.
func (j *job) start(cmd *exec.Cmd, said *output) (*exec.Cmd, error) {
	j.equip(cmd, said)
	err := cmd.Start()
	if errors.Is(err, isText) && isScript(cmd.Path) {
		cmd = scriptCommand(cmd.Path, cmd.Args[1:])
		j.equip(cmd, said)
		err = cmd.Start()
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := os.Stat(cmd.Path); missing == nil {
			err = fmt.Errorf("%s: the interpreter that its first line names, or its loader, is not on this computer",
				filepath.Base(cmd.Path))
		}
	}
	if err != nil {
		return nil, core.Refuse(core.ClassExec, "the command cannot be started: %v", err)
	}
	return cmd, nil
}

// equip gives a command all it has. Its input is empty.
func (j *job) equip(cmd *exec.Cmd, said *output) {
	cmd.Dir = j.work
	cmd.Env = j.env.list()
	if said.file != nil {
		cmd.Stdout, cmd.Stderr = said.file, said.file
	}
	line := cmd.SysProcAttr
	cmd.SysProcAttr = ownSession()
	keepLine(cmd.SysProcAttr, line)
}

// overtime is the error of a command that took too long.
func (j *job) overtime(left int) error {
	const text = "it took longer than %v and was ended with everything that it had started"
	if left > 0 {
		return core.Refuse(core.ClassTime, text+", but for %d processes that cannot be killed", j.order.TimeLimit,
			left)
	}
	return core.Refuse(core.ClassTime, text, j.order.TimeLimit)
}

// noteCommand leaves word of the command's process, for the case that this one is killed. Word that does not
// come to disk costs no more than that the command does not count as running then.
func (j *job) noteCommand(pid int) {
	command, err := identify(pid)
	if err != nil {
		return // it has ended
	}
	until := sinceBoot() + j.order.TimeLimit + orphanGrace
	if data, err := json.Marshal(commandRecord{process: command, Until: until}); err == nil {
		_ = os.WriteFile(filepath.Join(j.folder, commandFile), data, 0o600)
	}
}
