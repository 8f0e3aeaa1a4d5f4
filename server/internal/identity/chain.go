package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/pemfile"
)

// expiryNotice is how long before its end a certificate is warned of.
const expiryNotice = 30 * 24 * time.Hour

// A chain is a key and its certificate with intermediates: what tls/server.pem holds.
type chain struct {
	key          privateKey
	certificates []*x509.Certificate // the leaf, then each one's issuer, without the authority
	all          []*x509.Certificate // what it was chosen from
}

// makeChain puts certificates in order: the key's own first, then each one's issuer. What does not belong
// to the chain is left out.
func makeChain(key privateKey, list []*x509.Certificate, name string) (*chain, error) {
	c := &chain{key: key, all: list}
	for _, certificate := range list {
		if equalKeys(certificate.PublicKey, key.signer.Public()) {
			c.certificates = []*x509.Certificate{certificate}
		}
	}
	if len(c.certificates) == 0 {
		return nil, core.Refuse(core.ClassKeys,
			"%s: none of its certificates is for the key; they do not belong together", name)
	}
	for issuer := c.issuerIn(list); issuer != nil; issuer = c.issuerIn(list) {
		c.certificates = append(c.certificates, issuer)
	}
	return c, nil
}

// settle chooses the chain anew, now that it is known which hosts it is for and whom agents trust: files hold former
// certificates beside renewed ones, and intermediates that several authorities have signed. It takes, whatever the
// file's order, the leaf that is valid for all hosts and lasts longest, and of its ways to an authority the one that
// lasts longest, then the shortest. When there is no such chain, the first choice stays, so that verifying it says why.
func (c *chain) settle(hosts []string, authorities []*x509.Certificate, now time.Time) {
	var best []*x509.Certificate
	for _, leaf := range c.all {
		if !equalKeys(leaf.PublicKey, c.leaf().PublicKey) || !isFor(leaf, hosts) {
			continue
		}
		ways, err := (&chain{certificates: []*x509.Certificate{leaf}, all: c.all}).ways(authorities, now)
		if err != nil {
			continue
		}
		for _, way := range ways {
			if last := len(way) - 1; last > 0 && isSelfSigned(way[last]) {
				way = way[:last] // agents have the authority; an intermediate that is one, not all of them may have
			}
			if best == nil || isBetter(way, best) {
				best = way
			}
		}
	}
	if best != nil {
		c.certificates = best
	}
}

// isBetter reports whether a chain is to be served rather than another.
func isBetter(a, b []*x509.Certificate) bool {
	if !a[0].Equal(b[0]) {
		return a[0].NotAfter.After(b[0].NotAfter)
	}
	if endA, endB := earliestEnd(a), earliestEnd(b); !endA.Equal(endB) {
		return endA.After(endB)
	}
	return len(a) < len(b)
}

// earliestEnd returns when the first of a chain's certificates expires.
func earliestEnd(list []*x509.Certificate) time.Time {
	return slices.MinFunc(list, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

func isFor(leaf *x509.Certificate, hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(host string) bool { return leaf.VerifyHostname(host) != nil })
}

// issuerIn returns the certificate in list that continues the chain; nil when an authority comes next, or
// none. Of several by the issuer's name it is the one that signed: authorities renew intermediates. When
// none did, the first, so that verifying says what is wrong with it.
func (c *chain) issuerIn(list []*x509.Certificate) *x509.Certificate {
	last := c.certificates[len(c.certificates)-1]
	if isSelfSigned(last) {
		return nil
	}
	var named *x509.Certificate
	for _, certificate := range list {
		if !bytes.Equal(certificate.RawSubject, last.RawIssuer) || isSelfSigned(certificate) ||
			slices.ContainsFunc(c.certificates, certificate.Equal) {
			continue
		}
		if last.CheckSignatureFrom(certificate) == nil {
			return certificate
		}
		if named == nil {
			named = certificate
		}
	}
	return named
}

func (c *chain) leaf() *x509.Certificate { return c.certificates[0] }

// selfSigned reports whether the leaf vouches for itself.
func (c *chain) selfSigned() bool { return isSelfSigned(c.leaf()) }

// isSelfSigned reports whether a certificate vouches for itself. It need not be an authority for that.
func isSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// verify checks that agents which trust the authorities will accept the chain for every host, and reports
// all reasons why not.
func (c *chain) verify(hosts []string, authorities []*x509.Certificate, now time.Time) error {
	leaf := c.leaf()
	var problems []error
	switch {
	case now.After(leaf.NotAfter):
		problems = append(
			problems,
			core.Refuse(core.ClassSig,
				"the certificate expired on %s; renew it with \"tls self-signed\" or \"tls csr\"", day(leaf.NotAfter)),
		)
	case now.Before(leaf.NotBefore):
		problems = append(
			problems,
			core.Refuse(core.ClassSig, "the certificate is valid from %s on; it is %s here", day(leaf.NotBefore),
				day(now)),
		)
	}
	for _, host := range hosts {
		if err := leaf.VerifyHostname(host); err != nil {
			problems = append(problems, core.Refuse(core.ClassSig,
				"the certificate is not for host %q, by which agents reach this server%s", host, withoutNames(leaf)))
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...) // a chain that is out of date verifies nowhere: say the cause only
	}
	if err := c.verifyAuthority(authorities, now); err != nil {
		return core.Refuse(core.ClassSig, "agents, which trust cacert.pem, will not accept the certificate: %v",
			err)
	}
	return nil
}

// withoutNames says why a certificate is for no host at all; "" if it is for some.
func withoutNames(leaf *x509.Certificate) string {
	if len(leaf.DNSNames) > 0 || len(leaf.IPAddresses) > 0 {
		return ""
	}
	return fmt.Sprintf(": it has no subject alternative name, only the common name %q, which agents do not look at; "+
		"have it issued with its hosts as subjectAltName", leaf.Subject.CommonName)
}

// verifyAuthority checks that agents which trust the authorities accept the chain as it is served.
func (c *chain) verifyAuthority(authorities []*x509.Certificate, now time.Time) error {
	served := &chain{certificates: c.certificates, all: c.certificates}
	_, err := served.ways(authorities, now)
	return err
}

// ways returns the ways from the leaf to one of the authorities, over any of all certificates.
func (c *chain) ways(authorities []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
	}
	for _, authority := range authorities {
		options.Roots.AddCert(authority)
	}
	for _, certificate := range c.all {
		options.Intermediates.AddCert(certificate)
	}
	return c.leaf().Verify(options)
}

// warnings says what is allowed but should be known.
func (c *chain) warnings(now time.Time) []string {
	var list []string
	if left := c.leaf().NotAfter.Sub(now); left < expiryNotice {
		list = append(list,
			fmt.Sprintf("the certificate expires on %s, in %d days", day(c.leaf().NotAfter), int(left.Hours()/24)))
	}
	for _, issuer := range c.certificates[1:] {
		if left := issuer.NotAfter.Sub(now); left < expiryNotice {
			list = append(list, fmt.Sprintf("the intermediate certificate %q expires on %s, in %d days; get its renewed one "+
				"and \"tls install\" again", issuer.Subject, day(issuer.NotAfter), int(left.Hours()/24)))
		}
	}
	if _, isEd25519 := c.leaf().PublicKey.(ed25519.PublicKey); isEd25519 {
		list = append(list,
			"an Ed25519 certificate is not accepted by stock agents on old systems; ECDSA P-256 is by all")
	}
	return list
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// encode writes the chain as tls/server.pem holds it.
func (c *chain) encode() []byte {
	return append(pem.EncodeToMemory(c.key.block), encodeCertificates(c.certificates)...)
}

// tls returns the chain as connections use it.
func (c *chain) tls() tls.Certificate {
	certificate := tls.Certificate{PrivateKey: c.key.signer, Leaf: c.leaf()}
	for _, one := range c.certificates {
		certificate.Certificate = append(certificate.Certificate, one.Raw)
	}
	return certificate
}

// parseChain reads what encode wrote.
func parseChain(data []byte, name string, passphrase Passphrase) (*chain, error) {
	key, err := parseKey(data, name, passphrase)
	if err != nil {
		return nil, err
	}
	list, err := pemfile.Certificates(data, name)
	if err != nil {
		return nil, err
	}
	return makeChain(key, list, name)
}

// readChain reads the certificate in service.
func (d *Deployment) readChain(passphrase Passphrase) (*chain, error) {
	data, err := readFile(d.path(serverFile))
	if errors.Is(err, fs.ErrNotExist) {
		if exists(d.path(requestFile)) {
			return nil, fmt.Errorf("%w: a request was made (%s); have it signed, then \"tls install\" the answer",
				errNoCertificate, d.path(requestFile))
		}
		return nil, fmt.Errorf("%w; make one with \"tls self-signed\" or \"tls csr\"", errNoCertificate)
	}
	if err != nil {
		return nil, err
	}
	return parseChain(data, d.path(serverFile), passphrase)
}

// ServerCertificate returns the certificate to serve, and warnings about it. It refuses, with the reason
// and what to do, whatever agents would refuse: none installed, expired, for other hosts, or not vouched
// for by cacert.pem; and a key whose passphrase is missing or wrong.
func (d *Deployment) ServerCertificate(passphrase Passphrase,
	now time.Time) (tls.Certificate, []string, error) {
	served, err := d.readVerified(passphrase, now)
	for range rereads {
		if err == nil || served == nil || !d.replaced(served) {
			break
		}
		served, err = d.readVerified(passphrase, now)
	}
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return served.tls(), served.warnings(now), nil
}

// rereads is how often a certificate is read again that was replaced while it was read. Each time is another
// change, so more than one is hardly ever needed.
const rereads = 10

// readVerified reads the certificate in service and verifies it. With an error about the two of them, the
// chain is not nil.
func (d *Deployment) readVerified(passphrase Passphrase, now time.Time) (*chain, error) {
	served, err := d.readChain(passphrase)
	if err != nil {
		return nil, err
	}
	authorities, err := readCertificates(d.path(authorityFile))
	if err != nil {
		return nil, err
	}
	hosts := d.currentHosts()
	served.settle(hosts, authorities, now)
	return served, served.verify(hosts, authorities, now)
}

// replaced reports whether another certificate is in service by now: then cacert.pem, which was read later,
// may be that one's.
func (d *Deployment) replaced(served *chain) bool {
	list, err := readCertificates(d.path(serverFile))
	return err == nil && !list[0].Equal(served.leaf())
}
