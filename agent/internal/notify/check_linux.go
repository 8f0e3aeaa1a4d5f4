package notify

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"enjambre/core"
)

// The forms that values of a user's environment may have. All of them belong to this computer: a display that
// was forwarded from another one has nobody in front of it here.
var (
	displayForm = regexp.MustCompile(`^:[0-9]{1,5}(\.[0-9]{1,5})?$`)
	waylandForm = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`)
	busForm     = regexp.MustCompile(`^unix:(path|abstract)=/[A-Za-z0-9/._-]{1,200}(,guid=[0-9a-f]{1,64})?$`)
)

func isDisplay(text string) bool { return displayForm.MatchString(text) }

// sessionOf makes a session of a process, without what is not of its form.
func sessionOf(process desktopProcess) Session {
	env := process.env
	session := Session{User: env["USER"], UID: process.uid, GID: process.gid}
	if session.User == "" || len(session.User) > 255 || !core.Printable(session.User) {
		session.User = strconv.FormatUint(uint64(process.uid), 10)
	}
	keep := func(to *string, value string, good bool) {
		if good {
			*to = value
		}
	}
	keep(&session.Display, env["DISPLAY"], isDisplay(env["DISPLAY"]))
	keep(&session.Wayland, env["WAYLAND_DISPLAY"], waylandForm.MatchString(env["WAYLAND_DISPLAY"]))
	keep(&session.Bus, env["DBUS_SESSION_BUS_ADDRESS"], busForm.MatchString(env["DBUS_SESSION_BUS_ADDRESS"]))
	keep(&session.Home, env["HOME"], isPath(env["HOME"]))
	keep(&session.RuntimeDir, env["XDG_RUNTIME_DIR"], env["XDG_RUNTIME_DIR"] == runtimeDir(process.uid))
	keep(&session.Xauthority, env["XAUTHORITY"], isOwnFile(env["XAUTHORITY"], process.uid))
	return session
}

// runtimeDir is where a user's sockets are.
func runtimeDir(uid uint32) string { return "/run/user/" + strconv.FormatUint(uint64(uid), 10) }

// isPath reports whether a text is an absolute path in its simplest form.
func isPath(text string) bool {
	return filepath.IsAbs(text) && filepath.Clean(text) == text && len(text) < 1024 && core.Printable(text)
}

// isOwnFile reports whether a path names a plain file of the user's, or root's.
func isOwnFile(path string, uid uint32) bool {
	if !isPath(path) {
		return false
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	return known && (owner.Uid == uid || owner.Uid == 0)
}

func sorted(numbers []int) []int {
	slices.Sort(numbers)
	return numbers
}
