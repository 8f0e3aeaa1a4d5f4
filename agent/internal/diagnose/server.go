package diagnose

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"time"

	"enjambre/agent/internal/daemon"
	"enjambre/agent/internal/origin"
)

// clockAside is how far the clocks may differ without a word.
const clockAside = 5 * time.Minute

// The checks of the way to the server, in the order in which a request meets them.
const (
	clockName  = "clock"
	nameName   = "name"
	tcpName    = "connection"
	tlsName    = "TLS"
	proxyName  = "proxy"
	answerName = "answer"
)

// A meeting is what came of calling the server.
type meeting struct {
	probe   origin.Probe
	address string    // of the server; "" = not known
	theirs  time.Time // the server's clock; zero when it is not known
	err     error     // it could not even be called
}

// meet calls the server. If it was refused only because of the time, it is asked once more, at a time at which its
// certificate is good: that tells a wrong clock from an expired certificate.
func (r *run) meet(ctx context.Context) meeting {
	var m meeting
	options := origin.Options{CAFile: r.authorityFile(), Proxy: r.options.Proxy, Now: r.options.Now}
	switch settings := r.options.Settings; {
	case r.member:
		options.Address = r.known.Server
	case settings.Server != "":
		if options.Address, m.err = origin.ParseServer(settings.Server); m.err != nil {
			return m
		}
	default:
		return m
	}
	m.address = options.Address
	client, err := origin.New(options)
	if err != nil {
		m.err = err
		return m
	}
	defer client.Close()
	m.probe = client.Probe(ctx)
	m.theirs = m.probe.Date
	if m.probe.Err == nil || len(m.probe.Presented) == 0 || inTime(m.probe.Presented[0], r.here) {
		return m
	}
	leaf := m.probe.Presented[0]
	options.Now = func() time.Time { return leaf.NotAfter.Add(-time.Second) }
	if then, err := origin.New(options); err == nil {
		defer then.Close()
		m.theirs = then.Probe(ctx).Date
	}
	return m
}

// isSane reports whether the server has told its time, one at which its own certificate is valid.
func (m meeting) isSane() bool {
	return !m.theirs.IsZero() && (len(m.probe.Presented) == 0 || inTime(m.probe.Presented[0], m.theirs))
}

func inTime(certificate *x509.Certificate, now time.Time) bool {
	return !now.Before(certificate.NotBefore) && !now.After(certificate.NotAfter)
}

// clock compares the clocks.
func (r *run) clock(m meeting) {
	switch {
	case m.address == "":
		r.skip("no server is known", clockName)
		return
	case m.theirs.IsZero():
		r.clockAlone()
		return
	}
	wrong := r.here.Sub(m.theirs)
	found := fmt.Sprintf("%s here, %s at the server", r.here.UTC().Format(time.RFC3339),
		m.theirs.UTC().Format(time.RFC3339))
	switch {
	case !m.isSane():
		r.add(clockName, Fail, found+", when its own certificate is not valid", "set the clock of the server")
	case wrong.Abs() > origin.MaxClockError:
		r.add(clockName, Fail, found, setClock)
	case wrong.Abs() > clockAside:
		r.add(clockName, Warn, found, setClock)
	default:
		r.add(clockName, OK, found, "")
	}
}

const setClock = "set the clock, or let it be set by NTP"

// clockAlone judges this computer's clock without the server's: it cannot be before what the server has told the agent
// last, nor before this agent's certificate was made.
func (r *run) clockAlone() {
	var least time.Time
	if r.folder != nil {
		least = daemon.LastTold(r.folder)
		if certificates, err := readCertificates(r.folder.Path("certificate.pem")); err == nil {
			if made := certificates[0].NotBefore; made.After(least) {
				least = made
			}
		}
	}
	if r.here.Before(least.Add(-clockAside)) {
		r.add(clockName, Fail, fmt.Sprintf("%s here, and it was %s before", r.here.UTC().Format(time.RFC3339),
			least.UTC().Format(time.RFC3339)), setClock)
		return
	}
	r.skip("the server did not say its time; see below", clockName)
}

// way goes along what a request meets until it is answered.
func (r *run) way(m meeting) {
	switch {
	case m.address == "" && m.err == nil:
		r.skip("no server is known", nameName, tcpName, tlsName, proxyName)
		return
	case m.err != nil:
		r.skip(m.err.Error(), nameName, tcpName, tlsName, proxyName)
		return
	}
	p := m.probe
	whose := "the server's name"
	if p.Proxy != nil {
		whose = "the proxy's name"
	}
	switch {
	case p.Reached == origin.Resolving && p.Err != nil:
		r.add(nameName, Fail, whose+": "+p.Err.Error(),
			"is the address right, and does this computer have a name server?")
	case len(p.Addresses) == 0:
		r.add(nameName, OK, "none, an address is used", "")
	default:
		r.add(nameName, OK, whose+": "+strings.Join(p.Addresses, ", "), "")
	}
	switch {
	case p.Reached < origin.Connecting:
		r.skip("the name is not known", tcpName)
	case p.Reached == origin.Connecting && p.Err != nil:
		r.add(tcpName, Fail, fmt.Sprintf("%s: %v", m.address, p.Err),
			"does the server run, and does a firewall let this computer through?")
	default:
		r.add(tcpName, OK, p.Connected, "")
	}
	r.handshake(m)
	r.proxy(p)
}

// handshake says who signed the certificate that was shown.
func (r *run) handshake(m meeting) {
	p := m.probe
	switch {
	case p.Reached < origin.Securing:
		r.skip("no connection", tlsName)
	case p.Reached == origin.Securing && len(p.Presented) > 0 && !inTime(p.Presented[0], r.here) &&
		!m.theirs.IsZero() && inTime(p.Presented[0], m.theirs):
		r.add(tlsName, Fail, "the server's certificate is good, but not at the time of this computer's clock",
			setClock)
	case p.Reached == origin.Securing && len(p.Presented) > 0:
		r.add(tlsName, Fail, fmt.Sprintf("%s shows a certificate of %q, signed by %q, until %s: %v", m.address,
			p.Presented[0].Subject.String(), p.Presented[0].Issuer.String(), date(p.Presented[0].NotAfter), p.Err),
			"if a proxy inspects TLS, it must leave this server out; if the server has a new authority, copy its "+
				"cacert.pem to "+r.authorityFile())
	case p.Reached == origin.Securing:
		r.add(tlsName, Fail, fmt.Sprintf("%s: %v", m.address, p.Err), "is this the server's HTTPS port?")
	default:
		leaf := p.Presented[0]
		r.add(tlsName, OK, fmt.Sprintf("%q, signed by %q, until %s", leaf.Subject.String(), leaf.Issuer.String(),
			date(leaf.NotAfter)), "")
	}
}

// proxy says which proxy is used.
func (r *run) proxy(p origin.Probe) {
	switch {
	case p.Proxy == nil:
		r.add(proxyName, OK, "none for this server", "")
	case p.Reached == origin.Tunnelling && p.Err != nil:
		r.add(proxyName, Fail, fmt.Sprintf("%s does not connect: %v", p.Proxy.Redacted(), p.Err),
			"does it want user and password, or forbid this server? Set proxy in agent.toml")
	default:
		r.add(proxyName, OK, p.Proxy.Redacted(), "")
	}
}

// answer says whether it is our server that answers.
func (r *run) answer(m meeting) {
	p := m.probe
	advice := "is " + m.address + " the deployment server's address? Its error log says more"
	switch {
	case m.address == "" || m.err != nil || p.Reached < origin.Answering:
		r.skip("no secure connection", answerName)
	case p.Err != nil:
		r.add(answerName, Fail, p.Err.Error(), advice)
	case p.Status >= 500:
		r.add(answerName, Fail, fmt.Sprintf("%d %s", p.Status, http.StatusText(p.Status)), advice)
	case p.Status != http.StatusMethodNotAllowed || p.Allow != http.MethodPost:
		r.add(answerName, Warn, fmt.Sprintf("%d %s, which is not what a deployment server says", p.Status,
			http.StatusText(p.Status)), advice)
	default:
		r.add(answerName, OK, "it takes messages", "")
	}
}
