package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/e2e/stage"
)

// A site is a running server with one enrolled agent of ours.
type site struct {
	base
	member *stage.Member
}

// newSite starts a server without latencies, and enrols an agent that has called once.
func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	s := &site{base: base{T: t, folder: t.TempDir(), server: started(t, newServer(t))}}
	for _, setting := range []string{
		"DOWNLOAD_CYCLE_LATENCY 1", "DOWNLOAD_FRAG_LATENCY 0", "DOWNLOAD_PERIOD_LATENCY 0", "CONTACT_SECONDS 5",
	} {
		s.must(append([]string{"config", "set"}, strings.Fields(setting)...)...)
	}
	var err error
	if s.member, err = stage.NewMember(t.Context(), s.server, agentBinary, s.folder, "state", "lyon"); err != nil {
		t.Fatal(err)
	}
	s.member.Listen = "0" // other tests' agents run on this machine too
	if s.device, err = s.member.Device(); err != nil {
		t.Fatal(err)
	}
	s.once()
	t.Cleanup(func() {
		if err := s.member.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("agent:\n%s\nserver:\n%s", s.member.Log(), s.server.Log("error.log"))
		}
	})
	return s
}

// once runs the agent until nothing is left; every package must succeed.
func (s *site) once() string {
	s.Helper()
	output, err := s.member.Once(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return output
}

// fails runs the agent until nothing is left; it must say that something did not succeed.
func (s *site) fails() string {
	s.Helper()
	output, err := s.member.Once(s.Context())
	if err == nil {
		s.Fatalf("everything succeeded:\n%s", output)
	}
	return output
}

// stuck runs the agent for a time in which nothing comes to its end, until it says so. A busy computer gets less far,
// so it is run again, for longer.
func (s *site) stuck(texts ...string) {
	s.Helper()
	for most := 3 * time.Second; ; most *= 3 {
		output, err := s.member.Run(s.Context(), "once", "--state", s.member.State, "--listen", "0",
			"--max-time", most.String())
		if err == nil {
			s.Fatalf("everything succeeded:\n%s", output)
		}
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(output, text) }) {
			return
		}
		if most > patience/3 {
			wantText(s.T, output, texts...)
			return
		}
	}
}

// postponed runs the agent as a service until it says why it does not run a package yet.
func (s *site) postponed(why string) {
	s.Helper()
	if err := s.member.Start(); err != nil {
		s.Fatal(err)
	}
	s.waitFor("a package not run yet", func() bool {
		return slices.ContainsFunc(strings.Split(s.fullLog(s.member), "\n"), func(line string) bool {
			return strings.Contains(line, "package not run yet") && strings.Contains(line, why)
		})
	})
	if err := s.member.Stop(); err != nil {
		s.Error(err)
	}
}

// A memberStatus is what an agent shows of the swarm.
type memberStatus struct {
	Process     int
	NextContact time.Time
	Swarm       struct {
		Site, Problem       string
		Members, Neighbours int
		Nearby              *int
	}
	Packages []struct {
		Package  string
		Have, Of int
	}
	Sources []sourceStatus
}

// A sourceStatus is what it shows of the bytes of a package.
type sourceStatus struct {
	Package         string
	Origin, Members int64
	Copies          float64 // R at its site so far
}

// stands returns what an agent shows, from the file in which it does: a test that must step in in the middle of a
// transfer cannot wait for a program. It is nothing before the agent has shown anything.
func (s *site) stands(agent *stage.Member) (status memberStatus) {
	s.Helper()
	data, err := os.ReadFile(filepath.Join(agent.State, "status.json"))
	if err == nil {
		err = json.Unmarshal(data, &status)
	}
	if err != nil && !os.IsNotExist(err) {
		s.Errorf("%s: %v", agent.State, err)
	}
	return status
}

// has returns how many fragments an agent has of a package.
func (s *site) has(agent *stage.Member, id string) int {
	s.Helper()
	for _, task := range s.stands(agent).Packages {
		if task.Package == id {
			return task.Have
		}
	}
	return 0
}

// fullLog returns all that an agent has logged.
func (s *site) fullLog(agent *stage.Member) string {
	s.Helper()
	data, err := os.ReadFile(agent.State + ".log")
	if err != nil {
		s.Fatal(err)
	}
	return string(data)
}

// script writes an archive with a script called run.sh, and size bytes that do not shrink.
func (s *site) script(script string, size int) string {
	s.Helper()
	return s.archive(map[string]string{"run.sh": script}, size)
}

// An affectation is what the server says of a package on the computer.
type affectation struct {
	Package, State, Detail, Output string
	Text                           string `json:"result"`
	Exit                           json.Number
}

// want holds what the server says of a package to a state and a text, and its detail and output to what they must
// contain.
func (s *site) want(id, state, text string, contains ...string) {
	s.Helper()
	var shown struct{ Affectations []affectation }
	if err := s.server.JSON(s.Context(), &shown, "computer", "show", s.device); err != nil {
		s.Fatal(err)
	}
	for _, one := range shown.Affectations {
		if one.Package != id {
			continue
		}
		if one.State != state || one.Text != text {
			s.Errorf("package %s: got %+v, want %s, %q", id, one, state, text)
		}
		for _, part := range contains {
			if !strings.Contains(one.Detail+"\n"+one.Output+"\n"+one.Exit.String(), part) {
				s.Errorf("package %s: %q is not in %+v", id, part, one)
			}
		}
		return
	}
	s.Errorf("package %s is not affected: %+v", id, shown)
}

// waitFor waits until a condition holds.
func (s *site) waitFor(what string, holds func() bool) {
	s.Helper()
	if !await(holds) {
		s.Fatalf("%s: not in time\n%s", what, s.member.Log())
	}
}

// lines returns the lines of a file; a missing one has none.
func (s *site) lines(path string) []string {
	s.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	return strings.Fields(string(data))
}
