package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"enjambre/agent/internal/config"
)

func TestLogFile(t *testing.T) {
	for _, c := range []struct {
		file    string
		service bool
		want    string
	}{
		{config.LogAuto, true, filepath.Join("s", logName)}, {config.LogAuto, false, ""}, {"", true, ""}, {"/x", false, "/x"},
	} {
		if got := logFile(config.Config{State: "s", LogFile: c.file}, c.service); got != c.want {
			t.Errorf("%q, service %v: got %q, want %q", c.file, c.service, got, c.want)
		}
	}
}

// TestLog: the file gets what its level says and is begun anew when it is full; warnings are also seen by whoever
// started the agent.
func TestLog(t *testing.T) {
	settings := config.Default()
	settings.State, settings.LogMaxMB, settings.LogKeep = t.TempDir(), 1, 2
	var stderr bytes.Buffer
	log, done, err := openLog(settings, true, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("hidden")
	log.Info("quiet")
	log.Warn("loud")
	text, err := os.ReadFile(filepath.Join(settings.State, logName))
	if err != nil || strings.Contains(string(text), "hidden") || !strings.Contains(string(text), "msg=quiet") ||
		!strings.Contains(string(text), "msg=loud") {
		t.Errorf("%v\n%s", err, text)
	}
	if got := stderr.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "msg=loud") {
		t.Errorf("stderr: %s", got)
	}
	for range 5 {
		log.Info(strings.Repeat("x", 600<<10))
	}
	until(t, "two old logs beside the new one", func() bool {
		entries, err := os.ReadDir(settings.State)
		return err == nil && len(entries) == 3
	})
	if err := done(); err != nil {
		t.Error(err)
	}
	if stat, err := os.Stat(filepath.Join(settings.State, logName)); err != nil ||
		runtime.GOOS != "windows" && stat.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", stat.Mode(), err)
	}
	settings.State = filepath.Join(settings.State, "missing")
	if _, _, err := openLog(settings, true, &stderr); err == nil {
		t.Error("a log in a folder that is not there")
	}
}
