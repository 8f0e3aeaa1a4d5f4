// Package agentapi answers what only our own agents ask. At present that is ENROLL: a token and a
// certificate request become a certificate, and the agent learns all that it must know for good; an agent
// that shows its certificate gets a new one.
package agentapi

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/ocs"
	"enjambre/core/seal"
	"enjambre/server/internal/store"
)

// An Enroller certifies agents. All fields are required.
type Enroller struct {
	Store      *store.Store
	Deployment string
	Authority  *x509.Certificate // the agent CA
	Key        ed25519.PrivateKey
	Policy     seal.Policy // whose signatures agents shall demand
	Log        *slog.Logger
}

// Enrol answers an ENROLL request. A request that is refused for what it says gets its reason in the
// answer; an error is the server's own trouble or a message that is none.
func (e *Enroller) Enrol(ctx context.Context, request *ocs.Request,
	now time.Time) (ocs.EnrolmentReply, error) {
	asked, err := request.Enrolment()
	if err != nil {
		return ocs.EnrolmentReply{}, err
	}
	public, err := provenKey(asked.Request)
	if err != nil {
		return e.refuse(request.Device, err), nil
	}
	template := identity.Template(identity.Member{Deployment: e.Deployment, Device: request.Device}, now)
	site, err := e.Store.Enrol(ctx, store.Enrolment{
		Token: asked.Token, Device: request.Device, Key: seal.KeyIDOf(public), Certified: template.NotAfter,
	}, now)
	for _, refusal := range []error{store.ErrTokenUnknown, store.ErrTokenExpired, store.ErrTokenUsed, store.ErrAnotherKey, store.ErrRevokedKey} {
		if errors.Is(err, refusal) {
			return e.refuse(request.Device, err), nil
		}
	}
	if err != nil {
		return ocs.EnrolmentReply{}, err
	}
	certificate, err := e.certify(template, public)
	if err != nil {
		return ocs.EnrolmentReply{}, err
	}
	e.Log.Info("agent enrolled", "computer", request.Device, "site", string(site), "key", seal.KeyIDOf(public))
	return e.reply(certificate, site), nil
}

// Verifier returns what the deployment's agents are recognised by.
func (e *Enroller) Verifier() identity.Verifier {
	return identity.Verifier{Deployment: e.Deployment, Authorities: []*x509.Certificate{e.Authority}}
}

// Renew gives an agent, whose handshake proved the key, a new certificate for it. A revoked agent, or one
// whose computer has enrolled with another key since, is refused.
func (e *Enroller) Renew(ctx context.Context, from store.Caller, public ed25519.PublicKey,
	now time.Time) (ocs.EnrolmentReply, error) {
	template := identity.Template(identity.Member{Deployment: e.Deployment, Device: from.Device}, now)
	site, err := e.Store.Renew(ctx, from, template.NotAfter)
	for _, refusal := range []error{store.ErrRevoked, store.ErrNotItsKey, store.ErrUnknownComputer} {
		if errors.Is(err, refusal) {
			return e.refuse(from.Device, err), nil
		}
	}
	if err != nil {
		return ocs.EnrolmentReply{}, err
	}
	certificate, err := e.certify(template, public)
	if err != nil {
		return ocs.EnrolmentReply{}, err
	}
	e.Log.Info("certificate renewed", "computer", from.Device)
	return e.reply(certificate, site), nil
}

func (e *Enroller) refuse(device core.DeviceID, reason error) ocs.EnrolmentReply {
	e.Log.Warn("enrolment refused", "computer", device, "reason", reason)
	return ocs.EnrolmentReply{Reason: reason.Error()}
}

// provenKey returns the key that the request was signed with.
func provenKey(der []byte) (ed25519.PublicKey, error) {
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, core.Refuse(core.ClassFormat, "the certificate request cannot be read: %v", err)
	}
	public, isEd25519 := request.PublicKey.(ed25519.PublicKey)
	if !isEd25519 {
		return nil, core.Refuse(core.ClassType, "the key of the certificate request is not Ed25519")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, core.Refuse(core.ClassSig, "the certificate request is not signed by its key")
	}
	return public, nil
}

// certify makes the certificate.
func (e *Enroller) certify(template *x509.Certificate, public ed25519.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	certificate, err := x509.CreateCertificate(rand.Reader, template, e.Authority, public, e.Key)
	if err != nil {
		return nil, fmt.Errorf("certify an agent: %w", err)
	}
	return certificate, nil
}

func (e *Enroller) reply(certificate []byte, site core.SiteName) ocs.EnrolmentReply {
	reply := ocs.EnrolmentReply{
		Deployment: e.Deployment, Site: site, Certificate: certificate, Authority: e.Authority.Raw, Threshold: e.Policy.Threshold,
	}
	for _, key := range e.Policy.Keys {
		reply.Signers = append(reply.Signers, ocs.Signer{Owner: key.Owner, Key: key.Public})
	}
	return reply
}
