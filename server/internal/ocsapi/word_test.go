package ocsapi

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/ticket"
	"enjambre/server/internal/site"
)

// online has the lab's handler sign with a key and hand out these public keys.
func (l *lab) online(key ed25519.PrivateKey, public ...ed25519.PublicKey) {
	handed := [][]byte{}
	for _, one := range public {
		handed = append(handed, one)
	}
	l.handler.words = newSigner("lyon", func() (ed25519.PrivateKey, [][]byte) { return key, handed })
}

func publicOf(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// verifier returns the one that an agent makes of a reply.
func verifier(swarm *ocs.Swarm) ticket.Verifier {
	v := ticket.Verifier{Deployment: "lyon", Site: swarm.Site}
	for _, key := range swarm.OnlineKeys {
		v.Keys = append(v.Keys, key)
	}
	return v
}

var listening = ocs.Prolog{Listen: netip.MustParseAddrPort("10.2.0.8:4001"), Weight: 4}

// TestTicket: a member is given words about itself and its site that hold by the keys of the same reply, also while
// the online key is replaced.
func TestTicket(t *testing.T) {
	l := newLab(t)
	l.enrolled(device, keyOf(5))
	l.online(keyOf(7), publicOf(keyOf(8)), publicOf(keyOf(7)))
	member := id.Peer(publicOf(keyOf(5)))
	got := l.from("10.2.0.8:999", device, keyOf(5), listening)
	if len(got.OnlineKeys) != 2 {
		t.Fatalf("got %d online keys", len(got.OnlineKeys))
	}
	said, err := verifier(got).Ticket(got.Ticket, member, now, 0)
	want := ticket.Ticket{Deployment: "lyon", Site: "lyon", Peer: member, Epoch: 1, Issued: now.UTC()}
	if err != nil || said != want {
		t.Errorf("ticket: got %+v, %v, want %+v", said, err, want)
	}
	epoch, err := verifier(got).Epoch(got.Epoch, now)
	if err != nil || epoch != (ticket.Epoch{Number: 1, Issued: now.UTC()}) {
		t.Errorf("epoch: got %+v, %v", epoch, err)
	}
	if _, err := verifier(got).Ticket(got.Ticket, id.Peer(publicOf(keyOf(6))), now, 0); err == nil {
		t.Error("the ticket is another's, too")
	}

	_, err = l.store.RotateKey(t.Context(), "lyon", now)
	check(t, err)
	got = l.from("10.2.0.8:999", device, keyOf(5), listening)
	said, err = verifier(got).Ticket(got.Ticket, member, now, 0)
	if err != nil || said.Epoch != 2 {
		t.Errorf("after news: ticket %+v, %v", said, err)
	}
	if epoch, err := verifier(got).Epoch(got.Epoch, now); err != nil || epoch.Number != 2 {
		t.Errorf("after news: epoch %+v, %v", epoch, err)
	}
}

// TestNoTicket: who is told less, and what.
func TestNoTicket(t *testing.T) {
	l := newLab(t)
	l.enrolled(device, keyOf(5))
	l.online(keyOf(7), publicOf(keyOf(7)))
	pace := func(value string) []ocs.Field { return []ocs.Field{{Name: ocs.PolicyPace, Value: value}} }
	expect := func(what string, got *ocs.Swarm, origin string, policy []ocs.Field) {
		t.Helper()
		if got.Ticket != nil || got.Epoch != nil || got.OnlineKeys != nil || got.Origin != origin ||
			!slices.Equal(got.Policy[1:], policy) {
			t.Errorf("%s: got %+v", what, got)
		}
	}
	expect("not listening", l.from("10.2.0.8:9", device, keyOf(5), ocs.Prolog{}), "example.com:443", pace("latency"))
	check(t, l.store.SetSite(t.Context(), "lyon", func(one *site.Site) error {
		one.Pace, one.Swarm = site.ByRate, false
		return nil
	}))
	expect("swarm off", l.from("10.2.0.8:9", device, keyOf(5), listening), "", nil)
	check(t, l.store.SetSite(t.Context(), "lyon", func(one *site.Site) error { one.Swarm = true; return nil }))
	l.online(nil)
	expect("without key", l.from("10.2.0.8:9", device, keyOf(5), listening), "example.com:443", pace("rate"))
	l.online(keyOf(7), publicOf(keyOf(7)))
	none := core.SiteName("")
	check(t, l.store.SetComputer(t.Context(), device, &none, nil))
	expect("a site of one", l.from("10.2.0.8:9", device, keyOf(5), listening), "", nil)
}

// TestEpochIsSignedNow: all who ask in a moment are given the same bytes, but never an old number, an old time or
// another key's signature.
func TestEpochIsSignedNow(t *testing.T) {
	s := newSigner("lyon", nil)
	sign := func(key byte, at core.SiteName, number uint64, later time.Duration) []byte {
		t.Helper()
		data, err := s.epoch(keyOf(key), at, number, now.Add(later))
		check(t, err)
		v := ticket.Verifier{Deployment: "lyon", Site: at, Keys: []ed25519.PublicKey{publicOf(keyOf(key))}}
		got, err := v.Epoch(data, now.Add(later))
		if err != nil || got.Number != number || got.Age(now.Add(later)) >= freshEpoch+time.Second {
			t.Fatalf("got %+v, %v", got, err)
		}
		return data
	}
	first := sign(1, "lyon", 1, 0)
	if again := sign(1, "lyon", 1, freshEpoch-1); !bytes.Equal(first, again) {
		t.Error("signed anew in a moment")
	}
	for name, other := range map[string][]byte{
		"later":            sign(1, "lyon", 1, freshEpoch),
		"another number":   sign(1, "lyon", 2, 0),
		"the older number": sign(1, "lyon", 1, -time.Second),
		"another key":      sign(2, "lyon", 1, 0),
		"another site":     sign(1, "paris", 1, 0),
	} {
		if bytes.Equal(first, other) {
			t.Errorf("%s: the same bytes", name)
		}
	}
	for i := range site.MaxSites + 1 {
		_, err := s.epoch(keyOf(1), core.SiteName(fmt.Sprint("s", i)), 1, now)
		check(t, err)
	}
	if len(s.epochs) > site.MaxSites {
		t.Errorf("%d epochs are kept", len(s.epochs))
	}
}

// TestOrigin: the server's address as an agent used it, and only an address.
func TestOrigin(t *testing.T) {
	long := string(bytes.Repeat([]byte("a"), maxHost))
	for host, want := range map[string]string{
		"deploy.example.net": "deploy.example.net:443", "deploy.example.net:8443": "deploy.example.net:8443",
		"192.0.2.1:1": "192.0.2.1:1", "[2001:db8::1]:8443": "[2001:db8::1]:8443", "[2001:db8::1]": "[2001:db8::1]:443",
		"127.0.0.1:8443": "127.0.0.1:8443", "PC_7:65535": "PC_7:65535", long: long + ":443",
		"": "", ":443": "", "a:0": "", "a:65536": "", "a:0443": "", "a:x": "", "a:": "", "a b:443": "", "a/b": "", "u@a": "",
		"[fe80::1]:443": "", "[fe80::1%eth0]:443": "", "0.0.0.0:443": "", "[::]:443": "", "[ff02::1]:443": "",
		"a:1:2": "", "\u00e9:443": "", long + "a": "", "a\"b:443": "",
	} {
		if got := originOf(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
	l := newLab(t)
	request := httptest.NewRequest("POST", Path, nil)
	request.Host = "deploy.example.net:8443"
	from, err := l.handler.callerOf(&ocs.Request{Device: device}, request)
	if err != nil || from.origin != "" {
		t.Errorf("a stock agent has origin %q, %v", from.origin, err)
	}
}

// TestEpochByProgress: whoever says how far it is hears what is new at its site, signed now.
func TestEpochByProgress(t *testing.T) {
	a := newAgentLab(t)
	tell := func() []byte { return a.say(ocs.Progress{}.Append(nil, device)) }
	if body := tell(); len(body) != 0 {
		t.Errorf("without online key: answered %q", body)
	}
	a.online(keyOf(7), publicOf(keyOf(7)))
	swarm := a.call(listening).Swarm
	epoch := func() ticket.Epoch {
		t.Helper()
		document, err := ocs.Decode(tell(), ocs.MaxMessage)
		check(t, err)
		reply, err := ocs.ParseProgressReply(document)
		check(t, err)
		epoch, err := verifier(swarm).Epoch(reply.Epoch, now)
		check(t, err)
		return epoch
	}
	known, err := verifier(swarm).Epoch(swarm.Epoch, now)
	if got := epoch(); err != nil || got != known {
		t.Errorf("got %+v, want %+v, %v", got, known, err)
	}
	a.affected(device)
	if got := epoch(); got.Number != known.Number+1 {
		t.Errorf("after news: got %+v, first %+v", got, known)
	}
	none := core.SiteName("")
	check(t, a.store.SetComputer(t.Context(), device, &none, nil))
	if body := tell(); len(body) != 0 {
		t.Errorf("a site of one: answered %q", body)
	}
}
