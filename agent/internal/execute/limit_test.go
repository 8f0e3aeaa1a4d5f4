//go:build linux

package execute

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"enjambre/core"
)

// TestBackground: what a command leaves running is left alone, and does not hold the job although it has
// inherited the output. C11.
func TestBackground(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	got := carriedOut(t, newJob(t, Order{Action: core.Execute, Target: "sleep 600 & echo $! >" + pidFile}, nil))
	if short(got) != "SUCCESS 0  true" {
		t.Errorf("got %s", short(got))
	}
	pid := readPID(t, pidFile)
	if !isAlive(pid) {
		t.Error("the command's child was ended")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func readPID(t *testing.T, path string) int {
	t.Helper()
	var data []byte
	eventually(t, "a process number in "+path, func() bool {
		data, _ = os.ReadFile(path)
		return bytes.HasSuffix(data, []byte("\n"))
	})
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func isAlive(pid int) bool {
	_, err := startTime(pid)
	return err == nil
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// TestTimeLimit: the whole tree is ended, with what has made a session of its own and lost its parents, and
// takes no notice of being asked. C12.
func TestTimeLimit(t *testing.T) {
	limit := time.Second
	for ; limit < patience/2; limit *= 4 {
		if endsTree(t, limit) {
			return
		}
	}
	t.Errorf("the tree does not stand within %v", limit)
}

// endsTree lets a tree of processes run into a time limit. It returns false if the tree did not stand by then, on a
// busy computer.
func endsTree(t *testing.T, limit time.Duration) (stood bool) {
	t.Helper()
	folder := t.TempDir()
	stubborn := `trap '' TERM HUP; echo $$ >` + folder + `/$1; while :; do sleep 0.1; done`
	files := map[string]string{
		"stubborn": "#!/bin/sh\n" + stubborn,
		"run": "#!/bin/sh\necho said\nsetsid sh -c '(stubborn a &) ; exit' &\n(setsid stubborn b &)\n" +
			"sh -c 'echo $$ >" + folder + "/polite; exec sleep 300' &\ntrap 'echo asked >" + folder +
			"/asked' TERM\nexec stubborn c",
	}
	job := newJob(t, Order{Action: core.Launch, Target: "run", TimeLimit: limit}, files)
	names := []string{"a", "b", "c", "polite"}
	t.Cleanup(func() {
		for _, name := range names { // those that the test has found alive
			if data, err := os.ReadFile(filepath.Join(folder, name)); err == nil && t.Failed() {
				if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && isAlive(pid) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
	})
	begun := time.Now()
	got := carriedOut(t, job)
	took := time.Since(begun)
	for _, name := range names { // all are over, and write no more
		if data, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !bytes.HasSuffix(data, []byte("\n")) {
			return false
		}
	}
	if got.Text != "ERR_EXECUTE" || got.Class != core.ClassTime || got.Installed || got.Output != "said\n" {
		t.Errorf("got %s (%s), output %q", short(got), got.Detail, got.Output)
	}
	if took < limit+killGrace {
		t.Errorf("took %v, want the limit of %v and the grace of %v", took, limit, killGrace)
	}
	for _, name := range names {
		if pid := readPID(t, filepath.Join(folder, name)); isAlive(pid) {
			t.Errorf("%s (%d) is alive", name, pid)
		}
	}
	return true
}

// TestTimeLimitIsShort: a tree that ends when it is asked costs no grace.
func TestTimeLimitIsShort(t *testing.T) {
	begun := time.Now()
	order := Order{Action: core.Execute, Target: "sleep 300 & sleep 300", TimeLimit: 100 * time.Millisecond}
	got := carriedOut(t, newJob(t, order, nil))
	if got.Class != core.ClassTime || time.Since(begun) > killGrace {
		t.Errorf("got %s after %v", short(got), time.Since(begun))
	}
}

// TestTalker: however much a command says, it takes little on disk, and its end is kept. C13.
func TestTalker(t *testing.T) {
	const talk = `head -c 67108864 /dev/zero; printf 'the \303\251nd'`
	folder := newJob(t, Order{Action: core.Execute, Target: talk}, nil)
	got := carriedOut(t, folder)
	if short(got) != "SUCCESS 0  true" || !strings.HasSuffix(got.Output, "\x00the énd") ||
		len(got.Output) > MaxOutput || len(got.Output) < MaxOutput-3 {
		t.Errorf("got %s with %d bytes", short(got), len(got.Output))
	}
	var stat syscall.Stat_t
	if err := syscall.Stat(filepath.Join(folder, outputFile), &stat); err != nil {
		t.Fatal(err)
	}
	if room := stat.Blocks * 512; room > 8*halfOutput {
		t.Errorf("the output takes %d bytes", room)
	}
}

func TestEndOf(t *testing.T) {
	for _, test := range []struct{ name, raw, want string }{
		{"nothing", "", ""},
		{"short", "abc", "abc"},
		{"exact", strings.Repeat("x", MaxOutput), strings.Repeat("x", MaxOutput)},
		{"cut in a character", strings.Repeat("é", MaxOutput/2) + "x", strings.Repeat("é", MaxOutput/2-1) + "x"},
		{"four bytes", strings.Repeat("😀", MaxOutput/4) + "xyz", strings.Repeat("😀", MaxOutput/4-1) + "xyz"},
		{"not UTF-8", "a\xffb\xc3", "a\uFFFDb\uFFFD"},
		{"all not UTF-8", strings.Repeat("\xff\x00", MaxOutput/2), strings.Repeat("\uFFFD\x00", MaxOutput/4)},
	} {
		if got := endOf([]byte(test.raw)); got != test.want {
			t.Errorf("%s: got %d bytes, want %d", test.name, len(got), len(test.want))
		}
	}
}
