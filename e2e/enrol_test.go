package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/e2e/stage"
)

// An enroller runs the agent's "enroll" as a process.
type enroller struct {
	*testing.T
	server *stage.Server
	agent  string
	folder string
}

func newEnroller(t *testing.T, server *stage.Server) *enroller {
	t.Helper()
	return &enroller{t, server, agentCrash, t.TempDir()}
}

// token makes one on the server.
func (e *enroller) token(flags ...string) string {
	e.Helper()
	output, err := e.server.Run(
		e.Context(),
		append([]string{"enroll", "token", "--new-site", "--site", "lyon"}, flags...)...)
	if err != nil {
		e.Fatal(err)
	}
	return strings.TrimSpace(output)
}

// enroll runs the program with a state folder of that name; it must end with the code.
func (e *enroller) enroll(code int, state, token string, flags ...string) string {
	e.Helper()
	args := append(
		[]string{
			"enroll",
			"--state",
			filepath.Join(e.folder, state),
			"--server",
			e.server.Address,
			"--token",
			token,
			"--ca",
			filepath.Join(e.server.Data, "cacert.pem"),
			"--stock-folder",
			filepath.Join(e.folder, "stock"),
		},
		flags...)
	output, err := exec.CommandContext(e.Context(), e.agent, args...).CombinedOutput()
	var exit *exec.ExitError
	if code == 0 && err != nil || code != 0 && (!errors.As(err, &exit) || exit.ExitCode() != code) {
		e.Fatalf("enroll %s: %v, want exit code %d\n%s", state, err, code, output)
	}
	return string(output)
}

// client returns an HTTP client that shows the certificate of an enrolled state folder.
func (e *enroller) client(state string) *http.Client {
	e.Helper()
	certificate, err := tls.LoadX509KeyPair(filepath.Join(e.folder, state, "certificate.pem"),
		filepath.Join(e.folder, state, "key.pem"))
	if err != nil {
		e.Fatal(err)
	}
	made := client(e.T, e.server)
	made.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{certificate}
	return made
}

func TestEnroll(t *testing.T) {
	e := newEnroller(t, started(t, newServer(t)))
	one := e.token()
	var enrolled struct{ Deployment, Computer, Site string }
	if err := json.Unmarshal([]byte(e.enroll(0, "a", one, "--json")), &enrolled); err != nil ||
		enrolled.Site != "lyon" {
		t.Errorf("got %+v, %v", enrolled, err)
	}
	wantText(t, e.enroll(1, "a", one), "this agent is enrolled in deployment", enrolled.Computer)
	wantText(t, e.enroll(1, "b", one), "the server refuses to enrol this computer", "the token is used up")
	wantText(t, e.enroll(1, "b", "guessed"), "the token is not known")
	wantText(t, e.enroll(1, "b", e.token("--for", "1ms")), "the token has expired")
	wantText(t, e.enroll(2, "b", "@"+filepath.Join(e.folder, "missing")), "--token", "no such file")
	wantText(t, e.enroll(2, "b", one, "--server", "http://127.0.0.1"), "give an address such as https://")
	wrong := filepath.Join(e.server.Data, "keys", "agent-ca.crt")
	wantText(t, e.enroll(1, "b", one, "--ca", wrong), "not signed by the authority in "+wrong)

	// The answer got lost, or the power went: the same folder may show its token again.
	two := e.token()
	e.enroll(0, "c", two, "--token", two)
	if err := os.Remove(filepath.Join(e.folder, "c", "identity.json")); err != nil {
		t.Fatal(err)
	}
	e.enroll(0, "c", two)

	prolog := ocs.AppendProlog(nil, core.DeviceID(enrolled.Computer))
	shown := e.client("a")
	if status, answer := post(t, shown, e.server.Address, prolog); status != http.StatusOK ||
		!bytes.Contains(answer, []byte("<RESPONSE>SEND")) {
		t.Errorf("an enrolled agent calls: got %d, %s", status, answer)
	}
	if status, _ := post(t, client(t, e.server), e.server.Address, prolog); status != http.StatusForbidden {
		t.Errorf("somebody without its certificate calls in its name: got %d", status)
	}
	if status, _ := post(t, e.client("c"), e.server.Address, prolog); status != http.StatusForbidden {
		t.Errorf("another agent calls in its name: got %d", status)
	}
	if _, err := e.server.Run(t.Context(), "agent", "revoke", enrolled.Computer); err != nil {
		t.Fatal(err)
	}
	if status, _ := post(t, shown, e.server.Address, prolog); status != http.StatusForbidden {
		t.Errorf("a revoked agent calls: got %d", status)
	}
	var list struct {
		Agents []struct{ Computer, Revoked string }
	}
	if err := e.server.JSON(t.Context(), &list, "agent", "list"); err != nil {
		t.Fatal(err)
	}
	for _, agent := range list.Agents {
		if (agent.Revoked != "") != (agent.Computer == enrolled.Computer) {
			t.Errorf("got %+v", agent)
		}
	}
}

// TestTakeOver: enrolling on a computer with a stock agent takes over its device ID and record, and then the
// stock agent is refused.
func TestTakeOver(t *testing.T) {
	l := newLab(t, "https")
	l.must("computer", "set", l.device, "--tag", "KEPT")
	e := newEnroller(t, l.server)
	matches, err := filepath.Glob(filepath.Join(l.agent.Folder, "*", "ocsinv.conf"))
	if err != nil || len(matches) != 1 {
		t.Fatalf("%v, %v", matches, err)
	}
	output := e.enroll(0, "state", e.token(), "--stock-folder", l.agent.Folder)
	wantText(t, output, "as "+l.device+", site lyon")
	wantText(t, l.must("computer", "show", l.device), "KEPT", "lyon")
	if err := l.agent.Run(t.Context()); err == nil {
		t.Error("the stock agent still speaks for the computer")
	}
	wantText(t, l.server.Log("error.log"), "a stock agent cannot speak for it")
}
