// Package notify talks to the user in front of the computer: before a package runs and after it.
//
// The agent is a service without a desktop. [Active] finds the session that somebody sits at, and [Ask] and
// [Tell] show a window there through a program that desktops have (zenity or kdialog), run as that user with
// that user's rights, never with the service's. What such a window says is only the user's answer.
//
// Nothing here may keep a deployment from going on: without a session, without a program, or with a display
// that cannot be opened, the caller gets an error and goes on as if nobody were there.
package notify

import (
	"context"
	"errors"
	"strconv"
)

// ErrNoDialog says that nothing can be shown: no program for it, or a display that does not answer. The
// caller goes on without asking.
var ErrNoDialog = errors.New("the user cannot be asked")

// A Session is a desktop and whose it is.
type Session struct {
	User    string `json:"user"`
	UID     uint32 `json:"uid"`
	GID     uint32 `json:"gid"`
	Home    string `json:"home,omitempty"`
	Display string `json:"display,omitempty"` // of X, such as ":0"
	Wayland string `json:"wayland,omitempty"` // the Wayland display, such as "wayland-0"

	Xauthority string `json:"xauthority,omitempty"`  // file with the right to use Display
	RuntimeDir string `json:"runtime_dir,omitempty"` // /run/user/UID
	Bus        string `json:"bus,omitempty"`         // address of the session's D-Bus
}

// Environment returns the variables by which programs find the desktop, each as NAME=VALUE.
func (s Session) Environment() []string {
	var list []string
	for _, variable := range []struct{ name, value string }{
		{"DISPLAY", s.Display},
		{"WAYLAND_DISPLAY", s.Wayland},
		{"XAUTHORITY", s.Xauthority},
		{"XDG_RUNTIME_DIR", s.RuntimeDir},
		{"DBUS_SESSION_BUS_ADDRESS", s.Bus},
	} {
		if variable.value != "" {
			list = append(list, variable.name+"="+variable.value)
		}
	}
	return list
}

// String names the session for a log: user, number and display.
func (s Session) String() string {
	display := s.Wayland
	if display == "" {
		display = s.Display
	}
	return s.User + " (" + strconv.FormatUint(uint64(s.UID), 10) + ") at " + display
}

// Active returns the session that somebody sits at, and false if there is none. See [Finder].
func Active(ctx context.Context) (Session, bool, error) { return Finder{}.Active(ctx) }
