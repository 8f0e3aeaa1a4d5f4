package peer

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/owner"
)

// peerOf returns the n-th member.
func peerOf(n int) id.Peer { return id.Peer{1, byte(n >> 8), byte(n)} }

// setOf returns a set of size fragments that has these.
func setOf(size int, indexes ...core.FragmentIndex) *fragment.Set {
	set := fragment.NewSet(size)
	for _, index := range indexes {
		set.Add(index)
	}
	return set
}

func all(size int) []core.FragmentIndex {
	var indexes []core.FragmentIndex
	for index := range core.FragmentIndex(size) {
		indexes = append(indexes, index)
	}
	return indexes
}

// member returns a download of a member of a swarm that holds nothing.
func member(n, size int, leases bool) *Download {
	return NewDownload(fragment.NewSet(size), Options{
		Self: peerOf(n), Weight: owner.Medium, Info: core.Digest{7}, Leases: leases,
		Random: rand.New(rand.NewPCG(uint64(n), 3)),
	})
}

func join(n int, held *fragment.Set) NeighbourJoined {
	return NeighbourJoined{Peer: peerOf(n), Weight: owner.Medium, Wants: true, Held: held}
}

// step steps and holds the actions to what is wanted.
func step(t *testing.T, d *Download, now time.Time, event Event, want ...Action) {
	t.Helper()
	got := d.Step(now, event)
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("%T: got %+v, want %+v", event, got, want)
	}
}

// TestRarestFirst: what the fewest neighbours hold comes first, from the one that is asked the least.
func TestRarestFirst(t *testing.T) {
	d := member(0, 4, true)
	one, two := peerOf(1), peerOf(2)
	step(t, d, start, join(1, setOf(4, 0, 1, 2)),
		FetchFromMember{one, 0}, FetchFromMember{one, 1}, FetchFromMember{one, 2})
	step(t, d, start, join(2, setOf(4, 0, 1, 3)), FetchFromMember{two, 3})
	step(t, d, start, OriginAllowed{}, Postpone{start.Add(emptyPause)})
	step(t, d, start, FragmentStored{3, two})
	step(t, d, start, FetchFailed{Peer: one, Index: 2, Why: Absent},
		CancelFetch{one, 0}, CancelFetch{one, 1}, Report{one, Absent, start.Add(firstBan)},
		FetchFromMember{two, 0}, FetchFromMember{two, 1})
	// Fragment 2 is held by nobody who may be asked: the origin has it, and is told who failed.
	step(t, d, start, OriginAllowed{}, AskOrigin{
		Want: []core.FragmentIndex{2}, Acknowledged: []core.FragmentIndex{3},
		Failed: []Complaint{{Peer: one, Index: 2}},
	})
	step(t, d, start, OriginAllowed{}, Postpone{start.Add(emptyPause)})
	step(t, d, start, FragmentStored{Index: 2}, Acknowledge{[]core.FragmentIndex{2}},
		Announce{one, []core.FragmentIndex{2, 3}}, Announce{two, []core.FragmentIndex{2}})
	if d.Missing() != 2 || !d.Holds(2) {
		t.Errorf("%d missing", d.Missing())
	}
}

// TestBusy: a neighbour that is busy is asked again when it said, and others meanwhile.
func TestBusy(t *testing.T) {
	d := member(0, 1, true)
	step(t, d, start, join(1, setOf(1, 0)), FetchFromMember{peerOf(1), 0})
	step(t, d, start, FetchFailed{Peer: peerOf(1), Index: 0, Why: Occupied, RetryAfter: 3 * time.Second})
	if wake, wakes := d.NextWake(); !wakes || !wake.Equal(start.Add(3*time.Second)) {
		t.Errorf("wake at %v", wake.Sub(start))
	}
	step(t, d, start.Add(time.Second), join(2, setOf(1, 0)), FetchFromMember{peerOf(2), 0})
	step(t, d, start.Add(time.Second), NeighbourLeft{peerOf(2)})
	step(t, d, start.Add(3*time.Second), WakeDue{}, FetchFromMember{peerOf(1), 0})
}

// TestBans: an hour for the first misbehaviour, a day for the next; progress keeps a slow one from being one.
func TestBans(t *testing.T) {
	d := member(0, 1, true)
	now, one := start, peerOf(1)
	step(t, d, now, join(1, setOf(1, 0)), FetchFromMember{one, 0})
	now = now.Add(StallTime - time.Second)
	step(t, d, now, FetchProgressed{one, 0})
	now = now.Add(2 * time.Second)
	step(t, d, now, WakeDue{})
	if wake, _ := d.NextWake(); !wake.Equal(now.Add(StallTime - 2*time.Second)) {
		t.Errorf("wake in %v", wake.Sub(now))
	}
	now = now.Add(StallTime)
	step(t, d, now, WakeDue{}, CancelFetch{one, 0}, Report{one, Broken, now.Add(firstBan)})
	step(t, d, now, OriginAllowed{}, AskOrigin{Want: []core.FragmentIndex{0}, Failed: []Complaint{{Peer: one}}})
	step(t, d, now, AskAbandoned{0})
	now = now.Add(firstBan)
	step(t, d, now, WakeDue{}, FetchFromMember{one, 0})
	step(t, d, now, FetchFailed{Peer: one, Index: 0, Why: Corrupt}, Report{one, Corrupt, now.Add(nextBan)})
	step(t, d, now.Add(23*time.Hour), NeighbourHas{one, []core.FragmentIndex{0}})
}

// TestSlept: a neighbour is not blamed for the time that this computer slept, and is for what follows.
func TestSlept(t *testing.T) {
	d := member(0, 1, true)
	now, one := start, peerOf(1)
	step(t, d, now, join(1, setOf(1, 0)), FetchFromMember{one, 0})
	for range 2 {
		now = now.Add(StallTime + lateTime + 1)
		step(t, d, now, WakeDue{})
	}
	if wake, _ := d.NextWake(); !wake.Equal(now.Add(StallTime)) {
		t.Errorf("wake in %v", wake.Sub(now))
	}
	now = now.Add(StallTime + lateTime)
	step(t, d, now, WakeDue{}, CancelFetch{one, 0}, Report{one, Broken, now.Add(firstBan)})
}

// TestHedge: at the end a late fragment is asked of another too, and whoever is slower is called off.
func TestHedge(t *testing.T) {
	d := member(0, 1, true)
	step(t, d, start, join(1, setOf(1, 0)), FetchFromMember{peerOf(1), 0})
	step(t, d, start, join(2, setOf(1, 0)))
	if wake, _ := d.NextWake(); !wake.Equal(start.Add(HedgeTime)) {
		t.Errorf("wake in %v", wake.Sub(start))
	}
	now := start.Add(HedgeTime)
	step(t, d, now, WakeDue{}, FetchFromMember{peerOf(2), 0})
	step(t, d, now, FragmentStored{0, peerOf(2)}, CancelFetch{peerOf(1), 0},
		Acknowledge{[]core.FragmentIndex{0}}) // it is done
	step(t, d, now, FetchFailed{Peer: peerOf(1), Index: 0, Why: Broken}) // crossed the cancel
	if len(d.fetches) > 0 || len(d.complaints) > 0 {
		t.Errorf("left: %v, %v", d.fetches, d.complaints)
	}
}

// TestAnnounce: once a second, to those who want and lack it; at once what the origin has sent, and at the end.
func TestAnnounce(t *testing.T) {
	d := member(0, 5, true)
	quiet := join(3, nil)
	quiet.Wants = false
	for _, event := range []Event{join(1, nil), join(2, nil), quiet, FragmentStored{2, peerOf(9)}, FragmentStored{0, peerOf(9)}} {
		step(t, d, start, event)
	}
	step(t, d, start, NeighbourHas{peerOf(2), []core.FragmentIndex{0, 99}})
	now, wakes := d.NextWake()
	if !wakes || !now.Equal(start.Add(AnnounceEvery)) {
		t.Errorf("wake in %v", now.Sub(start))
	}
	step(t, d, now, WakeDue{}, Announce{peerOf(1), []core.FragmentIndex{0, 2}}, Announce{peerOf(2), []core.FragmentIndex{2}})
	if _, wakes := d.NextWake(); wakes {
		t.Error("it wakes for nothing")
	}
	both := func(index core.FragmentIndex) []Action {
		return []Action{Announce{peerOf(1), []core.FragmentIndex{index}}, Announce{peerOf(2), []core.FragmentIndex{index}}}
	}
	step(t, d, now, FragmentStored{Index: 1}, append([]Action{Acknowledge{[]core.FragmentIndex{2, 0, 1}}}, both(1)...)...)
	step(t, d, now, FragmentStored{4, peerOf(9)}, both(4)...) // one is missing
	step(t, d, now, FragmentStored{3, peerOf(9)}, append([]Action{Acknowledge{[]core.FragmentIndex{4, 3}}}, both(3)...)...)
}

// TestWishes: a member wants first what is its own; what failed at the origin comes last.
func TestWishes(t *testing.T) {
	const size = 200
	wants := map[int][]core.FragmentIndex{}
	for n := range 4 {
		d := member(n, size, true)
		for other := range 4 {
			if other != n {
				d.Step(start, join(other, nil))
			}
		}
		wants[n] = d.Step(start, OriginAllowed{})[0].(AskOrigin).Want
		if len(wants[n]) != owner.MaxWant {
			t.Fatalf("member %d wants %d", n, len(wants[n]))
		}
		for _, index := range wants[n][:20] {
			for other := range n {
				if slices.Contains(wants[other][:20], index) {
					t.Errorf("members %d and %d both want fragment %d first", n, other, index)
				}
			}
		}
		first := wants[n][0]
		d.Step(start, FragmentFailed{first})
		if again := d.Step(start, OriginAllowed{})[0].(AskOrigin).Want; again[0] == first {
			t.Errorf("what failed is wanted first again")
		}
	}
}

// TestWeightless: a member on a metered line asks the origin only when nothing has come for a while.
func TestWeightless(t *testing.T) {
	d := member(0, 2, true)
	d.options.Weight = owner.Never
	d.Step(start, join(1, nil))
	step(t, d, start, OriginAllowed{}, Postpone{start.Add(PatientTime)})
	now := start.Add(PatientTime)
	if _, asks := d.Step(now, OriginAllowed{})[0].(AskOrigin); !asks {
		t.Error("it waits for ever")
	}
}

// TestHolderTold: the origin names who has it.
func TestHolderTold(t *testing.T) {
	d := member(0, 1, true)
	d.Step(start, join(1, nil))
	if _, asks := d.Step(start, OriginAllowed{})[0].(AskOrigin); !asks {
		t.Fatal("it does not ask")
	}
	step(t, d, start, OriginRefused{0, peerOf(1)}, FetchFromMember{peerOf(1), 0})
}

// TestLeasesChanged: an origin that begins or ends to grant leases loses nothing of what is under way.
func TestLeasesChanged(t *testing.T) {
	d := member(0, 3, false)
	step(t, d, start, OriginAllowed{}, FetchFromOrigin{0})
	step(t, d, start, LeasesChanged{true})
	asked, isWish := d.Step(start, OriginAllowed{})[0].(AskOrigin)
	if !isWish || len(asked.Want) != 2 || slices.Contains(asked.Want, 0) {
		t.Fatalf("fragment 0 is under way: got %+v", asked)
	}
	step(t, d, start, LeasesChanged{false})
	step(t, d, start, FragmentFailed{0})
	step(t, d, start, OriginAllowed{}, FetchFromOrigin{1}) // 0 has failed
	step(t, d, start, FragmentStored{Index: 1})            // which is no answer to the list
	step(t, d, start, LeasesChanged{true})
	asked, isWish = d.Step(start, OriginAllowed{})[0].(AskOrigin)
	if want := []core.FragmentIndex{2, 0}; !isWish || !slices.Equal(asked.Want, want) {
		t.Errorf("got %+v, want %v", asked, want)
	}
	step(t, d, start, OriginAllowed{}, Postpone{start.Add(emptyPause)}) // as many lists are under way as are missing
	step(t, d, start, OriginRefused{})
	if again, isWish := d.Step(start, OriginAllowed{})[0].(AskOrigin); !isWish || len(again.Want) != 2 {
		t.Errorf("got %+v", again)
	}
	if want := []core.FragmentIndex{1}; !slices.Equal(asked.Acknowledged, want) {
		t.Errorf("what came from elsewhere is not acknowledged: got %v, want %v", asked.Acknowledged, want)
	}
}

// TestHalted: while nothing is to be fetched nobody is asked, and nobody is to blame.
func TestHalted(t *testing.T) {
	d, one := member(0, 2, true), peerOf(1)
	step(t, d, start, join(1, setOf(2, 0)), FetchFromMember{one, 0})
	step(t, d, start, Halted{true}, CancelFetch{one, 0})
	step(t, d, start, NeighbourHas{one, []core.FragmentIndex{1}})
	step(t, d, start.Add(StallTime), WakeDue{})
	step(t, d, start.Add(StallTime), Halted{false}, FetchFromMember{one, 0}, FetchFromMember{one, 1})
	if d.Bitmap()[0] != 0 {
		t.Errorf("holds %b", d.Bitmap())
	}
	step(t, d, start.Add(StallTime), FragmentStored{1, one})
	if d.Bitmap()[0] != 2 {
		t.Errorf("holds %b", d.Bitmap())
	}
}

// TestAnyEvents: whatever comes in whatever order, bounds hold, nothing is asked of who may not be asked, nothing that
// is held is fetched, and the same events give the same actions.
func TestAnyEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 30).Draw(t, "size")
		leases := rapid.Bool().Draw(t, "leases")
		one, two := member(0, size, leases), member(0, size, leases)
		now := start
		index := rapid.Custom(func(t *rapid.T) core.FragmentIndex {
			return core.FragmentIndex(rapid.IntRange(0, size-1).Draw(t, "index"))
		})
		who := rapid.Custom(func(t *rapid.T) id.Peer { return peerOf(rapid.IntRange(0, 30).Draw(t, "peer")) })
		for range rapid.IntRange(1, 120).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Minute), int64(10*time.Minute)).Draw(t, "pause")))
			event := rapid.OneOf(
				rapid.Just[Event](OriginAllowed{}), rapid.Just[Event](WakeDue{}),
				rapid.Custom(func(t *rapid.T) Event {
					return join(rapid.IntRange(1, 30).Draw(t, "n"), setOf(size, all(size)[:rapid.IntRange(0, size).Draw(t, "held")]...))
				}),
				rapid.Custom(func(t *rapid.T) Event { return NeighbourLeft{who.Draw(t, "")} }),
				rapid.Custom(func(t *rapid.T) Event {
					return NeighbourHas{who.Draw(t, ""), []core.FragmentIndex{index.Draw(t, ""), 65_535}}
				}),
				rapid.Custom(func(t *rapid.T) Event {
					return NeighbourDropped{who.Draw(t, ""), []core.FragmentIndex{index.Draw(t, "")}}
				}),
				rapid.Custom(func(t *rapid.T) Event {
					return FetchFailed{who.Draw(t, ""), index.Draw(t, ""), Failure(rapid.IntRange(1, 4).Draw(t, "why")), time.Second}
				}),
				rapid.Custom(func(t *rapid.T) Event { return FetchProgressed{who.Draw(t, ""), index.Draw(t, "")} }),
				rapid.Custom(func(t *rapid.T) Event { return OriginRefused{index.Draw(t, ""), who.Draw(t, "")} }),
				rapid.Custom(func(t *rapid.T) Event {
					from := id.Peer{}
					if rapid.Bool().Draw(t, "from a member") {
						from = who.Draw(t, "")
					}
					return FragmentStored{index.Draw(t, ""), from}
				}),
				rapid.Custom(func(t *rapid.T) Event { return FragmentFailed{index.Draw(t, "")} }),
				rapid.Custom(func(t *rapid.T) Event { return LeasesChanged{rapid.Bool().Draw(t, "granted")} }),
				rapid.Custom(func(t *rapid.T) Event { return Halted{rapid.Bool().Draw(t, "on")} }),
				rapid.Custom(func(t *rapid.T) Event {
					return FragmentLost{index.Draw(t, "")}
				}),
			).Draw(t, "event")
			got, again := one.Step(now, copied(event)), two.Step(now, copied(event))
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", again) {
				t.Fatalf("%+v: %+v, then %+v", event, got, again)
			}
			one.check(t, got)
			if wake, wakes := one.NextWake(); wakes && !wake.After(now) {
				t.Fatalf("%+v: wake %v ago", event, now.Sub(wake))
			}
		}
	})
}

// copied gives each download a set of its own.
func copied(event Event) Event {
	if joined, is := event.(NeighbourJoined); is {
		set, err := fragment.ParseSet(joined.Held.Bytes(), joined.Held.Size())
		if err != nil {
			panic(err)
		}
		joined.Held = set
		return joined
	}
	return event
}

// check holds a download to its bounds and its own books.
func (d *Download) check(t *rapid.T, actions []Action) {
	asks := map[id.Peer]int{}
	under := 0
	for index, fetches := range d.fetches {
		if len(fetches) > 2 {
			t.Fatalf("fragment %d is fetched %d times at once", index, len(fetches))
		}
		for _, f := range fetches {
			asks[f.from.peer]++
			under++
		}
	}
	if under > MaxFetches || len(d.neighbours) > MaxNeighbours {
		t.Fatalf("%d fetches, %d neighbours", under, len(d.neighbours))
	}
	copies := make([]uint8, d.Size())
	for _, n := range d.neighbours {
		if n.asks != asks[n.peer] || n.asks > MaxAsks {
			t.Fatalf("%d asks of %v are booked as %d", asks[n.peer], n.peer, n.asks)
		}
		for index := range copies {
			if n.held.Has(core.FragmentIndex(index)) {
				copies[index]++
			}
		}
	}
	if !slices.Equal(copies, d.copies) {
		t.Fatalf("copies %v are booked as %v", copies, d.copies)
	}
	for _, action := range actions {
		switch action := action.(type) {
		case FetchFromMember:
			if d.held.Has(action.Index) || d.isBanned(action.Peer) {
				t.Fatalf("%+v of one that is held or banned", action)
			}
		case AskOrigin:
			if len(action.Want) == 0 || len(action.Want) > owner.MaxWant || len(action.Acknowledged) > MaxAcks {
				t.Fatalf("%d wishes, %d acknowledged", len(action.Want), len(action.Acknowledged))
			}
		}
	}
}

// TestMeeting: a member that the origin names is met once, whatever it holds; meanwhile other fragments are asked for, and
// when it cannot be met, the origin is told so of all that it was to give.
func TestMeeting(t *testing.T) {
	refused := func(d *Download, now time.Time, n int, index core.FragmentIndex, want ...Action) {
		t.Helper()
		step(t, d, now, OriginRefused{Index: index, Holder: peerOf(n)}, want...)
	}
	asks := func(d *Download, now time.Time, failed ...Complaint) []core.FragmentIndex {
		t.Helper()
		actions := d.Step(now, OriginAllowed{})
		ask, is := actions[0].(AskOrigin)
		if !is || !slices.Equal(ask.Failed, failed) {
			t.Fatalf("got %+v, want complaints %+v", actions, failed)
		}
		slices.Sort(ask.Want)
		return ask.Want
	}
	d := member(0, 4, true)
	asks(d, start)
	refused(d, start, 1, 0, Meet{peerOf(1), 0})
	if got := asks(d, start); !slices.Equal(got, []core.FragmentIndex{1, 2, 3}) {
		t.Errorf("beside the meeting: asks for %v", got)
	}
	refused(d, start, 1, 2)
	asks(d, start)
	refused(d, start, 2, 3, Meet{peerOf(2), 3})
	if got := asks(d, start); !slices.Equal(got, []core.FragmentIndex{1}) {
		t.Errorf("beside two meetings: asks for %v", got)
	}
	step(t, d, start, AskAbandoned{1})
	step(t, d, start, MeetFailed{peerOf(1), 0})
	if got := asks(d, start, Complaint{Peer: peerOf(1), Index: 0}, Complaint{Peer: peerOf(1), Index: 2}); !slices.Equal(got,
		[]core.FragmentIndex{0, 1, 2}) {
		t.Errorf("after one failed: asks for %v", got)
	}
	step(t, d, start, AskAbandoned{1})
	step(t, d, start, join(2, setOf(4, 3)), FetchFromMember{peerOf(2), 3})

	t.Log("nothing is heard of a meeting")
	asks(d, start)
	refused(d, start, 3, 1, Meet{peerOf(3), 1})
	later := start.Add(meetLimit)
	step(t, d, start.Add(StallTime-1), FetchProgressed{peerOf(2), 3})
	step(t, d, start.Add(2*StallTime-2), FetchProgressed{peerOf(2), 3})
	step(t, d, start.Add(3*StallTime-3), FetchProgressed{peerOf(2), 3})
	if got := asks(d, later); !slices.Contains(got, 1) {
		t.Errorf("much later: asks for %v", got)
	}
	refused(d, later, 3, 1, Meet{peerOf(3), 1})
}
