package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/e2e/stage"
)

// TestDistrust: the real stock agent with another authority than the server's, and other clients with OpenSSL, leave a
// line in the error log that says so, whatever version of TLS they speak.
func TestDistrust(t *testing.T) {
	l := newLab(t, "https")
	wrong := filepath.Join(l.server.Data, "keys", "agent-ca.crt")
	wantHint := func(who string) {
		t.Helper()
		if !await(func() bool { return strings.Contains(l.server.Log("error.log"), hintStart) }) {
			t.Errorf("%s: the log says\n%s", who, l.server.Log("error.log"))
		}
		if !strings.Contains(l.server.Log("error.log"), `msg="connection failed" address=127.0.0.1:`) {
			t.Errorf("%s: no address\n%s", who, l.server.Log("error.log"))
		}
	}
	stranger := &stage.Agent{Server: l.agent.Server, CA: wrong, Folder: filepath.Join(l.folder, "stranger")}
	_ = stranger.Run(t.Context()) // it fails, or says so in its log alone
	wantHint("the stock agent")
	wantText(t, stranger.Log(), "certificate verify failed")

	address := strings.TrimPrefix(l.server.Address, "https://")
	for _, args := range [][]string{
		{"openssl", "s_client", "-verify_return_error", "-CAfile", wrong, "-connect", address, "-tls1_3"},
		{"openssl", "s_client", "-verify_return_error", "-CAfile", wrong, "-connect", address, "-tls1_2"},
		{"curl", "--silent", "--cacert", wrong, l.server.Address},
	} {
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Logf("%s is not here", args[0])
			continue
		}
		if err := l.server.Stop(); err != nil { // what it has said of this address it says once an hour
			t.Fatal(err)
		}
		before := l.server.Log("error.log")
		if err := l.server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		address = strings.TrimPrefix(l.server.Address, "https://")
		for i, arg := range args {
			if strings.HasPrefix(arg, "127.0.0.1:") {
				args[i] = address
			} else if strings.HasPrefix(arg, "https://") {
				args[i] = l.server.Address
			}
		}
		_ = exec.Command(args[0], args[1:]...).Run() // it fails, as it does not trust the server
		if !await(func() bool { return strings.Contains(l.server.Log("error.log")[len(before):], hintStart) }) {
			t.Errorf("%v: the log says\n%s", args, l.server.Log("error.log")[len(before):])
		}
	}
}

// hintStart begins what is said of a client that does not trust the server.
const hintStart = `hint="the client does not trust our certificate: give it cacert.pem`
