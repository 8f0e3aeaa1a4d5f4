package execute

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"
)

var (
	windowsFolder = systemFolder()
	rootFolder    = filepath.VolumeName(windowsFolder) + `\`
	fixedPath     = strings.Join([]string{
		windowsFolder + `\System32`, windowsFolder, windowsFolder + `\System32\Wbem`,
		windowsFolder + `\System32\WindowsPowerShell\v1.0`,
	}, ";")
)

// systemFolder asks Windows itself, not the environment.
func systemFolder() string {
	if folder, err := windows.GetSystemWindowsDirectory(); err == nil {
		return folder
	}
	return `C:\Windows`
}

// detached makes a process without console, in a group of its own.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP, HideWindow: true,
	}
}

// SetMask does nothing: files inherit their folder's access list.
func SetMask() {}

// shellCommand runs a line through the system's shell, which wants it as it is, in quotes of its own.
func shellCommand(line string) *exec.Cmd {
	cmd := exec.Command(windowsFolder + `\System32\cmd.exe`)
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd.exe /d /s /c "` + line + `"`}
	return cmd
}

// isText is the error of a file that is not a program.
const isText = windows.ERROR_BAD_EXE_FORMAT

// scriptCommand has nothing to offer: Windows knows scripts by their names.
func scriptCommand(path string, args []string) *exec.Cmd { return exec.Command(path, args...) }

// keepLine keeps the command line that shellCommand has made.
func keepLine(to, from *syscall.SysProcAttr) {
	if from != nil {
		to.CmdLine = from.CmdLine
	}
}

// deathSignal: there are no signals; a killed program has an exit code.
func deathSignal(*os.ProcessState) (syscall.Signal, bool) { return 0, false }

// syncFolder does nothing: Windows cannot sync a folder, and NTFS keeps its names in a journal.
func syncFolder(string) error { return nil }

// publish gives a file that was written beside its place its name, durably.
func publish(beside, path string) error {
	from, err := windows.UTF16PtrFromString(beside)
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(from, to, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
}

// lodgeBases are where lodges are made: the service's own temporary folder.
func lodgeBases() []string { return []string{os.TempDir()} }
