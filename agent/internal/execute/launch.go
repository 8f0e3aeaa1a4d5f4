package execute

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// ShimCommand is the name of the hidden command with which a program becomes the shim: PROGRAM shim FOLDER.
const ShimCommand = "shim"

// shimName is what a shim calls itself, and jobVariable says which job is its: the agent's name is not in its command
// line, so that "pkill -f" does not find it.
const (
	shimName    = "enjambre-shim"
	jobVariable = "ENJAMBRE_JOB"
)

// JobFolder returns the job of the shim that this process is: that of its arguments, else that of its environment.
func JobFolder(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return os.Getenv(jobVariable)
}

// NotBegun is the exit code with which a program must end when [Run] returns an [ErrNotBegun]: EX_TEMPFAIL of sysexits.h.
const NotBegun = 75

// goAhead is what a shim waits for on its standard input. The end of the input without it says that nobody has noted
// that the shim exists, and that it must not begin.
const goAhead = "begin\n"

// dismissTime is how long a shim that was sent away may take to go. It is needed for tidiness only: without the word
// it never begins.
const dismissTime = 10 * time.Second

// A Shim is a process that was started for one job. It waits for the word to begin, so that who it is can be noted
// first; if its agent ends before, it ends as well and has run nothing.
type Shim struct {
	process process
	word    io.WriteCloser
	ended   chan struct{}
	code    int // exit code, once ended is closed; -1 when a signal ended it
}

// Launch starts program as the shim of a job and returns at once. The shim waits for [Shim.Begin] or [Shim.Dismiss],
// one of which must follow.
//
// The shim has a session of its own, no terminal, and "/" as its folder, so that what ends the agent does not
// end it. One thing does unless the service is told otherwise: systemd kills everything that a service has
// started when it stops it. The agent's unit needs KillMode=process.
//
// The shim has the environment of this process. What of it reaches the command is decided there.
func Launch(program, folder string) (*Shim, error) {
	cmd := exec.Command(program)
	cmd.Args = []string{shimName, ShimCommand}
	cmd.Env = append(os.Environ(), jobVariable+"="+folder)
	cmd.Dir = rootFolder
	cmd.SysProcAttr = detached()
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the shim of %s: %w", folder, err)
	}
	shim := &Shim{word: input, ended: make(chan struct{})}
	go func() { // ends with the shim, which has a time limit; else with this process
		_ = cmd.Wait() // what came of it is in the folder
		shim.code = cmd.ProcessState.ExitCode()
		close(shim.ended)
	}()
	if shim.process, err = identify(cmd.Process.Pid); err != nil {
		shim.Dismiss()
		return nil, fmt.Errorf("the shim of %s has ended at once: %w", folder, err)
	}
	return shim, nil
}

// Name returns the shim's process in a form that can be noted and given to [Look], also after a restart of the
// computer.
func (s *Shim) Name() string { return s.process.String() }

// Begin gives the word: from now on the command may run. An error says that the word did not arrive: nothing has
// run and nothing will.
func (s *Shim) Begin() error {
	_, err := io.WriteString(s.word, goAhead)
	if err != nil {
		s.Dismiss()
		return fmt.Errorf("the program that watches commands has ended before it began: %w", err)
	}
	_ = s.word.Close() // the word is on its way
	return nil
}

// Dismiss sends a shim away that was not told to begin, and waits until it has gone, at most dismissTime.
func (s *Shim) Dismiss() {
	_ = s.word.Close() // closed before is as good
	select {
	case <-s.ended:
	case <-time.After(dismissTime):
	}
}

// Ended reports whether the shim has ended. Its command may go on if it was killed.
func (s *Shim) Ended() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// hasDeclined reports whether the shim has ended and says that it has run nothing.
func (s *Shim) hasDeclined() bool { return s.Ended() && s.code == NotBegun }

// awaitWord waits for the word to begin. It returns an error when it will not come.
func awaitWord(from io.Reader) error {
	said := make([]byte, len(goAhead))
	if _, err := io.ReadFull(from, said); err != nil || string(said) != goAhead {
		return errors.New("the agent has ended before it gave the word to begin")
	}
	return nil
}
