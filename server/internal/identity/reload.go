package identity

import (
	"crypto/tls"
	"os"
	"sync"
	"time"

	"enjambre/core"
)

// A Reloader gives connections the certificate in service, and notices within a second when another is
// installed. A new one that a server must not start with is reported, once, and the old one kept. Safe for
// concurrent use.
type Reloader struct {
	deployment *Deployment
	passphrase Passphrase
	report     func(error)
	now        func() time.Time

	mu      sync.Mutex // guards what follows; held for a stat and, after a change, for reading two files
	current *tls.Certificate
	seen    os.FileInfo
	looked  time.Time
	told    string // what was reported last, "" after a look that went well
}

// lookAgain is how often the file is looked at, at most.
const lookAgain = time.Second

// NewReloader returns a Reloader that has the certificate, and warnings about it, or why a server must not
// start with it. What later goes wrong goes to report.
func NewReloader(d *Deployment, passphrase Passphrase, report func(error)) (*Reloader, []string, error) {
	r := &Reloader{deployment: d, passphrase: remember(passphrase), report: report, now: time.Now}
	seen, _ := os.Stat(d.path(serverFile)) // missing: the next call says so
	certificate, warnings, err := d.ServerCertificate(r.passphrase, r.now())
	if err != nil {
		return nil, nil, err
	}
	r.current, r.seen, r.looked = &certificate, seen, r.now()
	return r, warnings, nil
}

// remember asks for a passphrase once.
func remember(passphrase Passphrase) Passphrase {
	if passphrase == nil {
		return nil
	}
	return sync.OnceValues(passphrase)
}

// Certificate is for tls.Config.GetCertificate.
func (r *Reloader) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Sub(r.looked) < lookAgain {
		return r.current, nil
	}
	r.looked = now
	told := ""
	if err := r.look(now); err != nil {
		if told = err.Error(); told != r.told {
			r.report(err)
		}
	}
	r.told = told
	return r.current, nil
}

// look takes over the certificate that is in service now. One that is refused for what it says is not read
// again before it is replaced; one that cannot be read is, at the next look.
func (r *Reloader) look(now time.Time) error {
	seen, err := os.Stat(r.deployment.path(serverFile))
	if err != nil {
		return err
	}
	if r.seen != nil && os.SameFile(seen, r.seen) && seen.ModTime().Equal(r.seen.ModTime()) {
		return nil
	}
	certificate, _, err := r.deployment.ServerCertificate(r.passphrase, now)
	if err == nil || core.ClassOf(err) != "" {
		r.seen = seen
	}
	if err != nil {
		return err
	}
	r.current = &certificate
	return nil
}
