package notify

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fakeProc makes a /proc with processes, each given as its variables separated by blanks. They belong to us.
func fakeProc(t *testing.T, processes map[string]string) string {
	t.Helper()
	proc := t.TempDir()
	for number, variables := range processes {
		folder := filepath.Join(proc, number)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		content := strings.ReplaceAll(variables, " ", "\x00") + "\x00"
		if err := os.WriteFile(filepath.Join(folder, "environ"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

// script writes an executable script.
func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestActiveWithoutLogind(t *testing.T) {
	for _, test := range []struct {
		name      string
		processes map[string]string
		want      string // what the environment must be, separated by blanks; "" is no session
	}{
		{"nobody", map[string]string{"1": "PATH=/bin", "self": "DISPLAY=:0"}, ""},
		{"X", map[string]string{"1": "A=b", "20": "DISPLAY=:0 USER=ana"}, "DISPLAY=:0"},
		{"Wayland", map[string]string{"20": "WAYLAND_DISPLAY=wayland-0"}, "WAYLAND_DISPLAY=wayland-0"},
		{"first", map[string]string{"100": "DISPLAY=:1", "20": "DISPLAY=:0"}, "DISPLAY=:0"},
		{"fuller", map[string]string{"20": "DISPLAY=:0",
			"100": "DISPLAY=:0 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/7/bus,guid=0a"},
			"DISPLAY=:0 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/7/bus,guid=0a"},
		{"forwarded", map[string]string{"20": "DISPLAY=localhost:10.0"}, ""},
	} {
		finder := Finder{AnyUser: true, Proc: fakeProc(t, test.processes), Loginctl: "/nonexistent"}
		session, found, err := finder.Active(t.Context())
		got := strings.Join(session.Environment(), " ")
		if err != nil || found != (test.want != "") || got != test.want {
			t.Errorf("%s: got %q, %v, %v; want %q", test.name, got, found, err, test.want)
		}
		if int(session.UID) != os.Geteuid() && found {
			t.Errorf("%s: user %d, want ours", test.name, session.UID)
		}
	}
}

// TestHostileEnvironment: nothing of a user's environment reaches root's programs but what is harmless.
func TestHostileEnvironment(t *testing.T) {
	folder := t.TempDir()
	file, link := filepath.Join(folder, "file"), filepath.Join(folder, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	uid := uint32(os.Geteuid())
	for _, test := range []struct{ name, value, want string }{
		{"DISPLAY", ":0.1", ":0.1"},
		{"DISPLAY", "evil.example:0", ""},
		{"DISPLAY", ":0\nLD_PRELOAD=/evil", ""},
		{"DISPLAY", "unix:/tmp/evil", ""},
		{"WAYLAND_DISPLAY", "wayland-1", "wayland-1"},
		{"WAYLAND_DISPLAY", "/tmp/evil", ""},
		{"WAYLAND_DISPLAY", "../evil", ""},
		{"XAUTHORITY", file, file},
		{"XAUTHORITY", link, ""},
		{"XAUTHORITY", folder, ""},
		{"XAUTHORITY", folder + "/../" + filepath.Base(folder) + "/file", ""},
		{"XAUTHORITY", "relative", ""},
		{"XDG_RUNTIME_DIR", runtimeDir(uid), runtimeDir(uid)},
		{"XDG_RUNTIME_DIR", "/tmp/evil", ""},
		{"DBUS_SESSION_BUS_ADDRESS", "unix:abstract=/tmp/dbus-x,guid=0f", "unix:abstract=/tmp/dbus-x,guid=0f"},
		{"DBUS_SESSION_BUS_ADDRESS", "unixexec:path=/tmp/evil", ""},
		{"DBUS_SESSION_BUS_ADDRESS", "unix:path=/x;unixexec:path=/tmp/evil", ""},
		{"DBUS_SESSION_BUS_ADDRESS", "autolaunch:", ""},
		{"LD_PRELOAD", "/evil", ""},
		{"GTK_MODULES", "/evil", ""},
	} {
		session := sessionOf(desktopProcess{uid, 0, map[string]string{test.name: test.value}})
		want := ""
		if test.want != "" {
			want = test.name + "=" + test.want
		}
		if got := strings.Join(session.Environment(), "|"); got != want {
			t.Errorf("%s=%s: got %q, want %q", test.name, test.value, got, want)
		}
	}
	other := sessionOf(desktopProcess{uid + 1, 0, map[string]string{"USER": "a\x1bb"}})
	if other.User == "a\x1bb" {
		t.Errorf("a name with an escape was kept")
	}
}

func TestActiveWithLogind(t *testing.T) {
	loginctl := script(t, "loginctl", `
case "$*" in
"--no-legend list-sessions") 
	printf 'c1 0 root\n  7 1234 ana seat0 tty2\n 8 1234 ana - pts/0\n 9 1235 eve seat1 -\n';;
"show-session c1 "*) printf 'Active=yes\nType=tty\nClass=user\nUser=0\nName=root\nDisplay=\nRemote=no\n';;
"show-session 7 "*) printf 'Active=no\nType=x11\nClass=user\nUser=1234\nName=ana\nDisplay=:4\nRemote=no\n';;
"show-session 8 "*) exit 1;;
"show-session 9 "*)
	printf "Active=yes\nType=wayland\nClass=user\nUser=$OWN\nName=eve\nDisplay=\nRemote=no\n";;
*) exit 3;;
esac
`)
	text, err := os.ReadFile(loginctl)
	if err != nil {
		t.Fatal(err)
	}
	own := strings.ReplaceAll(string(text), "$OWN", "`id -u`")
	if err := os.WriteFile(loginctl, []byte(own), 0o755); err != nil {
		t.Fatal(err)
	}
	proc := fakeProc(t, map[string]string{
		"20": "DISPLAY=:4 XDG_SESSION_ID=7", "30": "WAYLAND_DISPLAY=wayland-0 XDG_SESSION_ID=9 USER=other",
	})
	session, found, err := Finder{AnyUser: true, Proc: proc, Loginctl: loginctl}.Active(t.Context())
	if err != nil || !found || session.Wayland != "wayland-0" || session.User != "eve" {
		t.Errorf("got %+v, %v, %v; want eve's", session, found, err)
	}
	nobody := script(t, "loginctl", "exit 0")
	if session, found, err := (Finder{AnyUser: true, Proc: proc, Loginctl: nobody}).Active(t.Context()); found ||
		err != nil {
		t.Errorf("nobody is logged on: got %v, %v", session, err)
	}
}

// TestActiveReally looks at the real /proc for a real process of another user.
func TestActiveReally(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to start another user's process")
	}
	const uid = 65_501
	cmd := exec.CommandContext(t.Context(), "/bin/sleep", "300")
	cmd.Env = []string{"DISPLAY=:4321", "HOME=/", "USER=ana"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: 65_502}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	session, found, err := Finder{Loginctl: "/nonexistent"}.Active(t.Context())
	if err == nil && found && session.UID != uid {
		t.Skip("somebody sits at this computer: ", session)
	}
	want := Session{User: "ana", UID: uid, GID: 65_502, Home: "/", Display: ":4321"}
	if err != nil || !found || session != want {
		t.Errorf("got %+v, %v, %v; want %+v", session, found, err, want)
	}
	if got := session.String(); got != "ana (65501) at :4321" {
		t.Errorf("it is called %q", got)
	}
}
