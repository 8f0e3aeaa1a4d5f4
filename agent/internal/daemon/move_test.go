package daemon

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	"enjambre/agent/internal/plan"
	"enjambre/agent/internal/state"
	"enjambre/agent/internal/talk"
	"enjambre/core/identity"
	"enjambre/peer/mesh"
)

// enrolled gives a daemon an identity and a talker; there is no server.
func enrolled(t *testing.T, d *daemon) {
	t.Helper()
	device, err := d.options.State.Key()
	if err != nil {
		t.Fatal(err)
	}
	template := identity.Template(identity.Member{Deployment: "test", Device: "pc-2026-01-01-00-00-00"}, time.Now())
	template.SerialNumber = big.NewInt(1)
	der, err := x509.CreateCertificate(rand.Reader, template, template, device.Public(), device)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	d.known = state.Identity{
		Deployment: "test", Device: "pc-2026-01-01-00-00-00", Server: "https://127.0.0.1:1/ocsinventory",
		Threshold: 1, Signers: []state.Signer{{Owner: "o", Key: policy.Keys[0].Public}},
	}
	err = d.options.State.Enrolled(state.Enrolment{
		Identity: d.known, Certificate: certificate, Authority: certificate,
		ServerCA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.talker, err = talk.New(talk.Options{State: d.options.State, Ledger: d.ledger, Log: d.options.Log, Now: d.clock.now})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAwake: a computer that could not reach its server and slept calls it as soon as it is awake; one that could waits
// for its turn, and a nap is no sleep.
func TestAwake(t *testing.T) {
	for name, c := range map[string]struct {
		problem string
		slept   time.Duration
		calls   bool
	}{
		"reached": {"", time.Hour, false}, "not reached": {"no route", time.Hour, true},
		"nap": {"no route", mesh.SleepJump, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			enrolled(t, d)
			slept := time.Minute
			d.clock.slept = func() time.Duration { return slept }
			d.slept, d.shown.status.LastProblem = slept, c.problem
			slept += c.slept
			d.noticeSleep()
			d.noticeSleep() // once is enough
			if calls := slices.Equal(d.queue, []plan.Event{plan.CallDue{}}); calls != c.calls || !calls && len(d.queue) > 0 {
				t.Errorf("got %+v", d.queue)
			}
		})
	}
}
