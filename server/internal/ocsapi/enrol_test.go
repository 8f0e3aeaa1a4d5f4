package ocsapi

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"enjambre/core/identity"
	"enjambre/core/ocs"
	"enjambre/core/seal"
	"enjambre/server/internal/agentapi"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

func keyOf(number byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))
}

// newEnroller returns one with an agent CA and a signing key of its own.
func newEnroller(t testing.TB, s *store.Store) *agentapi.Enroller {
	t.Helper()
	key := keyOf(1)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             now,
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	authority, err := x509.ParseCertificate(der)
	check(t, err)
	policy := seal.Policy{
		Threshold: 1,
		Keys:      []seal.Key{{Public: keyOf(2).Public().(ed25519.PublicKey), Owner: "server"}},
	}
	return &agentapi.Enroller{
		Store:      s,
		Deployment: "lyon",
		Authority:  authority,
		Key:        key,
		Policy:     policy,
		Log:        slog.New(slog.DiscardHandler),
	}
}

// enrol sends an ENROLL over TLS and returns the answer.
func (l *lab) enrol(token string, request []byte) ocs.EnrolmentReply {
	l.Helper()
	body := ocs.Encode(ocs.Enrolment{Token: token, Request: request}.Append(nil, device))
	post := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	post.TLS = &tls.ConnectionState{}
	recorder := httptest.NewRecorder()
	l.handler.ServeHTTP(recorder, post)
	document, err := ocs.Decode(recorder.Body.Bytes(), ocs.MaxMessage)
	check(l, err)
	reply, err := ocs.ParseEnrolmentReply(document)
	check(l, err)
	return reply
}

func requestFor(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	check(t, err)
	return der
}

func TestEnrol(t *testing.T) {
	l := newLab(t)
	check(t, l.store.Set(t.Context(), "", setting.StockAgents, 0)) // enrolling does not depend on them
	check(
		t,
		l.store.AddToken(t.Context(), "token", store.Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)},
			now),
	)
	key := keyOf(3)
	reply := l.enrol("token", requestFor(t, key))
	if reply.Reason != "" || reply.Site != "lyon" || reply.Deployment != "lyon" || reply.Threshold != 1 {
		t.Fatalf("got %+v", reply)
	}
	authority, err := x509.ParseCertificate(reply.Authority)
	check(t, err)
	certificate, err := x509.ParseCertificate(reply.Certificate)
	check(t, err)
	member, err := identity.Verifier{
		Deployment:  "lyon",
		Authorities: []*x509.Certificate{authority},
	}.Verify(certificate, 0, now)
	if err != nil || member.Device != device ||
		!key.Public().(ed25519.PublicKey).Equal(certificate.PublicKey) {
		t.Errorf("got %v, %v", member, err)
	}
	sealed, err := seal.Sign(seal.InfoType, []byte("x"), keyOf(2))
	check(t, err)
	pinned := seal.Policy{
		Threshold: reply.Threshold,
		Keys:      []seal.Key{{Public: reply.Signers[0].Key, Owner: reply.Signers[0].Owner}},
	}
	if _, err := pinned.Verify(sealed, seal.InfoType); err != nil {
		t.Errorf("what the agent pins does not verify what the server signs: %v", err)
	}
	if again := l.enrol("token", requestFor(t, key)); again.Reason != "" {
		t.Errorf("the same key again: %s", again.Reason)
	}

	weak, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	forged := requestFor(t, key)
	forged[len(forged)-1] ^= 1
	for reason, one := range map[string]struct {
		token   string
		request []byte
	}{
		"used up":        {"token", requestFor(t, keyOf(4))},
		"not known":      {"guess", requestFor(t, key)},
		"not Ed25519":    {"token", requestFor(t, weak)},
		"not signed":     {"token", forged},
		"cannot be read": {"token", []byte("x")},
	} {
		if reply := l.enrol(one.token, one.request); !strings.Contains(reply.Reason, reason) ||
			len(reply.Certificate) != 0 {
			t.Errorf("%s: got %+v", reason, reply)
		}
	}
	check(t, l.store.Set(t.Context(), "", setting.StockAgents, 1))
	for name, document := range map[string][]byte{
		"prolog": ocs.AppendProlog(nil, device), "inventory": inventory(), "result": ocs.Result{Package: 1, Text: "SUCCESS"}.Append(nil, device),
	} {
		if got := l.post(ocs.Encode(document), unixAgent); got.Code != http.StatusForbidden {
			t.Errorf("%s of a stock agent for an enrolled computer: got %d, want 403", name, got.Code)
		}
	}
}
