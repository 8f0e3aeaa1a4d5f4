package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/e2e/stage"
)

// TestMemberCopied: two computers with one state folder are told apart. One goes on, the other does nothing until it
// has enrolled anew, and keeps what it knows of installed packages.
func TestMemberCopied(t *testing.T) {
	s := newSite(t)
	ran := filepath.Join(s.folder, "ran")
	first := s.deploy("--action", "EXECUTE", "--command", "echo x >>"+ran)
	s.once()
	copied := &stage.Member{Binary: s.member.Binary, State: filepath.Join(s.folder, "copy")}
	if output, err := exec.Command("cp", "-a", s.member.State, copied.State).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	stopped := ""
	for range 8 {
		for _, member := range []*stage.Member{copied, s.member} {
			output, err := member.Once(t.Context())
			if err != nil && stopped == "" {
				wantText(t, output, "a copy of another")
				stopped = member.State
			}
		}
	}
	if stopped == "" {
		t.Fatal("nobody has noticed")
	}
	wantText(t, s.must("agent", "list"), s.device)
	kept, anew := s.member, copied
	if stopped == s.member.State {
		kept, anew = copied, s.member
	}
	if _, err := kept.Once(t.Context()); err != nil {
		t.Errorf("the one that was kept: %v", err)
	}
	token := strings.TrimSpace(s.must("enroll", "token", "--new-site", "--site", "lyon"))
	output, err := anew.Run(t.Context(), "enroll", "--anew", "--state", anew.State, "--server", s.server.Address,
		"--token", token, "--ca", filepath.Join(s.server.Data, "cacert.pem"), "--stock-folder", "")
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, output, "the former identity is in")
	if device, err := anew.Device(); err != nil || device == s.device {
		t.Errorf("it is %q still, %v", device, err)
	}
	if _, err := anew.Once(t.Context()); err != nil {
		t.Error(err)
	}
	s.must("affect", "--package", first, "--query", "os = linux")
	for _, member := range []*stage.Member{kept, anew} {
		if _, err := member.Once(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := s.lines(ran); len(got) != 1 {
		t.Errorf("the package ran %d times on one disk and its copy", len(got))
	}
}

// TestMemberNextAuthority: agents learn the next authority ahead, and the server can then change over; a cacert.pem
// that is replaced by hand is used at once.
func TestMemberNextAuthority(t *testing.T) {
	s := newSite(t)
	s.must("tls", "next", "--self-signed")
	s.once()
	data, err := os.ReadFile(filepath.Join(s.member.State, "cacert.pem"))
	if err != nil || strings.Count(string(data), "BEGIN CERTIFICATE") != 2 {
		t.Fatalf("the agent trusts %s, %v", data, err)
	}
	s.once() // tells the server that it has
	next := filepath.Join(s.server.Data, "tls", "next-ca")
	s.must("tls", "install", "--tls-cert", next+".pem", "--tls-key", next+".key")
	id := s.deploy("--action", "EXECUTE", "--command", "true")
	s.once()
	s.want(id, "SUCCESS", "SUCCESS")

	good, err := os.ReadFile(filepath.Join(s.server.Data, "cacert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.member.State, "cacert.pem")
	other := newServer(t)
	wrong, err := os.ReadFile(filepath.Join(other.Data, "cacert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, wrong, 0o600); err != nil {
		t.Fatal(err)
	}
	wantText(t, s.fails(), "is not signed by the authority in "+file)
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	s.once()
}
