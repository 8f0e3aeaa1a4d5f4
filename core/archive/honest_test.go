package archive

import (
	"archive/tar"
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
)

// honestTree makes a folder as packages have it.
func honestTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	long := strings.Repeat("long", 24)
	for name, content := range map[string]string{
		"install.sh": "#!/bin/sh\n", "empty": "", ".hidden": "x", "été/naïve.txt": "accents",
		"lib/libx.so.1.2": string(noise(100_000)), long + "/" + long: "a name for PAX",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(root, "install.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "void"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// runTool runs a program in a folder and returns the file that it made, or skips the test.
func runTool(t *testing.T, folder, output, name string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s here", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = folder
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, text)
	}
	return must(os.ReadFile(output))
}

// honestEntries is what entriesOf must say about honestTree, links aside, in the order of names.
func honestEntries() []string {
	long := strings.Repeat("long", 24)
	return []string{
		"d lib 755", "d " + long + " 755", "d void 755", "d été 755",
		"f .hidden 1 644", "f empty 0 644", "f install.sh 10 755", "f lib/libx.so.1.2 100000 644",
		"f " + long + "/" + long + " 14 644", "f été/naïve.txt 7 644",
	}
}

func TestHonestTar(t *testing.T) {
	root := honestTree(t)
	for link, target := range map[string]string{
		"lib/libx.so": "libx.so.1", "lib/libx.so.1": "libx.so.1.2", "sh": "./lib/../install.sh",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	want := append(honestEntries(),
		"l lib/libx.so libx.so.1", "l lib/libx.so.1 libx.so.1.2", "l sh ./lib/../install.sh")
	all := []string{".hidden", "empty", "été", "install.sh", "lib", strings.Repeat("long", 24), "sh", "void"}
	for name, args := range map[string][]string{
		"dot":   {"."},
		"names": all,
		"gnu":   {"--format=gnu", "."},
		"pax":   {"--format=pax", "."},
		"ustar": {"--format=ustar", "."},
	} {
		t.Run(name, func(t *testing.T) {
			output := filepath.Join(t.TempDir(), "x.tgz")
			data := runTool(t, root, output, "tar", append([]string{"czf", output}, args...)...)
			got, err := entriesOf(t, data, core.Linux)
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestHonestZip(t *testing.T) {
	root := honestTree(t)
	want := honestEntries()
	slices.Sort(want)
	output := filepath.Join(t.TempDir(), "x.zip")
	for name, args := range map[string][]string{
		"files":   {"zip", "-qr", output, "."},
		"streams": {"sh", "-c", `zip -qr - . | cat >"$0"`, output},
		"stored":  {"zip", "-0qr", output, "."},
		"zip64":   {"zip", "-qr", "-fz", output, "."},
		"comment": {"sh", "-c", `zip -qrz "$0" . <"$0.txt"`, output},
		"python": {
			"python3", "-m", "zipfile", "-c", output,
			"install.sh", "empty", ".hidden", "été", "lib", "void", strings.Repeat("long", 24),
		},
		"jar": {"jar", "cMf", output, "-C", ".", "."},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(output)
			if err := os.WriteFile(output+".txt", []byte("a comment\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := exec.LookPath("zip"); err != nil && args[0] == "sh" {
				t.Skip("no zip here")
			}
			data := runTool(t, root, output, args[0], args[1:]...)
			got, err := entriesOf(t, data, core.Windows)
			slices.Sort(got)
			if name == "jar" { // keeps no permissions
				for i := range got {
					got[i] = strings.Replace(got[i], "install.sh 10 644", "install.sh 10 755", 1)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// TestHonestHardLinks holds the remedy that the refusal names to be one.
func TestHonestHardLinks(t *testing.T) {
	root := honestTree(t)
	if err := os.Link(filepath.Join(root, "empty"), filepath.Join(root, "other")); err != nil {
		t.Skip(err)
	}
	output := filepath.Join(t.TempDir(), "x.tgz")
	_, err := check(runTool(t, root, output, "tar", "czf", output, "."), core.Linux)
	if core.ClassOf(err) != core.ClassLink || !strings.Contains(err.Error(), "--hard-dereference") {
		t.Errorf("got %v, want a refusal that names the remedy", err)
	}
	_, err = check(runTool(t, root, output, "tar", "--hard-dereference", "-czf", output, "."), core.Linux)
	if err != nil {
		t.Error(err)
	}
}

// TestHonestSparse shows what GNU tar makes of a sparse file.
func TestHonestSparse(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "disk"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(root, "disk"), 1<<20); err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(t.TempDir(), "x.tgz")
	for _, format := range []string{"--format=gnu", "--format=pax"} {
		_, err := check(runTool(t, root, output, "tar", format, "-cSzf", output, "."), core.Linux)
		if core.ClassOf(err) != core.ClassBomb {
			t.Errorf("%s: got %v, want %s", format, err, core.ClassBomb)
		}
	}
	if _, err := check(runTool(t, root, output, "tar", "-czf", output, "."), core.Linux); err != nil {
		t.Error(err)
	}
}

// TestHonestLibraries checks what Go writes, which needs no program.
func TestHonestLibraries(t *testing.T) {
	data := zipOf([]byte("hello"), &zip.FileHeader{Name: "a/"}, &zip.FileHeader{Name: "a/b"},
		&zip.FileHeader{Name: "c", Comment: "a comment", Method: zip.Deflate})
	got, err := entriesOf(t, data, core.Windows)
	want := []string{"d a 755", "f a/b 5 644", "f c 5 644"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	// `git archive` begins with a global header.
	data = gzipOf(paxRecords('g', "comment", "0123456789"), tarOf("hello", &tar.Header{Name: "a/b"}))
	got, err = entriesOf(t, data, core.Linux)
	want = []string{"d a 755", "f a/b 5 644"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}
