package pulse

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/ticket"
)

// A fleet is many sites with one server.
type fleet struct {
	server *server
	sites  []*world
	now    time.Time
}

func newFleet(t *testing.T, seed uint64, sizes ...int) *fleet {
	t.Helper()
	f := &fleet{server: newServer(), now: start}
	for i, size := range sizes {
		f.sites = append(f.sites, newWorldAt(t, seed+uint64(i)<<20, size, core.SiteName(fmt.Sprint("site", i)), f.server))
	}
	return f
}

// run lets time pass for all sites at once.
func (f *fleet) run(passes time.Duration) {
	for end := f.now.Add(passes); f.now.Before(end); {
		f.server.look(f.now)
		for _, site := range f.sites {
			site.run(lookEvery)
		}
		f.now = f.now.Add(lookEvery)
	}
}

// forget forgets the calls and contacts so far.
func (s *server) forget() { s.calls, s.contacts = nil, nil }

// after returns, sorted, how long after a time contacts have ended.
func (s *server) after(from time.Time) (list []time.Duration) {
	for _, at := range s.contacts {
		list = append(list, at.Sub(from))
	}
	slices.Sort(list)
	return list
}

// busiest returns how many calls there were in the second that had most.
func (s *server) busiest() (most int) {
	calls := slices.SortedFunc(slices.Values(s.calls), time.Time.Compare)
	for i, first := 0, 0; i < len(calls); i++ {
		for calls[i].Sub(calls[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// TestToldAtOnce: 19 of 20 computers of a site have had their contact 3 s after something was ordered, and soon after it is
// withdrawn, whenever that is.
func TestToldAtOnce(t *testing.T) {
	var all []time.Duration
	for seed := range uint64(60 / fewer) {
		w := newWorld(t, seed, 20)
		w.run(time.Minute + time.Duration(w.random.Int64N(int64(2*HoldFor))))
		for range 4 { // activated, affected, set, withdrawn
			w.server.forget()
			from := w.now
			w.server.raise(w.site, 20)
			w.run(CallPause + 3*time.Second + time.Duration(w.random.IntN(60))*time.Second)
			took := w.server.after(from)
			if len(took) != 20 || w.behind() != 0 {
				t.Fatalf("seed %d: %d of 20 had a contact, %d are behind", seed, len(took), w.behind())
			}
			all = append(all, took...)
		}
	}
	slices.Sort(all)
	p95, last := all[len(all)*95/100], all[len(all)-1]
	t.Logf("p95 %v, last %v", p95, last)
	if p95 > 3*time.Second || last > CallPause+3*time.Second {
		t.Errorf("contacts are over %v after the command for 95 of 100, the last after %v: want 3 s, 8 s", p95, last)
	}
}

// TestFleet: 10,000 computers at sites of all sizes have had their contact a minute after an order that concerns all of
// them, and are not more at a time than the server wants; nor are they where sites hear of it one after the other.
func TestFleet(t *testing.T) {
	for _, c := range []struct {
		name      string
		computers int
		atOnce    int // sites that are raised between two looks of the server
	}{{"at once", 10_000 / fewer, 10_000}, {"one after the other", 2_500 / fewer, 4}} {
		var sizes []int
		for total := 0; total < c.computers; {
			size := min([]int{1, 2, 3, 5, 10, 20, 20, 50, 150}[len(sizes)%9], c.computers-total)
			sizes, total = append(sizes, size), total+size
		}
		f := newFleet(t, 3, sizes...)
		f.run(SettleFor + time.Second)
		f.server.crowd = Crowd{}
		for _, order := range []string{"ordered", "withdrawn"} {
			f.server.forget()
			from := f.now
			for i, site := range f.sites {
				f.server.raise(site.site, len(site.members))
				if i%c.atOnce == c.atOnce-1 {
					f.run(lookEvery)
				}
			}
			heard := f.now.Sub(from)
			f.run(time.Minute - heard)
			took, busiest, behind := f.server.after(from), f.server.busiest(), 0
			for _, site := range f.sites {
				behind += site.behind()
			}
			t.Logf("%s %s, %d computers at %d sites: p50 %v, p95 %v, last %v; %d calls in the busiest second", order, c.name,
				c.computers, len(sizes), took[len(took)/2], took[len(took)*95/100], took[len(took)-1], busiest)
			if behind > 0 || len(took) < c.computers {
				t.Errorf("%s: %d contacts in %v, %d computers are behind", c.name, len(took), time.Minute, behind)
			}
			if busiest > 2*CallRate {
				t.Errorf("%s: %d calls in a second, want about %d", c.name, busiest, CallRate)
			}
		}
	}
}

// TestIdle: a site with nothing to do asks less often than once in ReportEvery, whatever its size; so does one whose
// server keeps no ask open.
func TestIdle(t *testing.T) {
	for _, keepsNone := range []bool{false, true} {
		for _, size := range []int{1, 3, 20, 100} {
			w := newWorld(t, 4, size)
			w.server.keepsNone = keepsNone
			w.run(5 * time.Minute)
			w.asks = 0
			w.run(time.Hour)
			most := int(time.Hour / HoldFor)
			if keepsNone {
				most = int(time.Hour / ReportEvery)
			}
			if w.asks > most || w.asks < most-5 {
				t.Errorf("%d members, server without open asks %v: %d asks in an hour, want %d", size, keepsNone, w.asks, most)
			}
		}
	}
}

// TestOldServer: where the server keeps no ask open and says nothing of a spread, news take as long as they did before.
func TestOldServer(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(t, seed, 20)
		w.server.keepsNone = true
		w.run(3 * time.Minute)
		w.server.forget()
		from := w.now
		w.server.raise(w.site, 20)
		w.run(ReportEvery + CallSpread + 5*time.Second)
		took := w.server.after(from)
		if w.behind() != 0 || w.server.busiest() > 8 {
			t.Errorf("seed %d: %d are behind, the last after %v; %d at a time", seed, w.behind(), took[len(took)-1],
				w.server.busiest())
		}
	}
}

// TestTakeover: when the reporter leaves, the next one has an ask open after SettleFor, and one that dies is followed so
// soon after gossip has seen it.
func TestTakeover(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed, 20)
		w.run(2*time.Minute + time.Duration(seed)*7*time.Second)
		gone := w.reporter(0)
		w.dead[gone] = true
		if ask := w.asked[gone]; w.server.answers[ask] != nil { // its connection ends with it
			w.server.desk.Step(w.now, HungUp{ask})
			delete(w.server.answers, ask)
		}
		w.run(10 * time.Second)
		for n := range w.peers {
			w.step(n, MembersChanged{w.view(n, func(n int) bool { return n != gone })})
		}
		w.run(SettleFor + time.Second)
		if w.server.desk.Open() == 0 {
			t.Fatalf("seed %d: nobody has taken over", seed)
		}
		from := w.now
		w.server.forget()
		w.server.raise(w.site, 19)
		w.run(5 * time.Second)
		if took := w.server.after(from); len(took) != 19 || took[18] > 4*time.Second {
			t.Errorf("seed %d: %d contacts: %v", seed, len(took), took)
		}
	}
}

// TestCutOff: something on the way ends what is open for too long. The site learns how long that is, asks little more
// often, and hears of nearly all news at once.
func TestCutOff(t *testing.T) {
	for _, after := range []time.Duration{12 * time.Second, 20 * time.Second, 30 * time.Second, 44 * time.Second} {
		w := newWorld(t, 7, 10)
		w.server.cutsAfter = after
		w.run(10 * time.Minute)
		w.asks = 0
		open, looks := 0, 0
		for range 3600 {
			w.run(time.Second)
			looks++
			open += min(1, w.server.desk.Open())
		}
		most := int(time.Hour/(after/2)) + int(time.Hour/after)
		t.Logf("cut off after %v: %d asks in an hour, open for %d of %d s", after, w.asks, open, looks)
		if w.asks > most || open < looks*3/4 {
			t.Errorf("cut off after %v: %d asks in an hour, want %d; open for %d of %d s", after, w.asks, most, open, looks)
		}
	}
}

// TestBusyReplaces: a transfer that begins while an ask is open for long gives that one up to report.
func TestBusyReplaces(t *testing.T) {
	w := newWorld(t, 2, 5)
	w.run(time.Minute)
	first := w.reporter(0)
	w.asks = 0
	w.step(first, TransferChanged{true})
	w.run(time.Minute)
	if w.asks < 5 || w.asks > 7 {
		t.Errorf("%d asks in a minute of transfer, want one in %v", w.asks, BusyEvery)
	}
	if open := w.server.desk.Open(); open > 1 {
		t.Errorf("%d asks are open", open)
	}
}

// TestDesk: whatever comes in whatever order, each ask is answered once or has hung up, none is open for longer than
// HoldFor or while there are news for it, and there are no more than there may be.
func TestDesk(t *testing.T) {
	for seed := range uint64(300 / fewer) {
		random := rand.New(rand.NewPCG(seed, 8))
		d, now := NewDesk(), start
		type asked struct {
			Asked
			at time.Time
		}
		open := map[uint64]asked{}
		numbers := map[core.SiteName]uint64{}
		site := func() core.SiteName { return core.SiteName(fmt.Sprint("s", random.IntN(5))) }
		check := func(answers []uint64) {
			for _, id := range answers {
				if _, is := open[id]; !is {
					t.Fatalf("seed %d: %d is answered and was not open", seed, id)
				}
				delete(open, id)
			}
			atSite := map[core.SiteName]int{}
			members := map[string]bool{}
			for id, one := range open {
				if numbers[one.Site] > one.Known {
					t.Fatalf("seed %d: %d is open although there are news", seed, id)
				}
				if atSite[one.Site]++; atSite[one.Site] > MaxOpenAtSite {
					t.Fatalf("seed %d: too many at %s", seed, one.Site)
				}
				if members[string(one.Site)+one.Member] {
					t.Fatalf("seed %d: %s has two open", seed, one.Member)
				}
				members[string(one.Site)+one.Member] = true
			}
			if d.Open() != len(open) {
				t.Fatalf("seed %d: %d open, want %d", seed, d.Open(), len(open))
			}
		}
		for id := uint64(1); id < 400; id++ {
			now = now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
			switch random.IntN(6) {
			case 0, 1, 2:
				one := Asked{
					ID: id, Member: fmt.Sprint(random.IntN(8)), Site: site(), Known: random.Uint64N(4),
					Wait: time.Duration(random.IntN(60)) * time.Second,
				}
				one.Number = numbers[one.Site]
				open[id] = asked{one, now}
				check(d.Step(now, one))
			case 3:
				at := site()
				numbers[at]++
				check(d.Step(now, Raised{at, numbers[at]}))
			case 4:
				gone := random.Uint64N(id)
				delete(open, gone)
				check(d.Step(now, HungUp{gone}))
			case 5:
				if random.IntN(20) == 0 {
					now = now.Add(-time.Hour)
				}
				check(d.Step(now, TimePassed{}))
				for _, one := range open {
					if end := one.at.Add(min(one.Wait, HoldFor)); now.After(end) {
						t.Fatalf("seed %d: open beyond its time", seed)
					}
				}
			}
		}
		check(d.Step(now, Closing{}))
		if d.Open() != 0 {
			t.Fatalf("seed %d: open after the end", seed)
		}
		if answers := d.Step(now, Asked{ID: 1000, Site: "s", Wait: time.Minute}); !slices.Equal(answers, []uint64{1000}) {
			t.Fatalf("seed %d: opened after the end: %v", seed, answers)
		}
	}
}

// TestDeskFull: whoever finds no place is answered at once, and gets one when one is free.
func TestDeskFull(t *testing.T) {
	d := NewDesk()
	ask := func(id uint64) bool {
		site := core.SiteName(fmt.Sprint("s", id/MaxOpenAtSite))
		return len(d.Step(start, Asked{ID: id, Member: fmt.Sprint(id), Site: site, Wait: time.Minute})) == 0
	}
	for id := range uint64(MaxOpen) {
		if !ask(id) {
			t.Fatalf("%d is not kept open", id)
		}
	}
	if ask(MaxOpen) {
		t.Errorf("%d are open", d.Open())
	}
	d.Step(start, HungUp{3})
	if !ask(MaxOpen + 1) {
		t.Error("the place that is free is not given away")
	}
}

// TestCrowd: over any time, no more computers are to call than a second of CallRate each, but for those of small sites.
func TestCrowd(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var c Crowd
		now := start
		rate := map[int64]float64{} // calls expected in each second
		for range 40 {
			now = now.Add(time.Duration(random.IntN(4000)) * time.Millisecond)
			computers := 1 << random.IntN(13)
			spread := c.Join(now, computers, 1<<20)
			if spread < time.Second || spread > ticket.MaxSpread || spread%time.Second != 0 {
				t.Fatalf("spread %v", spread)
			}
			for i := range int64(spread / time.Second) {
				rate[now.Unix()+i] += float64(computers) / spread.Seconds()
			}
		}
		total, seconds := 0.0, 0
		for _, one := range rate {
			total += one
			seconds++
		}
		if average := total / float64(seconds); average > 1.5*CallRate {
			t.Fatalf("%.0f calls a second over %d s", average, seconds)
		}
	}
	var c Crowd
	if one, three, many := c.Join(start, 3, 9), c.Join(start.Add(-time.Hour), 3, 9), c.Join(start, 10_000, 10_000); one != time.Second ||
		three != time.Second || many != 50*time.Second {
		t.Errorf("got %v, %v, %v", one, three, many)
	}
	if again := c.Join(start, 10_000, 10_000); again != 50*time.Second {
		t.Errorf("all again before any has called: got %v", again)
	}
	if huge := c.Join(start, 1<<40, 0); huge != ticket.MaxSpread {
		t.Errorf("got %v", huge)
	}
}
