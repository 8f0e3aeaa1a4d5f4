package execute

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"enjambre/core"
)

// TestGivesUpRoot: a command that gives up root can make temporary files, and go on in its folder.
func TestGivesUpRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const asNobody = "setpriv --reuid=65534 --regid=65534 --clear-groups "
	order := Order{Action: core.Execute, Target: asNobody + "mktemp && " + asNobody + "find /etc/hostname && " + asNobody +
		"sh -c 'cd . && ! ls ${TMPDIR%/*/*} && ! touch here'"}
	if got := carriedOut(t, newJob(t, order, nil)); got.Text != "SUCCESS" {
		t.Errorf("got %s (%s)\n%s", short(got), got.Detail, got.Output)
	}
	staged := newJob(t, Order{Action: core.Launch, Target: "run.sh"}, map[string]string{
		"run.sh":   "#!/bin/sh\ncd \"$PKG_DIR\" && " + asNobody + "\"$PKG_DIR/sub/prog\" && ! " + asNobody + "ls ..",
		"sub/prog": "#!/bin/sh\ncat \"$0\"",
	})
	for above := filepath.Dir(staged); above != "/tmp" && above != "/"; above = filepath.Dir(above) {
		if err := os.Chmod(above, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(StageFolder(staged), "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := carriedOut(t, staged); got.Text != "SUCCESS_0" {
		t.Errorf("a program of the archive: got %s (%s)\n%s", short(got), got.Detail, got.Output)
	}
	set := Order{Action: core.Execute, Target: "set -eu; echo $USER $LOGNAME $SHELL $HOME; tput cols"}
	if got := carriedOut(t, newJob(t, set, nil)); got.Text != "SUCCESS" || !strings.HasPrefix(got.Output, "root root /") {
		t.Errorf("got %s (%s)\n%s", short(got), got.Detail, got.Output)
	}
}

// TestLeftRunning: what a command leaves running keeps its output and its temporary folder, also when the shim is
// killed; when it has ended, the shim tidies up.
func TestLeftRunning(t *testing.T) {
	for _, kill := range []bool{false, true} {
		scene := t.TempDir()
		gate, lodge, done := filepath.Join(scene, "gate"), filepath.Join(scene, "lodge"), filepath.Join(scene, "done")
		script := "echo $TMPDIR >" + lodge + "; (while test -d " + scene + " && ! test -e " + gate +
			"; do echo tick; sleep 0.02; done; echo more && echo x >$TMPDIR/x && : >" + done + ") &"
		folder := newJob(t, Order{Action: core.Execute, Target: script}, nil)
		shim := launched(t, os.Args[0], folder)
		state, err := Wait(t.Context(), folder, shim.Name(), shim)
		if err != nil || state.Result.Text != "SUCCESS" {
			t.Fatalf("got %+v, %v", state, err)
		}
		comm, err := os.ReadFile(filepath.Join("/proc", strings.SplitN(shim.Name(), "/", 2)[0], "comm"))
		if err != nil || strings.TrimSpace(string(comm)) != shimName {
			t.Errorf("the shim is called %q, %v", comm, err)
		}
		if kill {
			if err := syscall.Kill(shim.process.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-shim.ended
		}
		if err := Remove(folder); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what was left running", func() bool { _, err := os.Stat(done); return err == nil })
		place, err := os.ReadFile(lodge)
		if err != nil {
			t.Fatal(err)
		}
		folderOf := filepath.Dir(filepath.Dir(strings.TrimSpace(string(place))))
		if kill {
			if err := os.RemoveAll(folderOf); err != nil {
				t.Error(err)
			}
			continue
		}
		<-shim.ended
		if _, err := os.Stat(folderOf); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", folderOf, err)
		}
	}
}
