package state

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"enjambre/core"
	"enjambre/core/identity"
)

func opened(t *testing.T) *Folder {
	t.Helper()
	folder, err := Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestKeptBeforeEnrolment: key and device ID are chosen once, whatever happens next.
func TestKeptBeforeEnrolment(t *testing.T) {
	folder := opened(t)
	if _, err := folder.Identity(); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("got %v, want ErrNotEnrolled", err)
	}
	first, err := folder.Key()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := folder.Key(); err != nil || !again.Equal(first) {
		t.Errorf("another key the second time: %v", err)
	}
	choices := 0
	for range 2 {
		device, err := folder.Device(
			func() (core.DeviceID, error) { choices++; return "pc-2026-01-01-00-00-00", nil })
		if err != nil || device != "pc-2026-01-01-00-00-00" {
			t.Errorf("got %q, %v", device, err)
		}
	}
	if choices != 1 {
		t.Errorf("the device ID was chosen %d times", choices)
	}
	if stat, err := os.Stat(folder.file(keyFile)); err != nil ||
		runtime.GOOS != "windows" && stat.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", stat.Mode(), err)
	}
}

func TestDamage(t *testing.T) {
	for name, c := range map[string]struct {
		file, content, want string
		read                func(*Folder) error
	}{
		"identity":        {identityFile, "{", "unexpected EOF", func(f *Folder) error { _, err := f.Identity(); return err }},
		"unknown field":   {identityFile, `{"version":1,"x":1}`, "unknown field", func(f *Folder) error { _, err := f.Identity(); return err }},
		"newer":           {identityFile, `{"version":2}`, "use a newer enjambre-agent", func(f *Folder) error { _, err := f.Identity(); return err }},
		"no signing keys": {identityFile, `{"version":1,"deployment":"d","device":"pc-2026-01-01-00-00-00","server":"https://s","site":"","threshold":1,"signers":[]}`, "threshold 1", func(f *Folder) error { _, err := f.Identity(); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			folder := opened(t)
			if err := os.WriteFile(folder.file(c.file), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.read(folder); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestOthersMayWrite: a folder, or a parent of it, that others could change is no place for what runs as root.
func TestOthersMayWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists decide there")
	}
	parent := t.TempDir()
	path := filepath.Join(parent, "state")
	if _, err := Open(path); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{path, parent} {
		if err := os.Chmod(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "chmod go-w "+folder) {
			t.Errorf("%s: got %v", folder, err)
		}
		if err := os.Chmod(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chown(parent, 4711, 4711); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("got %v", err)
	}
}

// TestLockWithoutPid: what only tells people who runs does not keep an agent from running.
func TestLockWithoutPid(t *testing.T) {
	folder, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder.Path("pid", "in the way"), 0o700); err != nil { // as a full disk would be
		t.Fatal(err)
	}
	unlock, err := folder.Lock()
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// TestAgentAuthorities: after the agents' authority was replaced, the one before counts too, and no older one.
func TestAgentAuthorities(t *testing.T) {
	folder := opened(t)
	if _, err := folder.AgentAuthorities(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before the enrolment: got %v", err)
	}
	certificates := selfSigned(t, 3)
	for i, want := range [][]int{{0}, {1, 0}, {1, 0}, {2, 1}} {
		now := certificates[want[0]]
		if err := folder.Renewed(certifiedBy(t, folder, want[0]+1), now); err != nil {
			t.Fatal(err)
		}
		got, err := folder.AgentAuthorities()
		if err != nil || len(got) != len(want) {
			t.Fatalf("renewal %d: got %d, %v", i, len(got), err)
		}
		for j, one := range got {
			if !one.Equal(certificates[want[j]]) {
				t.Errorf("renewal %d: authority %d is another", i, j)
			}
		}
	}
}

// authorityKey is the key of the n-th authority, from 1.
func authorityKey(n int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(n)}, ed25519.SeedSize))
}

// certifiedBy returns a certificate for the folder's key by the n-th authority.
func certifiedBy(t *testing.T, folder *Folder, n int) *x509.Certificate {
	t.Helper()
	key, err := folder.Key()
	if err != nil {
		t.Fatal(err)
	}
	authority := selfSigned(t, n)[n-1]
	us := identity.Member{Deployment: "d", Device: "pc-2026-01-01-00-00-00"}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(9), URIs: []*url.URL{us.URI()}},
		authority, key.Public(), authorityKey(n))
	if err != nil {
		t.Fatal(err)
	}
	one, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// selfSigned returns so many authorities, the n-th with authorityKey(n).
func selfSigned(t *testing.T, count int) []*x509.Certificate {
	t.Helper()
	var all []*x509.Certificate
	for i := range count {
		key := authorityKey(i + 1)
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		one, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}
