package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"enjambre/e2e/stage"
)

// TestDamagedFiles: each file of an agent's folder is lost, emptied, cut, overwritten with garbage and with another
// agent's. Each time the agent works all the same, or names the file and what helps; and once the file is put back it
// works again, with its ledger as it was.
func TestDamagedFiles(t *testing.T) {
	s := newSite(t)
	s.member.Binary = agentCrash // without the race detector, for two hundred starts
	ran := filepath.Join(s.folder, "ran")
	s.deploy("--action", "EXECUTE", "--command", "echo x >>"+ran)
	s.once()
	other, err := stage.NewMember(t.Context(), s.server, agentCrash, s.folder, "other", "lyon")
	if err != nil {
		t.Fatal(err)
	}
	// It never calls, or each of our starts would look for it as a neighbour.
	foreign, err := os.ReadFile(filepath.Join(s.server.Data, "keys", "agent-ca.crt")) // an authority, and not the server's
	if err == nil {
		err = os.WriteFile(filepath.Join(other.State, "cacert.pem"), foreign, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.member.State)
	if err != nil {
		t.Fatal(err)
	}
	// Without these nobody is who the agent was; all others must be mended.
	needed := []string{"cacert.pem", "certificate.pem", "identity.json", "key.pem"}
	tried := 0
	for _, entry := range entries {
		name := entry.Name()
		path := filepath.Join(s.member.State, name)
		good, err := os.ReadFile(path)
		if err != nil {
			continue // a folder
		}
		tried++
		others, err := os.ReadFile(filepath.Join(other.State, name))
		if err != nil {
			others = []byte(`{"others":true}`) // what no agent writes there
		}
		for way, bad := range map[string][]byte{
			"missing": nil, "empty": {}, "truncated": good[:len(good)*2/3], "garbage": bytes.Repeat([]byte{0xff, 0, 'g', '\n'}, 99),
			"another's": others,
		} {
			err := os.WriteFile(path, bad, 0o600)
			if bad == nil {
				err = os.Remove(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			output, err := s.member.Once(t.Context())
			isNeeded := slices.Contains(needed, name) || name == "ledger" && (way == "garbage" || way == "another's")
			switch {
			case strings.Contains(output, "goroutine "):
				t.Errorf("%s %s: it crashed\n%s", name, way, output)
			case isNeeded && (err == nil || !strings.Contains(output, name)):
				t.Errorf("%s %s: %v, and does not name the file\n%s", name, way, err, output)
			case !isNeeded && err != nil:
				t.Errorf("%s %s: not mended: %v", name, way, err)
			}
			if !isNeeded && name != "ledger" && name != "device" {
				continue
			}
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
			if output, err := s.member.Once(t.Context()); err != nil {
				t.Errorf("%s %s, put back: %v\n%s", name, way, err, output)
			}
		}
	}
	if tried < 10 {
		t.Errorf("only %d files", tried)
	}
	if got := s.lines(ran); len(got) != 1 {
		t.Errorf("the package ran %d times", len(got))
	}
}
