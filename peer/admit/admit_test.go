package admit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/peer/id"
	"enjambre/peer/ticket"
	"enjambre/peer/wire"
)

var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

const (
	device = core.DeviceID("pc7-2026-01-31-08-00-00")
	online = 9 // the key that signs tickets
)

func key(number byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))
}

func peer(number byte) id.Peer { return id.Peer(key(number).Public().(ed25519.PublicKey)) }

func issue(t *testing.T, template, parent *x509.Certificate, public any,
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

func authority(t *testing.T, signer ed25519.PrivateKey) *x509.Certificate {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "agent CA"},
		NotBefore:             now,
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	return issue(t, template, template, signer.Public(), signer)
}

// TestAdmit is group P of the bad-input corpus, as far as it concerns who is a member.
func TestAdmit(t *testing.T) {
	ca, otherCA := authority(t, key(1)), authority(t, key(2))
	member := identity.Member{Deployment: "acme", Device: device}
	certify := func(m identity.Member, number byte) []byte {
		return issue(t, identity.Template(m, now), ca, key(number).Public(), key(1)).Raw
	}
	allow := func(tk ticket.Ticket, signer byte) []byte {
		data, err := tk.Sign(key(signer))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	day := ticket.Ticket{Deployment: "acme", Site: "lyon", Peer: peer(7), Epoch: 3, Issued: now}
	lima, ofEight := day, day
	lima.Site, ofEight.Peer = "lima", peer(8)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, pass := certify(member, 7), allow(day, online)
	foreign := issue(t, identity.Template(member, now), otherCA, key(7).Public(), key(2)).Raw
	ecdsaCert := issue(t, identity.Template(member, now), ca, elliptical.Public(), key(1)).Raw
	hello := func(certificate, ticket []byte) wire.Hello {
		return wire.Hello{Version: 3, Weight: 2, Certificate: certificate, Ticket: ticket}
	}
	lastDay := now.Add(identity.Lifetime + identity.MemberGrace)
	late := day
	late.Issued = lastDay
	gate := Gate{
		Identity: identity.Verifier{Deployment: "acme", Authorities: []*x509.Certificate{ca}},
		Ticket: ticket.Verifier{
			Deployment: "acme", Site: "lyon", Keys: []ed25519.PublicKey{key(online).Public().(ed25519.PublicKey)},
		},
		Notice: ticket.Notice{Floor: 2, Voids: []ticket.Void{{Holder: ticket.HolderOf(peer(6)), Epoch: 4}}},
	}
	elsewhere := identity.Member{Deployment: "emca", Device: device}
	six := day
	six.Peer = peer(6)
	again, early := six, day
	again.Epoch, early.Epoch = 4, 1
	cases := []struct {
		name  string
		hello wire.Hello
		peer  id.Peer
		at    time.Time
		code  wire.Code // 0: admitted
	}{
		{"good", hello(cert, pass), peer(7), now, 0},
		{"last day of a certificate", hello(cert, allow(late, online)), peer(7), lastDay, 0},
		{"P01 unknown CA", hello(foreign, pass), peer(7), now, wire.CodeIdentity},
		{"P02 expired certificate", hello(cert, allow(late, online)), peer(7), lastDay.Add(time.Second),
			wire.CodeIdentity},
		{"P03 ticket of another site", hello(cert, allow(lima, online)), peer(7), now, wire.CodeTicket},
		{"P04 revoked", hello(certify(member, 6), allow(six, online)), peer(6), now, wire.CodeRevoked},
		{"its ticket of before", hello(cert, allow(early, online)), peer(7), now, wire.CodeRevoked},
		{"P05 certificate of another", hello(certify(member, 8), pass), peer(7), now, wire.CodeIdentity},
		{"P14 replayed hello", hello(cert, pass), peer(8), now, wire.CodeIdentity},
		{"ticket of another member", hello(cert, allow(ofEight, online)), peer(7), now, wire.CodeTicket},
		{"P15 ticket signed by its holder", hello(cert, allow(day, 7)), peer(7), now, wire.CodeTicket},
		{"P16 expired ticket", hello(cert, pass), peer(7), now.Add(25 * time.Hour), wire.CodeTicket},
		{"another deployment", hello(certify(elsewhere, 7), pass), peer(7), now, wire.CodeIdentity},
		{"no certificate", hello([]byte("certificate"), pass), peer(7), now, wire.CodeIdentity},
		{"two certificates", hello(append(bytes.Clone(cert), cert...), pass), peer(7), now, wire.CodeIdentity},
		{"no ticket", hello(cert, []byte("t")), peer(7), now, wire.CodeTicket},
		{"ECDSA", hello(ecdsaCert, pass), peer(7), now, wire.CodeIdentity},
		{"the agent CA itself", hello(ca.Raw, pass), peer(1), now, wire.CodeIdentity},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, code, err := gate.Admit(c.hello, c.peer, c.at)
			if code != c.code || (err == nil) != (c.code == 0) || err != nil && core.ClassOf(err) == "" {
				t.Fatalf("got %v, %v of class %q, want %v", code, err, core.ClassOf(err), c.code)
			}
			if err != nil && got != (Member{}) {
				t.Errorf("refused, and yet %+v", got)
			}
			if err == nil && (got.Member != member || got.Peer != peer(7) || got.Version != wire.Version ||
				got.Weight != 2 || got.Ticket.Epoch != 3) {
				t.Errorf("got %+v", got)
			}
		})
	}
	gate.TicketGrace = 2 * time.Hour
	if _, _, err := gate.Admit(hello(cert, pass), peer(7), now.Add(25*time.Hour)); err != nil {
		t.Errorf("with grace for the ticket: %v", err)
	}
	if got, _, err := gate.Admit(hello(certify(member, 6), allow(again, online)), peer(6), now); err != nil ||
		got.Until != now.Add(ticket.Lifetime+2*time.Hour) {
		t.Errorf("who has come again: until %v, %v", got.Until, err)
	}
	gate.TicketGrace, gate.Notice = 1000*24*time.Hour, ticket.Notice{}
	tooLate := now.Add(ticket.Lifetime + identity.MemberGrace + time.Second)
	if _, code, err := gate.Admit(hello(cert, pass), peer(7), tooLate); code != wire.CodeTicket {
		t.Errorf("a ticket whose grace is longer than any: got %v, %v", code, err)
	}
}
