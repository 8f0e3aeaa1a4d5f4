package datafolder

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"enjambre/server/internal/identity"
)

func options() identity.Options {
	return identity.Options{Hosts: []string{"localhost"}, Now: time.Now()}
}

func created(t *testing.T) *Folder {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if err := Create(t.Context(), path, options(), true); err != nil {
		t.Fatal(err)
	}
	folder, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func TestLock(t *testing.T) {
	folder := created(t)
	if _, err := folder.Running(); !errors.Is(err, ErrNeverRan) {
		t.Errorf("got %v, want ErrNeverRan", err)
	}
	release, err := folder.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.Announce(Running{PID: 4711, Listen: ":8443", HTTPS: "localhost:8443"}); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Lock(); err == nil ||
		!strings.Contains(err.Error(), "process 4711 (listening on :8443)") {
		t.Errorf("got %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	again, err := folder.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
	if running, err := folder.Running(); err != nil || running.HTTPS != "localhost:8443" {
		t.Errorf("got %v, %v", running, err)
	}
}

func TestCreateLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	bad := options()
	bad.Hosts = []string{"not a host"}
	if err := Create(t.Context(), path, bad, false); err == nil {
		t.Error("a bad host is accepted")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), path, bad, false); err == nil {
		t.Error("a bad host is accepted")
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 0 {
		t.Errorf("got %v, %v; want the empty folder that was there", entries, err)
	}
	if err := Create(t.Context(), path, options(), false); err != nil {
		t.Fatal(err)
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode().Perm() != 0o700 {
		t.Errorf("a folder with keys has mode %v, %v", stat.Mode(), err)
	}
	if err := Create(t.Context(), path, options(), false); err == nil ||
		!strings.Contains(err.Error(), "is not empty") {
		t.Errorf("got %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(path, "missing")); err == nil ||
		!strings.Contains(err.Error(), "does not exist") {
		t.Errorf("got %v", err)
	}
}

func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to another user")
	}
	folder := created(t)
	if err := os.Chown(folder.Path, 1, 1); err != nil {
		t.Skip("this system has no such owners: ", err)
	}
	if _, err := Open(t.Context(), folder.Path); err == nil || !strings.Contains(err.Error(), "sudo -u") {
		t.Errorf("got %v", err)
	}
}
