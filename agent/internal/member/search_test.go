package member

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"enjambre/agent/internal/nearby"
	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/link"
)

// ownSite is a site that no other run of these tests on this machine has: what is said on its loopback, all hear.
func ownSite() core.SiteName { return core.SiteName(fmt.Sprint("mdns-", os.Getpid())) }

func withMDNS(o *Options) { o.MDNS = true }

func foundIs(n int) func(Status) bool {
	return func(s Status) bool { return s.Nearby != nil && *s.Nearby == n }
}

// TestNearby: members of which nobody is told of another find each other by mDNS, and not who has it switched off,
// until that one is named. What is found is remembered when it has been seen in gossip, and forgotten when it goes.
func TestNearby(t *testing.T) {
	d, site := newDeployment(t), ownSite()
	a, b, silent := d.computer("a").start(withMDNS), d.computer("b").start(withMDNS), d.computer("c").start()
	for _, one := range []*running{a, b, silent} {
		one.Told(d.words(one.Self(), site, 1))
	}
	a.becomes("together", together(1))
	b.becomes("together", together(1))
	a.becomes("found", foundIs(1))
	if status := silent.Status(); status.Members != 0 || status.Nearby != nil {
		t.Errorf("without mDNS: %v", status)
	}
	silent.Told(d.words(silent.Self(), site, 1, b.place()))
	for _, one := range []*running{a, b, silent} {
		one.becomes("all together", together(2))
	}
	b.stop()
	a.becomes("one has gone", foundIs(0))
	a.stop() // what was found is remembered now
	var kept words
	if err := a.options.State.Load(siteName, &kept); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(kept.Members, func(one place) bool { return one.ID == b.Self() || one.ID == silent.Self() }) {
		t.Errorf("remembered are %v", kept.Members)
	}
}

// TestNearbyUnproven: a place where nobody answers is tried and counted, and neither remembered nor a member.
func TestNearbyUnproven(t *testing.T) {
	d, site := newDeployment(t), ownSite()+"-liar"
	nobody := nearby.Place{ID: id.Peer{1, 31: 1}, Address: netip.MustParseAddrPort("127.0.0.1:1")}
	liar := nearby.New(nearby.Options{
		Self: nobody, Tag: nearby.TagOf("test", site), Alone: func() bool { return false },
	})
	var lying sync.WaitGroup
	t.Cleanup(lying.Wait)
	lying.Go(func() {
		if err := liar.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	a, b := d.computer("a").start(withMDNS), d.computer("b").start(withMDNS)
	a.Told(d.words(a.Self(), site, 1))
	a.becomes("found", foundIs(1))
	want := []link.Member{{ID: nobody.ID, Address: nobody.Address}}
	if got := foundBy(a.current().formation.finder); !slices.Equal(got, want) {
		t.Errorf("found are %v", got)
	}
	b.Told(d.words(b.Self(), site, 1))
	a.becomes("together in spite of it", together(1))
	a.stop()
	b.stop()
	var kept words
	if err := a.options.State.Load(siteName, &kept); err != nil {
		t.Fatal(err)
	}
	if len(kept.Members) != 1 || kept.Members[0].ID != b.Self() {
		t.Errorf("remembered are %v", kept.Members)
	}
}

// TestNearbyElsewhere: with the site what is announced changes.
func TestNearbyElsewhere(t *testing.T) {
	d := newDeployment(t)
	here, there := ownSite()+"-here", ownSite()+"-there"
	a, b := d.computer("a").start(withMDNS), d.computer("b").start(withMDNS)
	a.Told(d.words(a.Self(), here, 1))
	b.Told(d.words(b.Self(), there, 1))
	for _, one := range []*running{a, b} {
		one.becomes("in its site", func(s Status) bool { return s.Site != "" && foundIs(0)(s) })
	}
	b.Told(d.words(b.Self(), here, 1))
	a.becomes("together", together(1))
}

// TestInTurn: many of one kind keep away nobody of the other.
func TestInTurn(t *testing.T) {
	member := func(n, port int) link.Member {
		return link.Member{ID: id.Peer{byte(n), 31: 1}, Address: netip.AddrPortFrom(loopback, uint16(port))}
	}
	var named, found []link.Member
	for n := range 60 {
		named = append(named, member(n+1, 1))
	}
	found = append(found, member(1, 1), member(2, 2), member(100, 1)) // named, named elsewhere, not named
	list := inTurn(slices.Clone(named), found)
	if len(list) != 62 {
		t.Fatalf("%d members in turn", len(list))
	}
	for i, one := range list {
		if isNamed := slices.Contains(named, one); isNamed != (i != 1 && i != 3) {
			t.Errorf("at %d is %v", i, one)
		}
	}
	if got := inTurn(nil, nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// TestTowardGroup: who knows nobody and no way to the server listens where mDNS is.
func TestTowardGroup(t *testing.T) {
	d := newDeployment(t)
	off, on := d.computer("a").start(), d.computer("b").start(withMDNS)
	off.Told(d.words(off.Self(), ownSite(), 1))
	if got, err := off.Toward(t.Context()); err == nil {
		t.Errorf("without mDNS: %v", got)
	}
	on.Told(d.words(on.Self(), ownSite(), 1, ocs.Member{ID: off.Self().String(), Address: off.at}))
	if got, err := on.Toward(t.Context()); err != nil || got != loopback {
		t.Errorf("to a member: %v, %v", got, err)
	}
	on.Told(d.words(on.Self(), ownSite()+"-other", 1))
	got, err := on.Toward(t.Context())
	if err == nil && (!got.Is4() || got.IsMulticast()) { // a machine may have no way to it
		t.Errorf("to the group: %v", got)
	}
}

// TestNearbyHindered: what keeps mDNS from working is logged once, and again when it has worked meanwhile; the swarm
// does without.
func TestNearbyHindered(t *testing.T) {
	d, site := newDeployment(t), ownSite()+"-hindered"
	var logged bytes.Buffer
	b := d.computer("b").start()
	a := d.computer("a").start(withMDNS, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&logged, nil)) })
	nobodys := netip.MustParseAddr("127.0.0.5")
	if at, _ := a.Listen(t.Context(), nobodys); at.Addr() != nobodys {
		t.Fatalf("it is reached at %v", at)
	}
	b.Told(d.words(b.Self(), site, 1))
	b.becomes("in the site", func(s Status) bool { return s.Site != "" })
	a.Told(d.words(a.Self(), site, 1, b.place()))
	a.becomes("together", together(1))
	a.becomes("nobody found", foundIs(0))
	a.cannotSearch(errors.New("again"), false)
	a.cannotSearch(errors.New("anew"), true)
	a.stop()
	const says = "members are not found by mDNS"
	const why = "no network interface has address 127.0.0.5"
	if text := logged.String(); strings.Count(text, says) != 2 || !strings.Contains(text, why) {
		t.Errorf("logged is\n%s", text)
	}
}
