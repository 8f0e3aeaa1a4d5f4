package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/server/internal/site"
)

// A listener is an enrolled agent that takes part in its site's swarm.
type listener struct {
	Caller
	peer   id.Peer
	prolog ocs.Prolog
}

// contactSeconds is how often listeners call.
const contactSeconds = 60

// listener enrols an agent at a site and lets it call once.
func (f fixture) listener(number byte, at core.SiteName) listener {
	f.Helper()
	name := fmt.Sprint("m", number)
	public := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	peer, err := id.FromKey(public)
	f.check(err)
	f.check(f.AddToken(f.ctx(), name, Token{Site: at, Uses: 1, Expires: now.Add(time.Hour)}, now))
	_, err = f.Enrol(f.ctx(), Enrolment{Token: name, Device: device(name), Key: seal.KeyIDOf(public), Certified: now}, now)
	f.check(err)
	l := listener{Caller{device(name), seal.KeyIDOf(public).String()}, peer, ocs.Prolog{
		Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, number}), 4001), Weight: 2}}
	f.listens(l, now)
	return l
}

// listens makes a listener's contact, as the running server does.
func (f fixture) listens(l listener, at time.Time) Contact {
	f.Helper()
	contact, err := f.Contact(f.ctx(), Call{Caller: l.Caller, Prolog: l.prolog}, at)
	f.check(err)
	f.check(f.Touch(f.ctx(), []Touch{{Device: l.Device, At: at, Prolog: l.prolog, Peer: l.peer,
		Again: contactSeconds * time.Second}}))
	return contact
}

// known are the members that a contact names, by the last digit of their address.
func known(contact Contact) (numbers []int) {
	for _, one := range contact.Members {
		address := one.Address.Addr().As4()
		numbers = append(numbers, int(address[3]))
	}
	slices.Sort(numbers)
	return numbers
}

// TestMembers: who is handed out to whom.
func TestMembers(t *testing.T) {
	f := newFixture(t)
	one, two, three := f.listener(1, "lyon"), f.listener(2, "lyon"), f.listener(3, "lyon")
	elsewhere := f.listener(4, "paris")
	got := f.listens(one, now)
	f.want("without itself and other sites'", known(got), "[2 3]")
	for _, member := range got.Members {
		if member.Address == two.prolog.Listen && member.ID != two.peer.String() {
			t.Errorf("the member at %s is called %s, want %s", member.Address, member.ID, two.peer)
		}
	}
	f.want("alone at its site", known(f.listens(elsewhere, now)), "[]")
	silent := one
	silent.prolog = ocs.Prolog{}
	contact, err := f.Contact(f.ctx(), Call{Caller: silent.Caller}, now)
	f.check(err)
	f.want("to one that does not listen", []int{len(contact.Members), len(contact.Keys)}, "[0 0]")

	late := now.Add(2*contactSeconds*time.Second + memberGrace)
	f.listens(three, now.Add(time.Second))
	f.want("until two contacts are missed", known(f.listens(one, late.Add(-time.Second))), "[2 3]")
	f.want("and no longer", known(f.listens(one, late)), "[3]")
	f.listens(two, late)
	f.listens(three, late)

	f.check(f.SetSite(f.ctx(), "lyon", func(one *site.Site) error { one.Swarm = false; return nil }))
	contact = f.listens(one, late)
	f.want("with the swarm off", []int{len(contact.Members), len(contact.Keys)}, "[0 0]")
	f.check(f.SetSite(f.ctx(), "lyon", func(one *site.Site) error { one.Swarm = true; return nil }))

	f.check(f.Revoke(f.ctx(), two.Device, late))
	f.want("not a revoked one", known(f.listens(one, late)), "[3]")
	quiet := three
	quiet.prolog = ocs.Prolog{Contact: ocs.ContactID{1}}
	f.listens(quiet, late)
	f.want("not one that listens no more", known(f.listens(one, late)), "[]")
	f.listens(three, late)
	to := core.SiteName("paris")
	f.check(f.SetComputer(f.ctx(), three.Device, &to, nil))
	f.want("not one that went", known(f.listens(one, late)), "[]")
	f.want("but where it went", known(f.listens(elsewhere, late)), "[3]")
	view, err := f.Computer(f.ctx(), three.Device)
	f.check(err)
	for agent, want := range map[*listener][2]string{
		&one: {"10.0.0.1:4001", "invalid AddrPort"}, &three: {"invalid AddrPort", "10.0.0.3:4001"},
		&two: {"invalid AddrPort", "invalid AddrPort"},
	} {
		for i, at := range []core.SiteName{"lyon", "paris"} {
			listen, err := f.ListenOf(f.ctx(), at, agent.Key, late)
			f.check(err)
			f.want("listens at "+string(at), listen, want[i])
		}
	}
	f.want("shown", []any{view.Place.Listen, view.Place.Weight}, "[10.0.0.3:4001 2]")
	sites, err := f.Sites(f.ctx(), late)
	f.check(err)
	f.want("counted", []int{sites[0].Members, sites[0].Agents, sites[0].Computers, sites[1].Members}, "[1 1 2 2]")
}

// TestClonedMember: an identity that is on several computers is nobody to join.
func TestClonedMember(t *testing.T) {
	f := newFixture(t)
	one, two := f.listener(1, "lyon"), f.listener(2, "lyon")
	call := func(contact, last byte) {
		two.prolog.Contact, two.prolog.Last = ocs.ContactID{contact}, ocs.ContactID{last}
		f.listens(two, now)
	}
	call(1, 0)
	call(2, 1)
	f.want("before", known(f.listens(one, now)), "[2]")
	call(3, 2)
	call(4, 2) // the copy, from the same place
	call(5, 3)
	call(6, 4)
	call(7, 5)
	call(8, 6)
	agents, err := f.Agents(f.ctx())
	f.check(err)
	if agents[1].Cloned.IsZero() {
		t.Fatal("the copy is not found out")
	}
	f.want("cloned", known(f.listens(one, now)), "[]")
}

// TestLateTouch: what an agent said before its computer enrolled anew is not taken for the new agent's word.
func TestLateTouch(t *testing.T) {
	f := newFixture(t)
	one, two := f.listener(1, "lyon"), f.listener(2, "lyon")
	f.check(f.Revoke(f.ctx(), two.Device, now))
	f.check(f.AddToken(f.ctx(), "again", Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)}, now))
	_, err := f.Enrol(f.ctx(), Enrolment{Token: "again", Device: two.Device, Key: seal.KeyID{5}, Certified: now}, now)
	f.check(err)
	f.want("forgotten by the new enrolment", known(f.listens(one, now)), "[]")
	f.check(f.Touch(f.ctx(), []Touch{{Device: two.Device, At: now, Prolog: two.prolog, Peer: two.peer, Again: time.Hour}}))
	f.want("the former key's", known(f.listens(one, now)), "[]")
}

// TestManyMembers: of many, each contact names handedOut, different ones, and all of them in the end.
func TestManyMembers(t *testing.T) {
	f := newFixture(t)
	var all []listener
	for i := range 20 {
		all = append(all, f.listener(byte(i+1), "lyon"))
	}
	seen := map[int]bool{}
	for range 200 {
		numbers := known(f.listens(all[0], now))
		if len(numbers) != handedOut || len(slices.Compact(numbers)) != handedOut || slices.Contains(numbers, 1) {
			t.Fatalf("got %v", numbers)
		}
		for _, number := range numbers {
			seen[number] = true
		}
	}
	f.want("seen", len(seen), 19)
	var plan []string
	f.check(f.view(f.ctx(), func(tx *transaction) error {
		return each(f.ctx(), tx, func(scan func(...any) error) error {
			var a, b, c int
			var text string
			err := scan(&a, &b, &c, &text)
			plan = append(plan, text)
			return err
		}, "EXPLAIN QUERY PLAN "+selectMembersFrom, 1, "lyon", 1, 1, 5)
	}))
	const indexed = "USING INDEX members (judged_site=? AND listen_order>?)"
	if text := strings.Join(plan, "; "); !strings.Contains(text, indexed) ||
		strings.Contains(text, "TEMP") {
		t.Errorf("members are found by %s", text)
	}
}

// TestGossipKeys: a key is made when it is needed, handed out to its site only, replaced when asked for and
// when an agent must forget it; the former one is handed out for a day.
func TestGossipKeys(t *testing.T) {
	f := newFixture(t)
	count := func() (keys int) {
		f.check(f.read.QueryRowContext(f.ctx(), "SELECT count(*) FROM site_keys").Scan(&keys))
		return keys
	}
	f.enrolled("silent")
	f.want("before anybody needs one", count(), 0)
	one, two, other := f.listener(1, "lyon"), f.listener(2, "lyon"), f.listener(3, "paris")
	first := f.listens(one, now).Keys
	if len(first) != 1 || first[0].Epoch != 1 || len(first[0].Key) != keyBytes {
		t.Fatalf("got %+v", first)
	}
	f.want("the same for all of a site", f.listens(two, now).Keys, first)
	if bytes.Equal(f.listens(other, now).Keys[0].Key, first[0].Key) {
		t.Error("two sites have one key")
	}
	epoch, err := f.RotateKey(f.ctx(), "lyon", now)
	f.check(err)
	second := f.listens(one, now).Keys
	if epoch != 2 || len(second) != 2 || second[0].Epoch != 2 || bytes.Equal(second[0].Key, first[0].Key) ||
		fmt.Sprint(second[1]) != fmt.Sprint(first[0]) {
		t.Errorf("rotated to %d: got %+v after %+v", epoch, second, first)
	}
	f.want("the former for a day", len(f.listens(one, now.Add(formerKeys-time.Second)).Keys), 2)
	day := now.Add(formerKeys)
	f.want("and no longer", f.listens(one, day).Keys, second[:1])
	f.check(f.Revoke(f.ctx(), two.Device, day))
	third := f.listens(one, day).Keys
	f.want("after a revocation", []int{third[0].Epoch, third[1].Epoch, len(third)}, "[3 2 2]")
	f.want("elsewhere", f.listens(other, day).Keys[0].Epoch, 1)
	f.check(f.DeleteComputer(f.ctx(), device("silent"), day))
	f.want("after an agent was deleted", f.listens(one, day).Keys[0].Epoch, 4)
	for range 2 * ocs.MaxKeys {
		_, err := f.RotateKey(f.ctx(), "lyon", day)
		f.check(err)
	}
	f.want("at most", len(f.listens(one, day).Keys), ocs.MaxKeys)
	view, err := f.Site(f.ctx(), "lyon", day)
	f.check(err)
	f.want("shown", []any{view.KeyEpoch, view.KeyMade}, []any{4 + 2*ocs.MaxKeys, day})
	_, err = f.Tidy(f.ctx(), 0, day.Add(formerKeys))
	f.check(err)
	f.want("tidied", []any{count(), len(f.listens(one, day.Add(formerKeys)).Keys)}, "[2 1]")
	var listening int
	f.check(f.read.QueryRowContext(f.ctx(), "SELECT count(*) FROM computers WHERE listen <> ''").Scan(&listening))
	f.want("listening, of those that called lately", listening, 1)
}

// TestKeyMadeOnce: of several agents that need the first key at once, through two processes, all get one.
func TestKeyMadeOnce(t *testing.T) {
	folder := t.TempDir()
	if err := Create(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	f := fixture{t, reopened(t, folder)}
	handles := []*Store{f.Store, reopened(t, folder)}
	f.check(f.SetSite(f.ctx(), "lyon", func(one *site.Site) error { one.Swarm = false; return nil }))
	one := f.listener(1, "lyon")
	f.check(f.SetSite(f.ctx(), "lyon", func(one *site.Site) error { one.Swarm = true; return nil }))
	type got struct {
		keys []ocs.GossipKey
		err  error
	}
	results := make(chan got)
	for i := range 8 {
		go func() {
			contact, err := handles[i%2].Contact(f.ctx(), Call{Caller: one.Caller, Prolog: one.prolog}, now)
			results <- got{contact.Keys, err}
		}()
	}
	var keys []string
	for range 8 {
		one := <-results
		f.check(one.err)
		keys = append(keys, fmt.Sprint(one.keys))
	}
	if len(slices.Compact(keys)) != 1 || !strings.Contains(keys[0], "{1 ") {
		t.Errorf("got %v", keys)
	}
}

// TestAgentsAt: who may speak for a computer at a site, after everything that takes that away or gives it. What another
// process changes counts as well.
func TestAgentsAt(t *testing.T) {
	f := newFixture(t)
	one, two, three, four := f.listener(1, "lyon"), f.listener(2, "lyon"), f.listener(3, "lyon"), f.listener(4, "paris")
	quiet := one
	quiet.prolog = ocs.Prolog{Contact: ocs.ContactID{1}}
	f.listens(quiet, now)
	f.computer("stock")
	want := func(what string, at core.SiteName, agents ...listener) {
		t.Helper()
		keys, err := f.AgentsAt(f.ctx(), at)
		f.check(err)
		for _, one := range agents {
			if !keys[one.Key] {
				t.Errorf("%s: %s is not at %s", what, one.Device, at)
			}
		}
		if len(keys) != len(agents) {
			t.Errorf("%s: %d agents at %s, want %d", what, len(keys), at, len(agents))
		}
	}
	want("from the start, listening or not", "lyon", one, two, three)
	want("elsewhere", "paris", four)
	want("nowhere", "oslo")
	f.check(f.Revoke(f.ctx(), two.Device, now))
	want("one is revoked", "lyon", one, three)
	to := core.SiteName("paris")
	f.check(f.SetComputer(f.ctx(), three.Device, &to, nil))
	want("one is moved by hand", "lyon", one)
	want("to there", "paris", three, four)
	f.check(f.SetSite(f.ctx(), "oslo", func(one *site.Site) error {
		one.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
		return nil
	}))
	want("a network is set", "lyon", one)
	one.prolog.Contact = ocs.ContactID{2}
	f.listens(one, now)
	want("and called from", "lyon")
	want("there", "oslo", one)
	f.check(f.DeleteComputer(f.ctx(), four.Device, now))
	want("one is deleted", "paris", three)
	f.check(f.AddToken(f.ctx(), "again", Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)}, now))
	_, err := f.Enrol(f.ctx(), Enrolment{Token: "again", Device: two.Device, Key: seal.KeyID{5}, Certified: now}, now)
	f.check(err)
	two.Key = seal.KeyID{5}.String()
	want("one is enrolled anew, with another key", "lyon", two)
	ctx, cancel := context.WithCancel(f.ctx())
	cancel()
	if keys, err := f.AgentsAt(ctx, "lyon"); err == nil {
		t.Errorf("without time to look: got %v", keys)
	}
	f.check(f.view(f.ctx(), func(tx *transaction) error {
		var id, parent, unused int
		var plan string
		err := tx.QueryRowContext(f.ctx(), "EXPLAIN QUERY PLAN "+selectAgentsAt, "lyon").Scan(&id, &parent, &unused, &plan)
		if !strings.Contains(plan, "COVERING INDEX agents_by_site") {
			t.Errorf("it is done by: %s", plan)
		}
		return err
	}))
}
