// Package admit decides whether the other side of a connection is a member of the site.
//
// A connection proves that the other side holds a key, which is its peer ID; the Hello on it shows a
// certificate and a site ticket. [Gate.Admit] looks at all of it: the certificate is of this deployment, in
// its life, and for this very key, so that a Hello that was overheard is worth nothing to another; the ticket
// says that the member is at this site today, and the server has not taken it back since. What is not admitted
// has a code for the other side and a reason for the log. Who was admitted is one for as long as [Member.Until]
// and [Gate.Notice] say. The package opens no connection and reads no clock.
package admit

import (
	"crypto/ed25519"
	"crypto/x509"
	"time"

	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/peer/id"
	"enjambre/peer/owner"
	"enjambre/peer/ticket"
	"enjambre/peer/wire"
)

// A Gate knows whom a site's members take for one of them. Its parts are those of one deployment.
type Gate struct {
	Identity identity.Verifier
	Ticket   ticket.Verifier

	// Notice is the newest that is known of the site: whose tickets it takes back is refused, however long they and
	// the certificate would still be good. Zero: nobody's are.
	Notice ticket.Notice

	// TicketGrace is added to the life of tickets: 0, or while the server cannot be reached as long as a site
	// without one may go on, at most identity.MemberGrace.
	TicketGrace time.Duration
}

// A Member is somebody who was admitted.
type Member struct {
	identity.Member
	Peer     id.Peer
	Weight   owner.Weight
	Version  uint16 // of the language, that both speak
	Features wire.Features
	Ticket   ticket.Ticket
	Until    time.Time // the end of its certificate or its ticket, which comes first, with what is granted beyond
}

// Admit returns who the peer of a connection is, which said hello first, at the time now, the server's as far
// as known. An error comes with the code that tells the other side; its class is that of the check which
// failed. Certificates are taken up to identity.MemberGrace past their end.
func (g Gate) Admit(hello wire.Hello, peer id.Peer, now time.Time) (Member, wire.Code, error) {
	certificate, err := x509.ParseCertificate(hello.Certificate)
	if err != nil {
		return Member{}, wire.CodeIdentity, core.Refuse(core.ClassIdent,
			"member %s shows no certificate: %v", peer, err)
	}
	key, isEd25519 := certificate.PublicKey.(ed25519.PublicKey)
	if holder, err := id.FromKey(key); !isEd25519 || err != nil || holder != peer {
		return Member{}, wire.CodeIdentity, core.Refuse(core.ClassIdent,
			"member %s shows a certificate of another key", peer)
	}
	member, err := g.Identity.Verify(certificate, identity.MemberGrace, now)
	if err != nil {
		return Member{}, wire.CodeIdentity, err
	}
	grace := min(g.TicketGrace, identity.MemberGrace)
	shown, err := g.Ticket.Ticket(hello.Ticket, peer, now, grace)
	if err != nil {
		return Member{}, wire.CodeTicket, err
	}
	if g.Notice.Covers(peer, shown.Epoch) {
		return Member{}, wire.CodeRevoked, core.Refuse(core.ClassIdent,
			"the ticket of member %s, computer %s, of epoch %d, was taken back by the server", peer, member.Device, shown.Epoch)
	}
	until := certificate.NotAfter.Add(identity.MemberGrace)
	if end := shown.Expires().Add(grace); end.Before(until) {
		until = end
	}
	return Member{member, peer, hello.Weight, hello.Speaks(), hello.Features, shown, until}, 0, nil
}
