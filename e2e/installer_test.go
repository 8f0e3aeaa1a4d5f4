package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// labTime bounds what happens on the copies of this computer; only what hangs comes to it.
const labTime = 15 * time.Minute

// haveLab reports why no copy of this computer can be made here; "" if one can.
func haveLab(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return "only root can install an agent"
	}
	if _, err := exec.LookPath("dpkg"); err != nil {
		return "there is no dpkg"
	}
	folder := t.TempDir()
	output, err := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "sh", "-ec",
		`mount -t tmpfs tmpfs "$0"; cd "$0"; mkdir upper work root
		mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root`, folder).CombinedOutput()
	if err != nil {
		return "no file system can be laid over the root here: " + string(bytes.TrimSpace(output))
	}
	return ""
}

// TestInstaller: what "installer build" makes installs, enrols, starts, upgrades in place and removes the agent, as a
// Debian package and as an archive, on copies of this computer.
func TestInstaller(t *testing.T) {
	if reason := haveLab(t); reason != "" {
		t.Skip(reason)
	}
	server := started(t, newServer(t))
	folder := t.TempDir()
	agent := filepath.Join(folder, "enjambre-agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", agent, "enjambre/agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	var made struct {
		File, Server, Site string
		Uses               int
	}
	for _, name := range []string{"one.deb", "one.tar.gz", "two.deb", "two.tar.gz"} {
		args := []string{"installer", "build", "--os", "linux", "--new-site", "--site", "lyon", "--agent", agent, "--uses", "2", "--out",
			filepath.Join(folder, name)}
		if strings.HasPrefix(name, "two") {
			args = append(args, "--debug", "--tag", `a "tag" with \`)
		}
		if err := server.JSON(t.Context(), &made, args...); err != nil {
			t.Fatal(err)
		}
		if made.Server != server.Address || made.Site != "lyon" || made.Uses != 2 {
			t.Errorf("%s: got %+v", name, made)
		}
		if stat, err := os.Stat(filepath.Join(folder, name)); err != nil || stat.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, stat, err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "lab"), 0o700); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/installer.sh")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), labTime)
	defer cancel()
	lab := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", script, folder,
		server.Binary, server.Data)
	lab.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := lab.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	wantText(t, string(output), "its own upgrade works", "deb works", "tar.gz works", "image works")
	var list struct{ Agents []struct{ Site string } }
	if err := server.JSON(t.Context(), &list, "agent", "list"); err != nil {
		t.Fatal(err)
	}
	if len(list.Agents) != 3 {
		t.Errorf("%d computers are enrolled, want the three that installed", len(list.Agents))
	}
}
