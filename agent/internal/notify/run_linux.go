package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// programPath is where a program that shows windows finds others.
const programPath = "/usr/local/bin:/usr/bin:/bin"

// maxSaid bounds what is kept of a program's output and of its errors, in bytes.
const maxSaid = 4 << 10

// command makes a command that runs as the user of a session, with that user's rights and nothing of our
// environment.
func command(ctx context.Context, session Session, path string, args []string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{
		"PATH=" + programPath, "LANG=C.UTF-8", "USER=" + session.User, "LOGNAME=" + session.User,
	}, session.Environment()...)
	if session.Home != "" {
		cmd.Env = append(cmd.Env, "HOME="+session.Home)
	}
	// The window does not stay when the agent is killed: its answer would be nobody's.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	us := uint32(os.Geteuid())
	switch {
	case us == 0:
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: session.UID, Gid: session.GID}
	case us != session.UID:
		return nil, errors.New("only root can show windows to user " + strconv.FormatUint(uint64(session.UID), 10))
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	return cmd, nil
}

// run runs a program to its end, or to ctx's.
func run(ctx context.Context, session Session, path string, args []string) (said, error) {
	cmd, err := command(ctx, session, path, args)
	if err != nil {
		return said{}, fmt.Errorf("%w: %w", ErrNoDialog, err)
	}
	var stdout, stderr clipped
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runtime.LockOSThread() // Pdeathsig is the death of a thread
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return said{}, fmt.Errorf("%w: %w", ErrNoDialog, err)
	}
	return said{cmd.ProcessState.ExitCode(), stdout.kept.String(), stderr.kept.String()}, nil
}

// A clipped writer keeps the first maxSaid bytes.
type clipped struct{ kept bytes.Buffer }

func (c *clipped) Write(p []byte) (int, error) {
	c.kept.Write(p[:min(len(p), maxSaid-c.kept.Len())])
	return len(p), nil
}
