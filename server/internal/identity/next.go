package identity

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

// A Trust is what our agents are to verify the server with: cacert.pem, and what will be in it next.
type Trust struct {
	Now, Next []*x509.Certificate
}

// Trust reads what is in service and what is announced; either may be empty.
func (d *Deployment) Trust() (Trust, error) {
	now, err := readIfThere(d.path(authorityFile))
	if err != nil {
		return Trust{}, err
	}
	next, err := readIfThere(d.path(nextAuthorityFile))
	return Trust{Now: now, Next: next}, err
}

func readIfThere(file string) ([]*x509.Certificate, error) {
	list, err := readCertificates(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// DER returns the certificates of Now and Next, each once.
func (t Trust) DER() [][]byte {
	var list [][]byte
	for _, certificate := range slices.Concat(t.Now, t.Next) {
		if !slices.ContainsFunc(list, func(der []byte) bool { return bytes.Equal(der, certificate.Raw) }) {
			list = append(list, certificate.Raw)
		}
	}
	return list
}

// Digest names the set, as agents name what they trust.
func (t Trust) Digest() core.Digest { return ocs.TrustDigest(t.DER()) }

// check refuses a set that agents cannot be told.
func (t Trust) check() error {
	list := t.DER()
	if len(list) > ocs.MaxAuthorities {
		return core.Refuse(core.ClassLimit,
			"cacert.pem and the next one hold %d certificates: agents can be told %d; leave out those that are not needed",
			len(list), ocs.MaxAuthorities)
	}
	for _, der := range list {
		if len(der) > ocs.MaxAuthority {
			return core.Refuse(core.ClassLimit, "a certificate has %d bytes: agents can be told %d", len(der),
				ocs.MaxAuthority)
		}
	}
	return nil
}

// Announce has our agents trust, besides cacert.pem, the authorities of a file, so that a certificate of
// theirs can be installed later without touching computers. It replaces what was announced before.
func (d *Deployment) Announce(file string) error {
	list, err := readCertificates(file)
	if err != nil {
		return err
	}
	return d.announce(list)
}

func (d *Deployment) announce(list []*x509.Certificate) error {
	trust, err := d.Trust()
	if err != nil {
		return err
	}
	trust.Next = list
	if err := trust.check(); err != nil {
		return err
	}
	return writeFile(d.path(nextAuthorityFile), encodeCertificates(list), publicMode)
}

// AnnounceSelfSigned makes a key and a self-signed certificate for days (0 = DefaultDays) and announces it,
// without putting it in service. It returns the files of the certificate and its key, for
// [Deployment.Install].
func (d *Deployment) AnnounceSelfSigned(days int, now time.Time) (certificate, key string, err error) {
	made, err := d.makeSelfSigned(days, now)
	if err != nil {
		return "", "", err
	}
	certificate, key = d.path(nextAuthorityFile), d.path(nextSelfKeyFile)
	if err := writeKey(key, made.key.signer); err != nil {
		return "", "", err
	}
	return certificate, key, d.announce(made.certificates)
}

// ClearNext announces nothing any more. Agents go back to cacert.pem at their next contact.
func (d *Deployment) ClearNext() error {
	return errors.Join(removeFile(d.path(nextAuthorityFile)), removeFile(d.path(nextSelfKeyFile)))
}

// An Allow judges a certificate that agents do not accept by cacert.pem as it is. It is given the digests
// of those sets, of all that agents were ever told, by which they accept it, and refuses with an error. Nil
// allows all.
type Allow func(accepted []core.Digest) error

// judge asks allow where it matters.
func (d *Deployment) judge(made *chain, allow Allow, now time.Time) error {
	trust, err := d.Trust()
	if err != nil || allow == nil || len(trust.Now) == 0 || made.verifyAuthority(trust.Now, now) == nil {
		return err
	}
	var accepted []core.Digest
	for _, set := range []Trust{trust, {Next: trust.Next}} {
		if len(set.Next) > 0 && made.verifyAuthority(slices.Concat(set.Now, set.Next), now) == nil {
			accepted = append(accepted, set.Digest())
		}
	}
	return allow(accepted)
}

// announced ends an announcement that has come true.
func (d *Deployment) announced(made *chain, now time.Time) error {
	trust, err := d.Trust()
	if err == nil && len(trust.Next) > 0 && made.verifyAuthority(trust.Next, now) == nil {
		err = d.ClearNext()
	}
	if err != nil {
		return fmt.Errorf("the certificate is in service, but it is still announced as the next: %w", err)
	}
	return nil
}

// A TrustReader gives contacts what agents are to trust, and notices within a second when that changes.
// Safe for concurrent use.
type TrustReader struct{ watched[trustWords] }

// trustWords are what agents are told to trust.
type trustWords struct {
	der    [][]byte
	digest core.Digest
}

// NewTrustReader returns a TrustReader. What goes wrong goes to report, once; what was known before then
// holds.
func NewTrustReader(d *Deployment, report func(error)) *TrustReader {
	read := func(time.Time) (trustWords, error) {
		trust, err := d.Trust()
		if err == nil {
			err = trust.check()
		}
		if err != nil {
			return trustWords{}, err
		}
		return trustWords{trust.DER(), trust.Digest()}, nil
	}
	return &TrustReader{watched[trustWords]{
		read: read, broken: "agents are not told what to trust", report: report, now: time.Now,
	}}
}

// Current returns the DER of each certificate, and the digest of the set. It returns none when there is
// nothing that agents could be told.
func (r *TrustReader) Current() ([][]byte, core.Digest) {
	words := r.current()
	return words.der, words.digest
}
