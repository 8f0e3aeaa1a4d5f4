package pulse

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/owner"
	"enjambre/peer/ticket"
	"enjambre/peer/wire"
)

// progress is what a world knows of it: each member has one package, of which it gets a fragment now and then.
type progress struct {
	have        []uint32 // by member
	idle        []bool   // has its package, or none
	collections []*Collection
	known       []said // by the server
	says        int
	most        int     // entries of a message
	loss        float64 // of what members say to each other
}

// A said is what the server knows of a member.
type said struct {
	have   uint32
	issued time.Time
}

// begin lets all members have a package from now on.
func (w *world) begin() {
	p := &w.progress
	p.have, p.known, p.idle = make([]uint32, len(w.peers)), make([]said, len(w.peers)), make([]bool, len(w.peers))
	for n := range w.peers {
		p.collections = append(p.collections, new(Collection))
		w.feel(n)
		w.advance(n)
	}
}

// feel tells a member's pulse whether it is busy.
func (w *world) feel(n int) {
	w.step(n, TransferChanged{!w.progress.idle[n] || w.progress.collections[n].Waiting()})
}

// advance lets a member get its next fragments.
func (w *world) advance(n int) {
	w.plan(w.delay(2*time.Second), n, func() Event {
		if !w.dead[n] && !w.progress.idle[n] {
			w.progress.have[n]++
			w.advance(n)
		}
		return Progressed{Open: !w.progress.idle[n]}
	})
}

// said returns what a member would say.
func (w *world) said(n int) wire.Progress {
	return wire.Progress{Peer: w.peers[n], Issued: w.now.Truncate(time.Second), Packages: []wire.PackageProgress{
		{Package: 7, Phase: ocs.Downloading, Have: w.progress.have[n], Of: core.MaxFragments},
	}}
}

// say carries what a member says.
func (w *world) say(n int, to [Listeners]id.Peer) {
	one := w.said(n)
	for _, peer := range to {
		if peer == (id.Peer{}) {
			continue
		}
		w.progress.says++
		if w.random.Float64() < w.progress.loss {
			continue
		}
		w.plan(w.delay(100*time.Millisecond), 0, func() Event {
			if at := slices.Index(w.peers, peer); !w.dead[at] {
				w.progress.collections[at].Take(w.now, one)
				w.feel(at)
			}
			return nil
		})
	}
}

// tell takes what goes with an ask, and returns what happens when the server has it, and when it has answered.
func (w *world) tell(n int) (told, answered func()) {
	p := &w.progress
	if p.collections == nil {
		return func() {}, func() {}
	}
	own, batch := said{p.have[n], w.now}, p.collections[n].Batch(w.now)
	p.most = max(p.most, len(batch))
	told = func() {
		p.known[n] = own
		for _, one := range batch {
			frame, err := wire.ParseMessage(one.Frame, wire.KindProgress)
			if err != nil {
				w.t.Fatal(err)
			}
			at := slices.Index(w.peers, one.Peer)
			if progress := frame.(wire.Progress); progress.Issued.After(p.known[at].issued) {
				p.known[at] = said{progress.Packages[0].Have, progress.Issued}
			}
		}
	}
	return told, func() {
		p.collections[n].Sent(batch)
		w.feel(n)
	}
}

// oldest returns the age of what the server knows of the living member that it knows least of.
func (w *world) oldest() (age time.Duration) {
	for n, known := range w.progress.known {
		if !w.dead[n] && !w.progress.idle[n] {
			age = max(age, w.now.Sub(known.issued))
		}
	}
	return age
}

// holds runs for a while and holds all that the server knows to an age.
func (w *world) holds(what string, passes, most time.Duration) {
	w.t.Helper()
	for end := w.now.Add(passes); w.now.Before(end); {
		w.run(time.Second)
		if age := w.oldest(); age > most {
			w.t.Fatalf("%s, %d members: the server knows of one what it said %v ago, want %v at most", what, len(w.peers), age,
				most)
		}
	}
}

// reporter returns the n-th of those that report.
func (w *world) reporter(n int) int {
	all := w.view(-1, func(int) bool { return true })
	return slices.Index(w.peers, owner.Reporters("lyon", nil, all)[n])
}

const slack = 3 * time.Second // whole seconds, and time on the way

// TestAllReported: what each member says is at the server within two intervals of the busy; with the reporter dead,
// after the silence by which that shows besides; and once gossip has seen it, as before.
func TestAllReported(t *testing.T) {
	for count, seeds := range map[int]uint64{2: 5, 3: 5, 20: 3, 150: 1} {
		for seed := range seeds {
			w := newWorld(t, seed, count)
			w.run(5 * time.Minute)
			w.begin()
			w.run(2*BusyEvery + slack)
			w.progress.says = 0
			w.holds("in peace", 5*time.Minute, 2*BusyEvery+slack)
			if most := Listeners * count * 31; w.progress.says > most {
				t.Fatalf("%d members: said %d times in 5 min, want %d at most", count, w.progress.says, most)
			}
			first := w.reporter(0)
			w.progress.idle[first] = true
			w.run(2*BusyEvery + slack)
			w.holds("the reporter is done", 3*time.Minute, 2*BusyEvery+slack)
			w.dead[first] = true
			silent := 2*BusyEvery + owner.ReporterSilence + slack
			w.holds("the reporter is dead", 3*time.Minute, silent)
			for n := range w.peers {
				w.step(n, MembersChanged{w.view(n, func(n int) bool { return n != first })})
			}
			w.run(silent)
			w.holds("its death is known", 3*time.Minute, 2*BusyEvery+slack)
			w.progress.loss = 0.2
			w.run(5 * time.Minute)
			w.progress.loss = 0
			w.run(2*BusyEvery + slack)
			w.holds("after a bad network", time.Minute, 2*BusyEvery+slack)
			w.server.fail(true)
			w.run(10 * time.Minute)
			w.server.fail(false)
			w.run(StaleAfter + staleSpread + silent)
			w.holds("the server is back", time.Minute, 2*BusyEvery+slack)
		}
	}
}

// TestManyReported: of more members than one message takes, nobody waits for more than their turns.
func TestManyReported(t *testing.T) {
	w := newWorld(t, 1, 600)
	w.run(time.Minute)
	w.begin()
	const turns = 4 // 600 entries of 127 bytes
	w.run((turns + 2) * BusyEvery)
	w.holds("many", 5*time.Minute, (turns+1)*BusyEvery+slack)
	if most := w.progress.most; most < 100 || most > ocs.MaxSaid {
		t.Errorf("%d entries in one message", most)
	}
}

// TestSay: who has packages says how far they are, at most every BusyEvery, and who has none does not.
func TestSay(t *testing.T) {
	self := id.Peer{9}
	p := New(start, Options{Self: self, Weight: owner.Never, Site: "lyon", Random: rand.New(rand.NewPCG(1, 1))},
		ticket.Epoch{Number: 3, Issued: start})
	var others []owner.Member
	for n := range 5 {
		others = append(others, owner.Member{Peer: id.Peer{byte(n + 1)}, Weight: owner.Medium})
	}
	order := owner.Reporters("lyon", nil, others)
	want := Say{[Listeners]id.Peer{order[0], order[1]}}
	now := start
	says := func(what string, at time.Duration, event Event, want ...Action) {
		t.Helper()
		now = start.Add(at)
		if got := p.Step(now, event); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	wakes := func(what string, at time.Duration) {
		t.Helper()
		if wake, _ := p.NextWake(); !wake.Equal(start.Add(at)) {
			t.Errorf("%s: wakes after %v, want %v", what, wake.Sub(start), at)
		}
	}
	says("alone", 0, Progressed{Open: true})
	says("not alone", time.Second, MembersChanged{others}, want)
	says("too soon", 2*time.Second, Progressed{Open: true})
	wakes("changed", time.Second+BusyEvery)
	says("after a while", time.Second+BusyEvery, WakeDue{}, want)
	wakes("unchanged", time.Second+BusyEvery+ReportEvery)
	says("unchanged", time.Second+BusyEvery+ReportEvery, WakeDue{}, want)
	says("it has ended", 50*time.Second, Progressed{})
	if wake, _ := p.NextWake(); wake.Before(start.Add(StaleAfter)) {
		t.Errorf("with nothing to say it wakes after %v", wake.Sub(start))
	}
	says("another", 60*time.Second, Progressed{Open: true}, want)
	says("the clock is set back", -time.Hour, Progressed{Open: true})
	wakes("the clock is set back", BusyEvery-time.Hour)

	reporter := New(start, Options{
		Self: order[0], Weight: owner.Medium, Site: "lyon", Random: rand.New(rand.NewPCG(1, 1)),
	}, ticket.Epoch{Number: 3, Issued: start})
	others = slices.DeleteFunc(others, func(m owner.Member) bool { return m.Peer == order[0] })
	reporter.Step(start, MembersChanged{others})
	want = Say{[Listeners]id.Peer{{}, order[1]}}
	if got := reporter.Step(start, Progressed{Open: true}); !slices.Equal(got, []Action{want}) {
		t.Errorf("the first reporter: got %v, want %v", got, want)
	}
}

// TestCollection is the life of what one member says.
func TestCollection(t *testing.T) {
	var c Collection
	now := start
	word := func(member byte, after time.Duration, have uint32) wire.Progress {
		return wire.Progress{Peer: id.Peer{member}, Issued: start.Add(after), Packages: []wire.PackageProgress{
			{Package: 7, Phase: ocs.Downloading, Have: have, Of: 100},
		}}
	}
	takes := func(what string, said wire.Progress, want bool) {
		t.Helper()
		if got := c.Take(now, said); got != want {
			t.Errorf("%s: taken %v, want %v", what, got, want)
		}
	}
	holds := func(what string, want ...wire.Progress) []Said {
		t.Helper()
		batch := c.Batch(now)
		var frames, wanted [][]byte
		for _, one := range batch {
			frames = append(frames, one.Frame)
		}
		for _, one := range want {
			frame, err := wire.Append(nil, one)
			if err != nil {
				t.Fatal(err)
			}
			wanted = append(wanted, frame)
		}
		if !slices.EqualFunc(frames, wanted, bytes.Equal) || c.Waiting() != (len(want) > 0) {
			t.Errorf("%s: got %x, waiting %v, want %x", what, frames, c.Waiting(), wanted)
		}
		return batch
	}
	holds("empty")
	takes("the first", word(1, 0, 1), true)
	takes("the same again", word(1, 0, 1), false)
	takes("an older one", word(1, -time.Second, 0), false)
	takes("an old one", word(2, -KeepFor-time.Second, 0), false)
	takes("one of the future", word(2, MaxAhead+time.Second, 0), false)
	takes("nobody's", word(0, 0, 1), false)
	takes("nonsense", word(2, 0, 101), false)
	takes("of another", word(2, MaxAhead, 5), true)
	batch := holds("both", word(1, 0, 1), word(2, MaxAhead, 5))
	holds("after a failure", word(1, 0, 1), word(2, MaxAhead, 5))
	takes("news while it is on its way", word(1, time.Second, 2), true)
	c.Sent(batch)
	batch = holds("news", word(1, time.Second, 2))
	takes("news of the other", word(2, MaxAhead+time.Second, 5), false)
	now = start.Add(2 * time.Second)
	takes("news of the other", word(2, MaxAhead+time.Second, 6), true)
	takes("of a third", word(0xff, 0, 9), true)
	holds("who has waited longest first", word(0xff, 0, 9), word(1, time.Second, 2), word(2, MaxAhead+time.Second, 6))
	c.Sent(batch)
	takes("what the server has, said again", word(1, 2*time.Second, 2), true)
	holds("that need not go", word(0xff, 0, 9), word(2, MaxAhead+time.Second, 6))
	now = start.Add(KeepFor + 5*time.Second)
	batch = holds("too late", word(2, MaxAhead+time.Second, 6))
	c.Sent(batch)
	now = start.Add(MaxAhead + time.Second + RepeatAfter)
	takes("what the server has, a while later", word(2, MaxAhead+time.Second+RepeatAfter, 6), true)
	if batch := c.Batch(now); len(batch) != 1 || c.Waiting() {
		t.Errorf("after a while: %d go, waiting %v", len(batch), c.Waiting())
	}
	now = start
	holds("the clock is set back")
	c.Sent(batch) // of whom nothing is known any more
	if c.Waiting() || len(c.entries) != 0 {
		t.Errorf("at the end: %v, %d entries", c.Waiting(), len(c.entries))
	}
}

// TestCollectionBounds: there is a most of everything.
func TestCollectionBounds(t *testing.T) {
	var c Collection
	word := func(n, packages int) wire.Progress {
		said := wire.Progress{Peer: id.Peer{byte(n), byte(n >> 8), 1}, Issued: start}
		for i := range packages {
			said.Packages = append(said.Packages, wire.PackageProgress{Package: core.PackageID(i + 1), Phase: ocs.Delayed})
		}
		return said
	}
	for n := range MaxCollected {
		if !c.Take(start, word(n, n%(wire.MaxTold+1))) {
			t.Fatalf("member %d is not taken", n)
		}
	}
	if c.Take(start, word(MaxCollected, 1)) {
		t.Error("more than there may be are taken")
	}
	seen := map[id.Peer]bool{}
	for c.Waiting() {
		batch, bytes := c.Batch(start), 0
		for _, one := range batch {
			if bytes += len(one.Frame); seen[one.Peer] {
				t.Fatalf("member %v comes twice", one.Peer)
			}
			seen[one.Peer] = true
		}
		if len(batch) == 0 || len(batch) > ocs.MaxSaid || bytes > ocs.MaxSaidBytes {
			t.Fatalf("%d entries of %d bytes", len(batch), bytes)
		}
		c.Sent(batch)
	}
	if len(seen) != MaxCollected {
		t.Errorf("%d members were in a batch", len(seen))
	}
	later := word(MaxCollected, 1)
	later.Issued = start.Add(KeepFor + time.Second)
	if !c.Take(later.Issued, later) || len(c.entries) != 1 {
		t.Errorf("the old ones make no room: %d entries", len(c.entries))
	}
	var empty Collection
	for n := range 2 * ocs.MaxSaid {
		empty.Take(start, word(n, 0))
	}
	if got := len(empty.Batch(start)); got != ocs.MaxSaidBytes/(wire.HeaderSize+105) {
		t.Errorf("%d of the shortest go at once", got)
	}
}
