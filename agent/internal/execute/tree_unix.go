//go:build unix && !linux

package execute

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// adopt does nothing: only Linux lets a process inherit its grandchildren.
func adopt() error { return nil }

// ownSession gives a command a session and a process group of its own.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// killGrace is between being asked to end and being killed.
const killGrace = 10 * time.Second

// endTree ends the command's process group: asks, waits for killGrace, kills. A process that has made a
// group of its own is not found here. It returns 1 if the group is still there.
func endTree(command *os.Process) int {
	group := -command.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	for begun := time.Now(); time.Since(begun) < killGrace; time.Sleep(50 * time.Millisecond) {
		if syscall.Kill(group, 0) != nil {
			return 0
		}
	}
	if syscall.Kill(group, syscall.SIGKILL) == nil {
		time.Sleep(50 * time.Millisecond)
	}
	if syscall.Kill(group, 0) == nil {
		return 1
	}
	return 0
}

// hasLeft knows of nothing: processes that a command has left are not found here.
func hasLeft() bool { return false }

// nameShim does nothing here.
func nameShim() {}

// spareShim does nothing here.
func spareShim() {}

// giveBack cannot be done here.
func giveBack(*os.File, int64) error { return errors.ErrUnsupported }
