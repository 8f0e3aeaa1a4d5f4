package origin

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/ocs"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/peer/lease"
	"enjambre/peer/next"
	"enjambre/server/internal/site"
	"enjambre/server/internal/store"
)

// caller is how the store knows an agent.
func (a *agent) caller() store.Caller {
	return store.Caller{Device: a.device, Key: seal.KeyIDOf(a.peer[:]).String()}
}

// oslo moves an agent's computer.
func (a *agent) oslo(in *store.Store) error {
	to := core.SiteName("oslo")
	return in.SetComputer(a.Context(), a.device, &to, nil)
}

// until asks until the answer is as it should be.
func (a *agent) until(what string, number core.PackageID, said next.Request, holds func(next.Answer) bool) {
	a.Helper()
	for deadline := time.Now().Add(patience); ; {
		answer, _ := a.ask(number, said)
		if holds(answer) {
			return
		}
		if time.Now().After(deadline) {
			a.Fatalf("%s: it stays %+v", what, answer)
		}
		time.Sleep(min(answer.RetryAfter, 100*time.Millisecond))
	}
}

func isSent(a next.Answer) bool { return a.Status == next.StatusFragment }

// TestLeft: who is no member of the site any more, whoever has changed that, is sent nothing further; what it was
// lent and what it held is the others', long before it would be overdue.
func TestLeft(t *testing.T) {
	const large = 8 << 20 // bytes, 42 s at the site's rate; overdue after four times that
	for name, c := range map[string]struct {
		leave  func(*agent, *store.Store) error
		status int // of what it asks then
	}{
		"revoked": {func(a *agent, in *store.Store) error { return in.Revoke(a.Context(), a.device, time.Now()) },
			http.StatusForbidden},
		"deleted": {func(a *agent, in *store.Store) error { return in.DeleteComputer(a.Context(), a.device, time.Now()) },
			http.StatusForbidden},
		"moved by hand": {(*agent).oslo, next.StatusFragment},
		"moved by a network": {func(a *agent, in *store.Store) error {
			err := in.SetSite(a.Context(), "oslo", func(one *site.Site) error {
				one.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
				return nil
			})
			if err != nil {
				return err
			}
			_, err = in.Contact(a.Context(), store.Call{
				Caller: a.caller(), Egress: netip.MustParseAddr("192.0.2.7"), Prolog: ocs.Prolog{Contact: ocs.ContactID{1}},
			}, time.Now())
			return err
		}, next.StatusFragment},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.policy = func(context.Context, core.SiteName) (lease.Policy, error) { return lease.Policy{Rate: 209_000}, nil }
			small, big := l.pack(7, 1, fragmentSize), l.pack(8, 1, large)
			first, second := l.agent(2, "lyon"), l.agent(3, "lyon")
			l.start()
			first.ask(7, want(0))
			first.ask(7, next.Request{Weight: 2, Acknowledged: []core.FragmentIndex{0}})
			ended := first.pullAll(8, want(0))
			for number, reason := range map[core.PackageID]string{7: "held", 8: "leased"} {
				if answer, _ := second.ask(number, want(0)); answer.Reason != reason {
					t.Fatalf("package %d, before: got %+v", number, answer)
				}
			}
			other, err := store.Open(t.Context(), l.data) // as another process has it
			check(t, err)
			check(t, c.leave(first, other))
			check(t, other.Close())
			left := time.Now()
			select {
			case err := <-ended:
				t.Logf("broken off %v after it left", time.Since(left))
				if err == nil {
					t.Error("it got everything")
				}
			case <-time.After(patience):
				t.Fatal("it is sent on")
			}
			got, hangUp := second.pull(8, want(0), 1, -1)
			if !isSent(got) {
				t.Errorf("what was lent to it: got %+v", got)
			}
			if answer, _ := second.ask(7, want(0)); !isSent(answer) {
				t.Errorf("what it held: got %+v", answer)
			}
			hangUp()
			response, err := first.client.Do(first.request(t.Context(), 7, want(0)))
			check(t, err)
			if response.StatusCode != c.status {
				t.Errorf("it asks again: got %s, want %d", response.Status, c.status)
			}
			check(t, response.Body.Close())
			if totals := l.totals(small); totals.First != fragmentSize || totals.Extra[lease.CauseOwnerLost] != fragmentSize {
				t.Errorf("of what it held: %+v", totals)
			}
			totals := l.totals(big)
			if lost := totals.Extra[lease.CauseOwnerLost]; lost == 0 || totals.Sent() != totals.First+lost {
				t.Errorf("of what it was lent: %+v", totals)
			}
		})
	}
}

// TestLeftUnseen: at a site where nothing goes on, who has left is forgotten by the next request.
func TestLeftUnseen(t *testing.T) {
	l := newLab(t)
	l.pack(7, 2, fragmentSize)
	first, second := l.agent(2, "lyon"), l.agent(3, "lyon")
	l.start()
	first.ask(7, want(0))
	first.ask(7, next.Request{Weight: 2, Acknowledged: []core.FragmentIndex{0}})
	check(t, l.store.Revoke(t.Context(), first.device, time.Now()))
	second.until("what it held", 7, want(0), isSent)
}

// A gate says where a caller is, and has one wait between that and what follows.
type gate struct {
	*store.Store
	device  core.DeviceID
	judged  chan struct{} // told when it is known, once
	proceed chan struct{}
}

func (g *gate) SiteOf(ctx context.Context, from store.Caller) (core.SiteName, error) {
	site, err := g.Store.SiteOf(ctx, from)
	if from.Device == g.device {
		select {
		case g.judged <- struct{}{}:
			<-g.proceed
		default:
		}
	}
	return site, err
}

// TestLeftWhileAsking: a request that was on its way when its member left does not bring it back.
func TestLeftWhileAsking(t *testing.T) {
	for name, c := range map[string]struct {
		leave  func(*agent, *store.Store) error
		status int
	}{
		"revoked": {func(a *agent, in *store.Store) error { return in.Revoke(a.Context(), a.device, time.Now()) },
			http.StatusForbidden},
		"moved": {(*agent).oslo, next.StatusFragment},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			p := l.pack(7, 2, fragmentSize)
			first, second := l.agent(2, "lyon"), l.agent(3, "lyon")
			gate := &gate{Store: l.store, judged: make(chan struct{}), proceed: make(chan struct{})}
			l.sites = gate
			l.start()
			first.ask(7, want(0))
			first.ask(7, next.Request{Weight: 2, Acknowledged: []core.FragmentIndex{0}})
			gate.device = first.device // nobody asks now
			answered := make(chan int, 1)
			go func() {
				response, err := first.client.Do(first.request(context.Background(), 7, want(1)))
				if err != nil {
					t.Error(err)
					answered <- 0
					return
				}
				answered <- response.StatusCode
				_ = response.Body.Close()
			}()
			<-gate.judged
			check(t, c.leave(first, l.store))
			second.until("what it held", 7, want(0), isSent)
			close(gate.proceed)
			if status := <-answered; status != c.status {
				t.Errorf("got %d, want %d", status, c.status)
			}
			if answer, _ := second.ask(7, want(1)); !isSent(answer) {
				t.Errorf("at the old site: got %+v", answer)
			}
			if totals := l.totals(p); totals.First != 2*fragmentSize || totals.Extra[lease.CauseOwnerLost] != fragmentSize {
				t.Errorf("at the old site: %+v", totals)
			}
		})
	}
}

// TestNobodyLeavesByMistake: a store that is slow, or does not answer, has said nothing of anybody.
func TestNobodyLeavesByMistake(t *testing.T) {
	l := newLab(t)
	p := l.pack(7, 2, fragmentSize)
	a := l.agent(2, "lyon")
	handler, err := New(Options{
		Store: l.store, Sites: l.store, Depot: l.depot, Folder: l.folder, Log: slog.New(slog.DiscardHandler),
		Verifier: identity.Verifier{Deployment: "lyon"},
	})
	check(t, err)
	k := newKeeper("lyon", &handler.options)
	check(t, k.begin(t.Context()))
	ask := func(ctx context.Context, peer id.Peer, judged time.Time) answer {
		one := &ask{id: 7, pack: p, judged: judged, answer: make(chan answer, 1), event: lease.MemberAsked{
			Member: peer, Package: p.InfoDigest, Acknowledged: []core.FragmentIndex{0},
		}}
		k.ask(ctx, one)
		return <-one.answer
	}
	stranger := id.Peer{1}
	begun := time.Now()
	ask(t.Context(), a.peer, begun)
	ask(t.Context(), stranger, begun)
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.refreshMembers(late); err == nil || len(k.site.Members()) != 2 {
		t.Errorf("without time: %v, and %d members", err, len(k.site.Members()))
	}
	k.lookedAt = time.Time{}
	if got := ask(late, a.peer, begun); got.action == nil || time.Since(k.lookedAt) > patience {
		t.Errorf("a request meanwhile: %+v", got)
	}
	check(t, k.refreshMembers(t.Context()))
	if members := k.site.Members(); len(members) != 1 || members[0] != a.peer {
		t.Errorf("who is not at the site stays: %v", members)
	}
	if got := ask(t.Context(), a.peer, begun); !got.isOld || got.action != nil {
		t.Errorf("what was judged before: %+v", got)
	}
	if got := ask(t.Context(), a.peer, time.Now()); got.isOld || got.action == nil {
		t.Errorf("what was judged after: %+v", got)
	}
	check(t, k.refreshMembers(t.Context()))
	if len(k.site.Members()) != 1 {
		t.Error("who is at the site has left")
	}
}
