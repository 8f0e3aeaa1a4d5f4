package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/youmark/pkcs8"
)

func TestInstallRefuses(t *testing.T) {
	key, other := newKey(t), newKey(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	check(t, err)
	encrypted, err := pkcs8.MarshalPrivateKey(key, []byte("secret"), nil)
	check(t, err)
	self := func(template x509.Certificate, key crypto.Signer) string {
		return write(t, certBlock(issue(t, template, key, nil)))
	}
	dated := func(from, to time.Duration) x509.Certificate {
		template := forHost("a")
		template.NotBefore, template.NotAfter = now.Add(from), now.Add(to)
		return template
	}
	good, goodKey := self(forHost("a"), key), write(t, keyBlock(t, key))
	locked := write(t, &pem.Block{Type: encryptedKeyType, Bytes: encrypted})
	secret := func(text string) Passphrase { return func() ([]byte, error) { return []byte(text), nil } }
	legacy := &pem.Block{
		Type:    "EC PRIVATE KEY",
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"},
		Bytes:   []byte{1},
	}
	cases := map[string]struct {
		files Installation
		text  string
	}{
		"expired": {
			Installation{Certificate: self(dated(-2*time.Hour, -time.Hour), key), Key: goodKey},
			"the certificate expired on",
		},
		"not yet valid": {
			Installation{Certificate: self(dated(time.Hour, 2*time.Hour), key), Key: goodKey},
			"is valid from",
		},
		"another host": {
			Installation{Certificate: self(forHost("x"), key), Key: goodKey},
			`not for host "a"`,
		},
		"another key": {
			Installation{Certificate: good, Key: write(t, keyBlock(t, other))},
			"none of its certificates is for the key",
		},
		"no key": {Installation{Certificate: good}, "make a request"},
		"weak RSA": {
			Installation{Certificate: good, Key: write(t, keyBlock(t, weak))},
			"1024 bits is too weak",
		},
		"P-521": {
			Installation{Certificate: good, Key: write(t, keyBlock(t, p521))},
			"use P-256 or P-384",
		},
		"passphrase missing": {Installation{Certificate: good, Key: locked}, "has a passphrase"},
		"passphrase wrong": {
			Installation{Certificate: good, Key: locked, Passphrase: secret("x")},
			"wrong passphrase",
		},
		"old encryption": {Installation{Certificate: good, Key: write(t, legacy)}, "openssl pkcs8 -topk8"},
		"two keys": {
			Installation{Certificate: good, Key: write(t, keyBlock(t, key), keyBlock(t, other))},
			"2 private keys",
		},
		"no certificate": {Installation{Certificate: goodKey, Key: goodKey}, "holds no certificate"},
		"missing file":   {Installation{Certificate: "/nonexistent", Key: goodKey}, "no such file"},
		"authority of others": {
			Installation{
				Certificate: write(t, certBlock(issue(t, forHost("a"), key, newAuthority(t, "r", nil)))),
				Key:         goodKey,
				Authority:   write(t, certBlock(newAuthority(t, "s", nil).certificate)),
			},
			"will not accept the certificate",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := made(t, Options{Hosts: []string{"a"}})
			before, err := os.ReadFile(d.path(serverFile))
			check(t, err)
			_, err = d.Install(c.files, now)
			wantMessage(t, err, c.text)
			if after, _ := os.ReadFile(d.path(serverFile)); !bytes.Equal(before, after) {
				t.Error("a refused certificate replaced the one in service")
			}
		})
	}
	d := made(t, Options{Hosts: []string{"a"}, Certificate: good, Key: locked, Passphrase: secret("secret")})
	_, _, err = d.ServerCertificate(nil, now)
	wantMessage(t, err, "has a passphrase")
	certificate, _, err := d.ServerCertificate(secret("secret"), now)
	check(t, err)
	check(t, handshake(t, d, certificate, "a", tls.VersionTLS13))
	if _, _, err := d.ServerCertificate(secret("secret"), now.AddDate(2, 0, 0)); err == nil {
		t.Error("an expired certificate is served")
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	warnings, err := d.Install(
		Installation{Certificate: self(forHost("a"), edKey), Key: write(t, keyBlock(t, edKey))}, now)
	if err != nil || !strings.Contains(strings.Join(warnings, " "), "Ed25519") {
		t.Errorf("got %v, %v", warnings, err)
	}
}
