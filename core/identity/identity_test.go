package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"
	"time"

	"enjambre/core"
)

var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

const device = core.DeviceID("büro 7-2026-01-31-08-00-00")

func key(number byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))
}

func issue(t testing.TB, template, parent *x509.Certificate, public any,
	signer ed25519.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func authority(t testing.TB, name string, signer ed25519.PrivateKey) *x509.Certificate {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now,
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	return issue(t, template, template, signer.Public(), signer)
}

func TestVerify(t *testing.T) {
	ca, otherCA := authority(t, "ca", key(1)), authority(t, "other", key(2))
	v := Verifier{Deployment: "lyon", Authorities: []*x509.Certificate{ca}}
	member := Member{Deployment: "lyon", Device: device}
	good := issue(t, Template(member, now), ca, key(3).Public(), key(1))
	changed := func(change func(*x509.Certificate)) *x509.Certificate {
		template := Template(member, now)
		change(template)
		return issue(t, template, ca, key(3).Public(), key(1))
	}
	name := func(text string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			parsed, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{parsed}
		}
	}
	weak, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name        string
		certificate *x509.Certificate
		grace, at   time.Duration
		good        bool
	}{
		{"new", good, 0, 0, true},
		{"a clock that lags", good, 0, -59 * time.Minute, true},
		{"a clock that is wrong", good, 0, -61 * time.Minute, false},
		{"last day", good, 0, Lifetime - time.Hour, true},
		{"P02 expired", good, 0, Lifetime + time.Hour, false},
		{"expired, among members", good, MemberGrace, Lifetime + time.Hour, true},
		{"long expired, among members", good, MemberGrace, Lifetime + MemberGrace + time.Hour, false},
		{"long expired, to renew itself", good, RenewalGrace, Lifetime + 399*24*time.Hour, true},
		{"too long expired", good, RenewalGrace, Lifetime + 401*24*time.Hour, false},
		{"P01 unknown authority", issue(t, Template(member, now), otherCA, key(3).Public(), key(2)), 0, 0, false},
		{
			"signed by itself",
			issue(t, Template(member, now), Template(member, now), key(3).Public(), key(3)),
			0,
			0,
			false,
		},
		{"another kind of key", issue(t, Template(member, now), ca, weak.Public(), key(1)), 0, 0, false},
		{"the authority's own", ca, 0, 0, false},
		{"another deployment", changed(name("enjambre://oslo/device/pc-2026-01-31-08-00-00")), 0, 0, false},
		{"another scheme", changed(name("https://lyon/device/pc-2026-01-31-08-00-00")), 0, 0, false},
		{"no device", changed(name("enjambre://lyon/device/")), 0, 0, false},
		{
			"something after the device",
			changed(name("enjambre://lyon/device/pc-2026-01-31-08-00-00?x=1")),
			0,
			0,
			false,
		},
		{"another spelling", changed(name("enjambre://lyon/device/%70c-2026-01-31-08-00-00")), 0, 0, false},
		{"two names", changed(func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }), 0, 0, false},
		{"no name", changed(func(c *x509.Certificate) { c.URIs = nil }), 0, 0, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := v.Verify(c.certificate, c.grace, now.Add(c.at))
			switch {
			case c.good && (err != nil || got != member):
				t.Errorf("got %v, %v", got, err)
			case !c.good && core.ClassOf(err) != core.ClassIdent:
				t.Errorf("got %v, %v, want E_IDENT", got, err)
			}
		})
	}
	both := Verifier{Deployment: "lyon", Authorities: []*x509.Certificate{otherCA, ca}}
	if _, err := both.Verify(good, 0, now); err != nil {
		t.Errorf("while the authority is replaced: %v", err)
	}
}

func TestRenewalDue(t *testing.T) {
	ca := authority(t, "ca", key(1))
	certificate := issue(t, Template(Member{"lyon", device}, now), ca, key(3).Public(), key(1))
	for after, want := range map[time.Duration]bool{0: false, RenewAfter: false, RenewAfter + time.Second: true, Lifetime * 2: true} {
		if got := RenewalDue(certificate, now.Add(after)); got != want {
			t.Errorf("after %v: got %v", after, got)
		}
	}
}

// FuzzParseURI: an accepted name is the one spelling of its member.
func FuzzParseURI(f *testing.F) {
	f.Add(Member{"lyon", device}.URI().String())
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := url.Parse(text)
		if err != nil {
			return
		}
		if member, err := parseURI(parsed); err == nil && member.URI().String() != parsed.String() {
			t.Fatalf("%q is also %q", text, member.URI())
		}
	})
}
