package pulse

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/owner"
	"enjambre/peer/ticket"
)

var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// A job is something that happens to a member at a time.
type job struct {
	at     time.Time
	number int // of jobs: what was planned first happens first
	to     int
	event  func() Event
}

type jobs []job

func (j jobs) Len() int { return len(j) }
func (j jobs) Less(a, b int) bool {
	return j[a].at.Before(j[b].at) || j[a].at.Equal(j[b].at) && j[a].number < j[b].number
}
func (j jobs) Swap(a, b int) { j[a], j[b] = j[b], j[a] }
func (j *jobs) Push(x any)   { *j = append(*j, x.(job)) }
func (j *jobs) Pop() any {
	last := (*j)[len(*j)-1]
	*j = (*j)[:len(*j)-1]
	return last
}

// A world is a site on virtual time: members that each know some neighbours, and a server.
type world struct {
	t          *testing.T
	random     *rand.Rand
	now        time.Time
	jobs       jobs
	planned    int
	members    []*Pulse
	peers      []id.Peer
	dead       []bool
	neighbours [][]int
	server     *server
	site       core.SiteName
	asks       int
	asked      []uint64 // by member, its last ask
	calls      []int    // by member
	trace      uint64
	progress   progress
}

func newWorld(t *testing.T, seed uint64, count int) *world {
	t.Helper()
	w := newWorldAt(t, seed, count, "lyon", newServer())
	w.lookOn()
	return w
}

// lookOn lets the server look every now and then.
func (w *world) lookOn() {
	w.server.look(w.now)
	w.plan(lookEvery, 0, func() Event { w.lookOn(); return nil })
}

func newWorldAt(t *testing.T, seed uint64, count int, site core.SiteName, server *server) *world {
	t.Helper()
	w := &world{
		t: t, random: rand.New(rand.NewPCG(seed, 7)), now: start, dead: make([]bool, count), server: server, site: site,
		calls: make([]int, count), neighbours: make([][]int, count), asked: make([]uint64, count),
	}
	server.raise(site, count)
	server.look(w.now)
	for n := range count {
		var peer id.Peer
		for i := range peer {
			peer[i] = byte(w.random.Uint32())
		}
		w.peers = append(w.peers, peer)
		for _, other := range append(w.random.Perm(count)[:min(8, count-1)], (n+1)%count) { // a ring holds them together
			if other != n && !slices.Contains(w.neighbours[n], other) {
				w.neighbours[n] = append(w.neighbours[n], other)
				w.neighbours[other] = append(w.neighbours[other], n)
			}
		}
	}
	for n := range count {
		w.members = append(w.members, New(w.now, Options{
			Self: w.peers[n], Weight: owner.AlwaysOn, Site: site, Random: rand.New(rand.NewPCG(seed, uint64(n))),
		}, w.word()))
	}
	for n := range count {
		w.step(n, MembersChanged{w.view(n, func(int) bool { return true })})
		w.step(n, Contacted{w.word()}) // by which it has come to be
	}
	return w
}

// view returns the members but one for which a condition holds.
func (w *world) view(of int, there func(int) bool) (list []owner.Member) {
	for n, peer := range w.peers {
		if n != of && there(n) {
			list = append(list, owner.Member{Peer: peer, Weight: owner.AlwaysOn})
		}
	}
	return list
}

// word is what the server says.
func (w *world) word() ticket.Epoch {
	return ticket.Epoch{Number: w.server.numbers[w.site], Issued: w.now.Truncate(time.Second)}
}

func (w *world) plan(after time.Duration, to int, event func() Event) {
	w.planned++
	heap.Push(&w.jobs, job{w.now.Add(after), w.planned, to, event})
}

func (w *world) delay(most time.Duration) time.Duration {
	return 20*time.Millisecond + time.Duration(w.random.Int64N(int64(most)))
}

func (w *world) step(n int, event Event) {
	if w.dead[n] {
		return
	}
	if _, is := event.(Contacted); is {
		w.server.contacts = append(w.server.contacts, w.now)
	}
	for _, action := range w.members[n].Step(w.now, event) {
		w.trace = w.trace*1099511628211 ^ uint64(n)<<32 ^ uint64(w.now.UnixMilli())
		switch action := action.(type) {
		case Ask:
			w.sendAsk(n, action)
		case Say:
			w.say(n, action.To)
		case Tell:
			epoch := w.members[n].Newest()
			for _, to := range w.neighbours[n] {
				if w.peers[to] != action.Except {
					w.plan(w.delay(200*time.Millisecond), to, func() Event { return Heard{Epoch: epoch, From: w.peers[n], Spread: w.server.spread[w.site]} })
				}
			}
		case Call:
			w.calls[n]++
			w.server.calls = append(w.server.calls, w.now)
			w.plan(w.delay(time.Second), n, func() Event { return Contacted{w.word()} })
		}
	}
	if wake, wants := w.members[n].NextWake(); wants {
		w.plan(max(0, wake.Sub(w.now)), n, func() Event { return WakeDue{} })
	}
}

// run lets time pass.
func (w *world) run(passes time.Duration) {
	end := w.now.Add(passes)
	for steps := 0; len(w.jobs) > 0 && !w.jobs[0].at.After(end); steps++ {
		if steps > 3_000_000 {
			w.t.Fatal("the site does not come to rest")
		}
		one := heap.Pop(&w.jobs).(job)
		w.now = one.at
		event := one.event()
		if event == nil {
			continue
		}
		if _, isWake := event.(WakeDue); isWake {
			if wake, wants := w.members[one.to].NextWake(); !wants || wake.After(w.now) {
				continue // of a wake that was put off
			}
		}
		w.step(one.to, event)
	}
	w.now = end
}

// behind returns how many living members do not know the newest news.
func (w *world) behind() (count int) {
	for n, member := range w.members {
		if !w.dead[n] && (member.Behind() || member.Newest().Number != w.server.numbers[w.site]) {
			count++
		}
	}
	return count
}

// TestNews: whatever the size, all members have called within seconds of the news, and one reporter asked for them.
func TestNews(t *testing.T) {
	for _, count := range []int{1, 2, 5, 20, 100} {
		for seed := range uint64(8) {
			w := newWorld(t, seed, count)
			w.run(10 * time.Minute)
			if w.asks < 12 || w.asks > 17 {
				t.Fatalf("%d members, seed %d: the server was asked %d times in 10 min, want once in %v", count, seed, w.asks,
					HoldFor)
			}
			if calls, alone := slices.Max(w.calls), count == 1; calls > 0 != alone || calls > 1 {
				t.Fatalf("%d members, seed %d: called %v times for no news", count, seed, w.calls)
			}
			clear(w.calls)
			w.server.raise(w.site, len(w.members))
			w.run(4 * time.Second)
			if behind := w.behind(); behind != 0 {
				t.Fatalf("%d members, seed %d: %d do not know after 4 s", count, seed, behind)
			}
			if slices.Max(w.calls) != 1 {
				t.Fatalf("%d members, seed %d: called %v times", count, seed, w.calls)
			}
		}
	}
}

// TestMuchNews: of news every few seconds a member calls for no more than it may, and is not left behind for ever.
func TestMuchNews(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(t, seed, 20)
		w.server.keepsNone = seed%2 == 0 // and says nothing of a spread
		for range 180 {
			w.server.raise(w.site, len(w.members))
			w.run(10 * time.Second)
		}
		bound := 2 + int(30*time.Minute/CallPause)
		if w.server.keepsNone {
			bound = 2 + 2*3
		}
		if most := slices.Max(w.calls); most > bound {
			t.Fatalf("seed %d: %d calls in 30 min", seed, most)
		}
		w.run(CallWindow + 2*time.Minute)
		if behind := w.behind(); behind != 0 {
			t.Fatalf("seed %d: %d are behind at the end", seed, behind)
		}
	}
}

// TestDeaths: reporters that die are followed by the next, and when all that a member believes in are dead it asks by
// itself.
func TestDeaths(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed, 30)
		order := owner.Reporters("lyon", nil, append(w.view(0, func(int) bool { return true }),
			owner.Member{Peer: w.peers[0], Weight: owner.AlwaysOn}))
		for _, first := range order[:3] {
			w.dead[slices.Index(w.peers, first)] = true
		}
		w.server.raise(w.site, len(w.members))
		w.run(4 * time.Minute) // 3 x 30 s of silence besides
		if behind := w.behind(); behind != 0 {
			t.Fatalf("seed %d: three reporters are dead: %d do not know", seed, behind)
		}
		for _, first := range order[:28] {
			w.dead[slices.Index(w.peers, first)] = true
		}
		w.server.raise(w.site, len(w.members))
		w.run(6 * time.Minute)
		if behind := w.behind(); behind != 0 {
			t.Fatalf("seed %d: all but two are dead: %d do not know", seed, behind)
		}
	}
}

// TestServerAway: a server that does not answer is asked seldom, and all know soon after it is back.
func TestServerAway(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed, 20)
		w.run(time.Minute)
		w.server.fail(true)
		w.asks = 0
		w.run(30 * time.Minute)
		if w.asks > 20*10+reporters+30+5 { // the first reporter tries again every minute
			t.Fatalf("seed %d: it was asked %d times in 30 min", seed, w.asks)
		}
		w.server.fail(false)
		w.server.raise(w.site, len(w.members))
		w.run(StaleAfter + staleSpread + 2*time.Minute)
		if behind := w.behind(); behind != 0 {
			t.Fatalf("seed %d: %d do not know", seed, behind)
		}
	}
}

// TestSame: the same seed gives the same run.
func TestSame(t *testing.T) {
	trace := func() uint64 {
		w := newWorld(t, 5, 30)
		w.run(5 * time.Minute)
		w.server.raise(w.site, len(w.members))
		w.run(5 * time.Minute)
		return w.trace
	}
	if one, two := trace(), trace(); one != two {
		t.Errorf("%x and %x", one, two)
	}
}

// TestSteps: what a single member does.
func TestSteps(t *testing.T) {
	self, other := id.Peer{1}, id.Peer{2}
	at := func(after time.Duration) time.Time { return start.Add(after) }
	made := func(weight owner.Weight) *Pulse {
		return New(start, Options{Self: self, Weight: weight, Site: "lyon", Random: rand.New(rand.NewPCG(1, 1))},
			ticket.Epoch{Number: 3, Issued: start})
	}
	p := made(owner.AlwaysOn)
	if wake, _ := p.NextWake(); wake != at(SettleFor) {
		t.Errorf("alone: asks at %v", wake.Sub(start))
	}
	p.Step(at(0), TransferChanged{true})
	if wake, _ := p.NextWake(); wake != at(BusyEvery) {
		t.Errorf("busy: asks at %v", wake.Sub(start))
	}
	if actions := p.Step(at(BusyEvery), WakeDue{}); !slices.Equal(actions, []Action{Ask{3, BusyEvery}}) {
		t.Errorf("got %v", actions)
	}
	if _, wants := p.NextWake(); wants {
		t.Error("wakes while an ask is under way")
	}
	p.Step(at(12*time.Second), AskFailed{})
	if wake, _ := p.NextWake(); wake.Before(at(12*time.Second+RetryAfter/2)) || wake.After(at(12*time.Second+RetryAfter)) {
		t.Errorf("after a failure: asks at %v", wake.Sub(start))
	}
	p.Step(at(12*time.Second), TransferChanged{false})
	same := ticket.Epoch{Number: 3, Issued: at(2 * time.Second)}
	if actions := p.Step(at(13*time.Second), Heard{Epoch: same, From: other}); actions != nil {
		t.Errorf("told before %v had passed: %v", TellEvery, actions)
	}
	news := ticket.Epoch{Number: 4, Issued: at(3 * time.Second)}
	if actions := p.Step(at(14*time.Second), Heard{Epoch: news, From: other}); !slices.Equal(actions, []Action{Tell{other}}) || !p.Behind() {
		t.Errorf("news: %v, behind %v", actions, p.Behind())
	}
	if actions := p.Step(at(14*time.Second), Contacted{news}); actions != nil || p.Behind() {
		t.Errorf("contacted: %v, behind %v", actions, p.Behind())
	}
	p = made(owner.Never)
	if wake, _ := p.NextWake(); wake.Before(at(StaleAfter)) {
		t.Errorf("a member that asks for itself only asks at %v", wake.Sub(start))
	}
	p.Step(at(-time.Hour), WakeDue{})
	if wake, _ := p.NextWake(); wake.After(at(StaleAfter + staleSpread - time.Hour)) {
		t.Errorf("after the clock was set back it asks at %v", wake.Sub(start))
	}
}

// TestLook: who knows of nobody after its first contact calls once more, and whoever has met somebody does not.
func TestLook(t *testing.T) {
	for _, c := range []struct {
		first, later int // members that are known then
		calls        int
	}{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}} {
		epoch := ticket.Epoch{Number: 1, Issued: start}
		p := New(start, Options{
			Self: id.Peer{1}, Weight: owner.Medium, Site: "lyon", Random: rand.New(rand.NewPCG(1, 2)),
		}, epoch)
		others := []owner.Member{{Peer: id.Peer{2}, Weight: owner.Medium}}
		p.Step(start, MembersChanged{others[:c.first]})
		p.Step(start, Contacted{epoch})
		p.Step(start, MembersChanged{others[:c.later]})
		p.Step(start, Contacted{epoch}) // only the first counts
		calls, now := 0, start
		for now.Before(start.Add(5 * time.Minute)) {
			wake, wakes := p.NextWake()
			if !wakes || !wake.After(now) {
				t.Fatalf("%+v: after %v it wakes at %v, %v", c, now.Sub(start), wake.Sub(start), wakes)
			}
			now = wake
			for _, action := range p.Step(now, WakeDue{}) {
				switch action.(type) {
				case Call:
					calls++
					if pause := now.Sub(start); pause < LookPause || pause > 2*LookPause {
						t.Errorf("%+v: it calls after %v", c, pause)
					}
					p.Step(now, Contacted{epoch})
				case Ask:
					epoch.Issued = now
					p.Step(now, Answered{Epoch: epoch})
				}
			}
		}
		if calls != c.calls {
			t.Errorf("%+v: called %d times", c, calls)
		}
	}
}
