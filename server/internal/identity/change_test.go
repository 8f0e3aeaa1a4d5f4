package identity

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestInterruptedChange: after any prefix of the replacements that a change makes, what a start finds
// verifies; agents with the old cacert.pem are served until the new certificate is; and the change can be
// made once more.
func TestInterruptedChange(t *testing.T) {
	other := made(t, Options{Hosts: []string{"a"}})
	next, err := other.readChain(nil)
	check(t, err)
	root := newAuthority(t, "root", nil)
	key := newKey(t)
	signed, err := makeChain(privateKey{key, keyBlock(t, key)},
		[]*x509.Certificate{issue(t, forHost("a"), key, root)}, "x")
	check(t, err)
	cases := map[string]struct {
		options     Options
		made        *chain
		authorities []*x509.Certificate
		steps       int
	}{
		"first certificate":      {Options{Hosts: []string{"a"}, Request: true}, next, next.certificates, 2},
		"self-signed, then PKI":  {Options{Hosts: []string{"a"}}, signed, []*x509.Certificate{root.certificate}, 3},
		"self-signed once again": {Options{Hosts: []string{"a"}}, next, next.certificates, 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for done := range c.steps + 1 {
				d := made(t, c.options)
				old, err := readCertificates(d.path(authorityFile))
				if c.options.Request != os.IsNotExist(err) {
					t.Fatal(err)
				}
				steps := replacements(c.made, old, c.authorities)
				if len(steps) != c.steps {
					t.Fatalf("got %d replacements, want %d", len(steps), c.steps)
				}
				for _, step := range steps[:done] {
					check(t, writeFile(d.path(step.file), step.data, step.mode))
				}
				startsWell(t, d, done == 0 || c.options.Request && done == 1)
				_, err = d.putInService(c.made, c.authorities, now)
				check(t, err)
				startsWell(t, d, false)
				after, err := readCertificates(d.path(authorityFile))
				if err != nil || !sameCertificates(after, c.authorities) {
					t.Errorf("after %d steps and once more: %d authorities, %v", done, len(after), err)
				}
			}
		})
	}
}

// startsWell serves what is found; a deployment that waits for its first certificate may have none.
func startsWell(t *testing.T, d *Deployment, mayWait bool) {
	t.Helper()
	certificate, _, err := d.ServerCertificate(nil, now)
	if mayWait && err != nil && strings.Contains(err.Error(), errNoCertificate.Error()) {
		return
	}
	if err != nil {
		t.Errorf("a start finds what does not verify: %v", err)
		return
	}
	check(t, handshake(t, d, certificate, "a", tls.VersionTLS13))
}

// TestSameAgain: what is in service already changes nothing for agents.
func TestSameAgain(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	served, err := d.readChain(nil)
	check(t, err)
	if steps := replacements(served, served.certificates, served.certificates); len(steps) != 1 {
		t.Errorf("got %d replacements, want one", len(steps))
	}
	warnings, err := d.putInService(served, served.certificates, now)
	if err != nil || len(warnings) != 0 {
		t.Errorf("got %v, %v", warnings, err)
	}
}

// TestFailedReplacement: a change that cannot be written leaves what was in service and no temporary file.
func TestFailedReplacement(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	check(t, os.Rename(d.path(serverFile), d.path(serverFile)+".kept"))
	check(t, os.MkdirAll(filepath.Join(d.path(serverFile), "x"), 0o700)) // a folder is not replaced
	_, err := d.SelfSign(0, nil, now)
	wantMessage(t, err, "server.pem")
	check(t, os.RemoveAll(d.path(serverFile)))
	check(t, os.Rename(d.path(serverFile)+".kept", d.path(serverFile)))
	startsWell(t, d, false)
	if left, err := filepath.Glob(d.path("tls/.*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestLeftovers: temporary files of a crash are harmless, and old ones are not taken for the new.
func TestLeftovers(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	for _, name := range []string{".deployment.json.tmp-1", ".cacert.pem.tmp-1", "tls/.server.pem.tmp-1",
		"tls/.next.key.tmp-1", "keys/.signing.pem.tmp-1"} {
		check(t, os.WriteFile(d.path(name), []byte("half"), 0o600))
	}
	loaded, err := Load(d.dir)
	check(t, err)
	startsWell(t, loaded, false)
	_, err = loaded.SelfSign(0, nil, now)
	check(t, err)
	startsWell(t, loaded, false)
}

// TestModes: what holds a key is its owner's alone, also after each way to change it.
func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists decide there")
	}
	d := made(t, Options{Hosts: []string{"a"}, Request: true})
	modes := func(wants map[string]os.FileMode) {
		t.Helper()
		for name, want := range wants {
			stat, err := os.Stat(d.path(name))
			check(t, err)
			if stat.Mode().Perm() != want {
				t.Errorf("%s: got %v, want %v", name, stat.Mode().Perm(), want)
			}
		}
	}
	modes(map[string]os.FileMode{nextKeyFile: 0o600, requestFile: 0o644, signingKeyFile: 0o600,
		agentCAKeyFile: 0o600, agentCACertFile: 0o644, deploymentFile: 0o644, "tls": 0o700, "keys": 0o700})
	key := newKey(t)
	leaf := write(t, certBlock(issue(t, forHost("a"), key, nil)))
	keyFile := write(t, keyBlock(t, key))
	check(t, os.Chmod(keyFile, 0o644)) // somebody was careless
	_, err := d.Install(Installation{Certificate: leaf, Key: keyFile}, now)
	check(t, err)
	modes(map[string]os.FileMode{serverFile: 0o600, authorityFile: 0o644})
	check(t, os.Chmod(d.path(serverFile), 0o644))
	_, err = d.SelfSign(0, nil, now)
	check(t, err)
	modes(map[string]os.FileMode{serverFile: 0o600, authorityFile: 0o644})
}

// TestChangeWhileReading: a certificate that is replaced while a start reads it does not stop the start. The
// passphrase is asked for between the two files.
func TestChangeWhileReading(t *testing.T) {
	key := newKey(t)
	leaf := write(t, certBlock(issue(t, forHost("a"), key, nil)))
	secret := func() ([]byte, error) { return []byte("secret"), nil }
	d := made(t, Options{Hosts: []string{"a"}, Certificate: leaf, Key: write(t, encryptedBlock(t, key)),
		Passphrase: secret})
	certificate, _, err := d.ServerCertificate(func() ([]byte, error) {
		_, err := d.SelfSign(0, nil, now)
		check(t, err)
		return secret()
	}, now)
	check(t, err)
	check(t, handshake(t, d, certificate, "a", tls.VersionTLS13))
}
