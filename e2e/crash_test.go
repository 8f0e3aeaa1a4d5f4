package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/e2e/stage"
)

// TestMemberCrash: the agent, or the shim that runs a command, dies at each place where it can be made to. The next
// start finds out how far things came: the package completes if that is known, is reported as interrupted if it is
// not, and its command never runs twice.
func TestMemberCrash(t *testing.T) {
	const interrupted = "INTERRUPTED"
	cases := []struct {
		point string
		runs  int    // of the command, in the end
		want  string // "" = success
	}{
		{"vault.after_data", 1, ""},
		{"vault.after_have", 1, ""},
		{"daemon.after_intent", 1, ""},
		{"daemon.after_unpack", 1, ""},
		{"daemon.after_order", 1, ""},
		{"daemon.after_launched", 1, ""},
		{"execute.before_started", 0, interrupted},
		{"execute.after_started", 0, interrupted},
		{"execute.after_command", 1, interrupted},
		{"execute.before_result", 1, interrupted},
		{"execute.after_result", 1, ""},
		{"daemon.after_command", 1, ""},
		{"daemon.after_end", 1, ""},
		{"talk.after_result", 1, ""},
	}
	for _, c := range cases {
		t.Run(c.point, func(t *testing.T) {
			s := newSite(t)
			s.member.Binary = agentCrash
			ran := filepath.Join(s.folder, "ran")
			id := s.deploy("--action", "LAUNCH", "--command", "run.sh", "--file", s.script("echo x >>"+ran, 1<<20))

			s.member.Env = []string{"ENJAMBRE_FAILPOINT=" + c.point}
			output, err := s.member.Once(t.Context())
			inShim := strings.HasPrefix(c.point, "execute.")
			if killed := err != nil && strings.Contains(err.Error(), "signal: killed"); killed == inShim {
				t.Fatalf("got %v\n%s", err, output)
			}
			s.member.Env = nil
			if _, err := s.member.Once(t.Context()); err != nil { // what failed was told before
				t.Error(err)
			}
			if got := s.lines(ran); len(got) != c.runs {
				t.Errorf("the command ran %d times, want %d", len(got), c.runs)
			}
			text := "SUCCESS_0"
			if c.want == "" {
				s.want(id, "SUCCESS", text)
			} else {
				text = "ERR_EXECUTE"
				s.want(id, text, text, c.want)
			}
			s.agrees(id, text)
			if left, err := os.ReadDir(filepath.Join(s.member.State, "jobs")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// agrees holds the agent's ledger to what the server was told.
func (s *site) agrees(id, text string) {
	s.Helper()
	var shown struct {
		Packages []struct{ Package, State, Text string }
	}
	if err := s.member.JSON(s.Context(), &shown, "packages"); err != nil {
		s.Fatal(err)
	}
	if len(shown.Packages) != 1 || shown.Packages[0].State != "reported" || shown.Packages[0].Text != text {
		s.Errorf("the ledger says %+v, want package %s reported as %s", shown.Packages, id, text)
	}
}

// TestMemberCrashForgotten: an intent that came to nothing does not keep a package from running when it is affected
// again later.
func TestMemberCrashForgotten(t *testing.T) {
	s := newSite(t)
	s.member.Binary = agentCrash
	ran := filepath.Join(s.folder, "ran")
	id := s.deploy("--action", "EXECUTE", "--command", "echo x >>"+ran)
	s.member.Env = []string{"ENJAMBRE_FAILPOINT=daemon.after_intent"}
	if _, err := s.member.Once(t.Context()); err == nil {
		t.Error("it succeeded")
	}
	s.member.Env = nil
	s.must("unaffect", "--package", id, "--computer", s.device)
	s.once()
	if got := s.lines(ran); len(got) != 0 {
		t.Errorf("taken back, and ran %d times", len(got))
	}
	s.affect(id)
	s.once()
	s.want(id, "SUCCESS", "SUCCESS")
	if got := s.lines(ran); len(got) != 1 {
		t.Errorf("it ran %d times", len(got))
	}
}

// TestMemberRetry: a command whose package says that it may run twice does, after an interruption.
func TestMemberRetry(t *testing.T) {
	s := newSite(t)
	s.member.Binary = agentCrash
	ran := filepath.Join(s.folder, "ran")
	id := s.deploy("--action", "EXECUTE", "--command", "echo x >>"+ran, "--on-interrupt", "retry")
	s.member.Env = []string{"ENJAMBRE_FAILPOINT=execute.after_command"}
	s.postponed("its command was interrupted; it will be run again")
	s.member.Env = nil
	s.once()
	s.want(id, "SUCCESS", "SUCCESS")
	if got := s.lines(ran); len(got) != 2 {
		t.Errorf("it ran %d times, want twice", len(got))
	}
}

// TestMemberStoreCrash: files that were being stored when the shim died are stored again, as that does no harm.
func TestMemberStoreCrash(t *testing.T) {
	s := newSite(t)
	s.member.Binary = agentCrash
	stored := filepath.Join(s.folder, "stored")
	id := s.deploy("--action", "STORE", "--path", stored, "--file", s.script("true", 1<<20))
	s.member.Env = []string{"ENJAMBRE_FAILPOINT=execute.after_command"}
	s.postponed("its command was interrupted; it will be run again")
	s.member.Env = nil
	s.once()
	s.want(id, "SUCCESS", "SUCCESS")
}

// TestMemberKilled: an agent that dies while a command runs finds it again, or its result.
func TestMemberKilled(t *testing.T) {
	for _, ended := range []bool{false, true} {
		t.Run(fmt.Sprintf("ended meanwhile %v", ended), func(t *testing.T) {
			s := newSite(t)
			ran, gate, done := filepath.Join(s.folder, "ran"), filepath.Join(s.folder, "gate"), filepath.Join(s.folder, "done")
			id := s.deploy("--action", "EXECUTE", "--command",
				"echo x >>"+ran+"; "+untilThere(gate)+"; echo at the end; touch "+done)
			if err := s.member.Start(); err != nil {
				t.Fatal(err)
			}
			s.waitFor("the command", func() bool { return len(s.lines(ran)) == 1 })
			if err := s.member.Kill(); err != nil {
				t.Fatal(err)
			}
			open := func() {
				t.Helper()
				if err := os.WriteFile(gate, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				s.waitFor("the command's end", func() bool { _, err := os.Stat(done); return err == nil })
			}
			if ended {
				open()
			}
			if err := s.member.Start(); err != nil {
				t.Fatal(err)
			}
			if !ended {
				s.waitFor("the agent", func() bool {
					return strings.Contains(s.fullLog(s.member), "a command that was running still does")
				})
				open()
			}
			s.waitFor("the result", func() bool {
				return strings.Contains(s.must("rollout", "status", "--package", id, "--json"), `"SUCCESS":1`)
			})
			s.want(id, "SUCCESS", "SUCCESS", "at the end")
			if got := s.lines(ran); len(got) != 1 {
				t.Errorf("it ran %d times", len(got))
			}
		})
	}
}

// TestMemberServerKilled: a server that dies at any moment of a deployment costs time, and nothing else.
func TestMemberServerKilled(t *testing.T) {
	s := newSite(t)
	ran := filepath.Join(s.folder, "ran")
	var ids []string
	for range 4 {
		ids = append(ids, s.deploy("--action", "LAUNCH", "--command", "run.sh", "--file",
			s.script("echo x >>"+ran, 4<<20), "--fragment-size", "64KiB"))
	}
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	ended := func() int {
		n := 0
		for _, id := range ids {
			if strings.Contains(s.must("rollout", "status", "--package", id, "--json"), `"SUCCESS":1`) {
				n++
			}
		}
		return n
	}
	for kills := 0; ended() < len(ids); kills++ {
		before := s.requests("/download/") + len(s.lines(ran))
		s.waitFor("progress", func() bool { return s.requests("/download/")+len(s.lines(ran)) > before || ended() == len(ids) })
		if kills < 6 {
			if err := s.server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := s.server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := s.lines(ran); len(got) != len(ids) {
		t.Errorf("%d packages ran %d times", len(ids), len(got))
	}
}

// TestMemberOfAnother: a state folder of one deployment is of no use at the server of another.
func TestMemberOfAnother(t *testing.T) {
	s := newSite(t)
	other := started(t, newServer(t))
	stranger, err := stage.NewMember(t.Context(), other, agentBinary, s.folder, "stranger", "lyon")
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(stranger.State, "identity.json")
	data, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.ReplaceAll(string(data), other.Address, s.server.Address)
	if err := os.WriteFile(identity, []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := stranger.Once(t.Context())
	if err == nil {
		t.Error("it was answered")
	}
	wantText(t, output, "is not signed by the authority in", "cacert.pem")
}
