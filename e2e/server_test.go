package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/e2e/stage"
)

// newServer makes a server's data folder; it does not run yet.
func newServer(t *testing.T) *stage.Server {
	t.Helper()
	server, err := stage.NewServer(t.Context(), binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server.Daemon = daemon
	return server
}

// started starts the server, and stops it when the test ends.
func started(t *testing.T, server *stage.Server) *stage.Server {
	t.Helper()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// refused runs a command that must fail, and returns what it says.
func refused(t *testing.T, code int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	output, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		t.Fatalf("%v: got %v, want exit code %d\n%s", args, err, code, output)
	}
	return string(output)
}

func wantText(t *testing.T, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("%q is not in:\n%s", text, output)
		}
	}
}

// client returns an HTTP client that trusts the server as agents do.
func client(t *testing.T, server *stage.Server) *http.Client {
	t.Helper()
	authority, err := os.ReadFile(filepath.Join(server.Data, "cacert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatal("cacert.pem holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// post sends one message and returns the status and the decoded answer.
func post(t *testing.T, to *http.Client, url string, document []byte) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/ocsinventory", bytes.NewReader(ocs.Encode(document)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("User-Agent", "OCS-NG_unified_unix_agent_v2.10.0")
	response, err := to.Do(request)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || len(body) == 0 {
		return response.StatusCode, nil
	}
	answer, err := ocs.Decode(body, ocs.MaxMessage)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, answer
}

func inventoryOf(name string) ocs.Inventory {
	return ocs.Inventory{Reported: true, Sections: []ocs.Section{{Name: "HARDWARE", Fields: []ocs.Field{
		{Name: "NAME", Value: name}, {Name: "OSNAME", Value: "Debian GNU/Linux 12"}, {Name: "MEMORY", Value: "8000"},
	}}}}
}

// TestStartRefused: what a start refuses, and how it says so.
func TestStartRefused(t *testing.T) {
	server := started(t, newServer(t))
	output := refused(t, 1, "run", "--data", server.Data, "--listen", "127.0.0.1:0")
	wantText(t, output, "is in use by process", "stop that server first")

	other := newServer(t)
	taken := strings.TrimPrefix(server.Address, "https://")
	wantText(t, refused(t, 1, "run", "--data", other.Data, "--listen", taken), "--listen "+taken, "the port is taken")
	wantText(t, refused(t, 1, "run", "--data", other.Data, "--listen", "127.0.0.1:0", "--listen-http", taken),
		"--listen-http "+taken, "the port is taken")
	wantText(t, refused(t, 1, "run", "--data", other.Data, "--listen", "nonsense"), "give an address such as :8443")
	wantText(t, refused(t, 2, "run", "--data", other.Data), "listen")
}

// TestNewerSchema: a folder that a newer program made is left alone.
func TestNewerSchema(t *testing.T) {
	server := newServer(t)
	db, err := sql.Open("sqlite", filepath.Join(server.Data, "enjambre.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wantText(t, refused(t, 1, "package", "list", "--data", server.Data), "has schema 99", "or a newer one")
	wantText(t, refused(t, 1, "run", "--data", server.Data, "--listen", "127.0.0.1:0"), "has schema 99")
}

// certificateFor writes a self-signed certificate and its key.
func certificateFor(t *testing.T, host string, notAfter time.Time) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter}
	if address := net.ParseIP(host); address != nil {
		template.IPAddresses = []net.IP{address}
	} else {
		template.DNSNames = []string{host}
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificate, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for name, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: made}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// TestBadCertificate: one that has expired, and one for another host, at init and at start.
func TestBadCertificate(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	expired, expiredKey := certificateFor(t, "127.0.0.1", time.Now().Add(-time.Minute))
	elsewhere, elsewhereKey := certificateFor(t, "other.example.net", time.Now().Add(time.Hour))
	output := refused(t, 1, "init", "--data", data, "--host", "127.0.0.1", "--tls-cert", expired, "--tls-key", expiredKey)
	wantText(t, output, "the certificate expired on", "renew it")
	output = refused(t, 1, "init", "--data", data, "--host", "127.0.0.1", "--tls-cert", elsewhere, "--tls-key", elsewhereKey)
	wantText(t, output, `the certificate is not for host "127.0.0.1"`)
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a failed init left its folder: %v", err)
	}

	server := newServer(t)
	var both []byte
	for _, name := range []string{expiredKey, expired} {
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, part...)
	}
	if err := os.WriteFile(filepath.Join(server.Data, "tls", "server.pem"), both, 0o600); err != nil {
		t.Fatal(err)
	}
	wantText(t, refused(t, 1, "run", "--data", server.Data, "--listen", "127.0.0.1:0"), "HTTPS certificate", "expired on")
}

// TestInterrupt: Ctrl-C is 130, a service manager's stop is 0.
func TestInterrupt(t *testing.T) {
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 0} {
		server := newServer(t)
		command := exec.Command(daemon, "run", "--data", server.Data, "--listen", "127.0.0.1:0")
		stdout, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = command.Process.Kill() }) // of which nothing is left then, unless the test fails
		if n, err := stdout.Read(make([]byte, 100)); n == 0 {
			t.Errorf("not ready: %v", err)
		}
		if err := command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = command.Wait() // the code says it
		if got := command.ProcessState.ExitCode(); got != want {
			t.Errorf("%v: got exit code %d, want %d", signal, got, want)
		}
	}
}

// TestRunningServerSeesChanges: settings, packages and certificates changed by commands hold at once.
func TestRunningServerSeesChanges(t *testing.T) {
	server := started(t, newServer(t))
	agent := client(t, server)
	prolog := ocs.AppendProlog(nil, "pc-2026-01-01-00-00-00")
	frequency := func() int {
		status, answer := post(t, agent, server.Address, prolog)
		reply, err := ocs.ParsePrologReply(answer)
		if status != http.StatusOK || err != nil {
			t.Fatalf("status %d, %v", status, err)
		}
		return reply.PrologFreq
	}
	if got := frequency(); got != 24 {
		t.Errorf("got %d, want 24", got)
	}
	if _, err := server.Run(t.Context(), "config", "set", "PROLOG_FREQ", "7"); err != nil {
		t.Fatal(err)
	}
	if got := frequency(); got != 7 {
		t.Errorf("after config set: got %d, want 7", got)
	}
	if _, err := server.Run(t.Context(), "tls", "self-signed"); err != nil {
		t.Fatal(err)
	}
	renewed := client(t, server)
	if !await(func() bool { // the server looks at most once a second
		response, err := renewed.Get(server.Address + "/download/1/info")
		if err == nil {
			_ = response.Body.Close()
		}
		return err == nil
	}) {
		t.Fatal("the new certificate is not served")
	}
	if _, err := server.Run(t.Context(), "config", "set", "STOCK_AGENTS", "0"); err != nil {
		t.Fatal(err)
	}
	if status, _ := post(t, renewed, server.Address, prolog); status != http.StatusForbidden {
		t.Errorf("stock agents not allowed: got %d, want 403", status)
	}
}

// TestIPv6: T57, a server that is reached by an IPv6 address.
func TestIPv6(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	server := &stage.Server{Binary: binary, Daemon: daemon, Data: data}
	if _, err := server.Run(t.Context(), "init", "--host", "::1", "--stock-agents"); err != nil {
		t.Fatal(err)
	}
	if err := server.StartAt(t.Context(), "[::1]:0", "[::1]:0"); err != nil {
		if strings.Contains(err.Error(), "does not have that address") {
			t.Skip("no IPv6 on this machine")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	l := &lab{base: base{T: t, server: server}}
	id := l.build("--action", "STORE", "--path", "/x", "--file", l.archive(nil, 1000), "--protocol", "http")
	l.must("activation", "create", "--package", id)
	if got := l.must("activation", "list"); !strings.Contains(got, "[::1]:") {
		t.Errorf("no IPv6 address in:\n%s", got)
	}
}

// TestFirstInventories: sixteen computers at once, over both listeners, and a kill right after the answers.
func TestFirstInventories(t *testing.T) {
	server := started(t, newServer(t))
	agent := client(t, server)
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			address := []string{server.Address, server.HTTP}[i%2]
			device := core.DeviceID(fmt.Sprintf("pc%02d-2026-01-01-00-00-00", i))
			if status, _ := post(t, agent, address, inventoryOf(fmt.Sprint("pc", i)).Append(nil, device)); status != http.StatusOK {
				t.Errorf("computer %d: got status %d", i, status)
			}
		})
	}
	wait.Wait()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	var found struct{ Computers []struct{ Computer string } }
	if err := server.JSON(t.Context(), &found, "computer", "search", "name ~ pc and memory > 7GiB"); err != nil {
		t.Fatal(err)
	}
	if len(found.Computers) != 16 {
		t.Errorf("got %d computers, want 16", len(found.Computers))
	}
}

// TestKilledBuild: a build that is killed anywhere leaves nothing that is served, and the next removes it.
func TestKilledBuild(t *testing.T) {
	server := started(t, newServer(t))
	l := &lab{base: base{T: t, server: server}}
	big := l.archive(nil, 24<<20)
	packages := filepath.Join(server.Data, "packages")
	for killed, tries := 0, 0; killed < 5; tries++ {
		build := exec.Command(binary, "package", "build", "--data", server.Data, "--name", "x", "--os", "linux",
			"--action", "STORE", "--path", "/x", "--priority", "1", "--file", big, "--fragment-size", "16KiB", "--json")
		var output bytes.Buffer
		build.Stdout = &output
		if err := build.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- build.Wait() }()
		l.eventually("the build has written something", func() bool {
			found, err := filepath.Glob(filepath.Join(packages, ".new-*", fmt.Sprint("*-", 1+killed*100)))
			return err == nil && len(found) > 0 || len(ended) > 0
		})
		_ = build.Process.Kill()
		if err := <-ended; err != nil {
			killed++
			continue
		}
		var built struct{ ID string } // before it was killed: it counts for nothing
		if err := json.Unmarshal(output.Bytes(), &built); err != nil || tries > 20 {
			t.Fatalf("built in try %d: %v\n%s", tries, err, output.String())
		}
		l.must("package", "delete", "--package", built.ID)
	}
	if entries, _ := filepath.Glob(filepath.Join(packages, "[0-9]*")); len(entries) != 0 {
		t.Errorf("a killed build was published: %v", entries)
	}
	id := l.build("--action", "EXECUTE", "--command", "true")
	entries, err := os.ReadDir(packages)
	if err != nil || len(entries) != 1 || entries[0].Name() != id {
		t.Errorf("got %v, %v; want only %s", entries, err, id)
	}
}

// TestDistributionServer: T16 and T17. A package's folder copied to another web server serves a site.
func TestDistributionServer(t *testing.T) {
	l := newLab(t, "https")
	id := l.build("--action", "STORE", "--path", filepath.Join(l.folder, "s"), "--file", l.archive(nil, 60<<10),
		"--fragment-size", "16KiB", "--protocol", "http")
	m := newMirror(t)
	m.take(&l.base, id)
	place := m.place
	l.must("activation", "create", "--package", id, "--fragments-url", place, "--new-site", "--site", "lyon")
	l.must("activation", "create", "--package", id)
	l.must("computer", "set", l.device, "--site", "lyon")
	l.affect(id)
	m.fragments(id, 4)
	l.call()
	l.want(id, "SUCCESS", "SUCCESS")
	for n, times := range m.fragments(id, 4) {
		if times == 0 {
			t.Errorf("fragment %d was not fetched from the site's web server", n+1)
		}
	}

	if err := os.Remove(filepath.Join(m.folder, id, id+"-2")); err != nil {
		t.Fatal(err)
	}
	output := refused(t, 1, "activation", "create", "--data", l.server.Data, "--package", id, "--fragments-url", place, "--new-site", "--site", "oslo")
	wantText(t, output, "http://"+place+"/"+id+"/"+id+"-2: the server answered 404")
	output = refused(t, 1, "activation", "create", "--data", l.server.Data, "--package", id, "--info-url", "127.0.0.1:1/download")
	wantText(t, output, "https://127.0.0.1:1/download/"+id+"/info: connection refused")
}
