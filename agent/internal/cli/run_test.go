package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopsWithin is how long a service may take to end: less than the 15 s after which it would give a silent server up.
const stopsWithin = 10 * time.Second

// patience bounds every wait of these tests: only what hangs comes to it.
const patience = 3 * time.Minute

// until waits for a condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !met(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// writeFile writes a file of a test and returns its name.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// authority returns some certificate as PEM.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// silentServer takes connections and never answers. It returns its address and a channel that gets each.
func silentServer(t *testing.T) (address string, taken <-chan net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	connections := make(chan net.Conn, 100) // more than a test makes
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connections <- connection
		}
	}()
	return listener.Addr().String(), connections
}

// A process is the agent's program as a process of its own.
type process struct {
	*exec.Cmd
	stderr bytes.Buffer
	ended  chan error
}

func started(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(Name, args...), ended: make(chan error, 1)} // testscript put it into PATH
	p.Stderr = &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// stop asks the process to end, which it must do soon and with code 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("it ended with %v\n%s", err, p.stderr.String())
		}
	case <-time.After(stopsWithin):
		t.Errorf("it did not end within %v", stopsWithin)
	}
}

// lastProblem returns what the running agent shows.
func lastProblem(folder string) string {
	var shown struct{ LastProblem string }
	data, err := os.ReadFile(filepath.Join(folder, "status.json"))
	if err != nil || json.Unmarshal(data, &shown) != nil {
		return ""
	}
	return shown.LastProblem
}

// TestServiceStops: a service in the midst of an exchange with a server that never answers ends at once.
func TestServiceStops(t *testing.T) {
	folder := t.TempDir()
	server, taken := silentServer(t)
	file := func(name string) string { return filepath.Join(folder, name) }
	settings := writeFile(t, file("agent.toml"), fmt.Sprintf("server = %q\nca = %q\ntoken_file = %q\nstate = %q\n",
		"https://"+server, writeFile(t, file("ca.pem"), authority(t)), writeFile(t, file("token"), "secret\n"), file("state")))
	agent := started(t, "run", "--service", "--config", settings)
	select {
	case <-taken:
	case <-time.After(patience):
		t.Fatalf("it did not call the server\n%s", agent.stderr.String())
	}
	agent.stop(t)
	if _, err := os.Stat(file("token")); err != nil {
		t.Errorf("the token is gone, although it was of no use yet: %v", err)
	}
}

// TestServiceWaits: a service that cannot enrol goes on, says why where people look, and lets no second one in.
func TestServiceWaits(t *testing.T) {
	folder := t.TempDir()
	state := filepath.Join(folder, "state")
	settings := writeFile(t, filepath.Join(folder, "agent.toml"), "debug = true\n")
	agent := started(t, "run", "--service", "--config", settings, "--state", state)
	until(t, "a problem shown", func() bool { return lastProblem(state) != "" })
	output, err := exec.Command(Name, "status", "--state", state).CombinedOutput()
	if err == nil || !strings.Contains(string(output), fmt.Sprintf("it runs as process %d and tries again by itself; not enrolled yet", agent.Process.Pid)) {
		t.Errorf("status: %v\n%s", err, output)
	}
	output, err = exec.Command(Name, "run", "--service", "--config", settings, "--state", state).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "runs with this state folder already") {
		t.Errorf("a second service: %v\n%s", err, output)
	}
	agent.stop(t)
	log, err := os.ReadFile(filepath.Join(state, logName))
	if err != nil || !strings.Contains(string(log), `msg="not enrolled yet"`) {
		t.Errorf("the log: %v\n%s", err, log)
	}
}
