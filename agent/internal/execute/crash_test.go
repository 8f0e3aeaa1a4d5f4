//go:build linux

package execute

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"enjambre/agent/internal/failpoint"
	"enjambre/core"
)

// breakable builds a shim that kills itself where a test says.
func breakable(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "shim")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "failpoint", "-o", program,
		"./testdata/shim")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return program
}

// TestKilled kills the shim at every place and looks at what a restarted agent finds: the right phase, and
// after the next shim the command has run once, or not at all.
func TestKilled(t *testing.T) {
	program := breakable(t)
	type outcome struct {
		found Phase
		ran   string // by then
		after Phase  // once another shim has been started
	}
	want := map[string]outcome{
		"execute.before_started": {Interrupted, "", Ended},
		"execute.after_started":  {Interrupted, "", Interrupted},
		"execute.after_command":  {Interrupted, "once\n", Interrupted},
		"execute.before_result":  {Interrupted, "once\n", Interrupted},
		"execute.after_result":   {Ended, "once\n", Ended},
	}
	for _, point := range failpoint.Points() {
		if !strings.HasPrefix(point.Name, "execute.") {
			continue
		}
		expected, known := want[point.Name]
		if !known {
			t.Errorf("%s has no expectation", point.Name)
			continue
		}
		t.Run(point.Name, func(t *testing.T) {
			count := filepath.Join(t.TempDir(), "count")
			folder := newJob(t, Order{Action: core.Execute, Target: "echo said; echo once >>" + count}, nil)
			t.Setenv(failpoint.Variable, point.Name)
			shim := launched(t, program, folder)
			state, err := Wait(t.Context(), folder, shim.Name(), shim)
			ran, _ := os.ReadFile(count)
			if err != nil || state.Phase != expected.found || string(ran) != expected.ran {
				t.Errorf("got %s, %v, ran %q; want %s, ran %q", state.Phase, err, ran, expected.found, expected.ran)
			}
			if state.Phase == Interrupted {
				result := state.Result
				if result.Text != "ERR_EXECUTE" || result.Class != core.ClassInterrupt || result.Installed ||
					(result.Output == "said\n") != (expected.ran != "") {
					t.Errorf("got %s (%s), output %q", short(result), result.Detail, result.Output)
				}
			}
			t.Setenv(failpoint.Variable, "")
			shim = launched(t, program, folder)
			<-shim.ended
			after, err := Look(folder, shim.Name())
			ran, _ = os.ReadFile(count)
			if err != nil || after.Phase != expected.after || strings.Count(string(ran), "once") > 1 {
				t.Errorf("another shim: got %s, %v, ran %q; want %s", after.Phase, err, ran, expected.after)
			}
			if err := Remove(folder); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOrphan: a command whose shim is killed counts as running until it ends.
func TestOrphan(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	folder := newJob(t, untilThere(gate), nil)
	shim := launched(t, os.Args[0], folder)
	var started record
	var command commandRecord
	eventually(t, "the command", func() bool {
		return readJSON(folder, startedFile, &started) == nil && readJSON(folder, commandFile, &command) == nil
	})
	if err := syscall.Kill(started.Shim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-shim.ended
	if state, err := Look(folder, shim.Name()); err != nil || state.Phase != Running {
		t.Errorf("with its command alive: got %s, %v; want %s", state.Phase, err, Running)
	}
	late := command
	late.Until = sinceBoot()
	data, err := json.Marshal(late)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, commandFile), data, 0o600)
	}
	if err != nil || isOrphaned(folder) {
		t.Errorf("it counts as running after its time, %v", err)
	}
	if data, err = json.Marshal(command); err == nil {
		err = os.WriteFile(filepath.Join(folder, commandFile), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if state, err := Wait(t.Context(), folder, shim.Name(), shim); err != nil || state.Phase != Interrupted {
		t.Errorf("got %s, %v; want %s", state.Phase, err, Interrupted)
	}
}

// TestOtherProcess: a process is not taken for another with its number, nor for one of another boot.
func TestOtherProcess(t *testing.T) {
	self, err := ourselves()
	if err != nil || !self.alive() {
		t.Fatalf("we are not alive: %v", err)
	}
	eventually(t, "a child with another start than ours, which only one of the same clock tick has not", func() bool {
		child := exec.CommandContext(t.Context(), "sleep", "300")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		other, err := identify(child.Process.Pid)
		if err != nil || other.Boot != self.Boot || !other.alive() {
			t.Fatalf("we are %v, our child is %v, %v", self, other, err)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed, as asked
		return other.Start != self.Start
	})
	earlier, rebooted := self, self
	earlier.Start = "1"
	rebooted.Boot = "another"
	if earlier.alive() || rebooted.alive() {
		t.Errorf("taken for us: %v, %v", earlier.alive(), rebooted.alive())
	}
	dead := exec.CommandContext(t.Context(), "true")
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of a process that nobody has waited for", func() bool {
		stat, err := readStat(dead.Process.Pid)
		return err == nil && stat.isDead()
	})
	if _, err := identify(dead.Process.Pid); err == nil {
		t.Error("a dead process is told to be alive")
	}
	if err := dead.Wait(); err != nil {
		t.Error(err)
	}
}

// TestShutdown: a shim that is asked to end stays to tell what came of its command.
func TestShutdown(t *testing.T) {
	folder := newJob(t, Order{Action: core.Execute, Target: "echo begun; exec sleep 300"}, nil)
	shim := launched(t, os.Args[0], folder)
	var started record
	var command commandRecord
	eventually(t, "the command", func() bool {
		return readJSON(folder, startedFile, &started) == nil && readJSON(folder, commandFile, &command) == nil &&
			readOutput(folder) == "begun\n"
	})
	for _, pid := range []int{started.Shim.PID, command.PID} {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	state, err := Wait(t.Context(), folder, shim.Name(), shim)
	if err != nil || state.Phase != Ended || !strings.Contains(state.Result.Detail, "terminated") {
		t.Errorf("got %s, %v, %s", state.Phase, err, state.Result.Detail)
	}
}

// TestDetached: the shim leads a session of its own.
func TestDetached(t *testing.T) {
	order := Order{
		Action: core.Execute,
		Target: `for p in $PPID $$; do cut -d" " -f6 /proc/$p/stat; echo $p; done`,
	}
	got := strings.Fields(carriedOut(t, newJob(t, order, nil)).Output)
	if len(got) != 4 || got[0] != got[1] || got[2] != got[3] {
		t.Errorf("sessions and processes of shim and command: %q, want pairs", got)
	}
}

func TestDamagedFiles(t *testing.T) {
	for _, name := range []string{orderFile, startedFile, resultFile} {
		folder := newJob(t, Order{Action: core.Execute, Target: "true"}, nil)
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == orderFile {
			if err := Run(folder, strings.NewReader(goAhead)); core.ClassOf(err) != core.ClassFormat {
				t.Errorf("ran a damaged order: %v", err)
			}
			continue
		}
		if _, err := Look(folder, ""); core.ClassOf(err) != core.ClassFormat || !strings.Contains(err.Error(), path) {
			t.Errorf("damaged %s: got %v", name, err)
		}
	}
}

// TestNoWord: a shim that is not told to begin runs nothing, also when what was noted of it is all that is left.
func TestNoWord(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	order := Order{Action: core.Execute, Target: "echo once >>" + count}
	for name, end := range map[string]func(*Shim){
		"dismissed":     (*Shim).Dismiss,
		"agent is gone": func(shim *Shim) { _ = shim.word.Close(); <-shim.ended }, // as the kernel does
	} {
		folder := newJob(t, order, nil)
		shim, err := Launch(os.Args[0], folder)
		if err != nil {
			t.Fatal(err)
		}
		if state, err := Look(folder, shim.Name()); err != nil || state.Phase != Running {
			t.Errorf("%s: while it waits: got %s, %v", name, state.Phase, err)
		}
		end(shim)
		if state, err := Look(folder, shim.Name()); err != nil || state.Phase != None {
			t.Errorf("%s: got %s, %v", name, state.Phase, err)
		}
		if err := shim.Begin(); err == nil {
			t.Errorf("%s: told to begin all the same", name)
		}
		if err := Remove(folder); err != nil {
			t.Error(err)
		}
	}
	gone := newJob(t, order, nil)
	shim, err := Launch(os.Args[0], gone)
	if err == nil {
		err = os.Remove(filepath.Join(gone, orderFile)) // perhaps before it is read
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = shim.Begin() // it may have ended
	state, err := Wait(t.Context(), gone, shim.Name(), shim)
	ran, _ := os.ReadFile(count)
	if hasRun := len(ran) > 0; err != nil || hasRun != (state.Phase == Ended) || !hasRun && state.Phase != None {
		t.Errorf("without an order: got %s, %v, ran %q", state.Phase, err, ran)
	}
}
