package execute

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// adopt does nothing: Windows has no such thing.
func adopt() error { return nil }

// ownSession gives a command a group of its own, and no window.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
}

// endTree ends the command and what taskkill finds below it. A process whose parent has ended is not found:
// that needs a job object, which this program does not make. It returns 1 if the command is still there.
func endTree(command *os.Process) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	kill := exec.CommandContext(ctx, windowsFolder+`\System32\taskkill.exe`, "/T", "/F", "/PID",
		strconv.Itoa(command.Pid))
	if kill.Run() == nil || command.Kill() == nil {
		return 0
	}
	return 1
}

// hasLeft knows of nothing: processes that a command has left are not found here.
func hasLeft() bool { return false }

// nameShim does nothing here.
func nameShim() {}

// spareShim does nothing here.
func spareShim() {}

// giveBack cannot be done here.
func giveBack(*os.File, int64) error { return errors.ErrUnsupported }
