//go:build unix

package unpack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"enjambre/core"
)

// build makes files in a folder: "name=content", "name/" for a folder, "name->target" for a link.
func build(t *testing.T, folder string, things ...string) string {
	t.Helper()
	for _, thing := range things {
		var err error
		if name, target, isLink := strings.Cut(thing, "->"); isLink {
			err = os.Symlink(target, filepath.Join(folder, name))
		} else if name, content, isFile := strings.Cut(thing, "="); isFile {
			path := filepath.Join(folder, name)
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644))
		} else {
			err = os.MkdirAll(filepath.Join(folder, thing), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestPlace(t *testing.T) {
	from := build(t, t.TempDir(), ".dot=new", "a/b/file=new", "run=new", "empty/", "link->a/b", "moved->run")
	if err := os.Chmod(filepath.Join(from, "run"), 0o4777); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "opt", "vendor", "tool")
	build(t, to, "other=stays", "a/b/file=old", "a/kept=stays", "moved->other")
	if err := os.Chmod(filepath.Join(to, "a"), 0o711); err != nil {
		t.Fatal(err)
	}
	want := []string{
		". drwxr-xr-x", `.dot -rw-r--r-- "new"`, "a drwx--x--x", "a/b drwxr-xr-x", `a/b/file -rw-r--r-- "new"`,
		`a/kept -rw-r--r-- "stays"`, "empty drwxr-xr-x", "link Lrwxrwxrwx a/b", "moved Lrwxrwxrwx run",
		`other -rw-r--r-- "stays"`, `run -rwxr-xr-x "new"`,
	}
	// The second time finds what a crash of the first left in the middle.
	for range 2 {
		if err := Place(t.Context(), from, to, PlaceOptions{Forbidden: []string{t.TempDir()}}); err != nil {
			t.Fatal(err)
		}
		sameLines(t, snapshot(t, to), want)
		unfinished := (&placer{from: from}).temporary("run")
		build(t, to, unfinished+"=ne")
	}
}

// TestPlaceReplaces: who has the old file open goes on reading the old file.
func TestPlaceReplaces(t *testing.T) {
	from, to := build(t, t.TempDir(), "f=new"), build(t, t.TempDir(), "f=old")
	open, err := os.Open(filepath.Join(to, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	if err := Place(t.Context(), from, to, PlaceOptions{}); err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 9)
	if n, _ := open.Read(content); string(content[:n]) != "old" {
		t.Errorf("the open file reads %q, want the old content", content[:n])
	}
}

// TestPlaceRefuses: nothing has changed anywhere when a place is refused. C15, C16.
func TestPlaceRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		from   []string
		before []string // below the world
		to     string   // below the world, unless absolute or ""
		class  core.Class
	}{
		{"C15 up", []string{"f=x"}, []string{"to/"}, "to/../else", core.ClassPath},
		{"C15 up at the end", []string{"f=x"}, []string{"to/a/"}, "to/a/..", core.ClassPath},
		{"C15 relative", []string{"f=x"}, nil, "relative", core.ClassPath},
		{"C15 in the state folder", []string{"f=x"}, []string{"state/"}, "state/deep/er", core.ClassPath},
		{"C15 the state folder", []string{"f=x"}, []string{"state/"}, "state", core.ClassPath},
		{"C15 through a link", []string{"f=x"}, []string{"state/", "way->state"}, "way/deep", core.ClassPath},
		{"C15 above it", []string{"a=1", "state/key=x"}, []string{"state/key=secret"}, ".", core.ClassPath},
		{"C15 above it, a folder", []string{"a=1", "state/"}, []string{"state/"}, ".", core.ClassPath},
		{"C15 in place of it", []string{"a=1", "state=x"}, nil, ".", core.ClassPath},
		{"C16 file over a link", []string{"a=1", "f=x"}, []string{"to/f->../canary"}, "to", core.ClassLink},
		{"C16 file over a dead link", []string{"f=x"}, []string{"to/f->../dead"}, "to", core.ClassLink},
		{"C16 through a link", []string{"d/f=x"}, []string{"else/", "to/d->../else"}, "to", core.ClassLink},
		{"C16 through a link inside", []string{"d/f=x"}, []string{"to/e/", "to/d->e"}, "to", core.ClassLink},
		{"file for a folder", []string{"a=1", "d/f=x"}, []string{"to/d=file"}, "to", core.ClassType},
		{"folder for a file", []string{"a=1", "f=x"}, []string{"to/f/"}, "to", core.ClassType},
		{"file for a link", []string{"l->a", "a=1"}, []string{"to/l=file"}, "to", core.ClassType},
		{"below a file", []string{"f=x"}, []string{"to=file"}, "to/deep/er", core.ClassType},
		{"a file", []string{"f=x"}, []string{"to=file"}, "to", core.ClassType},
	} {
		t.Run(test.name, func(t *testing.T) {
			world := build(t, t.TempDir(), "canary=alive")
			for _, thing := range test.before { // folders first, for the links
				if name, _, isLink := strings.Cut(thing, "->"); isLink {
					build(t, world, filepath.Dir(name))
				}
				build(t, world, thing)
			}
			from := build(t, t.TempDir(), test.from...)
			before := snapshot(t, world)
			to := world + "/" + test.to
			if test.to == "relative" {
				to = test.to
			}
			forbidden := PlaceOptions{Forbidden: []string{filepath.Join(world, "state")}}
			err := Place(t.Context(), from, to, forbidden)
			if core.ClassOf(err) != test.class {
				t.Errorf("got class %q (%v), want %q", core.ClassOf(err), err, test.class)
			}
			sameLines(t, snapshot(t, world), before)
		})
	}
}

// TestPlaceOddThings: a pipe in the way is refused, not opened.
func TestPlaceOddThings(t *testing.T) {
	from, to := build(t, t.TempDir(), "f=x"), t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(to, "f"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Place(t.Context(), from, to, PlaceOptions{}); core.ClassOf(err) != core.ClassType {
		t.Errorf("over a pipe: got %v, want class %s", err, core.ClassType)
	}
	if err := Place(t.Context(), to, t.TempDir(), PlaceOptions{}); core.ClassOf(err) != core.ClassType {
		t.Errorf("a pipe as source: got %v, want class %s", err, core.ClassType)
	}
}

// TestPlaceForeignLink: a link that a user made does not lead root's files astray.
func TestPlaceForeignLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make another user's link")
	}
	world := build(t, t.TempDir(), "etc/", "home/", "home/dir->../etc")
	if err := os.Lchown(filepath.Join(world, "home/dir"), 65_533, 65_533); err != nil {
		t.Fatal(err)
	}
	from := build(t, t.TempDir(), "f=x")
	err := Place(t.Context(), from, filepath.Join(world, "home/dir/sub"), PlaceOptions{})
	if core.ClassOf(err) != core.ClassLink {
		t.Errorf("got %v, want class %s", err, core.ClassLink)
	}
}

func TestPlaceEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	to := filepath.Join(t.TempDir(), "to")
	err := Place(ctx, build(t, t.TempDir(), "f=x"), to, PlaceOptions{})
	if _, missing := os.Stat(to); !errors.Is(err, context.Canceled) || !os.IsNotExist(missing) {
		t.Errorf("got %v, %s is %v", err, to, missing)
	}
}
