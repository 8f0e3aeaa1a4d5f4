package identity

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestReloader(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	var reported []error
	r, _, err := NewReloader(d, nil, func(err error) { reported = append(reported, err) })
	check(t, err)
	clock := time.Now()
	r.now = func() time.Time { return clock }
	serving := func() []byte {
		t.Helper()
		certificate, err := r.Certificate(nil)
		check(t, err)
		return certificate.Certificate[0]
	}
	first := serving()
	_, err = d.SelfSign(0, nil, time.Now())
	check(t, err)
	if !bytes.Equal(serving(), first) {
		t.Error("the file is looked at more often than once a second")
	}
	clock = clock.Add(lookAgain)
	second := serving()
	if bytes.Equal(second, first) {
		t.Error("the new certificate is not served")
	}
	check(t, os.WriteFile(d.path(serverFile), []byte("damaged"), 0o600))
	clock = clock.Add(lookAgain)
	if !bytes.Equal(serving(), second) || len(reported) != 1 {
		t.Errorf("a damaged file: %v", reported)
	}
	clock = clock.Add(lookAgain)
	serving()
	check(t, os.Remove(d.path(serverFile)))
	clock = clock.Add(lookAgain)
	if !bytes.Equal(serving(), second) || len(reported) != 2 {
		t.Errorf("a missing file: %v", reported)
	}
}

// A watch is a Reloader with a clock that the test sets.
type watch struct {
	*Reloader
	clock    time.Time
	reported []error
}

func newWatch(t *testing.T, d *Deployment, passphrase Passphrase) *watch {
	t.Helper()
	w := &watch{clock: now}
	r, _, err := NewReloader(d, passphrase, func(err error) { w.reported = append(w.reported, err) })
	check(t, err)
	r.now = func() time.Time { return w.clock }
	r.looked = w.clock
	w.Reloader = r
	return w
}

// next is what is served a second later.
func (w *watch) next(t *testing.T) []byte {
	t.Helper()
	w.clock = w.clock.Add(lookAgain)
	certificate, err := w.Certificate(nil)
	check(t, err)
	return certificate.Certificate[0]
}

// TestReloaderTriesAgain: what could not be read for a moment, as when the process is out of files, is read
// at the next look. It is reported once, not once a second.
func TestReloaderTriesAgain(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	w := newWatch(t, d, nil)
	first := w.next(t)
	_, err := d.SelfSign(0, nil, now)
	check(t, err)
	check(t, os.Rename(d.path(authorityFile), d.path(authorityFile)+".away"))
	for range 3 {
		if !bytes.Equal(w.next(t), first) {
			t.Fatal("a certificate is served that nobody vouches for")
		}
	}
	if len(w.reported) != 1 || !errors.Is(w.reported[0], fs.ErrNotExist) {
		t.Errorf("reported %v, want the reason once", w.reported)
	}
	check(t, os.Rename(d.path(authorityFile)+".away", d.path(authorityFile)))
	if bytes.Equal(w.next(t), first) {
		t.Error("the new certificate is not served once it can be read")
	}
	check(t, os.Rename(d.path(serverFile), d.path(serverFile)+".away"))
	for range 3 {
		w.next(t)
	}
	if len(w.reported) != 2 {
		t.Errorf("a missing file: %d reports, want one more", len(w.reported)-1)
	}
	check(t, os.Rename(d.path(serverFile)+".away", d.path(serverFile)))
	w.next(t)
	check(t, os.Rename(d.path(serverFile), d.path(serverFile)+".away"))
	if w.next(t); len(w.reported) != 3 {
		t.Errorf("missing once more after all was well: %d reports, want 3", len(w.reported))
	}
}

// TestReloaderRefuses: certificates that a start would refuse are not served, each with its reason.
func TestReloaderRefuses(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	w := newWatch(t, d, nil)
	first := w.next(t)
	stranger := made(t, Options{Hosts: []string{"a"}})
	wrongHost := made(t, Options{Hosts: []string{"b"}})
	for _, c := range []struct {
		from *Deployment
		want string
	}{{stranger, "which trust cacert.pem"}, {wrongHost, `not for host "a"`}} {
		data, err := os.ReadFile(c.from.path(serverFile))
		check(t, err)
		check(t, writeFile(d.path(serverFile), data, secretMode))
		if !bytes.Equal(w.next(t), first) {
			t.Error("it is served")
		}
		if w.next(t); len(w.reported) == 0 || !strings.Contains(w.reported[len(w.reported)-1].Error(), c.want) {
			t.Errorf("reported %v, want %q", w.reported, c.want)
		}
	}
	if len(w.reported) != 2 {
		t.Errorf("reported %v", w.reported)
	}
}

// TestReloaderAsksOnce: the passphrase is asked for once, however often the file changes.
func TestReloaderAsksOnce(t *testing.T) {
	key := newKey(t)
	locked := write(t, encryptedBlock(t, key))
	leaf := write(t, certBlock(issue(t, forHost("a"), key, nil)))
	asked := 0
	secret := func() ([]byte, error) { asked++; return []byte("secret"), nil }
	d := made(t, Options{Hosts: []string{"a"}, Certificate: leaf, Key: locked, Passphrase: secret})
	asked = 0
	w := newWatch(t, d, secret)
	first := w.next(t)
	renewed := write(t, certBlock(issue(t, forHost("a"), key, nil)))
	_, err := d.Install(Installation{Certificate: renewed, Key: locked,
		Passphrase: func() ([]byte, error) { return []byte("secret"), nil }}, now)
	check(t, err)
	if bytes.Equal(w.next(t), first) || asked != 1 {
		t.Errorf("asked %d times, want once; reported %v", asked, w.reported)
	}
}

// TestReloaderAtOnce: handshakes and changes at once.
func TestReloaderAtOnce(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	r, _, err := NewReloader(d, nil, func(err error) { t.Error(err) })
	check(t, err)
	var ticks sync.Mutex
	clock := now
	r.now = func() time.Time {
		ticks.Lock()
		defer ticks.Unlock()
		clock = clock.Add(lookAgain)
		return clock
	}
	var all sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				if certificate, err := r.Certificate(nil); err != nil || len(certificate.Certificate) != 1 {
					t.Errorf("got %v, %v", certificate, err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range 20 {
		_, err := d.SelfSign(0, nil, now)
		check(t, err)
	}
	close(done)
	all.Wait()
}
