package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// setClock sets the clock of the site's agent, which then has one of its own, so far ahead of the computer's.
func (s *site) setClock(ahead time.Duration) {
	s.Helper()
	name := filepath.Join(s.folder, "clock")
	if err := os.WriteFile(name+".new", []byte(ahead.String()), 0o600); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		s.Fatal(err)
	}
	s.member.Binary, s.member.Env = agentCrash, []string{"ENJAMBRE_CLOCK=" + name}
}

const year = 365 * 24 * time.Hour

// TestClockSetAfterStart: an agent that starts before its computer's clock is set, to 1970 or years ahead, calls its
// server soon after it is.
func TestClockSetAfterStart(t *testing.T) {
	for name, wrong := range map[string]time.Duration{
		"1970": time.Until(time.Unix(30, 0)), "years ahead": 20 * year,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.setClock(wrong)
			if err := os.Remove(filepath.Join(s.member.State, "clock.json")); err != nil { // as before its first contact
				t.Fatal(err)
			}
			if err := s.member.Start(); err != nil {
				t.Fatal(err)
			}
			s.waitFor("a contact that fails", func() bool {
				return strings.Contains(s.fullLog(s.member), "is not valid now")
			})
			s.setClock(0)
			set := time.Now()
			s.waitFor("a contact", func() bool { return strings.Contains(s.fullLog(s.member), "msg=contact") })
			t.Logf("contact %v after the clock was set", time.Since(set).Round(time.Second))
			if err := s.member.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestClockAhead: a package that waits for a user goes on waiting when the computer starts with a clock that is weeks
// ahead; and nobody who asks is told to give up what is known of the computer.
func TestClockAhead(t *testing.T) {
	s := newSite(t)
	id := s.deploy("--action", "EXECUTE", "--command", "true", "--interactive")
	s.postponed("needs a user's desktop")
	s.setClock(45 * 24 * time.Hour)
	before := strings.Count(s.fullLog(s.member), "msg=contact")
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	s.waitFor("a contact", func() bool { return strings.Count(s.fullLog(s.member), "msg=contact") > before })
	if err := s.member.Stop(); err != nil {
		t.Error(err)
	}
	if log := s.fullLog(s.member); strings.Contains(log, "ERR_TIMEOUT") {
		t.Errorf("package %s is given up:\n%s", id, log)
	}
	s.setClock(2 * year)
	output, err := s.member.Run(t.Context(), "diagnose", "--state", s.member.State)
	if err == nil {
		t.Error("nothing is found wrong")
	}
	advice := strings.Index(output, "->")
	if advice < 0 || !strings.Contains(output[advice:][:60], "set the clock") || strings.Contains(output, "remove") {
		t.Errorf("the first advice is not to set the clock, or a later one is to remove something:\n%s", output)
	}
}
