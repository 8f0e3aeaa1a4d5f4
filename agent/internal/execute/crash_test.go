//go:build linux

package execute

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
		"execute.before_started": {Ordered, "", Ended},
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
			ended, err := Launch(program, folder)
			if err != nil {
				t.Fatal(err)
			}
			state, err := Wait(t.Context(), folder, ended)
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
			if ended, err = Launch(program, folder); err != nil {
				t.Fatal(err)
			}
			<-ended
			after, err := Look(folder)
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
	ended, err := Launch(os.Args[0], folder)
	if err != nil {
		t.Fatal(err)
	}
	var started record
	var command process
	eventually(t, "the command", func() bool {
		return readJSON(folder, startedFile, &started) == nil && readJSON(folder, commandFile, &command) == nil
	})
	if err := syscall.Kill(started.Shim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-ended
	if state, err := Look(folder); err != nil || state.Phase != Running {
		t.Errorf("with its command alive: got %s, %v; want %s", state.Phase, err, Running)
	}
	if orphaned(folder, record{Until: time.Now()}) {
		t.Error("it counts as running after its time")
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if state, err := Wait(t.Context(), folder, ended); err != nil || state.Phase != Interrupted {
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
	ended, err := Launch(os.Args[0], folder)
	if err != nil {
		t.Fatal(err)
	}
	var started record
	var command process
	eventually(t, "the command", func() bool {
		return readJSON(folder, startedFile, &started) == nil && readJSON(folder, commandFile, &command) == nil &&
			readOutput(folder) == "begun\n"
	})
	for _, pid := range []int{started.Shim.PID, command.PID} {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	state, err := Wait(t.Context(), folder, ended)
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
			if err := Run(folder); core.ClassOf(err) != core.ClassFormat {
				t.Errorf("ran a damaged order: %v", err)
			}
			continue
		}
		if _, err := Look(folder); core.ClassOf(err) != core.ClassFormat || !strings.Contains(err.Error(), path) {
			t.Errorf("damaged %s: got %v", name, err)
		}
	}
}

// TestWithdrawn: what is taken back is not begun by a shim that comes late, whatever of the job's folder is left;
// and what has begun is not taken back.
func TestWithdrawn(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	order := Order{Action: core.Execute, Target: "echo once >>" + count}
	folder := newJob(t, order, nil)
	if err := Withdraw(folder); err != nil {
		t.Fatal(err)
	}
	late, err := readOrder(folder) // as a shim did before
	if err != nil {
		t.Fatal(err)
	}
	if err := begin(folder, late); !errors.Is(err, ErrBegun) {
		t.Errorf("a withdrawn job is begun: %v", err)
	}
	if state, err := Look(folder); err != nil || state.Phase != None {
		t.Errorf("got %s, %v", state.Phase, err)
	}
	for range 2 {
		if err := errors.Join(Withdraw(folder), Remove(folder)); err != nil {
			t.Error(err)
		}
	}
	if err := begin(folder, late); err == nil {
		t.Error("a removed job is begun")
	}

	begun := newJob(t, order, nil)
	if err := begin(begun, late); err != nil {
		t.Fatal(err)
	}
	if err := Withdraw(begun); !errors.Is(err, ErrBegun) {
		t.Errorf("got %v", err)
	}
	if state, err := Look(begun); err != nil || state.Phase != Running {
		t.Errorf("got %s, %v", state.Phase, err)
	}
	ordered := newJob(t, order, nil)
	if err := Remove(ordered); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(ordered)); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestSlowShim: a shim that begins just when its job is removed either runs its command, which is then waited for, or
// never does.
func TestSlowShim(t *testing.T) {
	for range 300 {
		count := filepath.Join(t.TempDir(), "count")
		folder := newJob(t, Order{Action: core.Execute, Target: "echo once >>" + count}, nil)
		order, err := readOrder(folder)
		if err != nil {
			t.Fatal(err)
		}
		removed := make(chan error, 1)
		go func() { removed <- Remove(folder) }()
		begunErr := begin(folder, order)
		if err := <-removed; (err == nil) == (begunErr == nil) {
			t.Fatalf("removed: %v, begun: %v", err, begunErr)
		}
	}
}
