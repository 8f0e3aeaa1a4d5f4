package datafolder

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestDamage: every file of a data folder, damaged in every way: what the server cannot do without is named with what
// helps, and never with advice that would make a deployment anew; the others keep nobody from opening the folder.
func TestDamage(t *testing.T) {
	needed := map[string]bool{
		"deployment.json": true, "enjambre.db": true, "keys/signing.pem": true, "keys/agent-ca.pem": true, "keys/agent-ca.crt": true,
	}
	template := filepath.Join(t.TempDir(), "data")
	if err := Create(t.Context(), template, options(), true); err != nil {
		t.Fatal(err)
	}
	strange := options()
	strange.Name = "strange"
	other := filepath.Join(t.TempDir(), "data")
	if err := Create(t.Context(), other, strange, true); err != nil {
		t.Fatal(err)
	}
	var names []string
	err := filepath.WalkDir(template, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, errRel := filepath.Rel(template, path)
			names, err = append(names, filepath.ToSlash(name)), errRel
		}
		return err
	})
	if err != nil || len(names) < len(needed) {
		t.Fatalf("files %v, %v", names, err)
	}
	for _, name := range names {
		good, err := os.ReadFile(filepath.Join(template, name))
		if err != nil {
			t.Fatal(err)
		}
		others, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		for way, bad := range map[string][]byte{
			"missing": nil, "empty": {}, "truncated": good[:len(good)/2], "garbage": bytes.Repeat([]byte{0xff, 0, 'g', '\n'}, 999),
			"another's": others,
		} {
			t.Run(name+" "+way, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "data")
				if err := os.CopyFS(path, os.DirFS(template)); err != nil {
					t.Fatal(err)
				}
				for _, secret := range []string{"keys", "keys/signing.pem", "keys/agent-ca.pem", "keys/online.pem"} {
					if err := os.Chmod(filepath.Join(path, secret), map[bool]fs.FileMode{true: 0o700, false: 0o600}[secret == "keys"]); err != nil {
						t.Fatal(err)
					}
				}
				file := filepath.Join(path, name)
				err := os.WriteFile(file, bad, 0o600)
				if bad == nil {
					err = os.Remove(file)
				}
				if err != nil {
					t.Fatal(err)
				}
				opened, err := Open(t.Context(), path)
				if err == nil {
					err = opened.Store.Check(t.Context())
					if closeErr := opened.Close(); closeErr != nil {
						t.Error(closeErr)
					}
				}
				// A foreign key, or database, is a good one of its kind: nothing in the folder tells it from ours.
				isBlind := way == "another's" && (name == "keys/signing.pem" || name == "enjambre.db")
				switch {
				case !needed[name] || isBlind:
					if err != nil {
						t.Errorf("got %v", err)
					}
				case err == nil || !strings.Contains(err.Error(), "restore") || strings.Contains(err.Error(), `"enjambre-server init"`) ||
					strings.Contains(err.Error(), "make it with"):
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// TestOpenToOthers: keys that others may read are refused, with how to close them.
func TestOpenToOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists decide there")
	}
	for name, mode := range map[string]fs.FileMode{
		"keys": 0o777, "keys/signing.pem": 0o644, "keys/agent-ca.pem": 0o640, "keys/online.pem": 0o604,
	} {
		path := filepath.Join(t.TempDir(), "data")
		if err := Create(t.Context(), path, options(), false); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(path, name), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "chmod go-rwx "+filepath.Join(path, name)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
