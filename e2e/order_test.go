package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMemberOrder: one contact brings priority 1 and 2, commands alone, and priority 0 with an archive, affected in this
// order. They run by priority.
func TestMemberOrder(t *testing.T) {
	s := newSite(t)
	out := filepath.Join(s.folder, "order")
	s.deployOrder(out)
	s.once()
	if got := s.lines(out); !slices.Equal(got, []string{"P0", "P1", "P2"}) {
		t.Errorf("ran in the order %v", got)
	}
}

// TestMemberOrderAfterRestart: the same while the archive cannot be had, and the agent is killed meanwhile.
func TestMemberOrderAfterRestart(t *testing.T) {
	s := newSite(t)
	out := filepath.Join(s.folder, "order")
	urgent := s.deployOrder(out)
	giveBack := s.withhold(urgent, urgent+"-2")
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	status := func() string {
		text, err := s.member.Run(t.Context(), "status", "--state", s.member.State)
		if err != nil {
			t.Log(err)
		}
		return text
	}
	s.waitFor("status to say why they wait", func() bool {
		return strings.Count(status(), "waits for package "+urgent+" of priority 0") == 2
	})
	if err := s.member.Kill(); err != nil {
		t.Fatal(err)
	}
	giveBack()
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	s.waitFor("all to have run", func() bool { return len(s.lines(out)) == 3 })
	if got := s.lines(out); !slices.Equal(got, []string{"P0", "P1", "P2"}) {
		t.Errorf("ran in the order %v", got)
	}
}

// deployOrder deploys three packages, each of which writes its name to a file, and returns the one of priority 0, which
// alone has an archive.
func (s *site) deployOrder(out string) string {
	s.Helper()
	archive := s.script("echo P0 >> "+out, 3<<20)
	s.deploy("--action", "EXECUTE", "--command", "echo P1 >> "+out, "--priority", "1")
	urgent := s.deploy("--action", "LAUNCH", "--command", "run.sh", "--file", archive, "--priority", "0")
	s.deploy("--action", "EXECUTE", "--command", "echo P2 >> "+out, "--priority", "2")
	return urgent
}
