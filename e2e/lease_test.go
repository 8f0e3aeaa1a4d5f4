package e2e

import (
	"strings"
	"testing"

	"enjambre/peer/lease"
)

// booked returns what the ledger of lyon says that was sent, and whose charge it was. The server is stopped, so that it
// is whole.
func (s *site) booked() (totals lease.Totals, charged int64) {
	s.Helper()
	if err := s.server.Stop(); err != nil {
		s.Fatal(err)
	}
	for _, entry := range s.entries("lyon") {
		totals.Add(entry)
		if entry.Charged {
			charged += int64(entry.Extra)
		}
	}
	return totals, charged
}

// alone tells the site's only agent of a package of fragments of 64 KiB.
func (s *site) alone(fragments int) parcel {
	s.Helper()
	one := &swarm{site: s, devices: []string{s.device}}
	return one.tell(fragments, 64)
}

// succeeds waits for the result of the site's only agent.
func (s *site) succeeds(p parcel) {
	s.Helper()
	s.waitFor("the result", func() bool {
		return strings.Contains(s.must("rollout", "status", "--package", p.id, "--json"), `"SUCCESS":1`)
	})
}

// TestMemberKilledAgain: an agent that is alone at its site is killed five times in the middle of a package of small
// fragments. What each kill lost comes again, nothing else, under its own cause and without a charge.
func TestMemberKilledAgain(t *testing.T) {
	const (
		fragments = 640
		kills     = 5
		loss      = 16 + 2 + 2 // fragments that one kill may cost: not synced, under way, and just ended
	)
	s := newSite(t)
	s.must("site", "set", "lyon", "--wan-rate", "40mbit") // 76 fragments a second
	p := s.alone(fragments)
	for kill := range kills {
		if err := s.member.Start(); err != nil {
			t.Fatal(err)
		}
		s.waitFor("more fragments", func() bool {
			_, leases := s.sent("lyon")
			return len(leases) > (kill+1)*fragments/(kills+2)
		})
		if err := s.member.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	s.succeeds(p)
	totals, charged := s.booked()
	t.Logf("%d bytes sent of %d, twice %v", totals.Sent(), p.size, totals.Extra)
	extra := totals.Sent() - totals.First
	if totals.First != p.size || extra > kills*loss<<16 || charged > 0 || totals.Extra[lease.CauseCorrupt] > 0 {
		t.Errorf("%+v of %d bytes; charged %d", totals, p.size, charged)
	}
}

// TestServerKilledRatio: the ledger knows each byte of a package that is complete although the server was killed twice in
// the middle.
func TestServerKilledRatio(t *testing.T) {
	s := newSite(t)
	s.must("site", "set", "lyon", "--wan-rate", "40mbit", "--pace", "rate")
	p := s.alone(400)
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	for _, share := range []int{150, 300} {
		s.waitFor("some fragments", func() bool { return s.has(s.member, p.id) >= share })
		if err := s.server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.succeeds(p)
	totals, _ := s.booked()
	t.Logf("%d bytes sent of %d, twice %v", totals.Sent(), p.size, totals.Extra)
	if totals.First != p.size {
		t.Errorf("the ledger knows of %d bytes of %d: R is %.3f", totals.First, p.size,
			float64(totals.First)/float64(p.size))
	}
}
