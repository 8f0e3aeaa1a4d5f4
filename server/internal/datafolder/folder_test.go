package datafolder

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/server/internal/identity"
	"enjambre/server/internal/setting"
)

// TestCreated: what init leaves is whole, and what it was told is kept.
func TestCreated(t *testing.T) {
	folder := created(t)
	entries, err := os.ReadDir(folder.Path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	for _, want := range []string{"cacert.pem", "deployment.json", "enjambre.db", "keys", "logs", "packages",
		"tls"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing in %v", want, names)
		}
	}
	settings, err := folder.Store.Settings(t.Context(), "")
	if err != nil || settings.Get(setting.StockAgents) != 1 {
		t.Errorf("stock agents: got %d, %v, want 1", settings.Get(setting.StockAgents), err)
	}
	got := folder.Catalog(slog.New(slog.DiscardHandler))
	if got.Deployment != "localhost" || got.Store != folder.Store || got.Depot != folder.Depot ||
		len(got.Signer) == 0 {
		t.Errorf("catalog of %q", got.Deployment)
	}
	again, err := Open(t.Context(), folder.Path) // another command, at the same time
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestNotEmpty: a folder with anything in it is refused by the name of what it holds, and left alone.
func TestNotEmpty(t *testing.T) {
	path := t.TempDir()
	precious := filepath.Join(path, "thesis.txt")
	if err := os.WriteFile(precious, []byte("years"), 0o644); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	err = Create(t.Context(), path, options(), false)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("got %v", err)
	}
	if after, err := os.Stat(path); err != nil || after.Mode() != before.Mode() {
		t.Errorf("the mode of a refused folder changed to %v, %v", after.Mode(), err)
	}
	if data, err := os.ReadFile(precious); err != nil || string(data) != "years" {
		t.Errorf("got %q, %v", data, err)
	}
	if err := Create(t.Context(), precious, options(), false); err == nil {
		t.Error("a file is taken for a folder")
	}
	_, err = Open(t.Context(), path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "init") {
		t.Errorf("a folder without deployment: got %v", err)
	}
}

// TestCreateLeavesNoParents: folders on the way to the data folder go again with it.
func TestCreateLeavesNoParents(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, "a", "b", "data")
	bad := options()
	bad.Hosts = []string{"not a host"}
	if err := Create(t.Context(), path, bad, false); err == nil {
		t.Fatal("a bad host is accepted")
	}
	if entries, err := os.ReadDir(top); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := Create(t.Context(), path, options(), false); err != nil {
		t.Errorf("once more without the mistake: %v", err)
	}
}

// TestCreateInterrupted: an init that is given up leaves nothing.
func TestCreateInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "data")
	if err := Create(ctx, path, options(), true); err == nil {
		t.Skip("it was done before it was given up")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// TestOwnerOfAnEmptyFolder: init in a folder that was made for another user would leave keys that this user
// cannot read.
func TestOwnerOfAnEmptyFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to another user")
	}
	path := t.TempDir()
	if err := os.Chown(path, 1, 1); err != nil {
		t.Skip("this system has no such owners: ", err)
	}
	err := Create(t.Context(), path, options(), false)
	if err == nil || !strings.Contains(err.Error(), "sudo -u") {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestRunning: what a server announced, and what it did not.
func TestRunning(t *testing.T) {
	folder := created(t)
	want := Running{PID: 7, Listen: ":0", HTTPS: "localhost:1", HTTP: "localhost:2",
		Started: time.Unix(1, 0).UTC()}
	for range 2 { // a second server replaces what the first said
		want.PID++
		if err := folder.Announce(want); err != nil {
			t.Fatal(err)
		}
		if got, err := folder.Running(); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(folder.Path, "run.json"), []byte("{half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Running(); err == nil || errors.Is(err, ErrNeverRan) {
		t.Errorf("damaged: got %v", err)
	}
	release, err := folder.Lock()
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), folder.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Lock(); err == nil || !strings.Contains(err.Error(), "another process") ||
		!strings.Contains(err.Error(), folder.Path) {
		t.Errorf("in use by a server that cannot be named: got %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// TestRequestOnly: a deployment that waits for its certificate opens like any other.
func TestRequestOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	waiting := identity.Options{Hosts: []string{"a.example"}, Request: true, Now: time.Now()}
	if err := Create(t.Context(), path, waiting, false); err != nil {
		t.Fatal(err)
	}
	folder, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.Close(); err != nil {
		t.Error(err)
	}
}

// TestTwoAtOnce: of two inits of one folder one wins, and the other does not clear away what it made.
func TestTwoAtOnce(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "data")
		failures := make(chan error, 2)
		for range 2 {
			go func() { failures <- Create(t.Context(), path, options(), false) }()
		}
		first, second := <-failures, <-failures
		if (first == nil) == (second == nil) {
			t.Fatalf("got %v and %v, want one success", first, second)
		}
		folder, err := Open(t.Context(), path)
		if err != nil {
			t.Fatalf("%v (got %v and %v)", err, first, second)
		}
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	}
}
