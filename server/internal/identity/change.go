package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"enjambre/core"
)

// SelfSign makes a new key and a certificate that vouches for itself for days (0 = DefaultDays), and, if
// allowed, puts both in service. cacert.pem becomes that certificate, so agents need the new one. It
// returns warnings.
func (d *Deployment) SelfSign(days int, allow Allow, now time.Time) (warnings []string, err error) {
	made, err := d.makeSelfSigned(days, now)
	if err != nil {
		return nil, err
	}
	if err := d.judge(made, allow, now); err != nil {
		return nil, err
	}
	return d.putInService(made, made.certificates, now)
}

// makeSelfSigned makes a key and a certificate that vouches for itself.
func (d *Deployment) makeSelfSigned(days int, now time.Time) (*chain, error) {
	if err := checkDays(days); err != nil {
		return nil, err
	}
	if days == 0 {
		days = DefaultDays
	}
	signer, err := newServerKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	subject, names, addresses, err := d.serverTemplate()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: subject, DNSNames: names, IPAddresses: plainIPs(addresses),
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(time.Duration(days) * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	block, err := encodeKey(signer)
	if err != nil {
		return nil, err
	}
	return &chain{key: privateKey{signer, block}, certificates: []*x509.Certificate{certificate}}, nil
}

func plainIPs(addresses []netip.Addr) []net.IP {
	var list []net.IP
	for _, address := range addresses {
		list = append(list, address.AsSlice())
	}
	return list
}

// MakeRequest makes a new key and a certificate request for it, keeps both, and returns the request in
// PEM form. What is in service stays so until the answer is installed.
func (d *Deployment) MakeRequest(options RequestOptions) ([]byte, error) {
	subject, names, addresses, err := d.serverTemplate()
	if err != nil {
		return nil, err
	}
	if options.Subject != "" {
		if subject, err = parseSubject(options.Subject); err != nil {
			return nil, err
		}
	}
	signer, err := makeKey(options.Key)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: subject, DNSNames: names, IPAddresses: plainIPs(addresses)}, signer)
	if err != nil {
		return nil, err
	}
	request := pem.EncodeToMemory(&pem.Block{Type: requestType, Bytes: der})
	if err := writeKey(d.path(nextKeyFile), signer); err != nil {
		return nil, err
	}
	return request, writeFile(d.path(requestFile), request, publicMode)
}

// An Installation names the files of a certificate made elsewhere.
type Installation struct {
	Certificate string // PEM, in any order, with intermediates
	Key         string // PEM; "" is the key of the last request
	Authority   string // PEM; "" keeps cacert.pem if it vouches for the certificate
	Passphrase  Passphrase
	Allow       Allow
}

// Install puts a certificate made elsewhere in service, after all checks that a start makes. It replaces
// nothing if anything is wrong. It returns warnings.
func (d *Deployment) Install(files Installation, now time.Time) (warnings []string, err error) {
	list, err := readCertificates(files.Certificate)
	if err != nil {
		return nil, err
	}
	keyFile := files.Key
	if keyFile == "" {
		if keyFile = d.path(nextKeyFile); !exists(keyFile) {
			return nil, errors.New(
				"no key: give the file of the certificate's key, or make a request with \"tls csr\" first")
		}
	}
	data, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(data, keyFile, files.Passphrase)
	if err != nil {
		return nil, err
	}
	made, err := makeChain(key, list, files.Certificate)
	if err != nil {
		return nil, err
	}
	authorities, err := d.authoritiesFor(made, files.Authority, now)
	if err != nil {
		return nil, err
	}
	made.settle(d.record.Hosts, authorities, now)
	if err := made.verify(d.record.Hosts, authorities, now); err != nil {
		return nil, err
	}
	if err := d.judge(made, files.Allow, now); err != nil {
		return nil, err
	}
	warnings, err = d.putInService(made, authorities, now)
	warnings = append(warnings, rootless(authorities)...)
	if err == nil {
		err = d.announced(made, now)
	}
	if err == nil && files.Key == "" {
		err = errors.Join(removeFile(d.path(nextKeyFile)), removeFile(d.path(requestFile)))
	}
	return warnings, err
}

// rootless warns of authorities that OpenSSL, which stock agents use, does not end a chain with.
func rootless(authorities []*x509.Certificate) []string {
	if slices.ContainsFunc(authorities, isSelfSigned) {
		return nil
	}
	return []string{fmt.Sprintf("the authority %q is given without its root: stock agents, which end a chain at a "+
		"self-signed authority only, will refuse this server; give the root's certificate with --ca", authorities[0].Subject)}
}

// authoritiesFor returns what cacert.pem must hold for agents to accept the chain.
func (d *Deployment) authoritiesFor(made *chain, file string, now time.Time) ([]*x509.Certificate, error) {
	if file != "" {
		return readCertificates(file)
	}
	if made.selfSigned() {
		return made.certificates[:1], nil
	}
	current, err := readCertificates(d.path(authorityFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	made.settle(d.record.Hosts, current, now)
	var unknown x509.UnknownAuthorityError
	if errors.As(made.verifyAuthority(current, now), &unknown) {
		return nil, core.Refuse(core.ClassKeys,
			"agents do not know the authority %q that signed the certificate; give its certificate with --ca",
			made.leaf().Issuer)
	}
	return current, nil // whatever else is wrong, such as the date, the next check says
}

// putInService replaces the certificate and, where needed, cacert.pem. Whenever it is interrupted, the
// certificate that is found verifies against the cacert.pem that is found.
func (d *Deployment) putInService(made *chain, authorities []*x509.Certificate,
	now time.Time) (warnings []string, err error) {
	warnings = made.warnings(now)
	old, err := readCertificates(d.path(authorityFile))
	isFirst := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isFirst {
		return nil, err
	}
	if !isFirst && !sameCertificates(old, authorities) {
		warnings = append(
			warnings,
			"cacert.pem has changed: agents that have the old one refuse this server until they are given the new one",
		)
	}
	for _, one := range replacements(made, old, authorities) {
		if err := writeFile(d.path(one.file), one.data, one.mode); err != nil {
			return nil, err
		}
	}
	waiting, err := d.adoptHosts(made)
	for _, host := range waiting {
		warnings = append(warnings, fmt.Sprintf("the certificate is not for host %q, which still waits for one", host))
	}
	return warnings, err
}

// A replacement is a file's new content.
type replacement struct {
	file string
	data []byte
	mode fs.FileMode
}

// replacements lists what is to be replaced, in order, to put a chain in service where cacert.pem holds the
// authorities old, none before the first. After each of them a start finds what verifies, or, before the
// first certificate, none.
func replacements(made *chain, old, authorities []*x509.Certificate) []replacement {
	server := replacement{serverFile, made.encode(), secretMode}
	trust := func(list []*x509.Certificate) replacement {
		return replacement{authorityFile, encodeCertificates(list), publicMode}
	}
	switch {
	case sameCertificates(old, authorities):
		return []replacement{server}
	case len(old) == 0:
		return []replacement{trust(authorities), server}
	}
	return []replacement{trust(slices.Concat(old, authorities)), server, trust(authorities)}
}

func sameCertificates(a, b []*x509.Certificate) bool {
	return slices.EqualFunc(a, b, (*x509.Certificate).Equal)
}

// A Description says what is in service.
type Description struct {
	Subject        string    `json:"subject"`
	Issuer         string    `json:"issuer"`
	SelfSigned     bool      `json:"selfSigned"`
	Hosts          []string  `json:"hosts"`
	Key            string    `json:"key"`
	NotBefore      time.Time `json:"notBefore"`
	NotAfter       time.Time `json:"notAfter"`
	DaysLeft       int       `json:"daysLeft"`
	SHA256         string    `json:"sha256"`
	Intermediates  int       `json:"intermediates"`
	RequestPending bool      `json:"requestPending"`
	Problem        string    `json:"problem,omitempty"` // why a server would not start with it
}

// Describe says what is in service. It needs no passphrase: the certificate is public.
func (d *Deployment) Describe(now time.Time) (Description, error) {
	description := Description{RequestPending: exists(d.path(requestFile))}
	list, err := readCertificates(d.path(serverFile))
	if errors.Is(err, fs.ErrNotExist) {
		_, err := d.readChain(nil)
		description.Problem = err.Error()
		return description, nil
	}
	if err != nil {
		return Description{}, err
	}
	served := &chain{certificates: list, all: list}
	leaf := served.leaf()
	sum := sha256.Sum256(leaf.Raw)
	description.Subject, description.Issuer = leaf.Subject.String(), leaf.Issuer.String()
	description.SelfSigned, description.Key = served.selfSigned(), keyName(leaf.PublicKey)
	description.Hosts = append([]string{}, leaf.DNSNames...)
	for _, address := range leaf.IPAddresses {
		description.Hosts = append(description.Hosts, address.String())
	}
	description.NotBefore, description.NotAfter = leaf.NotBefore, leaf.NotAfter
	description.DaysLeft = int(leaf.NotAfter.Sub(now).Hours() / 24)
	description.SHA256, description.Intermediates = hex.EncodeToString(sum[:]), len(list)-1
	authorities, err := readCertificates(d.path(authorityFile))
	if err == nil {
		served.settle(d.record.Hosts, authorities, now)
		err = served.verify(d.record.Hosts, authorities, now)
	}
	if err != nil {
		description.Problem = fmt.Sprint(err)
	}
	return description, nil
}
