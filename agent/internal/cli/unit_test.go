package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// directives is the golden unit without its comments.
const directives = `[Unit]
Description=Enjambre agent: software deployment
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStart="/opt/a b/agent" "run" "--config" "/etc/$$x%%y\"z\\.toml"
Restart=always
RestartSec=5
KillMode=process
TimeoutStopSec=30
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=1024:65536
UMask=0077
IgnoreSIGPIPE=no
NoNewPrivileges=no
[Install]
WantedBy=multi-user.target`

func TestUnit(t *testing.T) {
	text, err := unit("/opt/a b/agent", []string{"run", "--config", `/etc/$x%y"z\.toml`}, false)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if diff := cmp.Diff(directives, strings.Join(lines, "\n")); diff != "" {
		t.Error(diff)
	}
	if text, err := unit("/a", nil, true); err != nil || !strings.Contains(text, "\nWantedBy=default.target\n") {
		t.Errorf("of a user: %v, %s", err, text)
	}
	for _, bad := range []string{"/a\nb", "/a{{b"} {
		if _, err := unit("/a", []string{bad}, false); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestUnitVerified has systemd itself read the unit.
func TestUnitVerified(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd here")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := unit(self, []string{"run"}, false)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "enjambre-agent.service")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), analyze, "verify", file).CombinedOutput()
	if err != nil || strings.Contains(string(output), "enjambre-agent.service") {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestMayChange(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the system decides there")
	}
	for _, c := range []struct {
		uid  int
		user bool
		may  bool
	}{{0, false, true}, {1000, false, false}, {1000, true, true}} {
		f := serviceFlags{user: c.user}
		if err := f.mayChange(c.uid); (err == nil) != c.may || err != nil && !strings.Contains(err.Error(), "needs root") {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
