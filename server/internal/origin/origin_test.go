package origin

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
	"enjambre/peer/next"
)

const fragmentSize = 64 << 10

func TestTwoAgents(t *testing.T) {
	l := newLab(t)
	p := l.pack(7, 4, fragmentSize)
	first, second := l.agent(2, "lyon"), l.agent(3, "lyon")
	l.start()
	var group sync.WaitGroup
	var got [2]next.Answer
	for i, a := range []*agent{first, second} {
		group.Go(func() {
			answer, body, err := a.try(7, want(0, 1))
			if err != nil || answer.Status != next.StatusFragment ||
				!bytes.Equal(body, content(answer.Fragment, fragmentSize)) {
				t.Errorf("agent %d: %+v, %v", i, answer, err)
			}
			got[i] = answer
		})
	}
	group.Wait()
	if got[0].Fragment == got[1].Fragment {
		t.Errorf("fragment %d was sent twice", got[0].Fragment)
	}
	answer, _ := first.ask(7, want(got[1].Fragment))
	if answer.Status != next.StatusRefused || answer.Reason != "leased" || answer.RetryAfter < next.MinRetry {
		t.Errorf("what is leased to another: got %+v", answer)
	}
	// The second acknowledges: now it is a holder.
	said := next.Request{Weight: 2, Acknowledged: []core.FragmentIndex{got[1].Fragment}}
	if answer, _ := second.ask(7, said); answer.Status != next.StatusComplete {
		t.Errorf("acknowledgement: got %+v", answer)
	}
	answer, _ = first.ask(7, want(got[1].Fragment))
	if answer.Status != next.StatusRefused || answer.Holder != second.peer || answer.Fragment != got[1].Fragment {
		t.Errorf("what another holds: got %+v", answer)
	}
	// The first complains: no other is known, so it gets the fragment, which then counts as extra.
	complaint := want(got[1].Fragment)
	complaint.Failed = []next.Complaint{{Fragment: got[1].Fragment, Holder: second.peer}}
	if answer, _ := first.ask(7, complaint); answer.Status != next.StatusFragment || answer.Fragment != got[1].Fragment {
		t.Errorf("after a complaint: got %+v", answer)
	}
	totals := l.totals(p)
	if totals.First != 2*fragmentSize || totals.Extra[lease.CauseOwnerLost] != fragmentSize {
		t.Errorf("totals: got %+v", totals)
	}
	if answer, _ := second.ask(7, next.Request{Weight: 2}); answer.Sent != totals.Sent() {
		t.Errorf("%d bytes are said to have been sent, want %d", answer.Sent, totals.Sent())
	}
}

// TestIsland: who is cut off from its site is sent what others hold, and costs them nothing.
func TestIsland(t *testing.T) {
	l := newLab(t)
	p := l.pack(7, 2, fragmentSize)
	holder, other, cutOff := l.agent(2, "lyon"), l.agent(3, "lyon"), l.agent(4, "lyon")
	l.start()
	answer, _ := holder.ask(7, want(0))
	holder.ask(7, next.Request{Weight: 2, Acknowledged: []core.FragmentIndex{answer.Fragment}})
	for _, a := range []*agent{other, cutOff} {
		if answer, _ := a.ask(7, want(0)); answer.Status != next.StatusRefused || answer.Holder != holder.peer {
			t.Errorf("before: got %+v", answer)
		}
	}
	alone := want(0)
	alone.CutOff = true
	if answer, _ := cutOff.ask(7, alone); answer.Status != next.StatusFragment {
		t.Errorf("alone: got %+v", answer)
	}
	if answer, _ := other.ask(7, want(0)); answer.Status != next.StatusRefused {
		t.Errorf("the other: got %+v", answer)
	}
	if totals := l.totals(p); totals.Extra[lease.CauseNoPeers] != fragmentSize || totals.Sent() != 2*fragmentSize {
		t.Errorf("totals: got %+v", totals)
	}
}

// TestDelivery: six agents get forty fragments, each of which is sent once.
func TestDelivery(t *testing.T) {
	const fragments, agents = 40, 6
	l := newLab(t)
	p := l.pack(7, fragments, fragmentSize)
	all := make([]*agent, agents)
	for i := range all {
		all[i] = l.agent(byte(i+2), "lyon")
	}
	l.start()
	var mu sync.Mutex
	sent := map[core.FragmentIndex]int{}
	var group sync.WaitGroup
	for i, a := range all {
		group.Go(func() { // it takes what others hold as a neighbour would, without us
			random := rand.New(rand.NewPCG(1, uint64(i)))
			missing := map[core.FragmentIndex]bool{}
			for index := range core.FragmentIndex(fragments) {
				missing[index] = true
			}
			var news []core.FragmentIndex
			for deadline := time.Now().Add(patience); len(missing) > 0 && time.Now().Before(deadline); {
				said := next.Request{Weight: 2, Acknowledged: news}
				for index := range missing {
					said.Want = append(said.Want, index)
				}
				random.Shuffle(len(said.Want), func(i, j int) {
					said.Want[i], said.Want[j] = said.Want[j], said.Want[i]
				})
				answer, body, err := a.try(7, said)
				news = nil
				switch {
				case err != nil:
					t.Errorf("agent %d: %v", i, err)
					return
				case answer.Status == next.StatusFragment:
					if !bytes.Equal(body, content(answer.Fragment, fragmentSize)) {
						t.Errorf("fragment %d has wrong bytes", answer.Fragment)
					}
					mu.Lock()
					sent[answer.Fragment]++
					mu.Unlock()
					delete(missing, answer.Fragment)
					news = []core.FragmentIndex{answer.Fragment}
				case answer.Reason == "held":
					delete(missing, answer.Fragment)
					news = []core.FragmentIndex{answer.Fragment}
				}
			}
			if len(missing) > 0 {
				t.Errorf("agent %d lacks %d fragments", i, len(missing))
			}
		})
	}
	group.Wait()
	for index, times := range sent {
		if times != 1 {
			t.Errorf("fragment %d was sent %d times", index, times)
		}
	}
	totals := l.totals(p)
	if totals.Sent() != p.ArchiveSize || totals.First != p.ArchiveSize {
		t.Errorf("R = %.3f, want 1: %+v", float64(totals.Sent())/float64(p.ArchiveSize), totals)
	}
}

// TestHangUp: who hangs up frees its fragment, and who stops reading too.
func TestHangUp(t *testing.T) {
	const large = 8 << 20 // more than the sockets take
	for _, c := range []struct {
		name         string
		major, bytes int // of HTTP; that the line delivers, -1 for all
		hang         bool
		cause        lease.Cause
	}{
		{"hangs up", 1, -1, true, lease.CauseBroken},
		{"hangs up in HTTP/2", 2, -1, true, lease.CauseBroken},
		{"stops reading", 1, -1, false, lease.CauseTimeout},
		{"stops reading in HTTP/2", 2, -1, false, lease.CauseTimeout},
		{"has a dead line in HTTP/2", 2, 1 << 20, false, lease.CauseTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			p := l.pack(7, 1, large)
			first, second := l.agent(2, "lyon"), l.agent(3, "lyon")
			l.start()
			got, hangUp := first.pull(7, want(0), c.major, c.bytes)
			if got.Status != next.StatusFragment || got.Length != large {
				t.Fatalf("got %+v", got)
			}
			if answer, _ := second.ask(7, want(0)); answer.Reason != "leased" {
				t.Fatalf("while it is sent: got %+v", answer)
			}
			if c.hang {
				hangUp()
			}
			var answer next.Answer
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
				if answer, _ = second.ask(7, want(0)); answer.Status == next.StatusFragment {
					break
				}
				time.Sleep(min(answer.RetryAfter, time.Second)) // as it was told
			}
			if answer.Status != next.StatusFragment {
				t.Fatalf("the fragment does not become free: %+v", answer)
			}
			totals := l.totals(p)
			if totals.First != large || totals.Extra[c.cause] == 0 || totals.Extra[c.cause] != totals.Sent()-large {
				t.Errorf("totals: got %+v", totals)
			}
		})
	}
}

// TestWaiterLeaves: a request that waits for a slot and leaves takes none.
func TestWaiterLeaves(t *testing.T) {
	l := newLab(t)
	l.policy = func(context.Context, core.SiteName) (lease.Policy, error) { return lease.Policy{Fetchers: 1}, nil }
	l.pack(7, 3, 8<<20)
	first, second, third := l.agent(2, "lyon"), l.agent(3, "lyon"), l.agent(4, "lyon")
	l.start()
	_, hangUp := first.pull(7, want(0), 1, -1)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if r, err := second.client.Do(second.request(ctx, 7, want(1))); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %+v, %v", r, err)
	}
	hangUp()
	if answer, _ := third.ask(7, want(1)); answer.Status != next.StatusFragment {
		t.Errorf("got %+v", answer)
	}
}

// TestRate: a body is paced at the site's rate.
func TestRate(t *testing.T) {
	l := newLab(t)
	l.policy = func(context.Context, core.SiteName) (lease.Policy, error) { return lease.Policy{Rate: 209_000}, nil }
	l.pack(7, 1, 200_000)
	a := l.agent(2, "lyon")
	l.start()
	start := time.Now()
	if answer, _ := a.ask(7, want(0)); answer.Status != next.StatusFragment {
		t.Fatalf("got %+v", answer)
	}
	if took := time.Since(start); took < 850*time.Millisecond {
		t.Errorf("200,000 bytes at 200,000 a second took %v", took)
	}
}

// TestRestart: the ledger, with a torn end, keeps what was sent and who holds it.
func TestRestart(t *testing.T) {
	l := newLab(t)
	p := l.pack(7, 2, fragmentSize)
	first, second := l.agent(2, "lyon"), l.agent(3, "lyon")
	l.start()
	first.ask(7, want(0))
	first.ask(7, next.Request{Weight: 2, Acknowledged: []core.FragmentIndex{0}})
	before := l.totals(p)
	l.stop()
	tear(t, l)
	start := time.Now()
	l.start()
	if after := l.totals(p); after != before || after.First != fragmentSize {
		t.Errorf("totals: got %+v, want %+v", after, before)
	}
	if answer, _ := second.ask(7, want(0)); answer.Holder != first.peer {
		t.Errorf("what was acknowledged before: got %+v", answer)
	}
	if answer, _ := second.ask(7, want(1)); answer.Status != next.StatusFragment || time.Since(start) < 9*time.Second {
		t.Errorf("in the quiet time of 10 s: got %+v after %v", answer, time.Since(start))
	}
	if after := l.totals(p); after.First != 2*fragmentSize || after.Sent() != after.First {
		t.Errorf("totals: got %+v", after)
	}
}

// TestEnded: after Run, requests are answered.
func TestEnded(t *testing.T) {
	l := newLab(t)
	l.pack(7, 2, fragmentSize)
	a, other := l.agent(2, "lyon"), l.agent(3, "oslo")
	l.start()
	a.ask(7, want(0))
	l.cancel()
	for _, one := range []*agent{a, other} {
		if answer, _ := one.ask(7, want(1)); answer.Status != next.StatusBusy {
			t.Errorf("got %+v", answer)
		}
	}
}

func TestDeleted(t *testing.T) {
	l := newLab(t)
	l.pack(7, 2, fragmentSize)
	a := l.agent(2, "lyon")
	l.start()
	a.ask(7, want(0))
	check(t, l.store.DeletePackage(t.Context(), 7))
	for _, number := range []core.PackageID{7, 8} {
		if answer, _ := a.ask(number, want(1)); answer.Status != next.StatusGone {
			t.Errorf("package %d: got %+v", number, answer)
		}
	}
}

// TestAlone: a computer without a site gets what it asks for.
func TestAlone(t *testing.T) {
	l := newLab(t)
	l.pack(7, 2, fragmentSize)
	agents := []*agent{l.agent(2, ""), l.agent(3, "")}
	l.start()
	for _, a := range agents {
		said := want(1)
		said.Resume = next.Resume{Fragment: 1, From: 60_000}
		answer, body := a.ask(7, said)
		if answer.From != 60_000 || !bytes.Equal(body, content(1, fragmentSize)[60_000:]) {
			t.Errorf("got %+v and %d bytes", answer, len(body))
		}
		if answer, _ := a.ask(7, want()); answer.Status != next.StatusComplete {
			t.Errorf("got %+v", answer)
		}
		if answer, _ := a.ask(9, want(1)); answer.Status != next.StatusGone {
			t.Errorf("got %+v", answer)
		}
	}
}

func TestRefused(t *testing.T) {
	l := newLab(t)
	l.pack(7, 2, fragmentSize)
	good, revoked := l.agent(2, "lyon"), l.agent(3, "lyon")
	check(t, l.store.Revoke(t.Context(), revoked.device, time.Now()))
	l.start()
	nobody := &agent{lab: l, client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}}
	t.Cleanup(nobody.client.CloseIdleConnections)
	have := next.Request{Weight: 2, Have: []byte{0xff}}
	cases := []struct {
		name    string
		agent   *agent
		request *http.Request
		status  int
	}{
		{"without certificate", nobody, good.request(t.Context(), 7, want(0)), http.StatusForbidden},
		{"revoked", revoked, good.request(t.Context(), 7, want(0)), http.StatusForbidden},
		{"bitmap of another size", good, good.request(t.Context(), 7, have), http.StatusBadRequest},
		{"head", good, good.request(t.Context(), 7, want(0)), http.StatusMethodNotAllowed},
		{"no weight", good, good.request(t.Context(), 7, want(0)), http.StatusBadRequest},
		{"complaint about nobody", good, good.request(t.Context(), 7, want(0)), http.StatusBadRequest},
	}
	cases[3].request.Method = http.MethodHead
	cases[4].request.Header.Del("Enjambre-Weight")
	cases[5].request.Header.Set("Enjambre-Failed", "1:x:lost")
	for _, c := range cases {
		response, err := c.agent.client.Do(c.request)
		check(t, err)
		if response.StatusCode != c.status {
			t.Errorf("%s: got %s, want %d", c.name, response.Status, c.status)
		}
		check(t, response.Body.Close())
	}
	recorder := httptest.NewRecorder()
	l.server.Config.Handler.ServeHTTP(recorder, good.request(t.Context(), 7, want(0)))
	if recorder.Code != http.StatusForbidden || !strings.Contains(recorder.Body.String(), "HTTPS") {
		t.Errorf("in the clear: got %d %s", recorder.Code, recorder.Body)
	}
}
