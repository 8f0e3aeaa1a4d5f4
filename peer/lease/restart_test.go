package lease_test

import (
	"fmt"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
	"enjambre/peer/lease"
)

// begin is a member that begins anew, says what it has, and wants fragments.
func (b *bench) begin(member int, start lease.Start, have []core.FragmentIndex,
	want ...core.FragmentIndex) lease.Action {
	b.t.Helper()
	set := fragment.NewSet(8)
	for _, index := range have {
		set.Add(index)
	}
	return b.say(lease.MemberAsked{Member: name(member), Start: start, Have: set, Want: want})
}

func (b *bench) totals() lease.Totals {
	totals, _ := b.site.Totals(digest(1))
	return totals
}

// TestCrashIsForgiven: what a crash lost is sent again under its own cause, as often as that happens, and costs the
// member nothing.
func TestCrashIsForgiven(t *testing.T) {
	b := newBench(t)
	b.begin(1, 1, nil)
	for start := lease.Start(2); start < 12; start++ {
		for index := range core.FragmentIndex(3) {
			if index == 1 && start > 2 {
				continue // which is kept each time
			}
			b.send(b.granted(b.ask(1, index)).Lease)
			b.acknowledge(1, index)
		}
		b.step(lease.BytesSent{Lease: b.granted(b.ask(1, 3)).Lease, Bytes: size / 2}) // the computer stops here
		b.want("the first", b.begin(1, start, []core.FragmentIndex{1}), "complete")
	}
	b.want("one that was lost", b.ask(1, 0), "grant 0 restarted")
	b.want("one that was under way", b.ask(1, 3), "grant 3 restarted")
	for id, body := range b.bodies {
		if body.running && !body.reset {
			b.send(id)
		}
	}
	want := lease.Totals{First: 3*size + size}
	if got := b.totals(); got.First != want.First || got.Sent()-got.First != got.Extra[lease.CauseRestarted] {
		b.fail("got %+v", got)
	}
	b.acknowledge(1, 0, 3)
	b.step(lease.PolicyChanged{Policy: lease.Policy{Rate: 104_500}})
	grant := b.granted(b.ask(1, 5))
	b.granted(b.ask(2, 6))
	if rate := b.bodies[grant.Lease].rate; rate != 50_000 {
		t.Errorf("it is sent %d bytes a second, want an equal share", rate)
	}
}

// TestOrderedAnew: a package that is ordered once more is no misdeed either, until it has been sent four times beyond
// the first, and 256 fragments: what then is lost is charged as ever.
func TestOrderedAnew(t *testing.T) {
	b := newBench(t)
	for start := lease.Start(1); start <= 33; start++ { // the first copy, and 32 times 8 fragments
		b.begin(1, start, nil)
		for index := range core.FragmentIndex(8) {
			b.send(b.granted(b.ask(1, index)).Lease)
			b.acknowledge(1, index)
		}
	}
	if got := b.totals(); got.Extra[lease.CauseRestarted] != 256*size || got.Sent() != 264*size {
		b.fail("got %+v", got)
	}
	b.begin(1, 34, nil)
	grant := b.granted(b.ask(1, 0))
	b.step(lease.BytesSent{Lease: grant.Lease, Bytes: size})
	b.step(lease.BodyEnded{Lease: grant.Lease, Failed: true})
	b.granted(b.ask(1, 0))
	b.want("as any other that asks too often", b.begin(1, 35, nil, 0), "spent")
	if got := b.entries[len(b.entries)-1]; !got.Charged {
		b.fail("a loss beyond the bound is not charged: %+v", got)
	}
}

// TestBeginsOnce: a start takes back what was there before it, not what came since, however late its digest comes; and
// one that is repeated is no new one.
func TestBeginsOnce(t *testing.T) {
	b := newBench(t)
	b.begin(1, 1, nil)
	b.hold(1, 0)
	grant := b.granted(b.say(lease.MemberAsked{Member: name(1), Start: 2, Want: []core.FragmentIndex{1}}))
	b.want("of the old start, until it says what it has", b.ask(3, 0), "held by 1")
	b.send(grant.Lease)
	b.say(lease.MemberAsked{Member: name(1), Start: 2, Acknowledged: []core.FragmentIndex{1}})
	b.begin(1, 2, nil)
	b.want("what came since", b.ask(2, 1), "held by 1")
	b.want("what is lost", b.ask(2, 0), "grant 0 restarted")
	b.begin(1, 2, nil, 1)
	b.want("a loss of the same start", b.ask(3, 1), "leased")
	if got := b.bodies[lease.LeaseID(len(b.entries))]; got != nil && got.kept {
		b.fail("%+v", got)
	}
}

// TestWantedIsLost: what a new start wants it has not got, though its digest is still to come; and what comes late from
// the start before begins nothing.
func TestWantedIsLost(t *testing.T) {
	b := newBench(t)
	b.begin(1, 1, nil)
	b.hold(1, 0)
	b.step(lease.BytesSent{Lease: b.granted(b.ask(1, 1)).Lease, Bytes: size / 2}) // the computer stops here
	wants := func(start lease.Start, index core.FragmentIndex) lease.Action {
		return b.say(lease.MemberAsked{Member: name(1), Start: start, Want: []core.FragmentIndex{index}})
	}
	for index := range core.FragmentIndex(2) {
		b.want("before the digest", wants(2, index), fmt.Sprintf("grant %d restarted", index))
	}
	b.want("of the start before", wants(1, 2), "waits")
	b.begin(1, 2, nil)
	b.want("what this start was lent", b.ask(2, 0), "leased")
	for id, body := range b.bodies {
		if body.running && !body.reset {
			b.send(id)
		}
	}
	for _, e := range b.entries {
		if e.Charged {
			b.fail("charged: %+v", e)
		}
	}
}

// TestReturnIsPardoned: who was away is named again when it comes back, but not who gave wrong bytes.
func TestReturnIsPardoned(t *testing.T) {
	for title, test := range map[string]struct {
		corrupt bool
		want    string
	}{"was away": {false, "held by 1"}, "gave wrong bytes": {true, "grant 7 corrupt"}} {
		t.Run(title, func(t *testing.T) {
			b := newBench(t)
			b.begin(1, 1, nil)
			b.hold(1, 7)
			for member := 2; member <= 3; member++ {
				b.say(lease.MemberAsked{Member: name(member), Failed: []lease.Complaint{
					{Fragment: 7, Holder: name(1), Corrupt: test.corrupt},
				}})
			}
			b.begin(1, 2, []core.FragmentIndex{7})
			b.want("the fragment", b.ask(4, 7), test.want)
		})
	}
}

// TestSlownessCostsNothingAlone: without WAN_RATE too a slow body yields while another wants the line, and has all of it
// again when nobody does. What is measured stays what the line carries.
func TestSlownessCostsNothingAlone(t *testing.T) {
	b := newBench(t)
	b.step(lease.PackageKnown{Package: digest(2), Plan: plan(t, 1000, size), Priority: 5})
	ask := func(member int, index core.FragmentIndex) lease.LeaseID {
		t.Helper()
		return b.granted(b.say(lease.MemberAsked{
			Member: name(member), Package: digest(2), Want: []core.FragmentIndex{index},
		})).Lease
	}
	drain := func(id lease.LeaseID) { // at 64 KiB a second, or at what was ordered
		t.Helper()
		for range 4 {
			pause := 250 * time.Millisecond
			if rate := b.bodies[id].rate; rate > 0 {
				pause = time.Duration(16 * kib * int64(second) / rate)
			}
			b.now = b.now.Add(pause)
			b.step(lease.BytesSent{Lease: id, Bytes: 16 * kib})
		}
	}
	for index := range core.FragmentIndex(30) { // beyond 2 % of 1000: it loses what it had, and says no start
		for range 2 {
			id := ask(1, index)
			drain(id)
			b.step(lease.BodyEnded{Lease: id, Failed: true})
		}
	}
	for index := core.FragmentIndex(100); index < 160; index++ {
		id := ask(1, index)
		drain(id)
		if rate := b.bodies[id].rate; rate != 0 {
			b.fail("fragment %d: alone, and held to %d bytes a second", index, rate)
		}
		b.step(lease.BodyEnded{Lease: id})
		b.say(lease.MemberAsked{Member: name(1), Package: digest(2), Acknowledged: []core.FragmentIndex{index}})
	}
	for index := core.FragmentIndex(200); index < 220; index++ {
		slow, other := ask(1, index), ask(2, index+100)
		if rate := b.bodies[slow].rate; rate < 3*kib || rate > 5*kib {
			b.fail("fragment %d: %d bytes a second beside another, want an eighth of half of 64 KiB", index, rate)
		}
		drain(other)
		b.step(lease.BodyEnded{Lease: other})
		if rate := b.bodies[slow].rate; rate != 0 {
			b.fail("fragment %d: nobody else wants the line, and it is held to %d bytes a second", index, rate)
		}
		drain(slow)
		b.step(lease.BodyEnded{Lease: slow})
		for member, index := range map[int]core.FragmentIndex{1: index, 2: index + 100} {
			b.say(lease.MemberAsked{
				Member: name(member), Package: digest(2), Acknowledged: []core.FragmentIndex{index},
			})
		}
	}
}

// atOnce is how many requests of an agent may be open: two bodies, and two that wait where its asks matter.
func (s *swarm) atOnce() int {
	if s.losing {
		return 4
	}
	return 2
}

// startMore makes an agent ask as often as it may at once.
func (s *swarm) startMore(a *agent) {
	for range s.atOnce() {
		s.start(a)
	}
}

// batch is how many fragments an agent syncs at once.
const batch = 16

// store keeps a fragment, which a crash loses until it is synced: 16 at once, or what is there after a second.
func (s *swarm) store(a *agent, index core.FragmentIndex) {
	if a.unsynced = append(a.unsynced, index); len(a.unsynced) >= batch || a.held.Full() {
		a.unsynced = nil
	}
	if len(a.unsynced) == 1 {
		s.after(second, func() { a.unsynced = nil })
	}
}

// rateOf returns how fast a body goes.
func (s *swarm) rateOf(b *body) float64 {
	if s.line == 0 {
		return float64(max(b.rate, 1))
	}
	running := int64(0)
	for _, other := range s.bodies {
		if other.running {
			running++
		}
	}
	rate := s.line / max(1, running)
	if b.rate > 0 {
		rate = min(rate, b.rate)
	}
	return float64(max(rate, 1))
}

// TestCrashesCostTheirLoss: members crash at any step and come back without what they had not synced. All are done
// after 1.2 times the calm time and what was lost needs, with the time for which they were away; each byte beyond the first
// copy has a cause that is no misdeed, and no member is held to be slow.
func TestCrashesCostTheirLoss(t *testing.T) {
	for seed := range uint64(2000 / fewer) {
		rng := random(seed)
		members, crashes := 1+rng.IntN(4)*rng.IntN(2), 1+rng.IntN(6)
		fragments := plan(t, 20+rng.IntN(60), 64*kib)
		line := int64(400_000 + rng.IntN(1_600_000))
		site := func() *swarm {
			s := newSwarm(t, seed, members, fragments)
			s.losing = true
			s.watcher.islands = func(id id.Peer) string { return string(id[30:]) } // only the Site knows
			if seed%2 == 0 {
				s.line = line
			} else {
				s.feed(lease.PolicyChanged{Policy: lease.Policy{Rate: line * 1045 / 1000}})
			}
			s.startAll()
			return s
		}
		calm := site()
		calm.run(time.Hour)
		took := calm.now.Sub(epoch)

		s := site()
		const away = 2 * second
		for range crashes {
			a := s.agents[rng.IntN(members)]
			s.after(time.Duration(rng.Int64N(int64(took))), func() {
				if !a.dead {
					a.dead, a.death = true, "kill"
					s.after(away, func() { s.revive(a) })
				}
			})
		}
		s.run(time.Hour)
		s.finishBodies()
		totals := s.totals()
		lost := totals.Sent() - totals.First
		for cause, bytes := range totals.Extra {
			switch lease.Cause(cause) {
			case lease.CauseRestarted, lease.CauseBroken, lease.CauseOwnerLost, lease.CauseTimeout:
			default: // whoever misses three holders in a row takes itself for an island
				if bytes > 0 && members == 1 {
					s.fail("seed %d: %d bytes went again as %v", seed, bytes, lease.Cause(cause))
				}
			}
		}
		for _, e := range s.entries {
			if e.Charged && members == 1 {
				s.fail("seed %d: charged for a crash: %+v", seed, e)
			}
		}
		need := time.Duration(float64(max(lost, s.missing)) / float64(line) * float64(second))
		limit := took*12/10 + need + time.Duration(crashes)*(away+second/2)
		if now := s.now.Sub(epoch); now > limit {
			s.fail("seed %d: %d members, %d crashes took %v, want at most %v (calm %v, lost %v), %+v", seed, members,
				crashes, now, limit, took, need, totals)
		}
	}
}
