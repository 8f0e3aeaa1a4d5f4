package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// desktopUser is nobody's number here; whoever is 1000 or above counts as a person.
const desktopUser = 4321

// startDesktop starts an X server without a screen and a program of a user on it, and returns its display and what
// logs the user off.
func startDesktop(t *testing.T) (display string, logOff func()) {
	t.Helper()
	for _, tool := range []string{"Xvfb", "zenity", "xdotool"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (Debian: apt-get install xvfb zenity xdotool)", tool)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to show windows as another user")
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	server := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "800x600x24", "-nolisten", "tcp", "-ac", "-noreset")
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
	display = ":" + strings.TrimSpace(number)
	shell := exec.Command("sleep", "1800")
	shell.Env = []string{"DISPLAY=" + display}
	shell.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: desktopUser, Gid: desktopUser}}
	shell.Dir = "/"
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	logOff = func() {
		if shell.ProcessState == nil {
			_ = shell.Process.Kill()
			_ = shell.Wait()
		}
	}
	t.Cleanup(logOff)
	return display, logOff
}

// press waits for the agent's window and presses keys in it.
func (s *site) press(display string, keys ...string) {
	s.Helper()
	tool := func(args ...string) (string, error) {
		command := exec.CommandContext(s.Context(), "xdotool", args...)
		command.Env = append(os.Environ(), "DISPLAY="+display)
		output, err := command.Output()
		return strings.TrimSpace(string(output)), err
	}
	s.waitFor("the agent's window", func() bool {
		found, err := tool("search", "--onlyvisible", "--name", "^Software installation$")
		if err != nil || found == "" {
			return false
		}
		_, err = tool("windowfocus", "--sync", found)
		return err == nil
	})
	if _, err := tool(append([]string{"key"}, keys...)...); err != nil {
		s.Error(err)
	}
}

// TestMemberNotice: the user is told, may cancel or delay, and a command can have the user's desktop.
func TestMemberNotice(t *testing.T) {
	s := newSite(t)
	interactive := []string{"--action", "EXECUTE", "--command", "echo on $DISPLAY", "--interactive"}
	waiting := s.deploy(interactive...)
	s.stuck("package "+waiting, "nobody is logged on")
	s.must("unaffect", "--package", waiting, "--computer", s.device)
	s.once()

	display, logOff := startDesktop(t)
	notice := []string{"--action", "EXECUTE", "--command", "echo ran", "--notify-text", "Tools 2.1 will be installed."}
	run := func() <-chan string {
		done := make(chan string, 1)
		go func() {
			output, err := s.member.Once(t.Context())
			if err == nil {
				output = "all succeeded"
			}
			done <- output
		}()
		return done
	}

	cancelled := s.deploy(append(notice, "--user-may-cancel")...)
	done := run()
	s.press(display, "Tab", "Return")
	wantText(t, <-done, "package "+cancelled+": ERR_ABORTED")
	s.want(cancelled, "ERR_ABORTED", "ERR_ABORTED", "the user cancelled it")

	counted := s.deploy(append(notice, "--notify-countdown", "2s")...)
	wantText(t, <-run(), "all succeeded")
	s.want(counted, "SUCCESS", "SUCCESS", "ran")

	shown := s.deploy(interactive...)
	wantText(t, <-run(), "all succeeded")
	s.want(shown, "SUCCESS", "SUCCESS", "on "+display)

	delayed := s.deploy(append(notice, "--user-may-delay", "--max-delays", "1")...)
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	s.press(display, "Tab", "Return")
	s.waitFor("the delay", func() bool {
		var status struct {
			Packages []struct {
				Phase    string
				RunAfter time.Time
			}
		}
		err := s.member.JSON(t.Context(), &status, "status")
		return err == nil && len(status.Packages) == 1 && status.Packages[0].Phase == "DELAYED" &&
			time.Until(status.Packages[0].RunAfter) > 3*time.Hour
	})
	if err := s.member.Stop(); err != nil {
		t.Error(err)
	}
	s.stuck("package " + delayed)
	s.must("unaffect", "--package", delayed, "--computer", s.device)
	s.once()

	logOff() // nobody to ask: it goes on at once
	quiet := s.deploy(append(notice, "--user-may-cancel")...)
	s.once()
	s.want(quiet, "SUCCESS", "SUCCESS", "ran")
}
