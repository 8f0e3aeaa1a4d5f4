package notify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests, which only a hang comes to.
const patience = 2 * time.Minute

// ourselves is a session of the user of the test.
func ourselves(display string) Session {
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	return Session{User: "tester", UID: uid, GID: gid, Home: "/", Display: display}
}

// startDisplay starts an X server without a screen and returns its name.
func startDisplay(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"Xvfb", "zenity", "xdotool"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (Debian: apt-get install xvfb zenity xdotool)", tool)
		}
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = read.Close() })
	// Without -noreset it begins anew, and tells its number again, whenever its last client leaves.
	server := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "800x600x24", "-nolisten", "tcp", "-ac",
		"-noreset")
	server.ExtraFiles = []*os.File{write}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Signal(syscall.SIGTERM); _ = server.Wait() })
	_ = write.Close()
	if err := read.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	number, err := bufio.NewReader(io.LimitReader(read, 16)).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb told no display: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}

// xdotool runs one of its commands on a display.
func xdotool(t *testing.T, display string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience/10)
	defer cancel()
	cmd := exec.CommandContext(ctx, "xdotool", args...)
	cmd.Env = append(os.Environ(), "DISPLAY="+display)
	output, err := cmd.Output()
	return strings.TrimSpace(string(output)), err
}

// window waits for a window of another process than before, puts the keyboard there, and returns its process.
func window(t *testing.T, display, title, before string) string {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(20 * time.Millisecond) {
		found, err := xdotool(t, display, "search", "--onlyvisible", "--name", "^"+title+"$")
		if err != nil || found == "" {
			continue
		}
		owner, err := xdotool(t, display, "getwindowpid", found) // the numbers of windows are given out again
		if err != nil || owner == before {
			continue
		}
		if _, err := xdotool(t, display, "windowfocus", found); err == nil {
			return owner
		}
	}
	t.Fatalf("no window %q within %v", title, patience)
	return ""
}

// An asked is how a question ended.
type asked struct {
	answer Answer
	err    error
}

// askThere asks in another goroutine.
func askThere(ctx context.Context, display string, question Question) <-chan asked {
	done := make(chan asked, 1)
	go func() {
		answer, err := Ask(ctx, ourselves(display), question)
		done <- asked{answer, err}
	}()
	return done
}

func result(t *testing.T, done <-chan asked) asked {
	t.Helper()
	select {
	case got := <-done:
		return got
	case <-time.After(patience):
		t.Fatal("no answer within ", patience)
		return asked{}
	}
}

func TestAsk(t *testing.T) {
	display := startDisplay(t)
	const text = `Tools 2.1 <b>will</b> be installed & that "takes" 5 minutes \n C:\temp`
	all := Question{Text: text, MayCancel: true, MayDelay: true, DelaysLeft: 3, Countdown: time.Hour}
	plain := Question{Text: text}
	cancelOnly := Question{Text: text, MayCancel: true}
	for _, test := range []struct {
		name     string
		question Question
		keys     []string // for each window
		want     Answer
	}{
		{"install", all, []string{"Return"}, Proceed},
		{"later", all, []string{"Tab Return"}, Delay},
		{"cancel", all, []string{"Tab Tab Return"}, Cancel},
		{"close", all, []string{"Escape"}, Delay},
		{"only install", plain, []string{"Return"}, Proceed},
		{"only install, any button", plain, []string{"Tab Tab Return"}, Proceed},
		{"cancel, no delay", cancelOnly, []string{"Tab Return"}, Cancel},
		{"close, then cancel", cancelOnly, []string{"Escape", "Tab Return"}, Cancel},
		{"close and close", plain, []string{"Escape", "Escape", "Escape", "Escape"}, Proceed},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.question.Title = "Question " + strings.ReplaceAll(test.name, ",", "")
			done := askThere(t.Context(), display, test.question)
			before := ""
			for _, keys := range test.keys {
				before = window(t, display, test.question.Title, before)
				args := append([]string{"key", "--delay", "60"}, strings.Fields(keys)...)
				if _, err := xdotool(t, display, args...); err != nil {
					t.Fatal(err)
				}
			}
			if got := result(t, done); got.err != nil || got.answer != test.want {
				t.Errorf("got %q, %v; want %q", got.answer, got.err, test.want)
			}
		})
	}
}

// gone waits until no window has a title.
func gone(t *testing.T, display, title string) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(20 * time.Millisecond) {
		if found, err := xdotool(t, display, "search", "--name", "^"+title+"$"); err != nil && found == "" {
			return
		}
	}
	t.Errorf("window %q is still there", title)
}

// windowTime returns how long a window takes to be there, on this computer and as busy as it is now.
func windowTime(t *testing.T, display string) time.Duration {
	t.Helper()
	begun := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := askThere(ctx, display, Question{Title: "Measuring", Text: "x"})
	window(t, display, "Measuring", "")
	took := time.Since(begun)
	cancel()
	result(t, done)
	return took
}

// TestCountdown: the countdown answers, and goes on while the window is shown again.
func TestCountdown(t *testing.T) {
	display := startDisplay(t)
	countdown := 2*time.Second + 10*windowTime(t, display) // it must not be over before the window is there
	begun := time.Now()
	question := Question{Title: "Counting", Text: "x", Countdown: countdown}
	done := askThere(t.Context(), display, question)
	window(t, display, question.Title, "")
	if _, err := xdotool(t, display, "key", "Escape"); err != nil {
		t.Fatal(err)
	}
	got := result(t, done)
	took := time.Since(begun)
	if got.err != nil || got.answer != Proceed || took < countdown || took > countdown+patience/4 {
		t.Errorf("got %q, %v after %v; want %q after %v", got.answer, got.err, took, Proceed, countdown)
	}
	gone(t, display, question.Title)
}

// TestAskEnds: with its context the window is gone.
func TestAskEnds(t *testing.T) {
	display := startDisplay(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := askThere(ctx, display, Question{Title: "Ending", Text: "x"})
	window(t, display, "Ending", "")
	cancel()
	if got := result(t, done); !errors.Is(got.err, context.Canceled) || got.answer != "" {
		t.Errorf("got %q, %v", got.answer, got.err)
	}
	gone(t, display, "Ending")
}

func TestTell(t *testing.T) {
	display := startDisplay(t)
	done := make(chan asked, 1)
	go func() { done <- asked{err: Tell(t.Context(), ourselves(display), "Done", "All <done> \\n")} }()
	window(t, display, "Done", "")
	if _, err := xdotool(t, display, "key", "Return"); err != nil {
		t.Fatal(err)
	}
	if got := result(t, done); got.err != nil {
		t.Error(got.err)
	}
}

// TestNoDisplay: a display that is not there is told apart from a user who closes windows.
func TestNoDisplay(t *testing.T) {
	if _, err := exec.LookPath("zenity"); err != nil {
		t.Skip("needs zenity")
	}
	nowhere := ourselves(":64999")
	if answer, err := Ask(t.Context(), nowhere, Question{Title: "x", Text: "x"}); !errors.Is(err, ErrNoDialog) {
		t.Errorf("ask: got %q, %v; want %v", answer, err, ErrNoDialog)
	}
	if err := Tell(t.Context(), nowhere, "x", "x"); !errors.Is(err, ErrNoDialog) {
		t.Errorf("tell: got %v, want %v", err, ErrNoDialog)
	}
}

func TestNoProgram(t *testing.T) {
	if _, err := findProgram([]string{t.TempDir()}); !errors.Is(err, ErrNoDialog) ||
		!strings.Contains(err.Error(), "install zenity") {
		t.Errorf("got %v, want %v and what to install", err, ErrNoDialog)
	}
	found, err := findProgram([]string{"/nonexistent", filepath.Dir(script(t, "kdialog", "exit 0"))})
	if err != nil || found.kind != (kdialog{}) {
		t.Errorf("got %v, %v; want kdialog", found, err)
	}
}

// TestKdialog plays KDE's program, which is not there: what it is told, and what its codes mean.
func TestKdialog(t *testing.T) {
	all := Question{Title: "T", Text: "a <b> & c\nd", MayCancel: true, MayDelay: true, DelaysLeft: 2}
	cancelOnly, delayOnly, neither := all, all, all
	cancelOnly.MayDelay, delayOnly.MayCancel, neither.MayDelay, neither.MayCancel = false, false, false, false
	const body = "[<qt>a &lt;b&gt; &amp; c<br/>d</qt>]"
	for _, test := range []struct {
		question Question
		exit     int
		want     Answer
		args     string
	}{
		{all, 0, Proceed, "[--title][T][--cancel-label][Later (2 left)][--yes-label][Install now][--no-label]" +
			"[Cancel installation][--warningyesnocancel]" + body},
		{all, 1, Cancel, "--warningyesnocancel"},
		{all, 2, Delay, "--warningyesnocancel"},
		{cancelOnly, 1, Cancel, "[--cancel-label][Ask again]"},
		{cancelOnly, 2, Proceed, "--warningyesnocancel"}, // after the third time
		{delayOnly, 2, Delay, "[--continue-label][Install now][--warningcontinuecancel]" + body},
		{neither, 0, Proceed, "[--cancel-label][Ask again][--continue-label]"},
		{all, 254, "", ""},
	} {
		args := filepath.Join(t.TempDir(), "args")
		path := script(t, "kdialog", fmt.Sprintf("printf '[%%s]' \"$@\" >%s; exit %d", args, test.exit))
		answer, err := ask(t.Context(), program{path, kdialog{}}, ourselves(":0"), test.question)
		told, _ := os.ReadFile(args)
		if answer != test.want || errors.Is(err, ErrNoDialog) != (test.want == "") ||
			!strings.Contains(string(told), test.args) {
			t.Errorf("code %d: got %q, %v, told %s; want %q, told %s", test.exit, answer, err, told, test.want,
				test.args)
		}
	}
}

// TestOtherUser: the program runs as the session's user, with nothing of our environment and no groups of
// ours.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		if _, err := run(t.Context(), Session{UID: 0}, "/bin/true", nil); !errors.Is(err, ErrNoDialog) {
			t.Errorf("as root, without being root: got %v, want %v", err, ErrNoDialog)
		}
		t.Skip("needs root, to become another user")
	}
	t.Setenv("SECRET", "token")
	session := Session{
		User: "ana", UID: 65_501, GID: 65_502, Home: "/home/ana", Display: ":0", Bus: "unix:path=/b",
	}
	const tell = "id -u; id -G; env; head -c 9999 /dev/zero >&2"
	said, err := run(t.Context(), session, "/bin/sh", []string{"-c", tell})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(said.stdout, "65501\n65502\n") || strings.Contains(said.stdout, "SECRET") {
		t.Errorf("got %s", said.stdout)
	}
	for _, want := range []string{
		"HOME=/home/ana\n", "USER=ana\n", "DISPLAY=:0\n", "DBUS_SESSION_BUS_ADDRESS=unix:path=/b\n",
	} {
		if !strings.Contains(said.stdout, want) {
			t.Errorf("%q is missing in %s", want, said.stdout)
		}
	}
	if len(said.stderr) != maxSaid {
		t.Errorf("kept %d bytes, want %d", len(said.stderr), maxSaid)
	}
}

func TestPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second: "1 second", 119 * time.Second: "119 seconds", 5*time.Minute - 10*time.Millisecond: "5 minutes",
		24 * time.Hour: "24 hours", 90 * time.Minute: "90 minutes",
	} {
		if got := people(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
