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
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/youmark/pkcs8"

	"enjambre/core"
	"enjambre/core/seal"
)

// now is the present of the tests that do not meet a Reloader, which reads the clock.
var now = time.Now().UTC().Truncate(time.Second)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// made makes a deployment and loads it.
func made(t testing.TB, options Options) *Deployment {
	t.Helper()
	dir := t.TempDir()
	if options.Now.IsZero() {
		options.Now = now
	}
	check(t, Create(dir, options))
	d, err := Load(dir)
	check(t, err)
	return d
}

func wantMessage(t testing.TB, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error, want %q", texts)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in %q", text, err)
		}
	}
}

// An authority signs certificates for tests.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// issue makes a certificate; signer nil makes it sign itself.
func issue(t testing.TB, template x509.Certificate, key crypto.Signer,
	signer *authority) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(365*24*time.Hour)
	}
	parent, parentKey := &template, key
	if signer != nil {
		parent, parentKey = signer.certificate, signer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), parentKey)
	check(t, err)
	certificate, err := x509.ParseCertificate(der)
	check(t, err)
	return certificate
}

func newAuthority(t testing.TB, name string, signer *authority) *authority {
	t.Helper()
	key := newKey(t)
	template := x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	return &authority{issue(t, template, key, signer), key}
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return key
}

// forHost is the template of a server's certificate.
func forHost(names ...string) x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		DNSNames:    names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// write writes PEM blocks to a file.
func write(t testing.TB, list ...*pem.Block) string {
	t.Helper()
	var data bytes.Buffer
	for _, block := range list {
		check(t, pem.Encode(&data, block))
	}
	path := filepath.Join(t.TempDir(), "file.pem")
	check(t, os.WriteFile(path, data.Bytes(), 0o600))
	return path
}

func certBlock(c *x509.Certificate) *pem.Block {
	return &pem.Block{Type: certificateType, Bytes: c.Raw}
}

func keyBlock(t testing.TB, key crypto.Signer) *pem.Block {
	t.Helper()
	block, err := encodeKey(key)
	check(t, err)
	return block
}

// handshake serves the certificate and connects to it as an agent does that has cacert.pem.
func handshake(t testing.TB, d *Deployment, certificate tls.Certificate, name string,
	version uint16) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0",
		&tls.Config{Certificates: []tls.Certificate{certificate}})
	check(t, err)
	defer listener.Close()
	go func() {
		if connection, err := listener.Accept(); err == nil {
			_ = connection.(*tls.Conn).Handshake()
			_ = connection.Close()
		}
	}()
	authorities, err := d.Authorities()
	check(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	connection, err := tls.Dial("tcp", listener.Addr().String(),
		&tls.Config{RootCAs: roots, ServerName: name, MinVersion: version, MaxVersion: version})
	if err == nil {
		err = connection.Close()
	}
	return err
}

func TestSelfSigned(t *testing.T) {
	d := made(t, Options{Hosts: []string{"Deploy.Example.NET", "192.0.2.1", "::1"}})
	if d.Name() != "deploy.example.net" || len(d.Hosts()) != 3 || !d.Created().Equal(now) {
		t.Errorf("got %q %v %v", d.Name(), d.Hosts(), d.Created())
	}
	certificate, warnings, err := d.ServerCertificate(nil, now)
	check(t, err)
	if len(warnings) != 0 {
		t.Errorf("got %v", warnings)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, name := range []string{"deploy.example.net", "192.0.2.1", "::1"} {
			if err := handshake(t, d, certificate, name, version); err != nil {
				t.Errorf("%s over %s: %v", name, tls.VersionName(version), err)
			}
		}
	}
	if err := handshake(t, d, certificate, "other.example.net", tls.VersionTLS13); err == nil {
		t.Error("another name is accepted")
	}
	sealed, err := seal.Sign(seal.InfoType, []byte("x"), d.Signer())
	check(t, err)
	if _, err := d.SigningPolicy().Verify(sealed, seal.InfoType); err != nil {
		t.Error(err)
	}
	if ca, _ := d.AgentCA(); !ca.IsCA || ca.NotAfter.Before(now.AddDate(9, 0, 0)) {
		t.Errorf("agent CA: %v", ca.NotAfter)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, file := range []string{signingKeyFile, agentCAKeyFile, serverFile} {
		if stat, err := os.Stat(d.path(file)); err != nil || stat.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, stat.Mode(), err)
		}
	}
}

// TestOpenSSL: stock agents verify with OpenSSL.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	d := made(t, Options{Hosts: []string{"deploy.example.net"}})
	authorities := d.path(authorityFile)
	output, err := exec.CommandContext(t.Context(), "openssl", "verify", "-CAfile", authorities, "-purpose", "sslserver", "-verify_hostname", "deploy.example.net", authorities).
		CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestCreateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		texts   []string
	}{
		"no host":        {Options{}, []string{"no host"}},
		"every bad host": {Options{Hosts: []string{"a b", "*.x", "[::1]", "x:80", "fe80::1%eth0", "0.0.0.0", "ok", "OK"}}, []string{"a b", "wildcards", "brackets", "without a port", "zone", "0.0.0.0", "twice"}},
		"name":           {Options{Hosts: []string{"a"}, Name: "Büro"}, []string{"deployment name"}},
		"two ways":       {Options{Hosts: []string{"a"}, Days: 3, Request: true}, []string{"choose one"}},
		"half a pair":    {Options{Hosts: []string{"a"}, Certificate: "x"}, []string{"needs both"}},
		"days":           {Options{Hosts: []string{"a"}, Days: 7301}, []string{"1 to 7300"}},
	} {
		t.Run(name, func(t *testing.T) { wantMessage(t, Create(t.TempDir(), c.options), c.texts...) })
	}
	d := made(t, Options{Hosts: []string{"a"}})
	wantMessage(t, Create(d.dir, Options{Hosts: []string{"a"}}), "holds a deployment already")
}

func TestLoadRefuses(t *testing.T) {
	_, err := Load(t.TempDir())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no deployment: got %v", err)
	}
	for text, class := range map[string]core.Class{
		`{"version":2,"future":true}`: core.ClassVersion,
		`{"version":1,"name":"a","hosts":["a"],"created":"2026-01-01T00:00:00Z","x":1}`: core.ClassFormat,
		`{"version":1,"name":"a","hosts":["a"],"created":"2026-01-01T00:00:00Z"} {}`:    core.ClassFormat,
		`{"version":1,"name":"a","hosts":[],"created":"2026-01-01T00:00:00Z"}`:          core.ClassField,
		`{"version":0,"name":"a","hosts":["a"],"created":"2026-01-01T00:00:00Z"}`:       core.ClassField,
		`nonsense`: core.ClassFormat,
	} {
		d := made(t, Options{Hosts: []string{"a"}})
		check(t, os.WriteFile(d.path(deploymentFile), []byte(text), 0o644))
		if _, err := Load(d.dir); core.ClassOf(err) != class {
			t.Errorf("%s: got %v, want %s", text, err, class)
		}
	}
	d, other := made(t, Options{Hosts: []string{"a"}}), made(t, Options{Hosts: []string{"a"}})
	data, err := os.ReadFile(other.path(agentCACertFile))
	check(t, err)
	check(t, os.WriteFile(d.path(agentCACertFile), data, 0o644))
	_, err = Load(d.dir)
	wantMessage(t, err, "is not the certificate of the key")
}

func TestInstall(t *testing.T) {
	root := newAuthority(t, "root", nil)
	middle := newAuthority(t, "middle", root)
	key := newKey(t)
	leaf := issue(t, forHost("a", "b"), key, middle)
	d := made(t, Options{Hosts: []string{"a", "b"}})
	chainFile := write(t, certBlock(middle.certificate), certBlock(root.certificate),
		certBlock(leaf)) // in any order
	files := Installation{Certificate: chainFile, Key: write(t, keyBlock(t, key))}
	_, err := d.Install(files, now)
	wantMessage(t, err, `agents do not know the authority "CN=middle"`, "--ca")
	files.Authority = write(t, certBlock(root.certificate))
	warnings, err := d.Install(files, now)
	check(t, err)
	if len(warnings) != 1 || !strings.Contains(warnings[0], "cacert.pem has changed") {
		t.Errorf("got %v", warnings)
	}
	certificate, _, err := d.ServerCertificate(nil, now)
	check(t, err)
	if len(certificate.Certificate) != 2 {
		t.Errorf("%d certificates are sent, want the leaf and its intermediate", len(certificate.Certificate))
	}
	check(t, handshake(t, d, certificate, "b", tls.VersionTLS12))
	files.Authority = "" // known by now
	warnings, err = d.Install(files, now)
	if err != nil || len(warnings) != 0 {
		t.Errorf("a renewal: %v, %v", warnings, err)
	}
	described, err := d.Describe(now)
	check(t, err)
	if described.Issuer != "CN=middle" || described.SelfSigned || described.Intermediates != 1 ||
		described.Problem != "" {
		t.Errorf("got %+v", described)
	}
}

func TestRequest(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a", "192.0.2.1"}, Request: true})
	_, _, err := d.ServerCertificate(nil, now)
	wantMessage(t, err, "no certificate is installed", "a request was made")
	request, err := d.MakeRequest()
	check(t, err)
	block, _ := pem.Decode(request)
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	check(t, err)
	check(t, parsed.CheckSignature())
	root := newAuthority(t, "root", nil)
	template := x509.Certificate{
		Subject:      parsed.Subject,
		DNSNames:     parsed.DNSNames,
		IPAddresses:  parsed.IPAddresses,
		SerialNumber: big.NewInt(2),
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(20 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, root.certificate, parsed.PublicKey, root.key)
	check(t, err)
	answer := write(t, &pem.Block{Type: certificateType, Bytes: der})
	warnings, err := d.Install(
		Installation{Certificate: answer, Authority: write(t, certBlock(root.certificate))}, now)
	check(t, err)
	if len(warnings) != 1 || !strings.Contains(warnings[0], "in 20 days") {
		t.Errorf("got %v", warnings)
	}
	if exists(d.path(nextKeyFile)) || exists(d.path(requestFile)) {
		t.Error("the request is still pending")
	}
	certificate, _, err := d.ServerCertificate(nil, now)
	check(t, err)
	check(t, handshake(t, d, certificate, "192.0.2.1", tls.VersionTLS13))
}

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

// TestInterruptedChange: after any prefix of the replacements that a change makes, what a start finds
// verifies, and agents with the old cacert.pem are served until the new certificate is.
func TestInterruptedChange(t *testing.T) {
	old := made(t, Options{Hosts: []string{"a"}})
	next := made(t, Options{Hosts: []string{"a"}})
	for step, replace := range [][]string{{authorityFile}, {authorityFile, serverFile}} {
		d := made(t, Options{Hosts: []string{"a"}})
		copyFile := func(name string, from ...*Deployment) {
			var data []byte
			for _, one := range from {
				part, err := os.ReadFile(one.path(name))
				check(t, err)
				data = append(data, part...)
			}
			check(t, os.WriteFile(d.path(name), data, 0o600))
		}
		copyFile(serverFile, old)
		copyFile(authorityFile, old, next)
		if len(replace) > 1 {
			copyFile(serverFile, next)
		}
		if _, _, err := d.ServerCertificate(nil, now); err != nil {
			t.Errorf("step %d: %v", step, err)
		}
	}
}

func TestReloader(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	var reported []error
	r, _, err := NewReloader(d, nil, func(err error) { reported = append(reported, err) })
	check(t, err)
	clock := time.Now()
	r.now = func() time.Time { return clock }
	serving := func() []byte {
		t.Helper()
		certificate, err := r.Certificate(nil)
		check(t, err)
		return certificate.Certificate[0]
	}
	first := serving()
	_, err = d.SelfSign(0, time.Now())
	check(t, err)
	if !bytes.Equal(serving(), first) {
		t.Error("the file is looked at more often than once a second")
	}
	clock = clock.Add(lookAgain)
	second := serving()
	if bytes.Equal(second, first) {
		t.Error("the new certificate is not served")
	}
	check(t, os.WriteFile(d.path(serverFile), []byte("damaged"), 0o600))
	clock = clock.Add(lookAgain)
	if !bytes.Equal(serving(), second) || len(reported) != 1 {
		t.Errorf("a damaged file: %v", reported)
	}
	clock = clock.Add(lookAgain)
	serving()
	check(t, os.Remove(d.path(serverFile)))
	clock = clock.Add(lookAgain)
	if !bytes.Equal(serving(), second) || len(reported) != 2 {
		t.Errorf("a missing file: %v", reported)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"a","hosts":["a"],"created":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if read, err := parseRecord(data); err == nil && (len(read.Hosts) == 0 || read.Name == "") {
			t.Fatalf("accepted %+v", read)
		}
	})
}

func FuzzParseChain(f *testing.F) {
	d := made(f, Options{Hosts: []string{"a"}})
	data, err := os.ReadFile(d.path(serverFile))
	check(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if chain, err := parseChain(data, "x", nil); err == nil &&
			net.ParseIP(chain.leaf().Subject.CommonName) != nil {
			_ = chain.verify([]string{"a"}, chain.certificates, now)
		}
	})
}
