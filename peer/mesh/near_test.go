package mesh

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"enjambre/peer/id"
)

const ms = time.Millisecond

// TestDistance: classes double, and to be nearer takes half of the time, wherever the border of a class is.
func TestDistance(t *testing.T) {
	for _, c := range []struct {
		rtt  time.Duration
		want int
	}{
		{1, 0}, {ms - 1, 0}, {ms, 1}, {2*ms - 1, 1}, {2 * ms, 2}, {3 * ms, 2}, {4 * ms, 3}, {500 * ms, 9},
		{math.MaxInt64, 44},
	} {
		if got := distance(c.rtt); got != c.want {
			t.Errorf("%v: class %d, want %d", c.rtt, got, c.want)
		}
	}
	for _, c := range []struct {
		one, than time.Duration
		want      bool
	}{
		{ms / 5, ms, false}, {1, 2*ms - 1, false}, {1, 2 * ms, true}, {ms, 2 * ms, true}, {2 * ms, 2 * ms, false},
		{2 * ms, 4*ms - 1, false}, {2 * ms, 4 * ms, true}, {4 * ms, 2 * ms, false},
	} {
		if got := isNearer(c.one, c.than); got != c.want {
			t.Errorf("%v is nearer than %v: %v", c.one, c.than, got)
		}
	}
}

// A lone is one mesh whose orders are carried out at once.
type lone struct {
	*Mesh
	now  time.Time
	rtts map[id.Peer]time.Duration
}

// do lets the mesh believe in all that have a time, and returns what it ordered.
func (l *lone) do(t *testing.T, event Event) (met, parted []id.Peer) {
	t.Helper()
	if event == nil {
		var believed []Member
		for peer, rtt := range l.rtts {
			believed = append(believed, Member{peer, rtt})
		}
		event = Believed{believed}
	}
	queue := l.Step(l.now, event)
	for ; len(queue) > 0; queue = queue[1:] {
		switch action := queue[0].(type) {
		case Meet:
			met = append(met, action.Peer)
			queue = append(queue, l.Step(l.now, Connected(action))...)
		case Part:
			parted = append(parted, action.Peer)
			queue = append(queue, l.Step(l.now, Disconnected(action))...)
		}
	}
	return met, parted
}

// newLone has so many members at the same distance, of which MaxNeighbours are neighbours.
func newLone(t *testing.T, members int, rtt time.Duration) *lone {
	t.Helper()
	l := &lone{Mesh: newMesh(), now: start, rtts: map[id.Peer]time.Duration{}}
	for _, peer := range peersTo(members) {
		l.rtts[peer] = rtt
	}
	if met, parted := l.do(t, nil); len(met) != min(members, MaxNeighbours) || len(parted) > 0 {
		t.Fatalf("met %d, parted from %d", len(met), len(parted))
	}
	return l
}

// TestNearer: the last of the near half makes place for a nearer member, once a minute at most and in turn with a
// random one; not for who is as near.
func TestNearer(t *testing.T) {
	l := newLone(t, 60, 8*ms)
	near, _ := l.halves(l.staying())
	if len(near) != MaxNear {
		t.Fatalf("%d are near", len(near))
	}
	l.rtts[peerOf(101)], l.rtts[peerOf(102)], l.rtts[peerOf(103)] = 3*ms, 4*ms, 5*ms
	for l.now = start; l.now.Before(start.Add(ReplaceEvery)); l.now = l.now.Add(time.Second) {
		if met, parted := l.do(t, nil); len(met)+len(parted) > 0 {
			t.Fatalf("after %v: met %v, parted from %v", l.now.Sub(start), met, parted)
		}
	}
	if met, parted := l.do(t, nil); !slices.Equal(met, []id.Peer{peerOf(101)}) || !slices.Equal(parted, near[MaxNear-1:]) {
		t.Fatalf("met %v, parted from %v", met, parted)
	}
	near, _ = l.halves(l.staying())
	if near[0] != peerOf(101) {
		t.Errorf("the nearest is %v", near[0])
	}
	l.now = l.now.Add(ReplaceEvery)
	if met, parted := l.do(t, nil); len(met) != 1 || len(parted) != 1 || slices.Contains(near, parted[0]) {
		t.Errorf("in turn: met %v, parted from %v", met, parted)
	}
	turns := 0
	for range 20 {
		l.now = l.now.Add(ReplaceEvery)
		before := l.Neighbours()
		_, parted := l.do(t, nil)
		if l.nearLast {
			turns++
		}
		for _, stays := range []id.Peer{peerOf(101), peerOf(102)} {
			if slices.Contains(before, stays) && slices.Contains(parted, stays) {
				t.Fatalf("parted from %v", stays)
			}
		}
	}
	if got := l.Neighbours(); !slices.Contains(got, peerOf(101)) || !slices.Contains(got, peerOf(102)) {
		t.Errorf("the near ones are not there: %v", got)
	}
	if turns > 1 {
		t.Errorf("%d made place for nearer ones, with one there at most", turns)
	}
}

// TestNearFirst: when there is room, a nearer one is met before the first in our order; one that has not been measured
// is not nearer.
func TestNearFirst(t *testing.T) {
	l := newLone(t, 60, 8*ms)
	order := l.free(start)
	last, unmeasured := order[len(order)-1], order[len(order)-2]
	l.rtts[last], l.rtts[unmeasured] = 4*ms, 0
	if met, parted := l.do(t, nil); len(met)+len(parted) > 0 {
		t.Fatalf("met %v, parted from %v", met, parted)
	}
	for _, want := range []id.Peer{last, order[0]} {
		_, others := l.halves(l.staying())
		if met, _ := l.do(t, Disconnected{others[0]}); !slices.Equal(met, []id.Peer{want}) {
			t.Errorf("met %v, want %v", met, want)
		}
	}
}

// TestNearStay: who is near does not make room for those that connect to us.
func TestNearStay(t *testing.T) {
	l := newLone(t, 60, 8*ms)
	staying := l.staying()
	near := staying[len(staying)-MaxNear:] // the last in our order
	for _, one := range near {
		l.rtts[one] = ms / 2
	}
	l.do(t, nil)
	for i := range 30 {
		l.do(t, Connected{peerOf(200 + i)})
	}
	got := l.Neighbours()
	if len(got) != MaxConnected {
		t.Fatalf("%d neighbours", len(got))
	}
	for _, one := range near {
		if !slices.Contains(got, one) {
			t.Errorf("%v had to make room", one)
		}
	}
}

// TestNearNoise: times that scatter by less than a class, around the border of one, replace nobody of the near half.
func TestNearNoise(t *testing.T) {
	for _, around := range []time.Duration{ms / 5, ms, 4 * ms, 60 * ms} {
		l := newLone(t, 60, around)
		near, _ := l.halves(l.staying())
		chance := rand.New(rand.NewPCG(3, 4))
		for range 3600 {
			l.now = l.now.Add(time.Second)
			for peer := range l.rtts {
				l.rtts[peer] = around * time.Duration(71+chance.IntN(70)) / 100 // 1.41 is less than twice 0.71
			}
			l.do(t, nil)
			if l.nearLast {
				t.Fatalf("around %v, after %v: one of the near half was replaced", around, l.now.Sub(start))
			}
		}
		if now, _ := l.halves(l.staying()); len(near) != MaxNear || len(now) != MaxNear {
			t.Errorf("%d and %d are near", len(near), len(now))
		}
	}
}

// buildings makes a site of several buildings; each member has measured another one each second.
func buildings(t *testing.T, members, houses int, seed uint64) (s *site, isHome func(a, b id.Peer) bool) {
	s = newSite(t, members, seed)
	number := func(peer id.Peer) int { return int(peer[0])<<8 | int(peer[1]) }
	isHome = func(a, b id.Peer) bool { return number(a)%houses == number(b)%houses }
	turn := map[id.Peer][]int{}
	for _, peer := range peersTo(members) {
		turn[peer] = rand.New(rand.NewPCG(seed, uint64(number(peer)))).Perm(members + 1)
	}
	s.rtt = func(from, to id.Peer) time.Duration {
		if s.now.Sub(start) < time.Duration(turn[from][number(to)])*time.Second {
			return 0
		}
		rtt := 4 * ms
		if isHome(from, to) {
			rtt = 300 * time.Microsecond
		}
		return rtt * time.Duration(70+s.chance.IntN(70)) / 100
	}
	return s, isHome
}

// atHome returns how many neighbours each member has in its own building.
func (s *site) atHome(isHome func(a, b id.Peer) bool) []int {
	var counts []int
	for peer, mesh := range s.meshes {
		count := 0
		for _, other := range mesh.Neighbours() {
			if isHome(peer, other) {
				count++
			}
		}
		counts = append(counts, count)
	}
	return counts
}

// randomHalf returns the neighbours that are not of the near half.
func randomHalf(m *Mesh) []id.Peer {
	_, others := m.halves(m.staying())
	return others
}

// TestBuildings: after some minutes members have as many neighbours in their own building as the near half holds, but
// for some that others have just replaced; the random half alone still connects the site; nobody replaces more than one
// a minute.
func TestBuildings(t *testing.T) {
	const members, houses, minutes = 100, 4, 12
	for seed := range uint64(2) {
		s, isHome := buildings(t, members, houses, seed)
		for minute := range minutes + 5 {
			clear(s.replaced)
			s.crowded = 0
			s.run(1)
			for peer, replaced := range s.replaced {
				if replaced > 1 {
					t.Fatalf("seed %d, minute %d: %v replaced %d", seed, minute, peer, replaced)
				}
			}
			if s.crowded > members {
				t.Fatalf("seed %d, minute %d: %d had to make room", seed, minute, s.crowded)
			}
			if got := s.reachedBy(randomHalf); got != members {
				t.Fatalf("seed %d, minute %d: the random half connects %d of %d", seed, minute, got, members)
			}
			if minute < minutes {
				continue
			}
			short := 0
			for _, count := range s.atHome(isHome) {
				if count < MaxNear-2 {
					t.Errorf("seed %d, minute %d: %d neighbours in the own building", seed, minute, count)
				}
				if count < MaxNear {
					short++
				}
			}
			if short > members/20 {
				t.Errorf("seed %d, minute %d: %d members have less than %d in the own building", seed, minute, short, MaxNear)
			}
		}
	}
}

// TestBuildingsAgain: the same seed does the same.
func TestBuildingsAgain(t *testing.T) {
	var traces [2][]byte
	for run := range traces {
		s, _ := buildings(t, 60, 3, 7)
		s.run(4)
		traces[run] = s.trace.Bytes()
	}
	if !bytes.Equal(traces[0], traces[1]) {
		t.Error("two runs differ")
	}
}

// TestSmallBuilding: where fewer are in a building than the near half holds, all of them are neighbours.
func TestSmallBuilding(t *testing.T) {
	const members, houses = 48, 8 // five others in each
	s, isHome := buildings(t, members, houses, 1)
	s.run(12)
	for minute := range 5 {
		s.run(1)
		missing := 0
		for _, count := range s.atHome(isHome) {
			missing += members/houses - 1 - count
		}
		if missing > 4 { // two pairs that could not meet just now
			t.Errorf("minute %d: %d are missing in their own building", minute, missing)
		}
	}
}

// TestHaste: times that mean nothing, or are pretended, cost no more than one replacement a minute, of which at least
// every second is random, and leave the site connected.
func TestHaste(t *testing.T) {
	const members = 60
	s := newSite(t, members, 5)
	s.rtt = func(_, _ id.Peer) time.Duration { return time.Duration(s.chance.Int64N(int64(40*ms))) - ms }
	turns := 0
	for minute := range 20 {
		clear(s.replaced)
		before := map[id.Peer]bool{}
		for peer, mesh := range s.meshes {
			before[peer] = mesh.nearLast
		}
		s.run(1)
		for peer, mesh := range s.meshes {
			if s.replaced[peer] > 1 {
				t.Fatalf("minute %d: %v replaced %d", minute, peer, s.replaced[peer])
			}
			if s.replaced[peer] == 1 && mesh.nearLast {
				turns++
				if before[peer] {
					t.Fatalf("minute %d: %v replaces nobody by chance", minute, peer)
				}
			}
		}
		if got := s.reachedBy(randomHalf); got != members {
			t.Fatalf("minute %d: the random half connects %d of %d", minute, got, members)
		}
	}
	if turns == 0 {
		t.Error("nobody was ever nearer: the test tests nothing")
	}
}
