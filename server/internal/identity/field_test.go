package identity

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
)

// sameKey is another certificate for an authority: by signer, valid until end.
func sameKey(t testing.TB, of, signer *authority, end time.Time) *x509.Certificate {
	t.Helper()
	return issue(t, x509.Certificate{
		Subject: of.certificate.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: now.Add(-1000 * time.Hour), NotAfter: end,
	}, of.key, signer)
}

// TestChainIsFound: authorities renew and cross-sign their certificates with the same key, and files hold old and new.
// Whatever the order, what agents accept is installed, and found again at the next start.
func TestChainIsFound(t *testing.T) {
	root, other := newAuthority(t, "root", nil), newAuthority(t, "other root", nil)
	middle := newAuthority(t, "middle", root)
	expired := sameKey(t, middle, root, now.Add(-time.Hour))
	crossed := sameKey(t, middle, other, now.Add(365*24*time.Hour))
	key := newKey(t)
	oldLeaf := forHost("a")
	oldLeaf.NotBefore, oldLeaf.NotAfter = now.Add(-1000*time.Hour), now.Add(-time.Minute)
	former, leaf := issue(t, oldLeaf, key, middle), issue(t, forHost("a"), key, middle)
	otherHost := issue(t, forHost("b"), key, middle)
	list := []*x509.Certificate{former, leaf, otherHost, expired, crossed, middle.certificate, root.certificate}
	want := encodeCertificates([]*x509.Certificate{leaf, middle.certificate})
	rapid.Check(t, func(rt *rapid.T) {
		shuffled := rapid.Permutation(list).Draw(rt, "order")
		c, err := makeChain(privateKey{signer: key}, shuffled, "x")
		if err != nil {
			rt.Fatal(err)
		}
		c.settle([]string{"a"}, []*x509.Certificate{root.certificate}, now)
		if err := c.verify([]string{"a"}, []*x509.Certificate{root.certificate}, now); err != nil {
			rt.Fatal(err)
		}
		if got := encodeCertificates(c.certificates); !bytes.Equal(got, want) {
			rt.Fatalf("got a chain of %d, want the valid leaf and the valid intermediate by the root", len(c.certificates))
		}
	})
	var blocks []*pem.Block
	for _, one := range list {
		blocks = append(blocks, certBlock(one))
	}
	d := made(t, Options{Hosts: []string{"a"}})
	_, err := d.Install(Installation{Certificate: write(t, blocks...), Key: write(t, keyBlock(t, key)),
		Authority: write(t, certBlock(root.certificate))}, now)
	check(t, err)
	// An earlier version, or a person, may have left the file in the order that is worst.
	served := append([]*pem.Block{keyBlock(t, key)}, blocks...)
	check(t, os.Rename(write(t, served...), d.path(serverFile)))
	certificate, _, err := d.ServerCertificate(nil, now)
	check(t, err)
	if len(certificate.Certificate) != 2 || !bytes.Equal(certificate.Certificate[1], middle.certificate.Raw) {
		t.Errorf("a start serves a chain of %d", len(certificate.Certificate))
	}
}

// TestFilesOfAuthorities holds what is said of answers that cannot be installed, and that nothing changes then.
func TestFilesOfAuthorities(t *testing.T) {
	root := newAuthority(t, "root", nil)
	key := newKey(t)
	leaf := issue(t, forHost("a"), key, root)
	bare := forHost("a")
	bare.DNSNames = nil
	noNames := issue(t, bare, key, root)
	text := string(pem.EncodeToMemory(certBlock(leaf)))
	rootText := string(pem.EncodeToMemory(certBlock(root.certificate)))
	for _, c := range []struct{ name, certificate, authority, text string }{
		{"good", text, rootText, ""},
		{"byte order mark", "\xef\xbb\xbf" + text, rootText, ""},
		{"glued authorities", text, strings.TrimSpace(rootText) + rootText, "put a line break between them"},
		{"damaged authority", text, rootText + strings.Replace(rootText, "MII", "M*I", 1), "is damaged"},
		{"DER", string(leaf.Raw), rootText, "openssl x509 -inform der"},
		{"no alternative name", string(pem.EncodeToMemory(certBlock(noNames))), rootText, "no subject alternative name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := made(t, Options{Hosts: []string{"a"}})
			before, err := os.ReadFile(d.path(authorityFile))
			check(t, err)
			folder := t.TempDir()
			check(t, os.WriteFile(folder+"/leaf", []byte(c.certificate), 0o600))
			check(t, os.WriteFile(folder+"/ca", []byte(c.authority), 0o600))
			_, err = d.Install(Installation{Certificate: folder + "/leaf", Key: write(t, keyBlock(t, key)),
				Authority: folder + "/ca"}, now)
			if c.text == "" {
				check(t, err)
				return
			}
			wantMessage(t, err, c.text)
			if core.ClassOf(err) == "" {
				t.Errorf("%v has no class", err)
			}
			if after, err := os.ReadFile(d.path(authorityFile)); err != nil || !bytes.Equal(before, after) {
				t.Errorf("cacert.pem has changed (%v)", err)
			}
		})
	}
}

// TestWarnings holds what is said of chains that are good today.
func TestWarningsOfChains(t *testing.T) {
	root := newAuthority(t, "root", nil)
	middle := newAuthority(t, "middle", root)
	soon := sameKey(t, middle, root, now.Add(5*24*time.Hour))
	key := newKey(t)
	leaf := issue(t, forHost("a"), key, middle)
	install := func(intermediate, authority *x509.Certificate) string {
		d := made(t, Options{Hosts: []string{"a"}})
		warnings, err := d.Install(Installation{Certificate: write(t, certBlock(leaf), certBlock(intermediate)),
			Key: write(t, keyBlock(t, key)), Authority: write(t, certBlock(authority))}, now)
		check(t, err)
		return strings.Join(warnings, "\n")
	}
	if got := install(soon, root.certificate); !strings.Contains(got, `intermediate certificate "CN=middle" expires on`) {
		t.Errorf("an intermediate that ends soon: %q", got)
	}
	if got := install(middle.certificate, middle.certificate); !strings.Contains(got, "without its root") {
		t.Errorf("an authority without its root: %q", got)
	}
	got := install(middle.certificate, root.certificate)
	if strings.Contains(got, "root") || strings.Contains(got, "middle") {
		t.Errorf("a good chain: %q", got)
	}
}

// TestOldKeys: keys as PFX tools write them are named, with commands that make them readable. OpenSSL makes the keys,
// and runs what the message says.
func TestOldKeys(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl here")
	}
	folder := t.TempDir()
	plain := filepath.Join(folder, "plain.key")
	check(t, os.WriteFile(plain, pem.EncodeToMemory(keyBlock(t, newKey(t))), 0o600))
	secret := func() ([]byte, error) { return []byte("secret"), nil }
	for _, form := range []string{"PBE-SHA1-3DES", "PBE-MD5-DES", "PBE-SHA1-RC2-40"} {
		t.Run(form, func(t *testing.T) {
			old := filepath.Join(folder, form)
			cmd := exec.CommandContext(t.Context(), openssl, "pkcs8", "-topk8", "-in", plain, "-out", old, "-v1", form,
				"-passout", "pass:secret", "-provider", "legacy", "-provider", "default")
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Skipf("this openssl does not write it: %v\n%s", err, output)
			}
			data, err := os.ReadFile(old)
			check(t, err)
			_, err = parseKey(data, old, secret)
			wantMessage(t, err, form, "old form")
			_, command, _ := strings.Cut(err.Error(), `with "`)
			command, _, _ = strings.Cut(command, `"`)
			command = strings.Replace(command, "-provider legacy", "-passin pass:secret -provider legacy", 1) // else it asks
			cmd = exec.CommandContext(t.Context(), "sh", "-c", command+" -passout pass:secret")
			converted, err := cmd.Output()
			check(t, err)
			_, err = parseKey(converted, "converted", secret)
			check(t, err)
		})
	}
}

// TestNegativeSerial: OpenSSL takes such a certificate, Go and so our agents do not.
func TestNegativeSerial(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl here")
	}
	folder := t.TempDir()
	output, err := exec.CommandContext(t.Context(), openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
		folder+"/key", "-out", folder+"/leaf", "-subj", "/CN=a", "-set_serial", "-5").CombinedOutput()
	if err != nil {
		t.Skipf("this openssl does not make it: %v\n%s", err, output)
	}
	_, err = readCertificates(folder + "/leaf")
	wantMessage(t, err, "negative serial number", "issued again, with a positive serial number")
}

// TestRequestOptions: authorities that want another key or more of a subject get it.
func TestRequestOptions(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a.example", "192.0.2.1"}})
	for _, c := range []struct {
		options RequestOptions
		key     string
		subject string
	}{
		{RequestOptions{}, "ECDSA P-256", "CN=a.example"},
		{RequestOptions{Key: "p384"}, "ECDSA P-384", "CN=a.example"},
		{RequestOptions{Key: "rsa:2048", Subject: "CN=deploy, O=Example\\, Inc., C=DE"}, "RSA 2048",
			"CN=deploy,O=Example\\, Inc.,C=DE"},
		{RequestOptions{Subject: "/C=DE/O=Example/CN=deploy"}, "ECDSA P-256", "CN=deploy,O=Example,C=DE"},
	} {
		text, err := d.MakeRequest(c.options)
		check(t, err)
		block, _ := pem.Decode(text)
		request, err := x509.ParseCertificateRequest(block.Bytes)
		check(t, err)
		if keyName(request.PublicKey) != c.key || request.Subject.String() != c.subject ||
			len(request.DNSNames) != 1 || len(request.IPAddresses) != 1 {
			t.Errorf("%+v: key %s, subject %s, hosts %v %v", c.options, keyName(request.PublicKey), request.Subject,
				request.DNSNames, request.IPAddresses)
		}
	}
	for _, bad := range []RequestOptions{
		{Key: "rsa:1024"}, {Key: "rsa:16384"}, {Key: "rsa"}, {Key: "p521"}, {Subject: "deploy"}, {Subject: "X=1"},
		{Subject: "CN=" + strings.Repeat("a", 65)}, {Subject: "CN=a,C=Germany"}, {Subject: "CN="},
	} {
		if _, err := d.MakeRequest(bad); core.ClassOf(err) == "" {
			t.Errorf("%+v: got %v, want a refusal", bad, err)
		}
	}
}
