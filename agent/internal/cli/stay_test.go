package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"enjambre/agent/internal/state"
)

// TestStay: a service that cannot work tries again after pauses that grow to minutes, says the same reason once an hour,
// and tries within seconds when a file was put right.
func TestStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		const mended = 3*time.Hour + time.Second
		var tries []time.Duration
		news, waiting := 0, 0
		err := stay{
			attempt: func(context.Context) error {
				if waiting != 0 {
					t.Errorf("an attempt while it waits")
				}
				tries = append(tries, time.Since(began))
				if time.Since(began) >= mended {
					cancel()
				}
				return errors.New("a file is damaged")
			},
			failed: func(_ error, isNews bool, again time.Time) func() {
				if isNews {
					news++
				}
				if !again.After(time.Now()) {
					t.Errorf("again at %v", again)
				}
				waiting++
				return func() { waiting-- }
			},
			look: func() string { return fmt.Sprint(time.Since(began) >= mended) },
		}.run(ctx)
		if err == nil || news != 3 {
			t.Errorf("%v, said %d times", err, news)
		}
		for i, want := range []time.Duration{0, 5, 15, 35, 75, 155, 315} {
			if tries[i] != want*time.Second {
				t.Errorf("try %d after %v", i, tries[i])
			}
		}
		if last := tries[len(tries)-1]; last > mended+lookEvery {
			t.Errorf("the file was put right after %v, and it tried after %v", mended, last)
		}
		if len(tries) > 50 {
			t.Errorf("%d tries in three hours", len(tries))
		}
	})
}

// TestStayEnds: what no file can mend ends the service at once, and its end is no trouble.
func TestStayEnds(t *testing.T) {
	for _, reason := range []error{nil, &usageError{errors.New("--proxy: nonsense")}, fmt.Errorf("s: %w", state.ErrRunning)} {
		err := stay{attempt: func(context.Context) error { return reason }}.run(t.Context())
		if !errors.Is(err, reason) {
			t.Errorf("got %v, want %v", err, reason)
		}
	}
}

// TestServiceStays: whatever of a service's files is damaged, it stays up, says why in its log and status, and goes on
// by itself once the file is put right.
func TestServiceStays(t *testing.T) {
	for name, c := range map[string]struct{ file, damage, mend, want string }{
		"settings":      {"agent.toml", "debug = maybe\n", "debug = true\n", "agent.toml"},
		"settings lost": {"agent.toml", "", "debug = true\n", "agent.toml: no such file"},
		"identity":      {"state/identity.json", "{", "", "enroll --anew"},
		"folder":        {"state/identity.json/x", "x", "", "identity.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			settings := writeFile(t, filepath.Join(folder, "agent.toml"), "debug = true\n")
			place := filepath.Join(folder, "state")
			file := filepath.Join(folder, c.file)
			if err := os.MkdirAll(place, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if writeFile(t, file, c.damage); c.damage == "" {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			agent := started(t, "run", "--service", "--config", settings, "--state", place)
			until(t, "the trouble shown", func() bool { return strings.Contains(lastProblem(place), c.want) })
			log, err := os.ReadFile(filepath.Join(place, logName))
			if err != nil || !strings.Contains(string(log), "cannot work; it tries again") {
				t.Errorf("the log: %v\n%s", err, log)
			}
			output, err := exec.Command(Name, "status", "--state", place, "--config", settings).CombinedOutput()
			if err == nil || !strings.Contains(string(output), c.want) {
				t.Errorf("status: %v\n%s", err, output)
			}
			if c.mend == "" {
				err = os.RemoveAll(filepath.Join(place, "identity.json"))
			} else {
				err = os.WriteFile(file, []byte(c.mend), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			until(t, "it goes on", func() bool { return strings.Contains(lastProblem(place), "not enrolled yet") })
			agent.stop(t)
		})
	}
}
