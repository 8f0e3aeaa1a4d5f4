package ocsapi

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/ocs"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

// certified returns a certificate by the lab's agent CA, issued at a time.
func (l *lab) certified(deployment string, device core.DeviceID, key ed25519.PrivateKey,
	at time.Time) *x509.Certificate {
	l.Helper()
	template := identity.Template(identity.Member{Deployment: deployment, Device: device}, at)
	template.SerialNumber = big.NewInt(5)
	der, err := x509.CreateCertificate(rand.Reader, template, l.handler.enroller.Authority, key.Public(),
		l.handler.enroller.Key)
	check(l, err)
	certificate, err := x509.ParseCertificate(der)
	check(l, err)
	return certificate
}

// postAs sends a document as a handshake with the certificate would bring it.
func (l *lab) postAs(certificate *x509.Certificate, document []byte) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	l.handler.ServeHTTP(recorder, l.requestAs(certificate, document))
	return recorder
}

func (l *lab) requestAs(certificate *x509.Certificate, document []byte) *http.Request {
	request := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(ocs.Encode(document)))
	request.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
	return request
}

// enrolled makes the device that of the key.
func (l *lab) enrolled(device core.DeviceID, key ed25519.PrivateKey) {
	l.Helper()
	token := "token of " + string(device)
	check(
		l,
		l.store.AddToken(l.Context(), token, store.Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)},
			now),
	)
	body := ocs.Encode(ocs.Enrolment{Token: token, Request: requestFor(l, key)}.Append(nil, device))
	request := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	request.TLS = &tls.ConnectionState{}
	recorder := httptest.NewRecorder()
	l.handler.ServeHTTP(recorder, request)
	document, err := ocs.Decode(recorder.Body.Bytes(), ocs.MaxMessage)
	check(l, err)
	reply, err := ocs.ParseEnrolmentReply(document)
	if err != nil || reply.Reason != "" {
		l.Fatal(err, reply.Reason)
	}
}

// TestCertificates: who may speak for an enrolled computer.
func TestCertificates(t *testing.T) {
	l := newLab(t)
	check(t, l.store.Set(t.Context(), "", setting.StockAgents, 0))
	mine, other := keyOf(5), keyOf(6)
	const neighbour = core.DeviceID("pc8-2026-01-31-08-00-00")
	l.enrolled(device, mine)
	l.enrolled(neighbour, other)
	good := l.certified("lyon", device, mine, now)
	messages := map[string][]byte{
		"prolog": ocs.AppendProlog(nil, device), "inventory": inventory(ocs.Field{Name: "NAME", Value: "pc7"}),
		"result": ocs.Result{Package: 1, Text: "SUCCESS"}.Append(nil, device),
		"notify": []byte(`<REQUEST DEVICEID="` + string(device) + `" QUERY="NOTIFY"/>`),
	}
	cases := []struct {
		name        string
		certificate *x509.Certificate
		status      int
	}{
		{"its own", good, http.StatusOK},
		{"R48 a neighbour's", l.certified("lyon", neighbour, other, now), http.StatusForbidden},
		{"its name, another key", l.certified("lyon", device, other, now), http.StatusForbidden},
		{"another deployment's", l.certified("oslo", device, mine, now), http.StatusForbidden},
		{
			"expired",
			l.certified("lyon", device, mine, now.Add(-identity.Lifetime-time.Hour)),
			http.StatusForbidden,
		},
		{"the agent CA's own", l.handler.enroller.Authority, http.StatusForbidden},
	}
	for _, c := range cases {
		for name, document := range messages {
			if got := l.postAs(c.certificate, document); got.Code != c.status {
				t.Errorf("%s, %s: got %d, want %d", c.name, name, got.Code, c.status)
			}
		}
	}
	check(t, l.store.Revoke(t.Context(), device, now))
	for name, document := range messages {
		if got := l.postAs(good, document); got.Code != http.StatusForbidden {
			t.Errorf("revoked, %s: got %d", name, got.Code)
		}
	}
}

// TestRenewal: an agent gets a new certificate for the one it has, also for an expired one.
func TestRenewal(t *testing.T) {
	l := newLab(t)
	mine, other := keyOf(5), keyOf(6)
	l.enrolled(device, mine)
	ask := []byte(`<REQUEST DEVICEID="` + string(device) + `" QUERY="ENROLL"/>`)
	renew := func(certificate *x509.Certificate) ocs.EnrolmentReply {
		t.Helper()
		recorder := l.postAs(certificate, ask)
		document, err := ocs.Decode(recorder.Body.Bytes(), ocs.MaxMessage)
		check(t, err)
		reply, err := ocs.ParseEnrolmentReply(document)
		check(t, err)
		return reply
	}
	expired := l.certified("lyon", device, mine, now.Add(-identity.Lifetime-100*24*time.Hour))
	reply := renew(expired)
	fresh, err := x509.ParseCertificate(reply.Certificate)
	check(t, err)
	member, err := l.handler.enroller.Verifier().Verify(fresh, 0, now)
	if err != nil || member.Device != device || reply.Site != "lyon" ||
		!mine.Public().(ed25519.PublicKey).Equal(fresh.PublicKey) {
		t.Errorf("got %v, %v, %q", member, err, reply.Site)
	}
	tooOld := l.certified("lyon", device, mine, now.Add(-identity.Lifetime-401*24*time.Hour))
	if got := l.postAs(tooOld, ask); got.Code != http.StatusForbidden {
		t.Errorf("expired for 401 days: got %d", got.Code)
	}
	if reply := renew(l.certified("lyon", device, other, now)); !strings.Contains(reply.Reason,
		"not the one this computer enrolled with") {
		t.Errorf("another key: got %+v", reply)
	}
	check(t, l.store.Revoke(t.Context(), device, now))
	if reply := renew(fresh); !strings.Contains(reply.Reason, "revoked") {
		t.Errorf("revoked: got %+v", reply)
	}
}
