package mesh

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/owner"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func peerOf(n int) id.Peer { return id.Peer{byte(n >> 8), byte(n)} }

func peersTo(n int) []id.Peer {
	var list []id.Peer
	for i := 1; i <= n; i++ {
		list = append(list, peerOf(i))
	}
	return list
}

// unmeasured returns members as gossip believes in them at first.
func unmeasured(peers []id.Peer) []Member {
	var list []Member
	for _, peer := range peers {
		list = append(list, Member{Peer: peer})
	}
	return list
}

func newMesh() *Mesh { return New(peerOf(0), rand.New(rand.NewPCG(1, 2))) }

// met returns who is to be met, and fails when anything else is ordered.
func met(t *testing.T, actions []Action) []id.Peer {
	t.Helper()
	var list []id.Peer
	for _, action := range actions {
		meet, is := action.(Meet)
		if !is {
			t.Fatalf("got %+v, want only Meet", action)
		}
		list = append(list, meet.Peer)
	}
	return list
}

// TestFill: all of a small site become neighbours, few at a time.
func TestFill(t *testing.T) {
	m := newMesh()
	waiting := met(t, m.Step(start, Believed{unmeasured(append(peersTo(10), peerOf(0)))}))
	for seen := 0; len(waiting) > 0; seen++ {
		if len(waiting) > MaxMeetings {
			t.Fatalf("%d meetings at once", len(waiting))
		}
		peer := waiting[0]
		waiting = append(waiting[1:], met(t, m.Step(start, Connected{peer}))...)
	}
	if got := m.Neighbours(); !slices.Equal(got, peersTo(10)) {
		t.Errorf("got %v", got)
	}
	if at, wakes := m.NextWake(); wakes {
		t.Errorf("wakes at %v with nothing to do", at)
	}
}

// TestBackoff: whoever cannot be reached is left alone, longer each time.
func TestBackoff(t *testing.T) {
	m := newMesh()
	now := start
	want := FirstPause
	met(t, m.Step(now, Believed{unmeasured(peersTo(1))}))
	for range 8 {
		if again := met(t, m.Step(now, MeetFailed{peerOf(1)})); len(again) > 0 {
			t.Fatal("met again at once")
		}
		at, wakes := m.NextWake()
		if pause := at.Sub(now); !wakes || pause < want || pause > want+want/5 {
			t.Fatalf("again after %v, want %v and a fifth at most", pause, want)
		}
		if early := met(t, m.Step(at.Add(-1), WakeDue{})); len(early) > 0 {
			t.Fatal("met too early")
		}
		now = at
		if again := met(t, m.Step(now, WakeDue{})); len(again) != 1 {
			t.Fatalf("got %v when it was time", again)
		}
		want = min(2*want, MaxPause)
	}
	m.Step(now, Connected{peerOf(1)})
	m.Step(now, Disconnected{peerOf(1)})
	if at, _ := m.NextWake(); at.Sub(now) != FirstPause {
		t.Errorf("after it was a neighbour: again after %v", at.Sub(now))
	}
}

// TestGone: who is not believed to be there is not met, and forgotten in the end.
func TestGone(t *testing.T) {
	m := newMesh()
	met(t, m.Step(start, Believed{unmeasured(peersTo(1))}))
	m.Step(start, MeetFailed{peerOf(1)})
	m.Step(start, Believed{})
	if late := met(t, m.Step(start.Add(time.Hour), WakeDue{})); len(late) > 0 || len(m.members) > 0 {
		t.Errorf("meets %v, knows %d", late, len(m.members))
	}
}

// TestFull: others may connect beyond our own number; then the last in our order goes, and never who came last.
func TestFull(t *testing.T) {
	m := newMesh()
	for _, peer := range peersTo(MaxConnected) {
		if actions := m.Step(start, Connected{peer}); len(actions) > 0 {
			t.Fatalf("got %+v", actions)
		}
	}
	order := m.staying()
	for i := range 20 {
		newcomer := peerOf(100 + i)
		actions := m.Step(start, Connected{newcomer})
		if len(actions) != 1 || actions[0] == (Part{newcomer}) {
			t.Fatalf("got %+v", actions)
		}
		gone := actions[0].(Part).Peer
		m.Step(start, Disconnected{gone})
		if i == 0 && gone != order[len(order)-1] && gone != newcomer {
			t.Errorf("%v goes, want the last in the order", gone)
		}
		if got := len(m.Neighbours()); got != MaxConnected {
			t.Fatalf("%d neighbours", got)
		}
	}
}

// TestShunned: whoever misbehaves is parted from and not met until its time has come.
func TestShunned(t *testing.T) {
	m := newMesh()
	m.Step(start, Believed{unmeasured(peersTo(1))})
	m.Step(start, Connected{peerOf(1)})
	until := start.Add(time.Hour)
	if got := m.Step(start, Shunned{peerOf(1), until}); len(got) != 1 || got[0] != (Part{peerOf(1)}) {
		t.Fatalf("got %+v", got)
	}
	if got := m.Step(start, Disconnected{peerOf(1)}); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
	if at, wakes := m.NextWake(); !wakes || !at.Equal(until) {
		t.Errorf("wakes at %v", at)
	}
	if got := met(t, m.Step(until, WakeDue{})); len(got) != 1 {
		t.Errorf("not met again")
	}
}

// A site is many meshes, whose orders are carried out at once or fail by chance.
type site struct {
	t      *testing.T
	now    time.Time
	meshes map[id.Peer]*Mesh
	dead   map[id.Peer]bool
	chance *rand.Rand
	trace  bytes.Buffer

	rtt      func(from, to id.Peer) time.Duration // nil: nobody is measured
	replaced map[id.Peer]int                      // neighbours, by each member
	crowded  int                                  // Parts to make room for who came
}

func newSite(t *testing.T, members int, seed uint64) *site {
	s := &site{
		t: t, now: start, meshes: map[id.Peer]*Mesh{}, dead: map[id.Peer]bool{}, chance: rand.New(rand.NewPCG(seed, 1)),
		replaced: map[id.Peer]int{},
	}
	for i, peer := range peersTo(members) {
		s.meshes[peer] = New(peer, rand.New(rand.NewPCG(seed, uint64(i)+7)))
	}
	return s
}

func (s *site) step(at id.Peer, event Event) {
	for _, action := range s.meshes[at].Step(s.now, event) {
		fmt.Fprintf(&s.trace, "%x %T %x\n", at[:2], action, action)
		switch action := action.(type) {
		case Meet:
			if s.dead[action.Peer] || s.chance.IntN(20) == 0 {
				s.step(at, MeetFailed(action))
				continue
			}
			s.step(at, Connected(action))
			s.step(action.Peer, Connected{at})
		case Part:
			if _, isFull := event.(Connected); isFull {
				s.crowded++
			} else {
				s.replaced[at]++
			}
			s.part(at, action.Peer)
		}
	}
	if got := len(s.meshes[at].staying()); got > MaxConnected {
		s.t.Fatalf("%v has %d neighbours", at, got)
	}
}

func (s *site) part(a, b id.Peer) {
	s.step(a, Disconnected{b})
	s.step(b, Disconnected{a})
}

// run lets some minutes pass.
func (s *site) run(minutes int) {
	all := slices.SortedFunc(maps.Keys(s.meshes), id.Peer.Compare)
	for range minutes * 6 {
		s.now = s.now.Add(10 * time.Second)
		for _, peer := range all {
			if !s.dead[peer] {
				believed := slices.DeleteFunc(unmeasured(all), func(one Member) bool { return s.dead[one.Peer] })
				for i := range believed {
					if s.rtt != nil {
						believed[i].RTT = s.rtt(peer, believed[i].Peer)
					}
				}
				s.step(peer, Believed{believed})
			}
		}
	}
}

// reached returns how many living members a word from the first reaches.
func (s *site) reached() int { return s.reachedBy((*Mesh).Neighbours) }

// reachedBy returns the same of words that go only to some neighbours, or come from them.
func (s *site) reachedBy(some func(*Mesh) []id.Peer) int {
	both := map[id.Peer][]id.Peer{}
	for one, mesh := range s.meshes {
		for _, other := range some(mesh) {
			both[one], both[other] = append(both[one], other), append(both[other], one)
		}
	}
	all := slices.SortedFunc(maps.Keys(s.meshes), id.Peer.Compare)
	at := slices.IndexFunc(all, func(one id.Peer) bool { return !s.dead[one] })
	seen := map[id.Peer]bool{all[at]: true}
	for queue := []id.Peer{all[at]}; len(queue) > 0; queue = queue[1:] {
		for _, next := range both[queue[0]] {
			if !seen[next] && !s.dead[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	return len(seen)
}

// TestSites: whatever fails, a site is connected as a whole, each within its bounds, and again after a third has died;
// the same seed does the same.
func TestSites(t *testing.T) {
	for _, members := range []int{2, 25, 80} {
		for seed := range uint64(3) {
			var traces [2][]byte
			for run := range traces {
				s := newSite(t, members, seed)
				s.run(4)
				if got := s.reached(); got != members {
					t.Fatalf("seed %d: %d of %d are connected", seed, got, members)
				}
				for i := 0; i < members/3; i++ {
					dead := peerOf(1 + i*3)
					s.dead[dead] = true
					for _, one := range s.meshes[dead].Neighbours() {
						s.step(one, Disconnected{dead})
					}
				}
				s.run(4)
				if got, want := s.reached(), members-members/3; got != want {
					t.Fatalf("seed %d: %d of %d living ones are connected", seed, got, want)
				}
				traces[run] = s.trace.Bytes()
			}
			if !bytes.Equal(traces[0], traces[1]) {
				t.Fatalf("%d members, seed %d: two runs differ", members, seed)
			}
		}
	}
}

// TestReplace: with more members than neighbours, who they are changes, one a minute.
func TestReplace(t *testing.T) {
	m := newMesh()
	now := start
	do := func(event Event) (parted int) {
		queue := m.Step(now, event)
		for ; len(queue) > 0; queue = queue[1:] {
			switch action := queue[0].(type) {
			case Meet:
				queue = append(queue, m.Step(now, Connected(action))...)
			case Part:
				parted++
				queue = append(queue, m.Step(now, Disconnected(action))...)
			}
		}
		return parted
	}
	do(Believed{unmeasured(peersTo(100))})
	first := m.Neighbours()
	if len(first) != MaxNeighbours {
		t.Fatalf("%d neighbours", len(first))
	}
	for range 10 {
		if at, wakes := m.NextWake(); !wakes || at.Sub(now) > ReplaceEvery {
			t.Fatalf("wakes at %v", at)
		}
		now = now.Add(ReplaceEvery)
		if parted := do(WakeDue{}); parted != 1 {
			t.Fatalf("%d are replaced", parted)
		}
		if got := len(m.Neighbours()); got != MaxNeighbours {
			t.Fatalf("%d neighbours", got)
		}
	}
	if slices.Equal(first, m.Neighbours()) {
		t.Error("nobody was replaced")
	}
}

// TestClockBack: a clock that is set back delays nothing.
func TestClockBack(t *testing.T) {
	m := newMesh()
	m.Step(start, Believed{unmeasured(peersTo(1))})
	m.Step(start, MeetFailed{peerOf(1)})
	back := start.Add(-time.Hour)
	m.Step(back, Believed{unmeasured(peersTo(1))})
	if at, wakes := m.NextWake(); !wakes || at.Sub(back) > 2*FirstPause {
		t.Errorf("wakes at %v", at)
	}
}

func TestMeta(t *testing.T) {
	one := Meta{Weight: owner.AlwaysOn, Epoch: 7}
	good := one.Append(nil)
	four, six := one, one
	four.Also, six.Also = netip.MustParseAddrPort("10.1.2.3:4901"), netip.MustParseAddrPort("[2001:db8::1]:4901")
	for _, c := range []struct {
		name string
		data []byte
		want core.Class
	}{
		{"good", good, ""},
		{"also IPv4", four.Append(nil), ""},
		{"also IPv6", six.Append(nil), ""},
		{"also nowhere", append(slices.Clone(good), 0, 0, 0, 0, 1, 1), core.ClassField},
		{"also a group", append(slices.Clone(good), 224, 0, 0, 251, 1, 1), core.ClassField},
		{"also without a port", append(slices.Clone(good), 10, 1, 2, 3, 0, 0), core.ClassField},
		{"nothing", nil, core.ClassFormat},
		{"short", good[:9], core.ClassFormat},
		{"long", append(slices.Clone(good), 0), core.ClassFormat},
		{"a newer version", append([]byte{2}, good[1:]...), core.ClassVersion},
		{"no such weight", append([]byte{1, 3}, good[2:]...), core.ClassField},
	} {
		got, err := ParseMeta(c.data)
		if core.ClassOf(err) != c.want {
			t.Errorf("%s: got %v", c.name, err)
		}
		if err == nil && (got.Weight != owner.AlwaysOn || got.Epoch != 7 || !bytes.Equal(got.Append(nil), c.data)) {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(Meta{Weight: owner.Light, Epoch: 1 << 40}.Append(nil))
	f.Add(Meta{Also: netip.MustParseAddrPort("10.1.2.3:4901")}.Append(nil))
	f.Add(Meta{Also: netip.MustParseAddrPort("[2001:db8::1]:4901")}.Append(nil))
	f.Add([]byte{})
	f.Add([]byte{2, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if meta, err := ParseMeta(data); err == nil && !bytes.Equal(meta.Append(nil), data) {
			t.Errorf("%x has another spelling", data)
		}
	})
}

// TestAwoke: after a sleep, everything is made anew at once; but who is shunned stays so.
func TestAwoke(t *testing.T) {
	m := newMesh()
	now := start
	met(t, m.Step(now, Believed{unmeasured(peersTo(4))}))
	m.Step(now, Connected{peerOf(1)})
	m.Step(now, Connected{peerOf(2)})
	m.Step(now, MeetFailed{peerOf(3)})
	m.Step(now, MeetFailed{peerOf(4)})
	m.Step(now, Shunned{peerOf(2), now.Add(time.Hour)})
	m.Step(now, Disconnected{peerOf(2)})
	m.Step(now, Shunned{peerOf(4), now.Add(2 * time.Hour)})
	now = now.Add(30 * time.Minute) // the clock that counts sleep

	actions := m.Step(now, Awoke{})
	want := []Action{Rejoin{}, Part{peerOf(1)}, Meet{peerOf(3)}}
	if !slices.Equal(actions, want) {
		t.Fatalf("got %+v, want %+v", actions, want)
	}
	if again := met(t, m.Step(now, Disconnected{peerOf(1)})); !slices.Equal(again, []id.Peer{peerOf(1)}) {
		t.Errorf("after parting, met %v", again)
	}
	m.Step(now, Connected{peerOf(1)})
	if left := met(t, m.Step(now, Disconnected{peerOf(1)})); len(left) > 0 {
		t.Errorf("who leaves by itself is met again at once")
	}
	if got := met(t, m.Step(now.Add(30*time.Minute), WakeDue{})); slices.Contains(got, peerOf(4)) || !slices.Contains(got, peerOf(2)) {
		t.Errorf("of the shunned, met %v", got)
	}
}
