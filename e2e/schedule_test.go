package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPriorityZero: rows 9 and 10. Priority 0 goes first, and while it cannot be had, nothing else does.
func TestPriorityZero(t *testing.T) {
	l := newLab(t, "http")
	store := func(priority string) string {
		return l.deploy("--action", "STORE", "--path", filepath.Join(l.folder, "p"), "--priority", priority,
			"--file", l.archive(nil, 40<<10), "--fragment-size", "16KiB")
	}
	one, zero, zeroToo := store("1"), store("0"), store("0")
	l.call()
	for _, id := range []string{one, zero, zeroToo} {
		l.want(id, "SUCCESS", "SUCCESS")
	}
	log := l.server.Log("access.log")
	log = log[strings.Index(log, "/"+zero+"-1"):]
	if strings.Index(log, "/"+one+"-1") < max(strings.LastIndex(log, "/"+zero+"-"), strings.LastIndex(log, "/"+zeroToo+"-")) {
		t.Error("priority 1 was downloaded before priority 0 was complete")
	}

	blocked, blocking := store("1"), store("0")
	giveBack := l.withhold(blocking, blocking+"-2")
	ongoing := l.begin()
	l.eventually("priority 0 is tried again and again", func() bool { return l.requests(blocking+"-2", "status=404") > 5 })
	if got := l.requests("/"+blocked+"-", "agent=OCS"); got != 0 {
		t.Errorf("got %d fragments of priority 1 while priority 0 fails, want 0", got)
	}
	giveBack()
	// The stock agent's list of priority 0 grows with every period and is not emptied, so this download
	// process would go on for ever; the next one starts afresh.
	ongoing.kill()
	l.call()
	l.want(blocking, "SUCCESS", "SUCCESS")
	l.want(blocked, "SUCCESS", "SUCCESS")
}

// TestNeverDue: row 11, a priority above the period's length; the build warned of it.
func TestNeverDue(t *testing.T) {
	l := newLab(t, "http")
	l.must("config", "set", "DOWNLOAD_PERIOD_LENGTH", "3")
	id := l.deploy("--action", "EXECUTE", "--command", "true", "--priority", "5")
	due := l.deploy("--action", "EXECUTE", "--command", "true", "--priority", "3")
	ongoing := l.begin()
	l.eventually("the package that is due runs", func() bool { return l.standing(due).state == "SUCCESS" })
	l.want(id, "NOTIFIED", "")
	ongoing.kill()
	l.want(id, "NOTIFIED", "")
}

// TestHistory: row 13 and the trap that a done package must never be listed beside a new one.
func TestHistory(t *testing.T) {
	l := newLab(t, "https")
	marker := filepath.Join(l.folder, "marker")
	id := l.deploy("--action", "EXECUTE", "--command", "echo x >> "+marker)
	runs := func() int {
		data, err := os.ReadFile(marker)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(data), "x")
	}
	l.call()
	l.want(id, "SUCCESS", "SUCCESS")
	l.must("rollout", "validate-success", "--package", id)
	l.affect(id)
	other := l.deploy("--action", "EXECUTE", "--command", "true")
	l.call() // the server does not know the history yet: the agent says it
	l.want(id, "ERR_ALREADY_SETUP", "SUCCESS_ALREADY_SETUP")
	l.call()
	l.want(other, "SUCCESS", "SUCCESS")

	l.must("rollout", "validate-all", "--package", id)
	l.affect(id)
	next := l.deploy("--action", "EXECUTE", "--command", "true")
	l.call() // now it does: the done package is not listed, and the new one runs
	l.want(id, "ERR_ALREADY_SETUP", "SUCCESS_ALREADY_IN_HISTORY")
	l.want(next, "SUCCESS", "SUCCESS")
	if got := runs(); got != 1 {
		t.Errorf("the command ran %d times, want once", got)
	}
	l.affect(id, "--force")
	l.call()
	l.want(id, "SUCCESS", "SUCCESS")
	if got := runs(); got != 2 {
		t.Errorf("forced: the command ran %d times in all, want 2", got)
	}
}

// TestSwitch: row 16, switched off while downloading, and on again: it goes on where it was.
func TestSwitch(t *testing.T) {
	l := newLab(t, "https")
	id := l.deploy("--action", "STORE", "--path", filepath.Join(l.folder, "s"), "--file", l.archive(nil, 80<<10),
		"--fragment-size", "16KiB")
	giveBack := l.withhold(id, id+"-3")
	ongoing := l.begin()
	l.eventually("the second fragment is fetched", func() bool { return l.requests(id+"-2", "status=200", "agent=OCS") > 0 })
	l.must("config", "set", "DOWNLOAD_SWITCH", "0", "--computer", l.device)
	second := l.begin() // tells the download process to leave
	ongoing.finish()
	second.kill() // its own download process waits for better times
	l.want(id, "NOTIFIED", "")
	giveBack()
	l.must("config", "unset", "DOWNLOAD_SWITCH", "--computer", l.device)
	l.call()
	l.want(id, "SUCCESS", "SUCCESS")
	if got := l.requests(id+"-1", "status=200", "agent=OCS"); got != 1 {
		t.Errorf("the first fragment was fetched %d times, want once", got)
	}
}

// TestStop: row 17, no inventory wanted, packages installed all the same.
func TestStop(t *testing.T) {
	l := newLab(t, "https")
	l.must("config", "set", "FREQUENCY", "30")
	id := l.deploy("--action", "EXECUTE", "--command", "true")
	before := l.requests("POST", "/ocsinventory")
	l.call()
	l.want(id, "SUCCESS", "SUCCESS")
	if got := l.requests("POST", "/ocsinventory") - before; got != 2 {
		t.Errorf("got %d messages, want a PROLOG and a result", got)
	}
}

// TestUnaffect: row 18 and T20. Taking a package back cannot stop a stock agent; its result is kept all the
// same, and finished rows stay.
func TestUnaffect(t *testing.T) {
	l := newLab(t, "http")
	gate := filepath.Join(l.folder, "gate")
	id := l.deploy("--action", "EXECUTE", "--command", untilThere(gate))
	ongoing := l.begin()
	l.must("unaffect", "--package", id, "--all")
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ongoing.finish()
	l.want(id, "", "")
	if got := l.must("computer", "show", l.device); !strings.Contains(got, "SUCCESS") {
		t.Errorf("the result is not in the computer's record:\n%s", got)
	}
}

// TestServerAway: row 15. The server is away when the result comes; nothing is lost.
func TestServerAway(t *testing.T) {
	l := newLab(t, "https")
	gate := filepath.Join(l.folder, "gate")
	id := l.deploy("--action", "EXECUTE", "--command", untilThere(gate))
	ongoing := l.begin()
	l.eventually("the computer is told", func() bool { return l.standing(id).state == "NOTIFIED" })
	if err := l.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l.eventually("the agent has a result to deliver", func() bool {
		done, err := filepath.Glob(filepath.Join(l.agent.Folder, "*", "download", id, "done"))
		return err == nil && len(done) == 1
	})
	if err := l.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ongoing.finish()
	if got := l.standing(id); got.state != "SUCCESS" {
		t.Errorf("got %v", got)
	}
}

// TestResume: row 24, the agent is killed between fragments and goes on with the next.
func TestResume(t *testing.T) {
	l := newLab(t, "http")
	id := l.deploy("--action", "STORE", "--path", filepath.Join(l.folder, "s"), "--file", l.archive(nil, 80<<10),
		"--fragment-size", "16KiB")
	giveBack := l.withhold(id, id+"-3")
	ongoing := l.begin()
	l.eventually("the second fragment is stored", func() bool { // which the agent notes by rewriting a file in place
		names, err := filepath.Glob(filepath.Join(l.agent.Folder, "*", "download", id, "task"))
		if err != nil || len(names) != 1 {
			return false
		}
		task, err := os.ReadFile(names[0])
		return err == nil && strings.HasPrefix(string(task), id+"-3\n") && strings.HasSuffix(string(task), id+"-6\n")
	})
	ongoing.kill()
	giveBack()
	l.call()
	l.want(id, "SUCCESS", "SUCCESS")
	if got := l.requests(id+"-1", "status=200", "agent=OCS"); got != 1 {
		t.Errorf("the first fragment was fetched %d times, want once", got)
	}
}

// TestTag: row 23, a tag set on the server reaches the agent.
func TestTag(t *testing.T) {
	l := newLab(t, "https")
	if got := l.must("computer", "search", "tag = E2E"); !strings.Contains(got, l.device) {
		t.Errorf("the agent's own tag was not taken:\n%s", got)
	}
	l.must("computer", "set", l.device, "--tag", "LYON", "--new-site", "--site", "lyon")
	l.agent.Tag = ""
	l.call()
	admin, err := filepath.Glob(filepath.Join(l.agent.Folder, "*", "ocsinv.adm"))
	if err != nil || len(admin) != 1 {
		t.Fatalf("account file: %v, %v", admin, err)
	}
	if data, err := os.ReadFile(admin[0]); err != nil || !strings.Contains(string(data), "LYON") {
		t.Errorf("got %s, %v", data, err)
	}
}
