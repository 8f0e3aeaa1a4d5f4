package identity

import (
	"crypto/x509"
	"errors"
	"os"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

// asked is an Allow that notes what it was given.
type asked struct {
	calls    int
	accepted []core.Digest
	answer   error
}

func (a *asked) allow(accepted []core.Digest) error {
	a.calls++
	a.accepted = accepted
	return a.answer
}

// TestReplacedAuthority is T55: agents learn the next authority, then it is put in service.
func TestReplacedAuthority(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	before, err := d.Trust()
	check(t, err)
	root, key := newAuthority(t, "root", nil), newKey(t)
	file := write(t, certBlock(root.certificate))
	install := func(a *asked) error {
		_, err := d.Install(Installation{
			Certificate: write(t, certBlock(issue(t, forHost("a"), key, root))), Key: write(t, keyBlock(t, key)),
			Authority: file, Allow: a.allow,
		}, now)
		return err
	}
	refused := errors.New("no")
	a := &asked{answer: refused}
	if err := install(a); !errors.Is(err, refused) || a.calls != 1 || len(a.accepted) != 0 {
		t.Errorf("not announced: got %v after %d calls with %v", err, a.calls, a.accepted)
	}
	if after, err := d.Trust(); err != nil || after.Digest() != before.Digest() {
		t.Errorf("a refused certificate is in service: %v", err)
	}

	check(t, d.Announce(file))
	both, err := d.Trust()
	check(t, err)
	if got := both.Digest(); got != ocs.TrustDigest([][]byte{root.certificate.Raw, before.Now[0].Raw}) {
		t.Errorf("announced: %d certificates", len(both.DER()))
	}
	a = &asked{}
	check(t, install(a))
	only := ocs.TrustDigest([][]byte{root.certificate.Raw})
	if len(a.accepted) != 2 || a.accepted[0] != both.Digest() || a.accepted[1] != only {
		t.Errorf("accepted by %v, want %v and %v", a.accepted, both.Digest(), only)
	}
	if after, err := d.Trust(); err != nil || after.Digest() != only || len(after.Next) != 0 {
		t.Errorf("in service: %d and %d certificates, %v", len(after.Now), len(after.Next), err)
	}
	a = &asked{answer: refused}
	if err := install(a); err != nil || a.calls != 0 {
		t.Errorf("the same authority again: got %v after %d calls", err, a.calls)
	}
	if _, err := d.SelfSign(0, a.allow, now); !errors.Is(err, refused) || a.calls != 1 {
		t.Errorf("self-signed: got %v after %d calls", err, a.calls)
	}
}

// TestAnnounceAnother: an announcement that the certificate is not of stays.
func TestAnnounceAnother(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	check(t, d.Announce(write(t, certBlock(newAuthority(t, "later", nil).certificate))))
	key := newKey(t)
	a := &asked{}
	_, err := d.Install(Installation{
		Certificate: write(t, certBlock(issue(t, forHost("a"), key, nil))), Key: write(t, keyBlock(t, key)), Allow: a.allow,
	}, now)
	check(t, err)
	if trust, err := d.Trust(); err != nil || len(trust.Next) != 1 || len(a.accepted) != 0 || a.calls != 1 {
		t.Errorf("got %d announced, %v; asked %d times about %v", len(trust.Next), err, a.calls, a.accepted)
	}
	check(t, d.ClearNext())
	check(t, d.ClearNext())
	if trust, err := d.Trust(); err != nil || len(trust.Next) != 0 {
		t.Errorf("cleared: got %d, %v", len(trust.Next), err)
	}
}

// TestTrustReader notices what changes, and keeps what it knows while that cannot be read.
func TestTrustReader(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	var reports []error
	r := NewTrustReader(d, func(err error) { reports = append(reports, err) })
	clock := now
	r.now = func() time.Time { return clock }
	current := func() int {
		clock = clock.Add(lookAgain)
		der, digest := r.Current()
		if digest != ocs.TrustDigest(der) {
			t.Errorf("the digest %s is of another set", digest)
		}
		return len(der)
	}
	if got := current(); got != 1 {
		t.Errorf("at first: %d", got)
	}
	check(t, d.announce([]*x509.Certificate{newAuthority(t, "next", nil).certificate}))
	if der, _ := r.Current(); len(der) != 1 {
		t.Errorf("within the same second: %d", len(der))
	}
	if got := current(); got != 2 {
		t.Errorf("announced: %d", got)
	}
	check(t, os.WriteFile(d.path(nextAuthorityFile), []byte("x"), 0o600))
	if got := current() + current(); got != 4 || len(reports) != 1 {
		t.Errorf("damaged: %d, reports %v", got, reports)
	}
	check(t, d.ClearNext())
	if got := current(); got != 1 {
		t.Errorf("cleared: %d", got)
	}
}
