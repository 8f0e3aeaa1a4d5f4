package origin

import (
	"bytes"
	"context"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/lease"
	"enjambre/peer/next"
	"enjambre/server/internal/store"
)

// listens notes where an agent is reached by others, as its contact would.
func (a *agent) listens(at string) {
	a.Helper()
	check(a, a.store.Touch(a.Context(), []store.Touch{{
		Device: a.device, At: time.Now(), Prolog: ocs.Prolog{Listen: netip.MustParseAddrPort(at), Weight: 2}, Peer: a.peer,
		Again: time.Hour,
	}}))
}

// cutOff is what an agent says that reaches only these.
func cutOff(from ...*agent) next.Request {
	said := next.Request{Weight: 2, CutOff: true}
	for _, one := range from {
		said.Reached = append(said.Reached, one.peer)
	}
	slices.SortFunc(said.Reached, id.Peer.Compare)
	return said
}

// TestIntroduce: when somebody reaches the members of two islands, one of each is told of it, once and whatever its
// answer is, and where it listens.
func TestIntroduce(t *testing.T) {
	l := newLab(t)
	l.pack(7, 2, fragmentSize)
	silent, near, far, bridge := l.agent(2, "lyon"), l.agent(3, "lyon"), l.agent(4, "lyon"), l.agent(5, "lyon")
	bridge.listens("127.0.0.1:4901")
	l.start()
	for _, one := range []*agent{silent, near, far, bridge} {
		if answer, _ := one.ask(7, next.Request{Weight: 2}); answer.Introduce != (next.Introduction{}) {
			t.Errorf("before: got %+v", answer)
		}
	}
	far.ask(7, cutOff(bridge))
	near.ask(7, next.Request{Weight: 2}) // the last that was seen of those that are not cut off
	if answer, _ := bridge.ask(7, cutOff(far, near)); answer.Introduce != (next.Introduction{}) {
		t.Errorf("the bridge itself: got %+v", answer)
	}
	told := next.Introduction{To: bridge.peer, At: netip.MustParseAddrPort("127.0.0.1:4901")}
	if answer, body := near.ask(7, want(0)); answer.Introduce != told || !bytes.Equal(body, content(0, fragmentSize)) {
		t.Errorf("with a fragment: got %+v", answer)
	}
	if answer, _ := far.ask(7, want(0)); answer.Introduce != told || answer.Status != next.StatusRefused {
		t.Errorf("with a refusal: got %+v", answer)
	}
	for _, one := range []*agent{silent, near, far, bridge} {
		if answer, _ := one.ask(7, next.Request{Weight: 2}); answer.Introduce != (next.Introduction{}) {
			t.Errorf("to others, or again: got %+v", answer)
		}
	}
}

// TestIntroduction: a member is introduced with its address if that is known and means something to the asker.
func TestIntroduction(t *testing.T) {
	l := newLab(t)
	here, there, silent := l.agent(2, "lyon"), l.agent(3, "lyon"), l.agent(4, "lyon")
	here.listens("127.0.0.1:4901")
	there.listens("192.0.2.7:4901")
	l.start()
	for _, c := range []struct {
		from string
		to   id.Peer
		want string
	}{
		{"127.0.0.1:5", here.peer, "127.0.0.1:4901"}, {"[::1]:5", here.peer, "127.0.0.1:4901"},
		{"192.0.2.1:5", here.peer, ""}, {"192.0.2.1:5", there.peer, "192.0.2.7:4901"}, {"192.0.2.1:5", silent.peer, ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.RemoteAddr = c.from
		want := next.Introduction{To: c.to}
		if c.want != "" {
			want.At = netip.MustParseAddrPort(c.want)
		}
		if got := l.handler.introduction(r, "lyon", c.to); got != want {
			t.Errorf("%s: got %+v, want %+v", c.from, got, want)
		}
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(late, "GET", "/", nil)
	if got, want := l.handler.introduction(r, "lyon", there.peer), (next.Introduction{To: there.peer}); got != want {
		t.Errorf("without a word of the store: got %+v", got)
	}
	if got := l.handler.introduction(r, "lyon", id.Peer{}); got != (next.Introduction{}) {
		t.Errorf("to nobody: got %+v", got)
	}
}

// TestIntroducer: the last introduction of a member counts, once, for a few minutes, while both are at the site.
func TestIntroducer(t *testing.T) {
	now := time.Now()
	a, b, c, nobody := id.Peer{1}, id.Peer{2}, id.Peer{3}, id.Peer{}
	order := func(member, to id.Peer) lease.Introduce { return lease.Introduce{Member: member, To: to} }
	for name, test := range map[string]struct {
		do   func(introducer)
		at   time.Duration
		want id.Peer // whom a is introduced to
		left int     // introductions that are remembered then
	}{
		"never":            {func(introducer) {}, 0, nobody, 0},
		"at once":          {func(i introducer) { i.note(order(a, b), now) }, 0, b, 0},
		"just in time":     {func(i introducer) { i.note(order(a, b), now) }, introduceTime - 1, b, 0},
		"too late":         {func(i introducer) { i.note(order(a, b), now) }, introduceTime, nobody, 0},
		"another's":        {func(i introducer) { i.note(order(b, a), now) }, 0, nobody, 1},
		"the last":         {func(i introducer) { i.note(order(a, b), now); i.note(order(a, c), now) }, 0, c, 0},
		"once":             {func(i introducer) { i.note(order(a, b), now); i.take(a, now) }, 0, nobody, 0},
		"one who left":     {func(i introducer) { i.note(order(a, b), now); i.forget(a) }, 0, nobody, 0},
		"to one who left":  {func(i introducer) { i.note(order(a, b), now); i.forget(b) }, 0, nobody, 0},
		"another who left": {func(i introducer) { i.note(order(a, b), now); i.forget(c) }, 0, b, 0},
		"old ones are forgotten": {func(i introducer) {
			i.note(order(b, a), now.Add(-introduceTime))
			i.note(order(a, b), now)
		}, 0, b, 0},
	} {
		i := introducer{}
		test.do(i)
		if got := i.take(a, now.Add(test.at)); got != test.want || len(i) != test.left {
			t.Errorf("%s: got %v, and %d are left; want %v and %d", name, got, len(i), test.want, test.left)
		}
	}
}
