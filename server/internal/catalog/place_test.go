package catalog

import (
	"archive/zip"
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/core"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/store"
)

// TestPlacesThatAgentsCannotMean: hosts that no name server has, or that each system reads in its own way.
func TestPlacesThatAgentsCannotMean(t *testing.T) {
	for _, text := range []string{
		"2130706433/d", "0x7f000001/d", "0x7f.1/d", "0177.0.0.1/d", "127.1/d", "127.0.0.1.5/d", "1.2.3.256/d", "10.0.0.08/d",
		"a.b.1/d", "[fe80::1%25eth0]/d", "[::ffff:127.0.0.1%25lo]:1/d", "a%ff/d", "a%C3%A9.example/d", "a%E2%80%AEb/d", "ñandú.example/d",
		"a_b..c/d", ".a/d", "-a/d", "a\\b/d", "a'b/d", "$IP$/d", "a,b/d", strings.Repeat("a", 250) + "/folder", strings.Repeat("a", 64) + "/d",
		"a/" + strings.Repeat("é", 100), "[192.0.2.1]/d",
	} {
		if got, err := ParseLocation(text, "https"); core.ClassOf(err) != core.ClassField {
			t.Errorf("%q: got %q, %v, want E_FIELD", text, got, err)
		}
	}
	for text, want := range map[string]Location{
		"deploy_1.example.net./d": "deploy_1.example.net./d", "xn--andu-hqa.example/d": "xn--andu-hqa.example/d",
		"[2001:DB8::1]/d": "[2001:db8::1]/d", "3com.example/d": "3com.example/d", "a.b.c1/d": "a.b.c1/d",
	} {
		if got, err := ParseLocation(text, "https"); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// TestLocalhostHoweverWritten: the dot that ends a name changes nothing.
func TestLocalhostHoweverWritten(t *testing.T) {
	for _, place := range []Location{"localhost./d", "LocalHost.:8443/d", "a.localhost./d"} {
		if err := place.checkHost([]string{"127.0.0.1"}); core.ClassOf(err) != core.ClassField {
			t.Errorf("%s: got %v", place, err)
		}
	}
	if err := Location("deploy.example./d").checkHost([]string{"Deploy.example"}); err != nil {
		t.Errorf("a name of our own, with a dot: %v", err)
	}
}

// TestDamagedDigests: a list of digests that lost its end, or changed, on this server is said to be damaged.
func TestDamagedDigests(t *testing.T) {
	c := newCatalog(t)
	random := make([]byte, 60_000) // three fragments and a bit
	_, err := rand.NewChaCha8([32]byte{1}).Read(random)
	check(t, err)
	var data bytes.Buffer
	writer := zip.NewWriter(&data)
	file, err := writer.Create("a")
	check(t, err)
	_, err = file.Write(random)
	check(t, errors.Join(err, writer.Close()))
	built, err := c.Build(t.Context(), Form{Name: "a", OS: "windows", Action: "STORE", Priority: "1", Path: "C:/x",
		FragmentSize: "16KiB", File: write(t, "p.zip", data.Bytes())}, now)
	check(t, err)
	path := filepath.Join(c.Depot.Folder(built.Package.ID), depot.DigestsFile)
	whole, err := os.ReadFile(path)
	check(t, err)
	for name, content := range map[string][]byte{"empty": {}, "short": whole[:63], "changed": append([]byte{whole[0] ^ 1}, whole[1:]...)} {
		t.Run(name, func(t *testing.T) {
			check(t, os.WriteFile(path, content, 0o644))
			err := c.Check(t.Context(), store.Activation{Package: built.Package.ID, InfoURL: "127.0.0.1:1/d", FragmentsURL: "127.0.0.1:1/d"},
				Reach{Own: []string{"127.0.0.1"}})
			wantMessage(t, err, []string{"on this server", "damaged"})
		})
	}
}
