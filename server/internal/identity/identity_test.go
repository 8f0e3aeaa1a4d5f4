package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

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
	output, err := exec.CommandContext(t.Context(), "openssl", "verify", "-CAfile", authorities, "-purpose",
		"sslserver", "-verify_hostname", "deploy.example.net", authorities).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestCreateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		texts   []string
	}{
		"no host": {Options{}, []string{"no host"}},
		"every bad host": {
			Options{Hosts: []string{"a b", "*.x", "[::1]", "x:80", "fe80::1%eth0", "0.0.0.0", "ok", "OK"}},
			[]string{"a b", "wildcards", "brackets", "without a port", "zone", "0.0.0.0", "twice"},
		},
		"name":        {Options{Hosts: []string{"a"}, Name: "Büro"}, []string{"deployment name"}},
		"two ways":    {Options{Hosts: []string{"a"}, Days: 3, Request: true}, []string{"choose one"}},
		"half a pair": {Options{Hosts: []string{"a"}, Certificate: "x"}, []string{"needs both"}},
		"days":        {Options{Hosts: []string{"a"}, Days: 7301}, []string{"1 to 7300"}},
		"authority only": {
			Options{Hosts: []string{"a"}, Authority: "ca.pem"},
			[]string{"an authority", "its certificate"},
		},
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
	request, err := d.MakeRequest(RequestOptions{})
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
