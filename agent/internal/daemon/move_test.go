package daemon

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/netip"
	"slices"
	"testing"
	"time"

	"enjambre/agent/internal/member"
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

// TestAwake: a computer that has slept calls its server as soon as it is awake, once; a nap is no sleep.
func TestAwake(t *testing.T) {
	d := newDaemon(t)
	enrolled(t, d)
	slept := time.Minute
	d.clock.slept = func() time.Duration { return slept }
	d.slept = slept
	slept += mesh.SleepJump
	if d.noticeSleep(); len(d.queue) > 0 {
		t.Errorf("after a nap: %+v", d.queue)
	}
	slept += time.Second
	d.noticeSleep()
	d.noticeSleep()
	if !slices.Equal(d.queue, []plan.Event{plan.Moved{}}) {
		t.Errorf("after a sleep: %+v", d.queue)
	}
}

// TestLocate: where another address leads to the server, members find the agent there, and the server is called; a while
// passes before it is looked at again. Where the same does, nothing happens.
func TestLocate(t *testing.T) {
	d := newDaemon(t)
	enrolled(t, d)
	m, err := member.New(member.Options{
		State: d.options.State, Vault: d.vault, Deployment: "test", Now: time.Now, Log: d.options.Log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan struct{})
	go func() { m.Run(ctx); close(running) }()
	defer func() { cancel(); <-running }()
	if at, _ := m.Listen(ctx, netip.MustParseAddr("127.0.0.2")); !at.IsValid() {
		t.Fatal(m.Status())
	}
	d.swarm.member = m
	for _, c := range []struct {
		want plan.Event
		rest time.Duration
	}{{plan.Moved{}, moveRest}, {nil, locateEvery}} {
		now := d.clock.now()
		d.locate(ctx)
		if _, wanted := d.locateDue(); wanted {
			t.Error("it is looked at twice at once")
		}
		if got := (<-d.answers)(); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
		if at, wanted := d.locateDue(); !wanted || at.Before(now.Add(c.rest)) || at.After(d.clock.now().Add(c.rest)) {
			t.Errorf("the next time is %v after, want %v", at.Sub(now), c.rest)
		}
		if at := m.At().Addr(); at != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("members find it at %v", at)
		}
	}
}
