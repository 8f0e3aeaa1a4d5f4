package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"enjambre/agent/internal/aside"
)

// Bounds of a search.
const (
	maxSessions    = 64
	maxProcesses   = 1 << 16
	maxEnvironment = 256 << 10 // bytes of one process's
	loginctlTime   = 5 * time.Second
	maxSearch      = 20 * time.Second
)

// firstUser is the lowest number of a person. Login screens have users below it.
const firstUser = 1000

// A Finder finds the session that somebody sits at. The zero Finder is what the agent uses; tests change its
// fields.
type Finder struct {
	AnyUser  bool   // root's and the system's own users count as persons
	Proc     string // default /proc
	Loginctl string // default the system's; a path where nothing is means: as if there were none
}

// Active returns the active graphical session, and false if there is none. logind says which it is; where
// there is no logind, it is that of the first process of a person with a display of this computer.
//
// How the display is reached is taken from the environment of one of the user's processes. The user chooses
// what stands there and root's programs will believe it, so everything is dropped that is not of the one
// harmless form: a D-Bus address, for one, could name a program to be run.
//
// A directory service that does not answer, or a process whose memory cannot be read now, costs maxSearch.
func (f Finder) Active(ctx context.Context) (Session, bool, error) {
	limited, cancel := context.WithTimeout(ctx, maxSearch)
	defer cancel()
	type found struct {
		session Session
		isThere bool
	}
	got, err := aside.Do(limited, "the user's session", func() (found, error) {
		session, isThere, err := f.active(limited)
		return found{session, isThere}, err
	})
	if ctx.Err() != nil {
		return Session{}, false, context.Cause(ctx)
	}
	return got.session, got.isThere, err
}

func (f Finder) active(ctx context.Context) (Session, bool, error) {
	if f.Proc == "" {
		f.Proc = "/proc"
	}
	if f.Loginctl == "" {
		f.Loginctl = "/usr/bin/loginctl"
	}
	logins, err := f.logins(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return Session{}, false, context.Cause(ctx)
		}
		logins = []login{{}} // no logind: anybody's
	}
	processes, err := f.processes(ctx)
	if err != nil {
		return Session{}, false, fmt.Errorf("find the user's session: %w", err)
	}
	for _, one := range logins {
		if session, found := f.match(one, processes); found {
			return session, true, nil
		}
	}
	return Session{}, false, nil
}

// A login is an active graphical session as logind knows it. The zero login is anybody's.
type login struct {
	id, name, display string
	uid               uint32
}

// logins asks logind.
func (f Finder) logins(ctx context.Context) ([]login, error) {
	list, err := f.loginctl(ctx, "--no-legend", "list-sessions")
	if err != nil {
		return nil, err
	}
	var logins []login
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) == 0 || len(logins) == maxSessions {
			continue
		}
		shown, err := f.loginctl(ctx, "show-session", fields[0], "-p", "Active", "-p", "Type", "-p", "Class",
			"-p", "Remote", "-p", "User", "-p", "Name", "-p", "Display")
		if err != nil {
			continue // it has ended meanwhile
		}
		says := map[string]string{}
		for line := range strings.Lines(shown) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			says[name] = value
		}
		uid, err := strconv.ParseUint(says["User"], 10, 32)
		isGraphical := says["Type"] == "x11" || says["Type"] == "wayland" || says["Type"] == "mir"
		isHere := says["Active"] == "yes" && says["Remote"] != "yes" && says["Class"] == "user"
		if err == nil && isGraphical && isHere {
			logins = append(logins, login{fields[0], says["Name"], says["Display"], uint32(uid)})
		}
	}
	return logins, nil
}

func (f Finder) loginctl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, loginctlTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, f.Loginctl, args...)
	cmd.Env = []string{"LC_ALL=C", "PATH=" + programPath}
	cmd.WaitDelay = time.Second
	var output clippedTo
	cmd.Stdout = &output
	err := cmd.Run()
	return output.text.String(), err
}

// A clippedTo keeps the first 64 KiB, which are hundreds of sessions.
type clippedTo struct{ text strings.Builder }

func (c *clippedTo) Write(p []byte) (int, error) {
	c.text.Write(p[:min(len(p), max(0, 64<<10-c.text.Len()))])
	return len(p), nil
}

// A desktopProcess is a process with a display.
type desktopProcess struct {
	uid, gid uint32
	env      map[string]string
}

// processes returns the processes that have a display, in the order of their numbers. What cannot be read is
// left out: it has ended, or is not ours to read.
func (f Finder) processes(ctx context.Context) ([]desktopProcess, error) {
	folder, err := os.Open(f.Proc)
	if err != nil {
		return nil, err
	}
	names, err := folder.Readdirnames(maxProcesses)
	if err = errors.Join(err, folder.Close()); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		if number, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, number)
		}
	}
	var found []desktopProcess
	for _, number := range sorted(numbers) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if one, ok := f.process(strconv.Itoa(number)); ok {
			found = append(found, one)
		}
	}
	return found, nil
}

// process reads one process; false if it has no display.
func (f Finder) process(number string) (desktopProcess, bool) {
	path := filepath.Join(f.Proc, number)
	info, err := os.Stat(path)
	if err != nil {
		return desktopProcess{}, false
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !known || owner.Uid < firstUser && !f.AnyUser {
		return desktopProcess{}, false
	}
	file, err := os.Open(filepath.Join(path, "environ"))
	if err != nil {
		return desktopProcess{}, false
	}
	data, err := io.ReadAll(io.LimitReader(file, maxEnvironment))
	if errors.Join(err, file.Close()) != nil {
		return desktopProcess{}, false
	}
	env := map[string]string{}
	for variable := range strings.SplitSeq(string(data), "\x00") {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
	}
	return desktopProcess{owner.Uid, owner.Gid, env}, env["DISPLAY"] != "" || env["WAYLAND_DISPLAY"] != ""
}

// match makes a session of a login and the best of the user's processes.
func (f Finder) match(one login, processes []desktopProcess) (Session, bool) {
	var best Session
	bestScore := -1
	for _, process := range processes {
		if one.id != "" && process.uid != one.uid {
			continue
		}
		session := sessionOf(process)
		if session.Display == "" && session.Wayland == "" {
			continue
		}
		score := 0
		if one.id != "" && process.env["XDG_SESSION_ID"] == one.id {
			score += 4
		}
		for _, value := range []string{session.Xauthority, session.Bus, session.RuntimeDir} {
			if value != "" {
				score++
			}
		}
		if score > bestScore && (bestScore < 0 || session.UID == best.UID) {
			best, bestScore = session, score
		}
	}
	if bestScore < 0 && one.id != "" {
		best, bestScore = sessionWithout(one)
	}
	if one.name != "" {
		best.User = one.name
	}
	return best, bestScore >= 0
}

// sessionWithout makes a session of what logind says alone.
func sessionWithout(one login) (Session, int) {
	number := strconv.FormatUint(uint64(one.uid), 10)
	known, err := user.LookupId(number)
	if err != nil || !isDisplay(one.display) {
		return Session{}, -1
	}
	gid, err := strconv.ParseUint(known.Gid, 10, 32)
	if err != nil {
		return Session{}, -1
	}
	return Session{
		User: known.Username, UID: one.uid, GID: uint32(gid), Home: known.HomeDir, Display: one.display,
		RuntimeDir: runtimeDir(one.uid),
	}, 0
}
