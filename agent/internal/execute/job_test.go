//go:build linux

package execute

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"enjambre/core"
)

// TestTwoShims: of many shims of one job one runs the command.
func TestTwoShims(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	folder := newJob(t, Order{Action: core.Execute, Target: "echo once >>" + count + "; sleep 0.3"}, nil)
	var shims []*exec.Cmd
	for range 8 {
		shim := exec.CommandContext(t.Context(), os.Args[0], ShimCommand, folder)
		shim.Stdin = strings.NewReader(goAhead)
		if err := shim.Start(); err != nil {
			t.Fatal(err)
		}
		shims = append(shims, shim)
	}
	succeeded := 0
	for _, shim := range shims {
		if shim.Wait() == nil {
			succeeded++
		}
	}
	said, err := os.ReadFile(count)
	if string(said) != "once\n" || err != nil || succeeded != 1 {
		t.Errorf("%d shims ran the command: %q, %v", succeeded, said, err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := Run(folder, strings.NewReader(goAhead)); !errors.Is(err, ErrBegun) {
		t.Errorf("a shim of an ended job: got %v, want %v", err, ErrBegun)
	}
}

func TestCreateOnce(t *testing.T) {
	folder := newJob(t, Order{Action: core.Execute, Target: "true"}, nil)
	again := Order{Action: core.Execute, Target: "false", OS: core.Linux, TimeLimit: 1}
	if err := Create(folder, again); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second order: got %v, want %v", err, fs.ErrExist)
	}
	for name, bad := range map[string]Order{
		"no action": {OS: core.Linux, TimeLimit: 1}, "no system": {Action: core.Execute, TimeLimit: 1},
		"no limit": {Action: core.Execute, OS: core.Linux},
		"no stage": {Action: core.Launch, OS: core.Linux, TimeLimit: 1},
	} {
		if err := Create(filepath.Join(t.TempDir(), "job"), bad); core.ClassOf(err) == "" {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	for _, folder := range []string{"relative", filepath.Join(t.TempDir(), "a:b")} {
		if err := Make(folder); err == nil {
			t.Errorf("made %s", folder)
		}
	}
}

// TestWaitEnds: waiting ends with its context and leaves the job alone, which is adopted later.
func TestWaitEnds(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	folder := newJob(t, untilThere(gate), nil)
	if state, err := Look(folder, ""); err != nil || state.Phase != None {
		t.Errorf("before: got %v, %v", state, err)
	}
	launched(t, os.Args[0], folder)
	eventually(t, "the command", func() bool {
		state, err := Look(folder, "")
		return err == nil && state.Phase == Running
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if state, err := Wait(ctx, folder, "", nil); !errors.Is(err, context.Canceled) || state.Phase != Running {
		t.Errorf("got %v, %v", state.Phase, err)
	}
	if err := Remove(folder); !errors.Is(err, ErrClean) {
		t.Errorf("removed while it runs: %v", err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if state, err := Wait(t.Context(), folder, "", nil); err != nil || state.Phase != Ended {
		t.Errorf("got %v, %v", state, err)
	}
}

func TestLookAtNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "job")
	if state, err := Look(folder, ""); err != nil || state.Phase != None {
		t.Errorf("no folder: got %v, %v", state, err)
	}
	if err := Remove(folder); err != nil {
		t.Errorf("remove nothing: %v", err)
	}
	if _, err := Launch(filepath.Join(folder, "none"), folder); err == nil {
		t.Error("launched a program that is not there")
	}
	shim := (&Shim{process: process{PID: 1, Start: "none"}}).Name()
	if state, err := Look(folder, shim); err != nil || state.Phase != Interrupted || state.Result.Text != "ERR_EXECUTE" {
		t.Errorf("no folder, and a shim was told to begin: got %v, %v", state, err)
	}
}

// TestRemoveMounted: what is mounted on a stage stays whole.
func TestRemoveMounted(t *testing.T) {
	folder := newJob(t, Order{Action: core.Execute, Target: "true"}, map[string]string{"mnt dir/x": ""})
	point := filepath.Join(StageFolder(folder), "mnt dir")
	if err := syscall.Mount("enjambre-test", point, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount here: ", err)
	}
	precious := filepath.Join(point, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Error(err)
	}
	if err := Remove(folder); !errors.Is(err, ErrClean) || !strings.Contains(err.Error(), point) {
		t.Errorf("got %v, want %v with %s", err, ErrClean, point)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	if err := syscall.Unmount(point, 0); err != nil {
		t.Fatal(err)
	}
	if err := Remove(folder); err != nil {
		t.Error(err)
	}
}
