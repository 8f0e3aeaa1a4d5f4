package ocsapi

import (
	"bytes"
	"crypto/x509"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

// An agentLab is a lab with one enrolled Linux computer, called device.
type agentLab struct {
	*lab
	certificate *x509.Certificate
}

func newAgentLab(t testing.TB) agentLab {
	t.Helper()
	l := newLab(t)
	key := keyOf(5)
	l.enrolled(device, key)
	a := agentLab{l, l.certified("lyon", device, key, now)}
	a.say(inventory(ocs.Field{Name: "OSNAME", Value: "Debian GNU/Linux"}))
	return a
}

// say posts as the enrolled agent and returns the body of a 200.
func (a agentLab) say(document []byte) []byte {
	a.Helper()
	answer := a.postAs(a.certificate, document)
	if answer.Code != http.StatusOK {
		a.Fatalf("got %d for %s", answer.Code, document)
	}
	return answer.Body.Bytes()
}

// ask sends a PROLOG as the enrolled agent, without a word on its contacts.
func (a agentLab) ask() ocs.PrologReply {
	a.Helper()
	return a.call(ocs.Prolog{})
}

// call sends a PROLOG as the enrolled agent.
func (a agentLab) call(prolog ocs.Prolog) ocs.PrologReply {
	a.Helper()
	document, err := ocs.Decode(a.say(prolog.Append(nil, device)), ocs.MaxMessage)
	check(a, err)
	reply, err := ocs.ParsePrologReply(document)
	check(a, err)
	return reply
}

// unaffect takes a package back from all computers.
func (a agentLab) unaffect(id core.PackageID) {
	a.Helper()
	_, err := a.store.Unaffect(a.Context(), store.Target{Package: id}, store.Selection{All: true},
		store.AffectOptions{}, now)
	check(a, err)
}

// TestSwarm: what enrolled agents are told, and stock agents are not.
func TestSwarm(t *testing.T) {
	a := newAgentLab(t)
	check(t, a.store.Set(t.Context(), "", setting.ContactSeconds, 60))
	id := a.affected(device)
	want := &ocs.Swarm{
		Site: "lyon", Origin: "example.com:443",
		Policy: []ocs.Field{{Name: ocs.PolicyContactSeconds, Value: "60"}, {Name: ocs.PolicyPace, Value: "latency"}},
		Infos: []ocs.InfoDigest{
			{Package: id, Digest: core.DigestOf([]byte(id.String())), Priority: 5, Ranked: true},
		},
	}
	if got := a.ask().Swarm; !cmp.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	check(t, a.store.Set(t.Context(), device, setting.ContactSeconds, 5))
	none := core.SiteName("")
	check(t, a.store.SetComputer(t.Context(), device, &none, nil))
	want.Site, want.Origin, want.Policy[0].Value, want.Policy = "", "", "5", want.Policy[:1]
	if got := a.ask().Swarm; !cmp.Equal(got, want) {
		t.Errorf("without site, every 5 s: got %+v, want %+v", got, want)
	}
	check(t, a.store.Set(t.Context(), "", setting.Frequency, -1))
	want.Infos = nil
	if got := a.ask(); got.Download != nil || !cmp.Equal(got.Swarm, want) {
		t.Errorf("with FREQUENCY -1: got %+v, want %+v", got, want)
	}
	stock := ocs.Encode(ocs.AppendProlog(nil, "pc9-2026-01-31-08-00-00"))
	answer, err := ocs.Decode(a.post(stock, unixAgent).Body.Bytes(), ocs.MaxMessage)
	if err != nil || bytes.Contains(answer, []byte("SWARM")) || !bytes.Contains(answer, []byte("RESPONSE")) {
		t.Errorf("a stock agent was answered %s, %v", answer, err)
	}
}

// TestTakenBack: what was unaffected is not in the agent's next reply (T56), and a result that comes all the
// same is acknowledged and kept.
func TestTakenBack(t *testing.T) {
	a := newAgentLab(t)
	first, second := a.affected(device), a.affected(device)
	if got := a.ask(); len(got.Download.Packs) != 2 || len(got.Swarm.Infos) != 2 {
		t.Fatalf("got %+v", got)
	}
	a.unaffect(first)
	got := a.ask()
	if len(got.Download.Packs) != 1 || got.Download.Packs[0].ID != second || len(got.Swarm.Infos) != 1 {
		t.Errorf("after unaffect: got %+v", got)
	}
	if body := a.say(ocs.Result{Package: first, Text: "SUCCESS_0", Exit: "0"}.Append(nil, device)); len(body) != 0 {
		t.Errorf("the late result is answered %q", body)
	}
	view, err := a.store.Computer(t.Context(), device)
	check(t, err)
	if len(view.Results) != 1 || view.Results[0].Package != first || view.Results[0].Text != "SUCCESS_0" ||
		len(view.Affectations) != 1 {
		t.Errorf("got results %+v of affectations %+v", view.Results, view.Affectations)
	}
}

// TestProgress: an enrolled agent's progress is noted in bulk, a malformed one refused.
func TestProgress(t *testing.T) {
	a := newAgentLab(t)
	id := a.affected(device)
	a.ask()
	<-a.touches
	told := ocs.Progress{Packages: []ocs.PackageProgress{
		{Package: id, Phase: ocs.Downloading, Have: 120, Of: 400, Problem: "origin: 503"},
		{Package: id + 1, Phase: ocs.Installing}, // not affected
	}}
	if body := a.say(told.Append(nil, device)); len(body) != 0 {
		t.Errorf("answered %q", body)
	}
	want := store.Touch{Device: device, At: now, Progress: told.Packages[:1]}
	if got := <-a.touches; !cmp.Equal(got, want, cmpopts.EquateComparable(netip.AddrPort{})) {
		t.Errorf("noted %+v, want %+v", got, want)
	}
	bad := []byte(`<REQUEST DEVICEID="` + string(device) + `" QUERY="PROGRESS"><PACKAGE ID="1" PHASE="DONE"/></REQUEST>`)
	if got := a.postAs(a.certificate, bad); got.Code != http.StatusBadRequest || len(a.touches) != 0 {
		t.Errorf("an unknown phase: got %d, %d noted", got.Code, len(a.touches))
	}
}

// TestClonedAgents is R50: two computers with one identity. One goes on, the other is told and given
// nothing, until an administrator decides otherwise or it has enrolled anew.
func TestClonedAgents(t *testing.T) {
	a := newAgentLab(t)
	id := a.affected(device)
	contacts := byte(0)
	type copied struct{ last ocs.ContactID }
	call := func(one *copied) ocs.PrologReply {
		t.Helper()
		contacts++
		next := ocs.ContactID{contacts}
		reply := a.call(ocs.Prolog{Contact: next, Last: one.last})
		one.last = next
		for len(a.touches) > 0 {
			check(t, a.store.Touch(t.Context(), []store.Touch{<-a.touches}))
		}
		return reply
	}
	first := &copied{}
	call(first)
	second := &copied{first.last} // the image
	for round := 0; !call(first).Cloned && !call(second).Cloned; round++ {
		if round == 5 {
			t.Fatal("both go on")
		}
	}
	kept, other := first, second
	if call(first).Cloned {
		kept, other = second, first
	}
	for range 3 {
		if got := call(kept); got.Cloned || len(got.Download.Packs) != 1 || got.Download.Packs[0].ID != id {
			t.Fatalf("the kept one: got %+v", got)
		}
		got := call(other)
		if !got.Cloned || got.Response != ocs.Stop || got.Download != nil || got.Swarm != nil ||
			!strings.Contains(got.Reason, "must enrol again") {
			t.Fatalf("the other: got %+v", got)
		}
	}
	agents, err := a.store.Agents(t.Context())
	check(t, err)
	if !agents[0].Cloned.Equal(now) || !agents[0].CloneCalled.Equal(now) {
		t.Errorf("agent list: got %+v", agents[0])
	}
	if got := a.ask(); got.Cloned || len(got.Download.Packs) != 1 {
		t.Errorf("an agent that names no contact: got %+v", got)
	}
	since, err := a.store.KeepNext(t.Context(), device)
	if err != nil || !since.Equal(now) {
		t.Errorf("keep: got %v, %v", since, err)
	}
	if got := call(other); got.Cloned || len(got.Download.Packs) != 1 {
		t.Errorf("the one that is to be kept now: got %+v", got)
	}
	if agents, err = a.store.Agents(t.Context()); err != nil || !agents[0].Cloned.IsZero() {
		t.Errorf("agent list: got %+v, %v", agents[0], err)
	}
}

// TestContactsOfStockAgents: what a stock agent says by the same names means nothing.
func TestContactsOfStockAgents(t *testing.T) {
	l := newLab(t)
	for _, attributes := range []string{`CONTACT="x"`, `LAST="y"`} {
		document := []byte(`<REQUEST DEVICEID="` + string(device) + `" QUERY="PROLOG" ` + attributes + `/>`)
		if got := l.post(ocs.Encode(document), unixAgent); got.Code != http.StatusOK {
			t.Errorf("%s: got %d", attributes, got.Code)
		}
	}
	a := newAgentLab(t)
	bad := []byte(`<REQUEST DEVICEID="` + string(device) + `" QUERY="PROLOG" CONTACT="x"/>`)
	if got := a.postAs(a.certificate, bad); got.Code != http.StatusBadRequest {
		t.Errorf("an enrolled agent's CONTACT x: got %d", got.Code)
	}
}

// TestAuthorities: an agent that trusts something else than it should is told all that it should, and its
// word is noted.
func TestAuthorities(t *testing.T) {
	a := newAgentLab(t)
	set := [][]byte{{0x30, 1}, {0x30, 2}}
	a.handler.trust = func() ([][]byte, core.Digest) { return set, ocs.TrustDigest(set) }
	for name, c := range map[string]struct {
		trusts core.Digest
		want   [][]byte
	}{
		"it does not say": {core.Digest{}, nil},
		"something else":  {ocs.TrustDigest(set[:1]), set},
		"what it should":  {ocs.TrustDigest(set), nil},
	} {
		reply := a.call(ocs.Prolog{Trusts: c.trusts})
		if touch := <-a.touches; touch.Prolog.Trusts != c.trusts || !cmp.Equal(reply.Swarm.Authorities, c.want) {
			t.Errorf("%s: got %v, noted %v", name, reply.Swarm.Authorities, touch.Prolog.Trusts)
		}
	}
}
