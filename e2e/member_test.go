package e2e

import (
	"crypto/ed25519"
	"crypto/md5"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/info"
	"enjambre/core/seal"
	"enjambre/e2e/stage"
)

// TestMemberActions: one package of each action, and what an agent of ours tells of them.
func TestMemberActions(t *testing.T) {
	s := newSite(t)
	stored := filepath.Join(s.folder, "a", "stored")
	archive := s.script("echo \"in $PWD: $1\" >&2; test -f data/random.bin", 3<<20)
	launch := s.deploy("--action", "LAUNCH", "--command", "run.sh 'one word'", "--file", archive)
	store := s.deploy("--action", "STORE", "--path", stored, "--file", archive, "--protocol", "http")
	execute := s.deploy("--action", "EXECUTE", "--command", `echo 1; echo 2 | tr 2 3; printf '\033[31mred \001\377\n'`)
	s.once()
	s.want(launch, "SUCCESS", "SUCCESS_0", "stage: one word", "0")
	s.want(store, "SUCCESS", "SUCCESS")
	s.want(execute, "SUCCESS", "SUCCESS", "1\n3", "[31mred")
	if data, err := os.ReadFile(filepath.Join(stored, "data", "random.bin")); err != nil || len(data) != 3<<20 {
		t.Errorf("%d bytes stored, %v", len(data), err)
	}
	if left, err := os.ReadDir(filepath.Join(s.member.State, "jobs")); err != nil || len(left) > 0 {
		t.Errorf("left of jobs: %v, %v", left, err)
	}
	kept, err := filepath.Glob(filepath.Join(s.member.State, "packages", "*", "ended"))
	if left, readErr := os.ReadDir(filepath.Join(s.member.State, "packages")); err != nil || readErr != nil || len(left) != 2 || len(kept) != 2 {
		t.Errorf("the two with archives are kept for neighbours; left: %v, kept: %v, %v, %v", left, kept, err, readErr)
	}
	wantText(t, s.must("computer", "show", s.device), "enjambre-agent", "Debian", s.device)

	s.affect(execute, "--force")
	s.once()
	s.want(execute, "SUCCESS", "SUCCESS", "1\n3")

	s.must("computer", "set", s.device, "--tag", "GIVEN")
	s.once()
	account, err := os.ReadFile(filepath.Join(s.member.State, "account.json"))
	if err != nil || !strings.Contains(string(account), "GIVEN") {
		t.Errorf("the agent keeps %s, %v", account, err)
	}
	s.once()
	wantText(t, s.must("computer", "show", s.device), "GIVEN")
}

// TestMemberStates: every state that an agent can report, each provoked.
func TestMemberStates(t *testing.T) {
	s := newSite(t)
	archive := s.script("exit 3", 1<<20)
	change := func(path string, at int) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err == nil {
			data[at] ^= 1
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	code := s.deploy("--action", "LAUNCH", "--command", "run.sh", "--file", archive)
	coded := s.deploy("--action", "LAUNCH", "--command", "run.sh", "--file", archive, "--success-codes", "0,3")
	failing := s.deploy("--action", "EXECUTE", "--command", "echo why; exit 7")
	unknown := s.deploy("--action", "LAUNCH", "--command", "run.sh ${UNKNOWN}", "--file", archive)
	slow := s.deploy("--action", "EXECUTE", "--command", "sleep 300", "--exec-timeout", "1s")
	gone := s.deploy("--action", "STORE", "--path", "/nowhere", "--file", archive)
	if err := os.Remove(s.published(gone, "info.dsse")); err != nil {
		t.Fatal(err)
	}
	forged := s.deploy("--action", "EXECUTE", "--command", "touch "+filepath.Join(s.folder, "forged"))
	change(s.published(forged, "info.dsse"), 200)
	corrupt := s.deploy("--action", "STORE", "--path", "/nowhere", "--file", archive)
	change(s.published(corrupt, corrupt+"-2"), 1000)
	output := s.fails()
	s.want(code, "ERR_EXECUTE", "SUCCESS_3", "exit code 3 is not among the success codes", "3")
	s.want(coded, "SUCCESS", "SUCCESS_3")
	s.want(failing, "ERR_EXECUTE", "ERR_EXECUTE", "why", "7")
	s.want(unknown, "ERR_EXECUTE", "ERR_EXECUTE", "E_ENV", "UNKNOWN")
	s.want(slow, "ERR_EXECUTE", "ERR_EXECUTE", "E_TIME")
	s.want(gone, "ERR_BAD_ID", "ERR_BAD_ID", "404")
	s.want(forged, "ERR_BAD_DIGEST", "ERR_BAD_DIGEST", "info.dsse")
	s.want(corrupt, "ERR_BAD_DIGEST", "ERR_BAD_DIGEST", "E_HASH", "fragment")
	wantText(t, output, "package "+failing+": ERR_EXECUTE", "package "+gone+": ERR_BAD_ID")
	if len(s.lines(filepath.Join(s.folder, "forged"))) > 0 {
		t.Error("what was not signed has run")
	}

	s.affect(coded, "--force")
	s.must("unaffect", "--package", coded, "--computer", s.device)
	s.affect(coded)
	s.once()
	s.want(coded, "ERR_ALREADY_SETUP", "SUCCESS_ALREADY_SETUP")
}

// TestMemberTimeout: a package that never completes ends, by the time of its first notification.
func TestMemberTimeout(t *testing.T) {
	s := newSite(t)
	s.must("site", "set", "lyon", "--swarm", "off") // of plain files it is said which one is not there
	id := s.deploy("--action", "STORE", "--path", "/nowhere", "--file", s.script("true", 1<<20))
	if err := os.Remove(s.published(id, id+"-2")); err != nil {
		t.Fatal(err)
	}
	s.stuck("package "+id+": 2 of 3 fragments; last problem: ", "it answered 404")
	work := filepath.Join(s.member.State, "work.json")
	data, err := os.ReadFile(work)
	if err != nil {
		t.Fatal(err)
	}
	aged := regexp.MustCompile(`"notifiedAt":"[0-9]{4}-`).ReplaceAllString(string(data), `"notifiedAt":"2020-`)
	if aged == string(data) {
		t.Fatalf("no notification in %s", data)
	}
	if err := os.WriteFile(work, []byte(aged), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails()
	s.want(id, "ERR_TIMEOUT", "ERR_TIMEOUT", "not complete in time")
}

// TestMemberNeverDue: what can never be due is said at once.
func TestMemberNeverDue(t *testing.T) {
	s := newSite(t)
	s.must("config", "set", "DOWNLOAD_PERIOD_LENGTH", "3")
	id := s.deploy("--action", "EXECUTE", "--command", "true", "--priority", "5")
	began := time.Now()
	wantText(t, s.fails(), "package "+id+": never due: priority 5 is above the period's 3 cycles")
	if took := time.Since(began); took >= stage.OnceTime {
		t.Errorf("it waited %v", took)
	}
	s.must("config", "set", "DOWNLOAD_PERIOD_LENGTH", "10")
	s.once()
	s.want(id, "SUCCESS", "SUCCESS")
}

// TestMemberBuild: a disk that changes what was stored, again and again, never runs. While one fragment cannot be had,
// another one changes that is there.
func TestMemberBuild(t *testing.T) {
	s := newSite(t)
	s.must("site", "set", "lyon", "--swarm", "off") // of plain files one can be withheld
	id := s.deploy("--action", "STORE", "--path", filepath.Join(s.folder, "rotten"), "--fragment-size", "256KiB",
		"--file", s.script("true", 2*256<<10))
	fragment := func(n int) string { return fmt.Sprint(id, "-", n+1) }
	giveBack := s.withhold(id, fragment(0))
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	s.waitFor("all fragments but one", func() bool { return s.has(s.member, id) == 2 })
	for times := range 3 { // as often as the agent tries
		file, err := os.OpenFile(filepath.Join(s.member.State, "packages", id, "data"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		next := (times + 1) % 2 // is there, or will be before the one that is withheld
		_, err = file.WriteAt([]byte("rot"), int64(next*256<<10+1000))
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		giveBackNext := s.withhold(id, fragment(next))
		giveBack()
		giveBack = giveBackNext
		s.waitFor("the agent to find out", func() bool {
			return strings.Count(s.fullLog(s.member), "the disk does not hold what was stored") > times
		})
	}
	s.waitFor("the result", func() bool {
		return strings.Contains(s.must("rollout", "status", "--package", id, "--json"), `"ERR_BUILD":1`)
	})
	s.want(id, "ERR_BUILD", "ERR_BUILD", "have changed on the disk")
	if _, err := os.Stat(filepath.Join(s.folder, "rotten")); !os.IsNotExist(err) {
		t.Errorf("stored all the same: %v", err)
	}
}

// TestMemberService: a service gets what is affected while it runs, drops what is taken back, and ends when asked.
func TestMemberService(t *testing.T) {
	s := newSite(t)
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(s.folder, "ran")
	id := s.deploy("--action", "EXECUTE", "--command", "echo x >>"+ran)
	s.waitFor("the command", func() bool { return len(s.lines(ran)) == 1 })
	s.waitFor("the result", func() bool {
		return strings.Contains(s.must("rollout", "status", "--package", id, "--json"), `"SUCCESS":1`)
	})
	output, err := s.member.Once(t.Context())
	if err == nil {
		t.Error("two agents with one state folder")
	}
	wantText(t, output, "runs with this state folder already, as process "+fmt.Sprint(s.member.PID()))

	taken := s.deploy("--action", "STORE", "--path", "/nowhere", "--file", s.script("true", 1<<20), "--priority", "10")
	s.withhold(taken, taken+"-1") // it is not due for ten cycles, and cannot be complete then
	vault := filepath.Join(s.member.State, "packages", taken)
	s.waitFor("the assignment", func() bool { _, err := os.Stat(vault); return err == nil })
	s.must("unaffect", "--package", taken, "--computer", s.device)
	s.waitFor("the end of the assignment", func() bool { _, err := os.Stat(vault); return os.IsNotExist(err) })

	var status struct {
		Running     bool
		Process     int
		LastContact time.Time
	}
	if err := s.member.JSON(t.Context(), &status, "status"); err != nil || !status.Running ||
		status.Process != s.member.PID() || status.LastContact.IsZero() {
		t.Errorf("got %+v, %v", status, err)
	}
	if err := s.member.Stop(); err != nil {
		t.Error(err)
	}
}

// TestMemberServerAway: without its server an agent goes on with what it has, and tells what became of it later.
func TestMemberServerAway(t *testing.T) {
	s := newSite(t)
	ran, gate := filepath.Join(s.folder, "ran"), filepath.Join(s.folder, "gate")
	id := s.deploy("--action", "EXECUTE", "--command",
		"echo x >>"+ran+"; "+untilThere(gate))
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	s.waitFor("the command", func() bool { return len(s.lines(ran)) == 1 })
	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.waitFor("the result in the ledger", func() bool {
		var shown struct {
			Packages []struct{ Package, State string }
		}
		err := s.member.JSON(t.Context(), &shown, "packages")
		return err == nil && len(shown.Packages) == 1 && shown.Packages[0].State == "ended"
	})
	if err := s.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitFor("the result", func() bool {
		return strings.Contains(s.must("rollout", "status", "--package", id, "--json"), `"SUCCESS":1`)
	})
	if got := s.lines(ran); len(got) != 1 {
		t.Errorf("it ran %d times", len(got))
	}
}

// TestMemberNotAnArchive: what was signed and is no archive is not unpacked.
func TestMemberNotAnArchive(t *testing.T) {
	s := newSite(t)
	id := s.deploy("--action", "STORE", "--path", filepath.Join(s.folder, "stored"), "--file", s.script("true", 100<<10))
	s.forge(id, func(archive []byte) { copy(archive, "this is no gzip") })
	s.fails()
	s.want(id, "ERR_DOWNLOAD_PACK", "ERR_DOWNLOAD_PACK", "E_FORMAT")
}

// forge replaces a published package of one fragment by one with another archive, properly signed, as only whoever
// holds the deployment's key can.
func (s *site) forge(id string, change func(archive []byte)) {
	s.Helper()
	must := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	archive, err := os.ReadFile(s.published(id, id+"-1"))
	must(err)
	change(archive)
	text, err := os.ReadFile(s.published(id, "info"))
	must(err)
	described, err := info.Parse(text)
	must(err)
	digests := fragment.Digests{core.DigestOf(archive)}
	described.Archive.Digest, described.Archive.MD5 = core.DigestOf(archive), md5.Sum(archive)
	described.Archive.Digests = core.DigestOf(digests.Bytes())
	block, err := os.ReadFile(filepath.Join(s.server.Data, "keys", "signing.pem"))
	must(err)
	decoded, _ := pem.Decode(block)
	key, err := x509.ParsePKCS8PrivateKey(decoded.Bytes)
	must(err)
	envelope, err := seal.Sign(seal.InfoType, described.Canonical(), key.(ed25519.PrivateKey))
	must(err)
	for name, data := range map[string][]byte{
		id + "-1": archive, "info": described.Canonical(), "info.dsse": envelope, "digests": digests.Bytes(),
	} {
		must(os.WriteFile(s.published(id, name), data, 0o600))
	}
	database, err := sql.Open("sqlite", filepath.Join(s.server.Data, "enjambre.db"))
	must(err)
	defer database.Close()
	_, err = database.Exec("UPDATE packages SET info_digest = ? WHERE id = ?", core.DigestOf(described.Canonical()).String(), id)
	must(err)
}

// TestMemberClean: what a command leaves mounted is not removed, and the administrator learns of it.
func TestMemberClean(t *testing.T) {
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("mounting needs root")
	}
	s := newSite(t)
	kept := filepath.Join(s.folder, "kept")
	if err := os.MkdirAll(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(kept, "precious"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	id := s.deploy("--action", "LAUNCH", "--command", "run.sh", "--file",
		s.script("mkdir m && mount --bind "+kept+" m", 1000))
	t.Cleanup(func() {
		mounts, _ := filepath.Glob(filepath.Join(s.member.State, "jobs", "*", "stage", "m"))
		for _, one := range mounts {
			if err := syscall.Unmount(one, 0); err != nil {
				t.Error(err)
			}
		}
	})
	s.once()
	s.want(id, "ERR_CLEAN", "ERR_CLEAN", "it succeeded (SUCCESS_0)", "is mounted in it")
	if data, err := os.ReadFile(filepath.Join(kept, "precious")); err != nil || string(data) != "x" {
		t.Errorf("what was mounted: %q, %v", data, err)
	}
	s.once() // the next start cannot remove it either, and goes on
	if data, err := os.ReadFile(filepath.Join(kept, "precious")); err != nil || string(data) != "x" {
		t.Errorf("what was mounted, after another start: %q, %v", data, err)
	}
}

// TestMemberFullDisk: without room a package waits, with the reason shown, and goes on when there is some.
func TestMemberFullDisk(t *testing.T) {
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("mounting needs root")
	}
	s := newSite(t)
	vault := filepath.Join(s.member.State, "packages")
	if err := syscall.Mount("tmpfs", vault, "tmpfs", 0, "size=3m"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(vault, 0); err != nil {
			t.Error(err)
		}
	})
	stored := filepath.Join(s.folder, "stored")
	id := s.deploy("--action", "STORE", "--path", stored, "--file", s.script("true", 5<<20))
	s.stuck("must stay free")
	if err := syscall.Mount("tmpfs", vault, "tmpfs", syscall.MS_REMOUNT, "size=2g"); err != nil {
		t.Fatal(err)
	}
	s.once()
	s.want(id, "SUCCESS", "SUCCESS")
}
