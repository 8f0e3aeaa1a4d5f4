package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopsWithin is how long an agent may take to end when it is asked to, of which it gives others 2 s to hear that it
// leaves. Service managers wait for half a minute or more.
const stopsWithin = 20 * time.Second

// runService starts the agent as a service manager does; the returned function asks it to end and demands that it
// does, soon and with code 0.
func (e *enroller) runService(settings string) (stop func()) {
	e.Helper()
	command := exec.Command(e.agent, "run", "--service", "--config", settings)
	if err := command.Start(); err != nil {
		e.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	e.Cleanup(func() { _ = command.Process.Kill() })
	return func() {
		e.Helper()
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			e.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				e.Errorf("the service ended with %v", err)
			}
		case <-time.After(stopsWithin):
			e.Fatalf("the service did not end within %v", stopsWithin)
		}
	}
}

// settings writes an agent.toml and returns its name.
func (e *enroller) settings(state, more string) string {
	e.Helper()
	name := filepath.Join(e.folder, state+".toml")
	text := fmt.Sprintf("state = %q\n%s", filepath.Join(e.folder, state), more)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		e.Fatal(err)
	}
	return name
}

// contacted waits until the service of these settings has had a contact.
func (e *enroller) contacted(settings string) {
	e.Helper()
	var shown struct {
		Running     bool
		LastContact time.Time
	}
	var output []byte
	var err error
	if !await(func() bool {
		output, err = exec.CommandContext(e.Context(), e.agent, "status", "--json", "--config", settings).Output()
		if err == nil {
			err = json.Unmarshal(output, &shown)
		}
		return shown.Running && !shown.LastContact.IsZero()
	}) {
		e.Fatalf("no contact within %v: %v\n%s", patience, err, output)
	}
}

// TestService: a service enrols by itself once its server can be reached, removes its token, and ends when it is
// asked to; started again it is the same computer. One without a token goes on once somebody enrols it by hand.
func TestService(t *testing.T) {
	e := newEnroller(t, started(t, newServer(t)))
	token := filepath.Join(e.folder, "token")
	if err := os.WriteFile(token, []byte(e.token()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(e.server.Data, "cacert.pem")
	settings := e.settings("a", fmt.Sprintf("server = %q\nca = %q\ntoken_file = %q\n", e.server.Address, ca, token))
	if err := e.server.Stop(); err != nil {
		t.Fatal(err)
	}
	stop := e.runService(settings)
	problem := filepath.Join(e.folder, "a", "status.json")
	if !await(func() bool {
		data, err := os.ReadFile(problem)
		return err == nil && strings.Contains(string(data), "nobody listens there")
	}) {
		t.Fatalf("no word of the problem within %v", patience)
	}
	if err := e.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.contacted(settings)
	if _, err := os.Stat(token); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the token is still there: %v", err)
	}
	diagnosis, err := exec.CommandContext(t.Context(), e.agent, "diagnose", "--config", settings).CombinedOutput()
	if err != nil {
		t.Errorf("diagnose: %v\n%s", err, diagnosis)
	}
	wantText(t, string(diagnosis), "it takes messages", "runs as process")
	stop()
	stop = e.runService(settings)
	e.contacted(settings)
	stop()
	if log, err := os.ReadFile(filepath.Join(e.folder, "a", "agent.log")); err != nil ||
		strings.Count(string(log), "msg=enrolled ") != 1 {
		t.Errorf("the log: %v\n%s", err, log)
	}

	byHand := e.settings("b", "")
	stop = e.runService(byHand)
	e.enroll(0, "b", e.token())
	e.contacted(byHand)
	stop()
}
