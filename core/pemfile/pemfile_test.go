package pemfile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"enjambre/core"
)

// certificate is a new self-signed one with this common name, in DER. Keys come from the name, so that it is always the
// same one.
func certificate(t testing.TB, name string) []byte {
	t.Helper()
	key := ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%32s", name)))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestCertificates(t *testing.T) {
	derA, derB := certificate(t, "a"), certificate(t, "b")
	a, b := encode(Certificate, derA), encode(Certificate, derB)
	indented := "  " + strings.ReplaceAll(a, "\n", "\n\t ")
	trusted := encode(trustedCertificate, append(bytes.Clone(derA), 0x30, 0x03, 0x0c, 0x01, 'x'))
	wide := func(order func(u uint16) []byte) (all []byte) {
		for _, unit := range utf16.Encode([]rune("\ufeff" + a)) {
			all = append(all, order(unit)...)
		}
		return all
	}
	little := wide(func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} })
	big := wide(func(u uint16) []byte { return []byte{byte(u >> 8), byte(u)} })
	signed := []byte("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
	for _, c := range []struct {
		name, data string
		want       string // the common names that are read
		refused    string // else: what the refusal says
	}{
		{"one", a, "a", ""},
		{"two", a + b, "a b", ""},
		{"text between, and a key", "subject=a\n" + a + "\nissuer=b\n" + encode("PRIVATE KEY", []byte("x")) + b, "a b", ""},
		{"no last line break", strings.TrimSpace(a), "a", ""},
		{"byte order mark", byteBOM + a, "a", ""},
		{"byte order marks, joined", byteBOM + a + byteBOM + b, "a b", ""},
		{"Windows", strings.ReplaceAll(a+b, "\n", "\r\n"), "a b", ""},
		{"old Mac", strings.ReplaceAll(a+b, "\n", "\r"), "a b", ""},
		{"indented", indented, "a", ""},
		{"blanks at the ends", strings.ReplaceAll(a, "\n", " \n"), "a", ""},
		{"trusted", trusted + b, "a b", ""},
		{"old name", encode(oldCertificate, derA) + b, "a b", ""},

		{"glued", strings.TrimSpace(a) + b, "", "line 7: the end of a block and the begin of the next"},
		{"glued after others", a + strings.TrimSpace(b) + a, "", "put a line break between"},
		{"damaged letter", strings.Replace(a, "M", "*", 1) + b, "", "lines 1 to"},
		{"damaged second", a + strings.Replace(b, "M", "*", 1), "", "is damaged"},
		{"nothing inside", a + "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "", "is damaged"},
		{"cut", a + b[:100], "", "has no end"},
		{"cut, and another", a[:100] + "\n" + b, "", "out of place"},
		{"no begin", a[30:] + b, "", "out of place"},
		{"short dashes", "-" + a, "", "out of place"},
		{"other end", strings.Replace(a, "END CERTIFICATE", "END PRIVATE KEY", 1), "", "out of place"},
		{"quoted", `"` + a, "", "out of place"},
		{"lower case", strings.ReplaceAll(a, "CERTIFICATE", "certificate"), "", "no certificate in PEM form"},
		{"no certificate", encode(Certificate, []byte("x")), "", "certificate 1: x509"},
		{"UTF-16", string(little), "", "iconv -f UTF-16 -t UTF-8 FILE"},
		{"UTF-16 of the other order", string(big), "", "iconv -f UTF-16 -t UTF-8 FILE"},
		{"UTF-16 without mark", string(little[2:]), "", "UTF-16"},
		{"UTF-16 without mark, of the other order", string(big[2:]), "", "UTF-16"},
		{"DER", string(derA), "", "openssl x509 -inform der -in FILE"},
		{"PKCS #7", encode("PKCS7", signed), "", "openssl pkcs7 -print_certs -in FILE"},
		{"PKCS #7 in DER", string(signed), "", "openssl pkcs7 -inform der -print_certs -in FILE"},
		{"PFX", "\x30\x05\x02\x01\x03\x30\x00", "", "openssl pkcs12 -in FILE -nodes"},
		{"nothing", "", "", "no certificate in PEM form"},
		{"garbage", "\x00\x01\x02", "", "no certificate in PEM form"},
		{"too large", strings.Repeat(" ", MaxFile) + a, "", "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := Certificates([]byte(c.data), "FILE")
			var names []string
			for _, one := range list {
				names = append(names, one.Subject.CommonName)
			}
			if got := strings.Join(names, " "); got != c.want || (err == nil) != (c.refused == "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
			if err != nil && (core.ClassOf(err) == "" || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("got %v, want %q", err, c.refused)
			}
		})
	}
}

// FuzzBlocks: whatever is accepted has as many blocks as begins, and encoding/pem finds no other among them.
func FuzzBlocks(f *testing.F) {
	a := encode(Certificate, certificate(f, "a"))
	for _, seed := range []string{
		a, a + a, byteBOM + a, strings.TrimSpace(a) + a, "  " + a, a[:90], "-----BEGIN A-----\nB: c\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := Blocks(data, "FILE")
		if err != nil {
			return
		}
		if begins := bytes.Count(data, []byte(begin)); begins != len(list) {
			t.Errorf("%d begins, %d blocks", begins, len(list))
		}
		for rest := data; ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				return
			}
			if !slices.ContainsFunc(list, func(b *pem.Block) bool { return bytes.HasPrefix(block.Bytes, b.Bytes) }) {
				t.Errorf("encoding/pem finds a block that is not read: %+v", block)
			}
		}
	})
}
