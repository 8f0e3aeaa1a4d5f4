package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestIntermediateOfTheSameName: an authority that renewed its intermediate has two of one name. Only the
// one that signed the leaf belongs to the chain.
func TestIntermediateOfTheSameName(t *testing.T) {
	root := newAuthority(t, "root", nil)
	previous, middle := newAuthority(t, "middle", root), newAuthority(t, "middle", root)
	key := newKey(t)
	leaf := issue(t, forHost("a"), key, middle)
	orders := map[string][]*pem.Block{
		"previous first": {certBlock(leaf), certBlock(previous.certificate), certBlock(middle.certificate)},
		"previous last":  {certBlock(middle.certificate), certBlock(previous.certificate), certBlock(leaf)},
	}
	for name, list := range orders {
		t.Run(name, func(t *testing.T) {
			d := made(t, Options{Hosts: []string{"a"}})
			_, err := d.Install(Installation{Certificate: write(t, list...), Key: write(t, keyBlock(t, key)),
				Authority: write(t, certBlock(root.certificate))}, now)
			check(t, err)
			certificate, _, err := d.ServerCertificate(nil, now)
			check(t, err)
			if len(certificate.Certificate) != 2 || !bytes.Equal(certificate.Certificate[1], middle.certificate.Raw) {
				t.Errorf("got a chain of %d, want the leaf and the intermediate that signed it",
					len(certificate.Certificate))
			}
			check(t, handshake(t, d, certificate, "a", tls.VersionTLS12))
		})
	}
}

// TestChainOrder: in whatever order a file has the certificates, and whatever else it has, the same chain
// is sent.
func TestChainOrder(t *testing.T) {
	root := newAuthority(t, "root", nil)
	upper := newAuthority(t, "upper", root)
	lower := newAuthority(t, "lower", upper)
	key := newKey(t)
	leaf := issue(t, forHost("a"), key, lower)
	list := []*x509.Certificate{leaf, lower.certificate, upper.certificate, root.certificate,
		newAuthority(t, "stranger", nil).certificate, issue(t, forHost("b"), newKey(t), lower), lower.certificate}
	want := encodeCertificates(list[:3])
	rapid.Check(t, func(rt *rapid.T) {
		shuffled := rapid.Permutation(list).Draw(rt, "order")
		c, err := makeChain(privateKey{signer: key}, shuffled, "x")
		if err != nil {
			rt.Fatal(err)
		}
		if got := encodeCertificates(c.certificates); !bytes.Equal(got, want) {
			rt.Fatalf("got a chain of %d, want leaf, lower, upper", len(c.certificates))
		}
	})
}

// TestCrossSigned: two authorities that certify each other do not make an endless chain.
func TestCrossSigned(t *testing.T) {
	a, b := newAuthority(t, "A", nil), newAuthority(t, "B", nil)
	template := x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	template.Subject = a.certificate.Subject
	crossA := issue(t, template, a.key, b)
	template.Subject = b.certificate.Subject
	crossB := issue(t, template, b.key, a)
	key := newKey(t)
	leaf := issue(t, forHost("a"), key, a)
	c, err := makeChain(privateKey{signer: key}, []*x509.Certificate{leaf, crossA, crossB}, "x")
	check(t, err)
	if len(c.certificates) != 3 {
		t.Errorf("got a chain of %d, want each certificate once", len(c.certificates))
	}
	check(t, c.verify([]string{"a"}, []*x509.Certificate{b.certificate}, now))
}

// TestLeafNamedLikeItsAuthority: the same subject on both does not make a certificate self-signed.
func TestLeafNamedLikeItsAuthority(t *testing.T) {
	root := newAuthority(t, "root", nil)
	middle := newAuthority(t, "a", root)
	key := newKey(t)
	leaf := issue(t, forHost("a"), key, middle) // its subject is "a" too
	d := made(t, Options{Hosts: []string{"a"}})
	_, err := d.Install(Installation{Certificate: write(t, certBlock(leaf), certBlock(middle.certificate)),
		Key: write(t, keyBlock(t, key)), Authority: write(t, certBlock(root.certificate))}, now)
	check(t, err)
	certificate, _, err := d.ServerCertificate(nil, now)
	check(t, err)
	check(t, handshake(t, d, certificate, "a", tls.VersionTLS13))
}

// TestInstallOfAKnownAuthority: when cacert.pem knows the authority, the message is about what is wrong
// with the certificate, not about the authority.
func TestInstallOfAKnownAuthority(t *testing.T) {
	root := newAuthority(t, "root", nil)
	key := newKey(t)
	d := made(t, Options{Hosts: []string{"a"}})
	keyFile := write(t, keyBlock(t, key))
	install := func(template x509.Certificate, authority string) error {
		_, err := d.Install(Installation{Certificate: write(t, certBlock(issue(t, template, key, root))),
			Key: keyFile, Authority: authority}, now)
		return err
	}
	check(t, install(forHost("a"), write(t, certBlock(root.certificate))))
	early, late, client := forHost("a"), forHost("a"), forHost("a")
	early.NotBefore, early.NotAfter = now.Add(48*time.Hour), now.Add(72*time.Hour)
	late.NotBefore, late.NotAfter = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	wantMessage(t, install(early, ""), "the certificate is valid from "+day(early.NotBefore))
	wantMessage(t, install(late, ""), "the certificate expired on "+day(late.NotAfter))
	wantMessage(t, install(client, ""), "key usage")
	wantMessage(t, install(forHost("b", "c"), ""), `not for host "a"`)
	check(t, install(forHost("a"), ""))
}

// TestEachWrongHost: all hosts that a certificate is not for are named at once.
func TestEachWrongHost(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a", "b", "192.0.2.1", "::1"}})
	key := newKey(t)
	leaf := issue(t, forHost("b"), key, nil)
	_, err := d.Install(
		Installation{Certificate: write(t, certBlock(leaf)), Key: write(t, keyBlock(t, key))}, now)
	wantMessage(t, err, `host "a"`, `host "192.0.2.1"`, `host "::1"`)
}

// TestOnlyCommonName: agents read the alternative names only.
func TestOnlyCommonName(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	key := newKey(t)
	leaf := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "a"}}, key, nil)
	_, err := d.Install(
		Installation{Certificate: write(t, certBlock(leaf)), Key: write(t, keyBlock(t, key))}, now)
	wantMessage(t, err, `not for host "a"`)
}

// TestDescribeProblem: what a start would refuse, without passphrase.
func TestDescribeProblem(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}, Days: 10})
	for at, want := range map[time.Time]string{
		now: "", now.AddDate(0, 0, 11): "expired on", now.AddDate(0, 0, -1): "is valid from",
	} {
		described, err := d.Describe(at)
		check(t, err)
		if want == "" && described.Problem != "" {
			t.Errorf("at %v: got %q", at, described.Problem)
		} else if want != "" {
			wantMessage(t, errorText(described.Problem), want)
		}
	}
	waiting := made(t, Options{Hosts: []string{"a"}, Request: true})
	described, err := waiting.Describe(now)
	check(t, err)
	if !described.RequestPending {
		t.Error("the request is not told of")
	}
	wantMessage(t, errorText(described.Problem), "no certificate is installed", "tls install")
	check(t, os.Remove(waiting.path(requestFile)))
	described, err = waiting.Describe(now)
	check(t, err)
	wantMessage(t, errorText(described.Problem), "tls self-signed")
}

type errorText string

func (e errorText) Error() string { return string(e) }

// TestOpenSSLKeys: keys in the forms that OpenSSL writes are read; those it encrypts with a passphrase too.
func TestOpenSSLKeys(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	openssl := func(args ...string) {
		t.Helper()
		if output, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, output)
		}
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", in("sec1")) // parameters, then the key
	openssl("genrsa", "-traditional", "-out", in("pkcs1"), "2048")
	openssl("pkcs8", "-topk8", "-in", in("sec1"), "-passout", "pass:secret", "-out", in("default"))
	openssl("pkcs8", "-topk8", "-in", in("sec1"), "-passout", "pass:secret", "-scrypt", "-out", in("scrypt"))
	openssl("rsa", "-in", in("pkcs1"), "-aes128", "-traditional", "-passout", "pass:secret", "-out",
		in("legacy"))
	secret := func() ([]byte, error) { return []byte("secret"), nil }
	for _, name := range []string{"sec1", "pkcs1", "default", "scrypt"} {
		data, err := os.ReadFile(in(name))
		check(t, err)
		key, err := parseKey(data, name, secret)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		leaf := issue(t, forHost("a"), key.signer, nil)
		d := made(t, Options{Hosts: []string{"a"}, Certificate: write(t, certBlock(leaf)), Key: in(name),
			Passphrase: secret})
		certificate, _, err := d.ServerCertificate(secret, now)
		check(t, err)
		check(t, handshake(t, d, certificate, "a", tls.VersionTLS12))
		stored, err := os.ReadFile(d.path(serverFile))
		check(t, err)
		encrypted := bytes.Contains(stored, []byte(encryptedKeyType))
		if encrypted != (name == "default" || name == "scrypt") {
			t.Errorf("%s: encrypted in the data folder: %v", name, encrypted)
		}
	}
	data, err := os.ReadFile(in("legacy"))
	check(t, err)
	_, err = parseKey(data, "legacy", secret)
	wantMessage(t, err, "openssl pkcs8 -topk8 -in legacy")
	// OpenSSL reads the request as well, with both kinds of names.
	d := made(t, Options{Hosts: []string{"a", "192.0.2.1"}, Request: true})
	output, err := exec.CommandContext(t.Context(), "openssl", "req", "-noout", "-verify", "-text", "-in",
		d.path(requestFile)).CombinedOutput()
	if err != nil || !bytes.Contains(output, []byte("DNS:a, IP Address:192.0.2.1")) {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestSerials: positive, and no two the same.
func TestSerials(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		serial, err := newSerial()
		check(t, err)
		if serial.Cmp(new(big.Int)) < 0 || serial.BitLen() > 127 || seen[serial.String()] {
			t.Errorf("serial %v", serial)
		}
		seen[serial.String()] = true
	}
}
