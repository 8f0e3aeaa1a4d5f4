package pulse

import (
	"maps"
	"slices"
	"time"

	"enjambre/core"
)

// lookEvery is how often the server looks whether there are news.
const lookEvery = 250 * time.Millisecond

// A server is what the members of one or more worlds ask.
type server struct {
	desk      *Desk
	crowd     Crowd
	numbers   map[core.SiteName]uint64
	computers map[core.SiteName]int
	seen      map[core.SiteName]uint64
	spread    map[core.SiteName]time.Duration
	answers   map[uint64]func(Event) // of asks that are open, by ID; nil: as they would be
	asks      uint64
	down      bool
	keepsNone bool          // as servers that are older
	cutsAfter time.Duration // something on the way takes asks for dead then; 0: never
	calls     []time.Time   // of all members
	contacts  []time.Time   // when they had been answered
}

func newServer() *server {
	return &server{
		desk: NewDesk(), numbers: map[core.SiteName]uint64{}, computers: map[core.SiteName]int{},
		seen: map[core.SiteName]uint64{}, spread: map[core.SiteName]time.Duration{}, answers: map[uint64]func(Event){},
	}
}

// raise makes news at a site, of which the server itself hears when it looks.
func (s *server) raise(site core.SiteName, computers int) {
	s.numbers[site]++
	s.computers[site] = computers
}

func (s *server) look(now time.Time) {
	var raised []core.SiteName
	computers := 0
	for _, site := range slices.Sorted(maps.Keys(s.numbers)) {
		if s.numbers[site] > s.seen[site] {
			raised = append(raised, site)
			computers += s.computers[site]
		}
	}
	if len(raised) > 0 {
		all := 0
		for _, some := range s.computers {
			all += some
		}
		spread := s.crowd.Join(now, computers, all)
		for _, site := range raised {
			s.seen[site], s.spread[site] = s.numbers[site], spread
		}
		if s.keepsNone {
			clear(s.spread)
		}
	}
	for _, site := range raised {
		s.answer(s.desk.Step(now, Raised{site, s.numbers[site]}), nil)
	}
	s.answer(s.desk.Step(now, TimePassed{}), nil)
}

func (s *server) answer(asks []uint64, with Event) {
	for _, id := range asks {
		if answer := s.answers[id]; answer != nil {
			delete(s.answers, id)
			answer(with)
		}
	}
}

// fail lets the server be away, or come again.
func (s *server) fail(down bool) {
	s.down = down
	if down {
		s.answer(slices.Sorted(maps.Keys(s.answers)), AskFailed{})
		s.desk = NewDesk()
	}
}

// sendAsk lets a member ask, and gives up what it has asked before.
func (w *world) sendAsk(n int, ask Ask) {
	w.asks++
	s := w.server
	s.asks++
	id := s.asks
	before := w.asked[n]
	w.asked[n] = id
	told, answered := w.tell(n)
	reply := func(with Event) {
		w.plan(w.delay(150*time.Millisecond), n, func() Event {
			switch {
			case w.asked[n] != id:
				return nil
			case with != nil:
				return with
			}
			answered()
			return Answered{w.word(), s.spread[w.site]}
		})
	}
	w.plan(w.delay(150*time.Millisecond), n, func() Event {
		s.desk.Step(w.now, HungUp{before})
		delete(s.answers, before)
		if s.down {
			reply(AskFailed{})
			return nil
		}
		told()
		s.answers[id] = reply
		if s.cutsAfter > 0 {
			w.plan(s.cutsAfter, n, func() Event {
				if s.answers[id] != nil {
					s.desk.Step(w.now, HungUp{id})
					s.answer([]uint64{id}, AskFailed{})
				}
				return nil
			})
		}
		wait := ask.Wait
		if s.keepsNone {
			wait = 0
		}
		s.answer(s.desk.Step(w.now, Asked{
			ID: id, Member: w.peers[n].String(), Site: w.site, Number: s.numbers[w.site], Known: ask.Known, Wait: wait,
		}), nil)
		return nil
	})
}
