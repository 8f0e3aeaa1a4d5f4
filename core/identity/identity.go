// Package identity says which certificates make an agent a member of a deployment, and who it then is.
//
// Every agent has one Ed25519 key, made when it enrolled, and a certificate for it by the deployment's
// agent CA. The certificate names the agent in one URI of its subject alternative names:
//
//	enjambre://DEPLOYMENT/device/DEVICEID
//
// and nothing else: no site, because people move, and no host name, because it is no address. It is valid
// for [Lifetime] and renewed after [RenewAfter]. An expired one may still renew itself for [RenewalGrace],
// and members accept each other's for [MemberGrace] longer: a laptop that was away is no stranger. A
// revoked one is for the caller to refuse.
//
// The package reads certificates and decides; it holds no key and reads no clock.
package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"net/url"
	"strings"
	"time"

	"enjambre/core"
)

// The life of an agent's certificate.
const (
	Lifetime     = 30 * 24 * time.Hour
	RenewAfter   = 10 * 24 * time.Hour  // after it was issued
	MemberGrace  = 30 * 24 * time.Hour  // past its end, between members
	RenewalGrace = 400 * 24 * time.Hour // past its end, to renew itself
	ClockSkew    = time.Hour            // that a certificate is dated back, for agents whose clock lags
)

const (
	scheme     = "enjambre"
	pathPrefix = "/device/"
)

// A Member is who a certificate says an agent is.
type Member struct {
	Deployment string
	Device     core.DeviceID
}

// URI returns the name that stands in the agent's certificate.
func (m Member) URI() *url.URL {
	return &url.URL{Scheme: scheme, Host: m.Deployment, Path: pathPrefix + string(m.Device)}
}

// parseURI is the reverse of URI. It accepts no other spelling.
func parseURI(name *url.URL) (Member, error) {
	device, found := strings.CutPrefix(name.Path, pathPrefix)
	if name.Scheme != scheme || name.Host == "" || !found {
		return Member{}, core.Refuse(core.ClassIdent, "%.200q names no agent of a deployment", name)
	}
	id, err := core.ParseDeviceID(device)
	if err != nil {
		return Member{}, core.Refuse(core.ClassIdent, "a certificate names no agent: %v", err)
	}
	member := Member{Deployment: name.Host, Device: id}
	if member.URI().String() != name.String() {
		return Member{}, core.Refuse(core.ClassIdent, "%.200q is another spelling of an agent's name", name)
	}
	return member, nil
}

// A Verifier knows one deployment and the authorities that certify its agents.
type Verifier struct {
	Deployment  string
	Authorities []*x509.Certificate // the agent CA; while it is replaced, the old one too
}

// Verify returns whom a certificate makes its holder, if it is of this deployment and its life, with grace
// added to its end, includes now. That the other side holds its key is for the handshake to prove. Every
// refusal has class E_IDENT.
func (v Verifier) Verify(certificate *x509.Certificate, grace time.Duration,
	now time.Time) (Member, error) {
	if _, isEd25519 := certificate.PublicKey.(ed25519.PublicKey); !isEd25519 || certificate.IsCA {
		return Member{}, core.Refuse(core.ClassIdent, "the certificate is not that of an agent")
	}
	if err := v.checkSignature(certificate); err != nil {
		return Member{}, err
	}
	switch {
	case now.Before(certificate.NotBefore):
		return Member{}, core.Refuse(core.ClassIdent, "the certificate is valid from %s on; is the clock right?",
			certificate.NotBefore.UTC().Format(time.RFC3339))
	case now.After(certificate.NotAfter.Add(grace)):
		return Member{}, core.Refuse(core.ClassIdent, "the certificate expired on %s; enrol the computer again",
			certificate.NotAfter.UTC().Format(time.RFC3339))
	}
	if len(certificate.URIs) != 1 {
		return Member{}, core.Refuse(core.ClassIdent, "the certificate has %d names, want one",
			len(certificate.URIs))
	}
	member, err := parseURI(certificate.URIs[0])
	if err != nil {
		return Member{}, err
	}
	if member.Deployment != v.Deployment {
		return Member{}, core.Refuse(core.ClassIdent, "the certificate is of deployment %q, this is %q",
			member.Deployment, v.Deployment)
	}
	return member, nil
}

// checkSignature looks for the authority that signed. The chain is always one step long, so it is walked
// here: the standard verifier would refuse what has expired, which we allow for a while.
func (v Verifier) checkSignature(certificate *x509.Certificate) error {
	for _, authority := range v.Authorities {
		if authority.IsCA && certificate.CheckSignatureFrom(authority) == nil {
			return nil
		}
	}
	return core.Refuse(core.ClassIdent, "the certificate is not signed by the agent CA of deployment %q",
		v.Deployment)
}

// Template returns what a certificate for the member says, issued now. Serial number and keys are the
// issuer's to add.
func Template(member Member, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		URIs:                  []*url.URL{member.URI()},
		NotBefore:             now.Add(-ClockSkew),
		NotAfter:              now.Add(Lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
}

// RenewalDue reports whether an agent should have its certificate renewed.
func RenewalDue(certificate *x509.Certificate, now time.Time) bool {
	return now.After(certificate.NotBefore.Add(ClockSkew + RenewAfter))
}
