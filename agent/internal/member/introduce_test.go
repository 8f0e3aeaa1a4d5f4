package member

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"enjambre/peer/id"
)

func logged(to *journal) func(*Options) {
	return func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

// TestIntroduced: of two parts of a site of which neither knows of the other, one member of one is introduced to one
// of the other, and all become one.
func TestIntroduced(t *testing.T) {
	d := newDeployment(t)
	a, b, c, e := d.computer("a").start(), d.computer("b").start(), d.computer("c").start(), d.computer("e").start()
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	c.Told(d.words(c.Self(), "lyon", 1))
	e.Told(d.words(e.Self(), "lyon", 1, c.place()))
	all := []*running{a, b, c, e}
	for _, one := range all {
		one.becomes("two parts", together(1))
	}
	a.Introduce(c.Self(), c.at)
	for _, one := range all {
		one.becomes("one site", together(3))
	}
}

// TestIntroducedAgain: introductions to those who are there, in whatever words, change nothing; one without address
// goes to where the server said before.
func TestIntroducedAgain(t *testing.T) {
	d := newDeployment(t)
	var log journal
	a, b := d.computer("a").start(), d.computer("b").start(logged(&log))
	b.Introduce(a.Self(), a.at)
	b.becomes("in no swarm", func(Status) bool { return log.count("in no swarm means nothing") == 1 })
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	for _, one := range []*running{a, b} {
		one.becomes("together", together(1))
	}
	came := a.came.Load()
	b.Introduce(a.Self(), netip.MustParseAddrPort("127.0.0.1:9"))
	b.Introduce(b.Self(), b.at)
	b.becomes("heeded", func(Status) bool { return log.count("server introduces") == 1 })
	b.Introduce(a.Self(), netip.AddrPort{}) // after the meeting before
	b.becomes("heeded again", func(Status) bool { return log.count("server introduces") == 2 })
	if status := a.Status(); status.Neighbours != 1 || a.came.Load() != came {
		t.Errorf("got %v, and %d came after %d", status, a.came.Load(), came)
	}
}

// TestIntroducedToNobody: who does not answer is met for a while and joined first for a few minutes, one after the
// other; who cannot be there is not tried. Another that is introduced is met then.
func TestIntroducedToNobody(t *testing.T) {
	d := newDeployment(t)
	var log journal
	a, b := d.computer("a").start(logged(&log)), d.computer("b").start()
	for _, one := range []*running{a, b} {
		one.Told(d.words(one.Self(), "lyon", 1))
	}
	a.becomes("in the swarm", func(Status) bool { return log.count("in the site's swarm") == 1 })
	nobody := id.Peer{5}
	for i, nowhere := range []netip.AddrPort{{}, netip.MustParseAddrPort("[2001:db8::7]:4901")} {
		a.Introduce(nobody, nowhere)
		a.becomes("not tried", func(Status) bool { return log.count("introduced member cannot be met") == i+1 })
	}
	silent := netip.MustParseAddrPort("127.0.0.1:9")
	a.Introduce(nobody, silent)
	a.becomes("under way", func(Status) bool { return log.count("server introduces") == 1 })
	a.Introduce(b.Self(), b.at) // waits
	for range 3 {
		a.Introduce(b.Self(), b.at) // are too many
	}
	if log.count("too many introductions") == 0 {
		t.Error("several may wait")
	}
	for _, one := range []*running{a, b} {
		one.becomes("together", together(1))
	}
	log.mu.Lock()
	text := log.text.String()
	log.mu.Unlock()
	first, second, _ := strings.Cut(text, "introduced member is not met")
	if strings.Count(first, "server introduces") != 1 || !strings.Contains(second, "server introduces") {
		t.Errorf("not one after the other:\n%s", text)
	}
	s := a.current()
	if got := s.first(nil); len(got) != 1 || got[0].ID != b.Self() || got[0].Address != b.at {
		t.Errorf("to be joined first: %v", got)
	}
	a.mu.Lock()
	s.introduction.until = time.Now()
	a.mu.Unlock()
	if got := s.first(nil); len(got) != 0 {
		t.Errorf("after a few minutes: %v", got)
	}
}
