package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"enjambre/agent/internal/execute"
	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/plan"
	"enjambre/agent/internal/state"
	"enjambre/core"
	"enjambre/core/outcome"
)

// TestMain makes the test's binary a shim when it is called as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == execute.ShimCommand {
		err := execute.Run(execute.JobFolder(os.Args[2:]), os.Stdin)
		if errors.Is(err, execute.ErrNotBegun) {
			os.Exit(execute.NotBegun)
		}
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// losable are the files and folders of a job that can vanish: one by one, the job's folder, and that of all jobs.
var losable = []string{
	"order.json", "started", "declined", "command", "output", "result.json", "tmp", "work", ".", "..",
}

// A misfortune is what happens to one job.
type misfortune struct {
	lost      [3]int // sets of losable: before the word to begin, while the command runs, after its end
	kill      bool   // the shim, while the command runs
	restarted bool   // the agent, while the command runs
}

func (m misfortune) String() string {
	var text strings.Builder
	for step, lost := range m.lost {
		for i, name := range losable {
			if lost>>i&1 != 0 {
				fmt.Fprintf(&text, "%d:%s ", step, name)
			}
		}
	}
	fmt.Fprintf(&text, "kill=%v restarted=%v", m.kill, m.restarted)
	return text.String()
}

// lose removes a set of a job's files.
func (m misfortune) lose(t *testing.T, folder string, step int) {
	t.Helper()
	for i, name := range losable {
		if m.lost[step]>>i&1 == 0 {
			continue
		}
		path := filepath.Clean(filepath.Join(folder, name))
		until(t, "the removal of "+name, func() bool { return os.RemoveAll(path) == nil }) // a shim writes there meanwhile
	}
}

// TestLostFiles: whatever files of a job vanish, at whatever step, and whoever is killed, its command never runs twice,
// and a result is noted in the end.
func TestLostFiles(t *testing.T) {
	cases := []misfortune{{}, {kill: true}, {restarted: true}, {kill: true, restarted: true}}
	for step := range 3 { // each alone, and an agent that goes on or starts anew
		for i := range losable {
			for _, restarted := range []bool{false, true} {
				m := misfortune{restarted: restarted}
				m.lost[step] = 1 << i
				cases = append(cases, m)
			}
		}
	}
	random := rand.New(rand.NewPCG(3, 5))
	for range 60 {
		m := misfortune{kill: random.IntN(4) == 0, restarted: random.IntN(2) == 0}
		for step := range m.lost {
			m.lost[step] = random.IntN(1<<len(losable)) & random.IntN(1<<len(losable))
		}
		cases = append(cases, m)
	}
	for _, m := range cases {
		t.Run(m.String(), func(t *testing.T) { m.befall(t) })
	}
}

// befall runs one package through it.
func (m misfortune) befall(t *testing.T) {
	folder, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, folder)
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	scene := t.TempDir()
	ran, gate := filepath.Join(scene, "ran"), filepath.Join(scene, "gate")
	command := fmt.Sprintf("echo x >>%s; while test -d %s && ! test -e %s; do sleep 0.01; done", ran, scene, gate)
	runs := func() int {
		data, _ := os.ReadFile(ran)
		return bytes.Count(data, []byte("x"))
	}
	for try := range 3 { // an attempt that is known to have come to nothing is followed by another
		event := m.attempt(t, &d, command, func() bool { return runs() > 0 }, gate)
		if _, postponed := event.(plan.RunPostponed); !postponed {
			break
		}
		if runs() > 0 {
			t.Errorf("try %d: it has run, and would again: %+v", try, event)
		}
		m.lost = [3]int{}
	}
	got, _ := d.ledger.Last(id)
	if runs() > 1 || got.Stage != ledger.Ended {
		t.Fatalf("it ran %d times; noted: %+v", runs(), got)
	}
	nothingLost := m.lost == [3]int{} && !m.kill
	if success := got.Result.Text == string(outcome.Success); success && runs() == 0 || nothingLost && !success {
		t.Errorf("it ran %d times; noted: %+v", runs(), got.Result)
	}
	if !got.Result.Installed && !strings.HasPrefix(got.Result.Detail, string(core.ClassInterrupt)) && runs() > 0 {
		t.Errorf("it ran, and what is reported does not say that nobody knows how far it came: %+v", got.Result)
	}
}

// attempt runs the package once, with all that happens to it, and returns what the plan is told.
func (m misfortune) attempt(t *testing.T, agent **daemon, command string, runs func() bool, gate string) plan.Event {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	d := *agent
	attempt, err := d.ledger.Intend(id, core.Digest{})
	must(err)
	folder := d.job(attempt)
	must(os.MkdirAll(filepath.Dir(folder), 0o700))
	must(execute.Create(folder, execute.Order{
		Package: id, OS: core.Linux, Action: core.Execute, Target: command, TimeLimit: time.Hour,
		Codes: outcome.SuccessCodes{0},
	}))
	shim, err := execute.Launch(os.Args[0], folder)
	must(err)
	attempt, err = d.ledger.Launch(id, shim.Name())
	must(err)
	m.lose(t, folder, 0)
	if err := shim.Begin(); err != nil {
		return d.notBegun(t.Context(), attempt, err)()
	}
	over := shim.Ended
	until(t, "the command", func() bool { return runs() || over() })
	m.lose(t, folder, 1)
	if m.kill {
		var pid int
		_, err := fmt.Sscanf(shim.Name(), "%d/", &pid)
		must(err)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		until(t, "the shim's end", over)
	}
	if m.restarted {
		must(d.close())
		d = startDaemon(t, d.options.State)
		*agent = d
		_, running, err := d.resume()
		must(err)
		if len(running) == 0 { // it is settled
			must(os.WriteFile(gate, nil, 0o600))
			if got, _ := d.ledger.Last(id); got.Stage == ledger.Ended {
				return plan.Ended{Package: id}
			}
			return plan.RunPostponed{Package: id}
		}
		attempt, shim = running[0], nil
	}
	must(os.WriteFile(gate, nil, 0o600))
	until(t, "the shim's end", over)
	m.lose(t, folder, 2)
	return d.finish(t.Context(), attempt, shim)()
}

// until waits for a condition that another process brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for ", what)
		}
	}
}
