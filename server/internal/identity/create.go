package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"slices"
	"time"

	"enjambre/core"
)

// Bounds and default of a self-signed certificate's life.
const (
	DefaultDays = 1825
	maxDays     = 7300
)

// agentCAYears is the life of the authority that certifies agents.
const agentCAYears = 10

// clockSkew is how far agents' clocks may lag behind when a certificate is new.
const clockSkew = time.Hour

// Options say how a deployment is made. At most one of Days, Request and Certificate is set; with none
// the certificate is self-signed for DefaultDays.
type Options struct {
	Name  string   // "" takes the first host
	Hosts []string // DNS names and addresses by which agents reach the server; at least one

	Days        int    // of a self-signed certificate; 0 = DefaultDays
	Request     bool   // make a certificate request; the server starts once its answer is installed
	Certificate string // file of a certificate made elsewhere, with intermediates
	Key         string // file of its key
	Authority   string // file of its authority; "" if it is self-signed
	Passphrase  Passphrase

	Now time.Time
}

// check reports every mistake and returns the options with names in their one spelling.
func (o Options) check() (Options, error) {
	hosts, problems := parseHosts(o.Hosts)
	o.Hosts = hosts
	if o.Name == "" && len(hosts) > 0 {
		o.Name = nameFrom(hosts[0])
	}
	if o.Name != "" {
		problems = append(problems, checkName(o.Name))
	}
	ways := 0
	for _, chosen := range []bool{o.Days != 0, o.Request, o.Certificate != "" || o.Key != ""} {
		if chosen {
			ways++
		}
	}
	if ways > 1 {
		problems = append(
			problems,
			core.Refuse(core.ClassField,
				"choose one: self-signed for some days, a request, or a certificate with its key"),
		)
	}
	if (o.Certificate == "") != (o.Key == "") {
		problems = append(problems,
			core.Refuse(core.ClassField, "a certificate made elsewhere needs both its file and its key's"))
	}
	if o.Authority != "" && o.Certificate == "" && o.Key == "" {
		problems = append(problems,
			core.Refuse(core.ClassField, "an authority is of use only with its certificate and key"))
	}
	problems = append(problems, checkDays(o.Days))
	return o, errors.Join(problems...)
}

func checkDays(days int) error {
	if days < 0 || days > maxDays {
		return core.Refuse(core.ClassLimit, "%d days: a self-signed certificate lives 1 to %d", days, maxDays)
	}
	return nil
}

// Create makes a deployment in dir, which must exist and hold none: keys, certificates and, last,
// deployment.json. When it fails it may leave files behind, which the caller removes with the folder.
func Create(dir string, options Options) error {
	options, err := options.check()
	if err != nil {
		return err
	}
	d := &Deployment{dir: dir, record: record{
		Version: deploymentVersion, Name: options.Name, Hosts: options.Hosts, Created: options.Now.UTC().Truncate(time.Second),
	}}
	if exists(d.path(deploymentFile)) {
		return fmt.Errorf("%s holds a deployment already", dir)
	}
	for _, folder := range []string{"keys", "tls"} {
		if err := os.Mkdir(d.path(folder), folderMode); err != nil {
			return err
		}
	}
	if err := d.createKeys(options.Now); err != nil {
		return err
	}
	switch {
	case options.Request:
		_, err = d.MakeRequest(RequestOptions{})
	case options.Certificate != "":
		_, err = d.Install(
			Installation{Certificate: options.Certificate, Key: options.Key, Authority: options.Authority,
				Passphrase: options.Passphrase},
			options.Now,
		)
	default:
		_, err = d.SelfSign(options.Days, nil, options.Now)
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(d.record)
	if err != nil {
		return err
	}
	return writeFile(d.path(deploymentFile), append(data, '\n'), publicMode)
}

// createKeys makes the signing key, the online key and the authority for agents.
func (d *Deployment) createKeys(now time.Time) error {
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	public, authority, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	online, err := newOnlineKey(now)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: d.record.Name + agentCASuffix},
		NotBefore: now.Add(-clockSkew), NotAfter: now.AddDate(agentCAYears, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, authority)
	if err != nil {
		return err
	}
	return errors.Join(
		writeKey(d.path(signingKeyFile), signer),
		d.writeOnline(onlineKeys{online}),
		writeKey(d.path(agentCAKeyFile), authority),
		writeFile(d.path(agentCACertFile), pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: der}),
			publicMode),
	)
}

// newSerial returns a serial number of 127 random bits: positive, at most 20 bytes (RFC 5280, 4.1.2.2).
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// serverTemplate is what every certificate and request of ours says.
func (d *Deployment) serverTemplate() (subject pkix.Name, names []string, addresses []netip.Addr, err error) {
	next, err := d.NextHosts()
	for _, host := range slices.Concat(d.record.Hosts, next) {
		if slices.Contains(names, host) { // an interrupted command left it in both places
			continue
		}
		if address, err := netip.ParseAddr(host); err == nil {
			addresses = append(addresses, address)
		} else {
			names = append(names, host)
		}
	}
	return pkix.Name{CommonName: d.record.Name}, names, addresses, err
}

// newServerKey makes a key that every stock agent's TLS library knows.
func newServerKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
