package ocsapi

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"net/netip"

	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/ocs"
	"enjambre/core/seal"
	"enjambre/server/internal/store"
)

// A caller is who sent a message, as far as that is proved, and how.
type caller struct {
	store.Caller
	agent  string            // as it calls itself
	secure bool              // over TLS
	public ed25519.PublicKey // the key that the handshake proved; nil for a stock agent
	egress netip.Addr        // where its connection comes from; zero: unknown
	origin string            // host:port by which it reached this server, as far as it is enrolled
}

// errInTheClear says that a message may not travel so.
var errInTheClear = errors.New("ENROLL is answered over HTTPS only")

// callerOf reads who sent a request from its TLS handshake, which has proved that the sender holds the key of
// the certificate it showed. An agent that shows none is a stock one. A certificate that has expired is good
// for one thing: to renew itself.
func (h *Handler) callerOf(request *ocs.Request, r *http.Request) (caller, error) {
	from := caller{Caller: store.Stock(request.Device), agent: r.UserAgent(), secure: r.TLS != nil}
	if remote, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		from.egress = remote.Addr().Unmap().WithZone("")
	}
	if showsNone(r) {
		return from, nil
	}
	grace := identity.RenewalGrace
	if request.Query != ocs.QueryEnroll {
		grace = 0
	}
	certificate := r.TLS.PeerCertificates[0]
	member, err := h.enroller.Verifier().Verify(certificate, grace, h.now())
	if err != nil {
		return caller{}, err
	}
	if member.Device != request.Device {
		return caller{}, core.Refuse(core.ClassIdent, "the certificate is of %s", member.Device)
	}
	from.public = certificate.PublicKey.(ed25519.PublicKey) // the verifier accepts no other
	from.Key = keyIDOf(from.public)
	from.origin = originOf(r.Host)
	return from, nil
}

// keyIDOf returns the ID by which the store knows a key.
func keyIDOf(public ed25519.PublicKey) string { return seal.KeyIDOf(public).String() }

// showsNone reports whether the sender of a request showed no certificate, as stock agents do.
func showsNone(r *http.Request) bool { return r.TLS == nil || len(r.TLS.PeerCertificates) == 0 }

// enrol answers ENROLL: with a token, a new agent's; without, one that renews its certificate. A refusal is
// an answer too, so that the computer's owner learns the reason.
func (h *Handler) enrol(ctx context.Context, request *ocs.Request, from caller) ([]byte, error) {
	if !from.secure {
		return nil, errInTheClear
	}
	var answer ocs.EnrolmentReply
	var err error
	if from.public != nil {
		answer, err = h.enroller.Renew(ctx, from.Caller, from.public, h.now())
	} else {
		answer, err = h.enroller.Enrol(ctx, request, h.now())
	}
	if err != nil {
		return nil, err
	}
	return ocs.Encode(answer.Append(nil)), nil
}
