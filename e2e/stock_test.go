package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"enjambre/e2e/stage"
)

// binary is the server, and daemon the same with the race detector. Commands run without it, since each
// start of such a program takes a second.
var binary, daemon string

// agentBinary is our own agent with the race detector; agentCrash without it, and with the places at which it can
// be made to end.
var agentBinary, agentCrash string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "enjambre-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(folder) }()
		binary, err = stage.Build(context.Background(), filepath.Join(folder, "plain"))
		if err == nil {
			daemon, err = stage.Build(context.Background(), filepath.Join(folder, "race"), "-race")
		}
		if err == nil {
			agentBinary, err = stage.BuildAgent(context.Background(), filepath.Join(folder, "race"), "-race")
		}
		if err == nil {
			agentCrash, err = stage.BuildAgent(context.Background(), filepath.Join(folder, "crash"), "-tags", "failpoint")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// A lab is a running server with one stock agent that has called once.
type lab struct {
	base
	agent *stage.Agent
}

// newLab starts a server with latencies 0 and an agent that speaks to it over the scheme.
func newLab(t *testing.T, scheme string) *lab {
	t.Helper()
	if err := stage.HaveAgent(); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	l := &lab{base: base{T: t, folder: t.TempDir()}}
	var err error
	if l.server, err = stage.NewServer(t.Context(), binary, l.folder); err != nil {
		t.Fatal(err)
	}
	l.server.Daemon = daemon
	if err := l.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("access log:\n%s\nerror log:\n%s", l.server.Log("access.log"), l.server.Log("error.log"))
		}
		if err := l.server.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, setting := range []string{"CYCLE_LATENCY", "FRAG_LATENCY", "PERIOD_LATENCY"} {
		l.must("config", "set", "DOWNLOAD_"+setting, "0")
	}
	address := l.server.Address
	if scheme == "http" {
		address = l.server.HTTP
	}
	l.agent = &stage.Agent{Server: address + "/ocsinventory", CA: filepath.Join(l.server.Data, "cacert.pem"),
		Folder: filepath.Join(l.folder, "agent"), Tag: "E2E"}
	l.call()
	if l.device, err = l.agent.Device(); err != nil {
		t.Fatal(err)
	}
	return l
}

// call runs the agent and waits for its downloads.
func (l *lab) call() {
	l.Helper()
	if err := l.agent.Run(l.Context()); err != nil {
		l.Fatal(err)
	}
}

// A contact is one of the stock agent: it has answered the server, and its downloads go on.
type contact struct {
	lab  *lab
	wait func(context.Context) error
}

// begin starts a contact. Finish it, or kill it.
func (l *lab) begin() contact {
	l.Helper()
	wait, err := l.agent.Begin()
	if err != nil {
		l.Fatal(err)
	}
	return contact{l, wait}
}

// finish waits for the downloads.
func (c contact) finish() {
	c.lab.Helper()
	if err := c.wait(c.lab.Context()); err != nil {
		c.lab.Fatal(err)
	}
}

// kill ends the downloads, which must still be at work.
func (c contact) kill() {
	c.lab.Helper()
	ended, cancel := context.WithCancel(c.lab.Context())
	cancel()
	if err := c.wait(ended); !errors.Is(err, context.Canceled) {
		c.lab.Errorf("the download process is no longer at work: %v", err)
	}
}

// A standing is how one package stands on the lab's only computer.
type standing struct{ state, text string }

func (l *lab) standing(id string) standing {
	l.Helper()
	var status struct {
		Computers int
		States    map[string]int
		Results   map[string]int
	}
	if err := l.server.JSON(l.Context(), &status, "rollout", "status", "--package", id); err != nil {
		l.Fatal(err)
	}
	var s standing
	for state, n := range status.States {
		if n > 0 {
			s.state = state
		}
	}
	for text := range status.Results {
		s.text = text
	}
	return s
}

func (l *lab) want(id, state, text string) {
	l.Helper()
	if got, want := l.standing(id), (standing{state, text}); got != want {
		l.Errorf("package %s: got %v, want %v\nagent:\n%s", id, got, want, l.agent.Log())
	}
}

// eventually waits until the condition holds.
func (l *lab) eventually(what string, condition func() bool) {
	l.Helper()
	if !await(condition) {
		l.Fatalf("%s: not in time\nagent:\n%s", what, l.agent.Log())
	}
}

// TestStore: rows 1 and 19, a STORE package in many fragments, over both schemes for both purposes.
func TestStore(t *testing.T) {
	for _, scheme := range []string{"https", "http"} {
		t.Run(scheme, func(t *testing.T) {
			l := newLab(t, scheme)
			target := filepath.Join(l.folder, "store", "deep", "er")
			id := l.deploy("--action", "STORE", "--path", target, "--file", l.archive(nil, 100<<10),
				"--fragment-size", "16KiB", "--protocol", scheme)
			l.call()
			l.want(id, "SUCCESS", "SUCCESS")
			stored, err := os.ReadFile(filepath.Join(target, "data", "random.bin"))
			if err != nil || len(stored) != 100<<10 {
				t.Errorf("got %d bytes, %v", len(stored), err)
			}
			if got := l.requests("/download/"+id+"/"+id+"-", "status=200", "agent=OCS"); got != 7 {
				t.Errorf("got %d fragments fetched, want 7", got)
			}
			history, err := l.agent.History()
			if err != nil || !slices.Equal(history, []string{id}) {
				t.Errorf("history: got %v, %v", history, err)
			}
			l.call() // the next inventory carries the history
			if got := l.must("computer", "show", l.device, "--json"); !strings.Contains(got, `"history":["`+id+`"]`) {
				t.Errorf("the server has not noted the history:\n%s", got)
			}
		})
	}
}

// TestActions: rows 2 and 3, exit codes of LAUNCH and EXECUTE, several packages in one contact.
func TestActions(t *testing.T) {
	l := newLab(t, "http")
	archive := l.archive(map[string]string{"zero.sh": "exit 0", "three.sh": "exit 3", "sub/arg.sh": `test "$1" = a`}, 1000)
	cases := []struct {
		args        []string
		state, text string
	}{
		{[]string{"--action", "LAUNCH", "--command", "zero.sh", "--file", archive}, "SUCCESS", "SUCCESS_0"},
		{[]string{"--action", "LAUNCH", "--command", "three.sh x", "--file", archive}, "ERR_EXECUTE", "SUCCESS_3"},
		{[]string{"--action", "LAUNCH", "--command", "three.sh", "--file", archive, "--success-codes", "0,3"}, "SUCCESS", "SUCCESS_3"},
		{[]string{"--action", "LAUNCH", "--command", "sub/arg.sh a", "--file", archive}, "SUCCESS", "SUCCESS_0"},
		{[]string{"--action", "EXECUTE", "--command", "true && echo '<ok>' \"$HOME\" > /dev/null"}, "SUCCESS", "SUCCESS"},
		{[]string{"--action", "EXECUTE", "--command", "exit 5"}, "ERR_EXECUTE", "ERR_EXECUTE"},
		{[]string{"--action", "EXECUTE", "--command", "sh ./zero.sh", "--file", archive}, "SUCCESS", "SUCCESS"},
	}
	var ids []string
	for _, c := range cases {
		ids = append(ids, l.deploy(c.args...))
	}
	l.call()
	for i, c := range cases {
		l.want(ids[i], c.state, c.text)
	}
	if got := l.requests("/download/"+ids[4]+"/", "status=200", "agent=OCS"); got != 1 { // its info file
		t.Errorf("got %d fetches for a package without archive, want 1", got)
	}
}

// TestDamage: rows 4 to 8, what an agent says about files that are not what they should be.
func TestDamage(t *testing.T) {
	l := newLab(t, "https")
	archive := l.archive(nil, 1000)
	store := func() string {
		return l.deploy("--action", "STORE", "--path", filepath.Join(l.folder, "damaged"), "--file", archive)
	}
	tamper := func(id, name string, change func([]byte) []byte) {
		t.Helper()
		path := l.published(id, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digest, noInfo, otherID, noArchive := store(), store(), store(), store()
	tamper(digest, digest+"-1", func(data []byte) []byte { data[100] ^= 1; return data })
	if err := os.Remove(l.published(noInfo, "info")); err != nil {
		t.Fatal(err)
	}
	tamper(otherID, "info", func(data []byte) []byte {
		return bytes.Replace(data, []byte(`ID="`+otherID), []byte(`ID="1`), 1)
	})
	junk := []byte("this is no archive at all")
	tamper(noArchive, noArchive+"-1", func([]byte) []byte { return junk })
	tamper(noArchive, "info", func(data []byte) []byte {
		return regexp.MustCompile(` DIGEST="[0-9a-f]*"`).ReplaceAll(data, fmt.Appendf(nil, ` DIGEST="%x"`, md5.Sum(junk)))
	})
	l.call()
	l.want(noArchive, "ERR_BUILD", "ERR_BUILD")
	l.want(digest, "ERR_BAD_DIGEST", "ERR_BAD_DIGEST")
	l.want(noInfo, "ERR_BAD_ID", "ERR_DOWNLOAD_INFO")
	l.want(otherID, "ERR_BAD_ID", "ERR_BAD_ID")
	if _, err := os.Stat(filepath.Join(l.folder, "damaged")); err == nil {
		t.Error("something was stored")
	}
}

// TestMissingFragment: rows 8 and 12, retried without a message until the package is too old.
func TestMissingFragment(t *testing.T) {
	l := newLab(t, "https")
	id := l.deploy("--action", "STORE", "--path", filepath.Join(l.folder, "s"), "--file", l.archive(nil, 40<<10),
		"--fragment-size", "16KiB")
	if err := os.Remove(l.published(id, id+"-2")); err != nil {
		t.Fatal(err)
	}
	ongoing := l.begin()
	l.eventually("the missing fragment is asked for again", func() bool { return l.requests(id+"-2", "status=404") > 2 })
	l.want(id, "NOTIFIED", "")
	l.age(id)
	ongoing.finish()
	l.want(id, "ERR_TIMEOUT", "ERR_TIMEOUT")
}

// age makes the agent believe that it was told of the package long ago.
func (l *lab) age(id string) {
	l.Helper()
	matches, err := filepath.Glob(filepath.Join(l.agent.Folder, "*", "download", id, "since"))
	if err != nil || len(matches) != 1 {
		l.Fatalf("since: %v, %v", matches, err)
	}
	if err := os.WriteFile(matches[0], []byte("1000000000\n"), 0o644); err != nil {
		l.Fatal(err)
	}
}
