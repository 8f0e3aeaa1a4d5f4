//go:build unix

package execute

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// rootFolder is where a shim lives: a folder that is always there and holds no mount back.
const rootFolder = "/"

// fixedPath is where commands are searched for, after the stage.
const fixedPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// detached makes a session, away from this one's terminal and signals.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// SetMask makes the modes of new files those that are asked for, whatever the service was started with. Whoever
// unpacks for a job must have called it.
func SetMask() { syscall.Umask(0o022) }

// shellCommand runs a line through the system's shell.
func shellCommand(line string) *exec.Cmd { return exec.Command("/bin/sh", "-c", line) }

// isText is the error of a file that the kernel does not know how to run: a script without "#!".
const isText = syscall.ENOEXEC

// scriptCommand runs a script that does not say by what.
func scriptCommand(path string, args []string) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{path}, args...)...)
}

// keepLine has nothing to keep: a command is a list of arguments here.
func keepLine(*syscall.SysProcAttr, *syscall.SysProcAttr) {}

// deathSignal returns the signal that ended a process, if one did.
func deathSignal(state *os.ProcessState) (syscall.Signal, bool) {
	status, known := state.Sys().(syscall.WaitStatus)
	return status.Signal(), known && status.Signaled()
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// publish gives a file that was written beside its place its name, durably.
func publish(beside, path string) error {
	if err := os.Rename(beside, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// lodgeBases are where lodges are made: the first that can be written to.
func lodgeBases() []string { return []string{"/var/tmp", "/tmp"} }
