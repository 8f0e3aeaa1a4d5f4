package cases

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is what the kernel counts processes' CPU time in for others, whatever its own clock is.
const ticksPerSecond = 100

// cpuOf returns the CPU seconds, of user and system, that a process has spent so far with all its threads.
func cpuOf(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := parseStat(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return seconds
}

// parseStat reads the CPU seconds out of /proc/PID/stat.
func parseStat(text string) (float64, error) {
	after := strings.LastIndexByte(text, ')') // of the program's name, which may hold anything
	fields := strings.Fields(text[after+1:])
	const user, system = 14 - 3, 15 - 3 // as proc(5) counts them; the first here is its third
	if after < 0 || len(fields) <= system {
		return 0, fmt.Errorf("not a process's stat: %q", text)
	}
	a, errUser := strconv.ParseUint(fields[user], 10, 64)
	b, errSystem := strconv.ParseUint(fields[system], 10, 64)
	return float64(a+b) / ticksPerSecond, errors.Join(errUser, errSystem)
}

// A spent is what processes had spent at a time, in CPU seconds.
type spent struct {
	at  time.Time
	cpu float64
}

// A meter reads every 20 ms what processes have spent, until it is stopped, so that it is known afterwards for the times
// that their logs tell. It holds a few minutes.
type meter struct {
	stopped chan struct{}
	wait    sync.WaitGroup

	mu    sync.Mutex // guards reads
	reads []spent
}

const meterEvery = 20 * time.Millisecond

// meterOf begins to read.
func meterOf(t *testing.T, pids ...int) *meter {
	m := &meter{stopped: make(chan struct{})}
	m.wait.Go(func() {
		ticker := time.NewTicker(meterEvery)
		defer ticker.Stop()
		for {
			select {
			case <-m.stopped:
				return
			case <-ticker.C:
			}
			now := spent{at: time.Now()}
			for _, pid := range pids {
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				if err != nil {
					return // it has ended, which the case misses
				}
				seconds, err := parseStat(string(text))
				if err != nil {
					t.Error(err)
					return
				}
				now.cpu += seconds
			}
			m.mu.Lock()
			m.reads = append(m.reads, now)
			m.mu.Unlock()
		}
	})
	t.Cleanup(m.stop)
	return m
}

// stop ends the reading. It may be called again.
func (m *meter) stop() {
	select {
	case <-m.stopped:
	default:
		close(m.stopped)
	}
	m.wait.Wait()
}

// until reports whether there is a reading after a time.
func (m *meter) until(at time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.reads) > 0 && m.reads[len(m.reads)-1].at.After(at)
}

// at returns what had been spent at a time, as if it were spent evenly between two readings.
func (m *meter) at(when time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := slices.IndexFunc(m.reads, func(one spent) bool { return !one.at.Before(when) })
	switch {
	case next < 0:
		return m.reads[len(m.reads)-1].cpu
	case next == 0:
		return m.reads[0].cpu
	}
	before, after := m.reads[next-1], m.reads[next]
	part := float64(when.Sub(before.at)) / float64(after.at.Sub(before.at))
	return before.cpu + part*(after.cpu-before.cpu)
}

// A bareEnd is a process of e2e/lab/bare.
type bareEnd struct {
	f       *fleet
	command *exec.Cmd
	stdin   io.WriteCloser
	lines   *bufio.Scanner
	errors  strings.Builder
}

// startBare starts the program that moves a file by QUIC alone, on a host of the first site. It ends with ctx at the
// latest.
func (f *fleet) startBare(ctx context.Context, number int, args ...string) *bareEnd {
	f.Helper()
	b := &bareEnd{f: f, command: f.lab.Command(ctx, f.topology.Sites[0].Host(number), bareProgram, args...)}
	b.command.Stderr = &b.errors
	stdin, errIn := b.command.StdinPipe()
	stdout, errOut := b.command.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		f.Fatal(err)
	}
	b.stdin, b.lines = stdin, bufio.NewScanner(stdout)
	if err := b.command.Start(); err != nil {
		f.Fatal(err)
	}
	return b
}

func (b *bareEnd) pid() int { return b.command.Process.Pid }

// await waits until the process says a word, and returns what comes after it.
func (b *bareEnd) await(word string) string {
	b.f.Helper()
	if b.lines.Scan() {
		if rest, is := strings.CutPrefix(b.lines.Text(), word); is {
			return strings.TrimSpace(rest)
		}
	}
	_ = b.command.Wait() // so that all errors are there
	b.f.Fatalf("%v: it does not say %q: %s", b.command.Args, word, b.errors.String())
	return ""
}

// tell lets the process begin.
func (b *bareEnd) tell() {
	b.f.Helper()
	if _, err := io.WriteString(b.stdin, "go\n"); err != nil {
		b.f.Fatal(err)
	}
}

// end waits until the process has ended; that of the other end sees that it has.
func (b *bareEnd) end() {
	b.f.Helper()
	if err := errors.Join(b.stdin.Close(), b.command.Wait()); err != nil {
		b.f.Fatalf("%v: %v: %s", b.command.Args, err, b.errors.String())
	}
}

// allocate makes a file whose room is really there, as a vault does.
func allocate(path string, bytes int64) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	err = unix.Fallocate(int(file.Fd()), 0, 0, bytes)
	if errors.Is(err, unix.EOPNOTSUPP) { // the file system gives room only when it is written to
		err = file.Truncate(bytes)
	}
	return errors.Join(err, file.Sync())
}

// TestParseStat: the CPU time of a process, whatever it is called.
func TestParseStat(t *testing.T) {
	const rest = " S 1 2 2 0 -1 4194560 100 0 0 0 250 31 7 8 20 0 5 0 1000 1 2"
	for name, one := range map[string]struct {
		text string
		want float64 // negative: refused
	}{
		"plain": {"42 (agent)" + rest, 2.81}, "odd name": {"42 (a) S 9 (b c)" + rest, 2.81},
		"short": {"42 (agent) S 1 2", -1}, "nothing": {"", -1},
		"no number": {"42 (agent) S 1 2 2 0 -1 4 1 0 0 0 x 31 7", -1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat(one.text)
			if (err != nil) != (one.want < 0) || err == nil && got != one.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if got := cpuOf(t, os.Getpid()); got < 0 || got > 3600 {
		t.Errorf("our own: %v", got)
	}
}

// TestMeter: what was spent at a time is between what was read before and after.
func TestMeter(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	after := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	m := &meter{reads: []spent{{start, 1}, {after(20), 1}, {after(40), 3}}}
	for ms, want := range map[int]float64{-5: 1, 0: 1, 10: 1, 20: 1, 25: 1.5, 40: 3, 50: 3} {
		if got := m.at(after(ms)); got != want {
			t.Errorf("after %d ms: got %v, want %v", ms, got, want)
		}
	}
	if m.until(after(40)) || !m.until(after(39)) {
		t.Error("it does not know how far it has read")
	}
}

// TestSpread: least, median and most, and the values stay as they were.
func TestSpread(t *testing.T) {
	of := []float64{3, 1, 2, 9, 2}
	if got, want := spread(of), (spreading{1, 2, 9}); got != want || of[0] != 3 {
		t.Errorf("got %v of %v", got, of)
	}
}
