package cases

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// paced is a site of a number of agents behind a line that the server keeps, as most cases have it.
func paced(agents int, rate string) plan {
	return plan{sites: sites(1, agents, 20_000_000), set: []string{"--pace", "rate", "--wan-rate", rate}}
}

// fragmentBytes is the size of a fragment, unless a package says its own.
const fragmentBytes = 512 << 10

// TestRateKept: the rate that is set for a site is kept, whatever the line could carry.
func TestRateKept(t *testing.T) {
	f := newFleet(t, paced(20, "4mbit"))
	p := f.build(20 * mib)
	affected := f.affect(p)
	last := f.awaitComplete(4*time.Minute, f.members, p)
	most := 8 * fastest(f.watch.history(affected, last), 0, 10*time.Second) / 1e6
	report(t, Row{
		Case: "WAN_RATE 4 Mbit/s on a line of 20, 20 agents, 20 MiB", Goal: "any 10 s <= 4.2 Mbit/s of IP",
		Measured: fmt.Sprintf("%.3f Mbit/s, time %.3f", most, f.timeOf(p, last, 4_000_000)), Met: most <= 4.2 && most > 0,
	})
}

// timeOf is how long a package took at the first site, in bounds of a rate.
func (f *fleet) timeOf(p payload, last time.Time, bitsPerSecond float64) float64 {
	line := float64(p.bytes) * 8 * 1514 / 1448 / bitsPerSecond
	return last.Sub(firstByte(f.bodies(p))).Seconds() / line
}

// TestLatecomer: who comes when all others have finished costs the WAN nothing.
func TestLatecomer(t *testing.T) {
	described := paced(20, "20mbit")
	described.idle = 1
	f := newFleet(t, described)
	p := f.build(25 * mib)
	f.affect(p)
	late, others := f.members[len(f.members)-1], f.members[:len(f.members)-1]
	f.awaitComplete(3*time.Minute, others, p)
	f.awaitSuccess(time.Minute, p, len(others))
	before := payloadBytes(f.bodies(p))
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	last := f.awaitComplete(3*time.Minute, f.members, p)
	sent := payloadBytes(f.bodies(p)) - before
	report(t, Row{
		Case: "an agent started after 19 others finished, 25 MiB", Goal: "0 payload bytes by the origin",
		Measured: fmt.Sprintf("%d bytes, whole after %.1f s", sent, last.Sub(began).Seconds()), Met: sent == 0,
	})
}

// TestServerKilled: a server that is killed and comes back goes on where it was.
func TestServerKilled(t *testing.T) {
	f := newFleet(t, paced(20, "20mbit"))
	p := f.build(50 * mib)
	affected := f.affect(p)
	f.await(2*time.Minute, "a third of the package is there", func() bool {
		return f.ledger(p, "site1").OriginBytes > p.bytes/3
	})
	if err := f.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := f.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := f.awaitComplete(4*time.Minute, f.members, p)
	f.awaitSuccess(2*time.Minute, p, len(f.members))
	wan := float64(f.watch.down(0, affected, last)) / float64(p.bytes)
	known, extra := f.ledger(p, "site1"), payloadBytes(f.bodies(p))-p.bytes
	report(t, Row{
		Case: "the server is killed and restarted, 20 agents, 50 MiB", Goal: "extra <= 4 fragments",
		Measured: fmt.Sprintf("extra %.1f fragments, WAN bytes %.3f, time %.2f, %v", float64(extra)/fragmentBytes, wan,
			f.timeOf(p, last, 20e6), known),
		Met: extra <= 4*fragmentBytes && known.extra() <= 4*fragmentBytes && wan <= 1.05+4*fragmentBytes/float64(p.bytes),
	})
}

// TestDeaths: members that die while they are sent a fragment cost that fragment and no more, however they die.
func TestDeaths(t *testing.T) {
	f := newFleet(t, paced(20, "20mbit"))
	p := f.build(100 * mib)
	affected := f.affect(p)
	deaths := []func(*member) error{
		func(m *member) error { return m.Kill() },
		func(m *member) error { return syscall.Kill(m.PID(), syscall.SIGSTOP) },
		func(m *member) error { return f.lab.PullCable(m.host) },
	}
	f.await(time.Minute, "the transfer has begun", func() bool { return f.ledger(p, "site1").OriginBytes > 5*mib })
	var victims []*member
	next := time.Now()
	f.await(2*time.Minute, "nine deaths", func() bool {
		if time.Now().Before(next) {
			return false
		}
		if victim := f.receiver(victims); victim != nil {
			if err := deaths[len(victims)%len(deaths)](victim); err != nil {
				t.Fatal(err)
			}
			victims, next = append(victims, victim), time.Now().Add(2*time.Second)
		}
		return len(victims) == 9
	})
	died := f.ledger(p, "site1").OriginBytes
	living := slices.DeleteFunc(slices.Clone(f.members), func(m *member) bool { return slices.Contains(victims, m) })
	last := f.awaitComplete(5*time.Minute, living, p)
	history := f.watch.history(firstByte(f.bodies(p)), last)
	idle := idlest(history, 0, 20e6)
	wan := float64(f.watch.down(0, affected, last))
	known := f.awaitLedger(p)
	// What a byte of payload costs on the line besides: TCP and IP headers, and 22 bytes of TLS for each 16 KiB.
	ratio := wan / (float64(known.OriginBytes) * 1500 / 1448 * (1 + 22.0/16384))
	report(t, Row{
		Case: "9 of 20 die while they are sent a fragment: killed, stopped, cable pulled",
		Goal: "extra <= 9 fragments, never idle > 12 s, 11 done, counters = ledger within 1 %",
		Measured: fmt.Sprintf(
			"extra %.1f fragments, idle %.1f s, %d done, counters/ledger %.4f, time %.2f; died at %d %%; %v",
			float64(known.extra())/fragmentBytes, idle.Seconds(), len(living), ratio, f.timeOf(p, last, 20e6),
			100*died/p.bytes, known),
		Met: known.extra() <= 9*fragmentBytes && idle <= 12*time.Second && ratio > 0.99 && ratio < 1.01,
	})
}

// awaitLedger waits until the ledger has been flushed, which it is each second, and returns what it says.
func (f *fleet) awaitLedger(p payload) (known traffic) {
	f.Helper()
	same, since := int64(-1), time.Now()
	f.await(20*time.Second, "the ledger is at rest", func() bool {
		if known = f.ledger(p, f.topology.Sites[0].Name); known.OriginBytes != same {
			same, since = known.OriginBytes, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
	return known
}

// TestServerAway: a site whose server is gone finishes what it has been told, if it has a copy.
func TestServerAway(t *testing.T) {
	f := newFleet(t, paced(20, "20mbit"))
	p := f.build(50 * mib)
	f.affect(p)
	f.await(time.Minute, "all have been told", func() bool {
		return !slices.ContainsFunc(f.members, func(m *member) bool { m.log.read(t); return m.log.assigned[p.id].IsZero() })
	})
	off, on := f.members[:10], f.members[10:]
	f.each(off, "pull the cable of", func(m *member) error { return f.lab.PullCable(m.host) })
	f.awaitComplete(3*time.Minute, on, p)
	if err := f.lab.Cut("site1"); err != nil {
		t.Fatal(err)
	}
	f.each(off, "plug in", func(m *member) error { return f.lab.Plug(m.host) })
	began := time.Now()
	last := f.awaitComplete(6*time.Minute, f.members, p)
	report(t, Row{
		Case: "the server is unreachable once 10 of 20 have the package; the others come back to the LAN then, 50 MiB",
		Goal: "all 20 finish", Measured: fmt.Sprintf("all 20, %.0f s after", last.Sub(began).Seconds()), Met: true,
	})
}

// TestNews: what is affected is known within two minutes, though contacts are a day apart, and what is taken back
// stops within two.
func TestNews(t *testing.T) {
	f := newFleet(t, plan{
		sites: sites(1, 20, 10_000_000), set: []string{"--pace", "rate", "--wan-rate", "10mbit"},
		settings: []string{"CONTACT_SECONDS 86400", "PROLOG_FREQ 24"},
	})
	p := f.build(400 * mib)
	began := time.Now()
	f.must("affect", "--package", p.id.String(), "--query", "os = linux")
	f.await(4*time.Minute, "all have been told", func() bool {
		return !slices.ContainsFunc(f.members, func(m *member) bool { m.log.read(t); return m.log.assigned[p.id].IsZero() })
	})
	var told time.Time
	for _, m := range f.members {
		if at := m.log.assigned[p.id]; at.After(told) {
			told = at
		}
	}
	f.must("unaffect", "--package", p.id.String(), "--query", "os = linux")
	withdrawn := time.Now()
	quiet := withdrawn.Add(2 * time.Minute)
	f.await(3*time.Minute, "two and a half minutes", func() bool { return time.Now().After(quiet.Add(30 * time.Second)) })
	var after int64
	for _, one := range f.bodies(p) {
		if one.ended.After(quiet) {
			after += one.bytes
		}
	}
	runs := 0
	for _, m := range f.members {
		if m.log.read(t); len(m.log.runs) > 0 {
			runs++
		}
	}
	report(t, Row{
		Case: "affected, and withdrawn, with PROLOG_FREQ 24 h and CONTACT_SECONDS 86400, 20 agents",
		Goal: "all know in 120 s; 120 s after it is withdrawn no origin byte, and no start",
		Measured: fmt.Sprintf("known in %.0f s; %d bytes and %d starts; last byte %.0f s after",
			told.Sub(began).Seconds(), after, runs, lastByte(f.bodies(p)).Sub(withdrawn).Seconds()),
		Met: told.Sub(began) <= 2*time.Minute && after == 0 && runs == 0,
	})
}

// TestUrgent: a package of priority 0 does not wait for a large one.
func TestUrgent(t *testing.T) {
	const latency = 10
	f := newFleet(t, plan{
		sites: sites(1, 3, 20_000_000), set: []string{"--wan-rate", "20mbit"},
		settings: []string{fmt.Sprint("DOWNLOAD_FRAG_LATENCY ", latency)},
	})
	large, urgent := f.build(4<<30, "--priority", "5"), f.build(mib, "--priority", "0")
	f.must("affect", "--package", large.id.String(), "--query", "os = linux")
	f.await(3*time.Minute, "the large package is on its way", func() bool { return len(f.bodies(large)) > 6 })
	f.affect(urgent)
	f.awaitComplete(3*time.Minute, f.members, urgent)
	var told time.Time
	for _, m := range f.members {
		if at := m.log.assigned[urgent.id]; told.IsZero() || at.Before(told) {
			told = at
		}
	}
	waited := firstByte(f.bodies(urgent)).Sub(told)
	most := latency*time.Second + bound(fragmentBytes, 20_000_000)
	report(t, Row{
		Case:     "4 GiB at priority 5 is on its way, a package of priority 0 comes, 3 agents, FRAG_LATENCY 10 s",
		Goal:     fmt.Sprintf("its first byte <= %.1f s after the first agent knows of it", most.Seconds()),
		Measured: fmt.Sprintf("%.1f s", waited.Seconds()), Met: waited <= most,
	})
}

// TestLastHolder: when the only one that has a fragment is gone, it is sent once more, however many complain.
func TestLastHolder(t *testing.T) {
	described := paced(20, "20mbit")
	described.idle = 19
	f := newFleet(t, described)
	p := f.build(400 << 10)
	f.affect(p)
	f.awaitComplete(time.Minute, f.members[:1], p)
	f.awaitSuccess(time.Minute, p, 1)
	if err := f.lab.PullCable(f.members[0].host); err != nil {
		t.Fatal(err)
	}
	others := f.members[1:]
	f.each(others, "start", func(m *member) error { return m.Start() })
	f.awaitComplete(4*time.Minute, others, p)
	sent := f.bodies(p)
	copies := float64(payloadBytes(sent)) / float64(p.bytes)
	report(t, Row{
		Case: "the only holder of a fragment is gone, 19 ask at once", Goal: "one more body",
		Measured: fmt.Sprintf("%.2f copies in %d bodies, %v", copies, len(sent), f.awaitLedger(p)),
		Met:      copies <= 2 && len(sent) <= 2,
	})
}

// TestBlocked: agents to which no other member gets through know it after a minute, and work as without a swarm then; the
// others do not notice them.
func TestBlocked(t *testing.T) {
	f := newFleet(t, paced(6, "20mbit"))
	blocked, others := f.members[4:], f.members[:4]
	for _, m := range blocked {
		if err := f.lab.Isolate(m.host); err != nil {
			t.Fatal(err)
		}
	}
	f.await(4*time.Minute, "the blocked say so", func() bool {
		for _, m := range blocked {
			var status struct{ Swarm struct{ Problem string } }
			shown, err := os.ReadFile(filepath.Join(m.State, "status.json"))
			if err != nil || json.Unmarshal(shown, &status) != nil || !strings.Contains(status.Swarm.Problem, "UDP blocked") {
				return false
			}
		}
		return true
	})
	p := f.build(20 * mib)
	f.affect(p)
	last := f.awaitComplete(6*time.Minute, f.members, p)
	f.awaitSuccess(time.Minute, p, len(f.members))
	began, copies := firstByte(f.bodies(p)), f.ledger(p, "site1")
	all, swarm := f.timeOf(p, last, 20e6), f.timeOf(p, f.lastOf(others, "site1", p), 20e6)
	wan := float64(f.watch.down(0, began, last)) / float64(p.bytes)
	report(t, Row{
		Case:     "UDP blocked at 2 of 6 agents, 20 MiB",
		Goal:     "bytes <= 3.15: a copy for each of the two, one for the others; time <= 3.5",
		Measured: fmt.Sprintf("WAN bytes %.3f, time %.2f, the four others %.2f, %v", wan, all, swarm, copies),
		Met:      wan <= 3*1.05+0.05 && all <= 3*1.1 && swarm <= 3*1.1 && copies.extra() <= 2*p.bytes,
	})
}

// TestMover: an agent that is carried to another site in the middle of a package leaves the swarm that it was in and is a
// member where it is: neither site pays for that, and the line between them carries nothing.
func TestMover(t *testing.T) {
	described := plan{sites: sites(2, 4, 10_000_000), set: []string{"--pace", "rate", "--wan-rate", "10mbit"}}
	f := newFleet(t, described)
	p := f.build(50 * mib)
	f.affect(p)
	f.await(time.Minute, "a third of the package is at the first site", func() bool {
		return f.ledger(p, "site1").OriginBytes > p.bytes/3
	})
	var mover *member
	f.await(time.Minute, "an agent of the first site is sent a fragment", func() bool {
		mover = f.receiver(f.members[4:])
		return mover != nil
	})
	address, err := f.lab.Move(mover.host, "site2")
	if err != nil {
		t.Fatal(err)
	}
	moved := time.Now()
	mover.address, mover.site = address, "site2"
	f.awaitComplete(5*time.Minute, f.members, p)
	f.awaitSuccess(time.Minute, p, len(f.members))
	here, there, between := f.ledger(p, "site1"), f.ledger(p, "site2"), f.between()
	copies := func(one traffic) float64 { return float64(one.OriginBytes) / float64(p.bytes) }
	extra := max(here.extra(), there.extra())
	report(t, Row{
		Case: "one of 4 is carried to another site of 4 in the middle, 50 MiB, 10 Mbit/s",
		Goal: "extra <= 1 fragment at each site, <= 1 fragment between them, all done",
		Measured: fmt.Sprintf("copies %.3f and %.3f, extra %.1f fragments, %d bytes between, it has it %.0f s after; %v; %v",
			copies(here), copies(there), float64(extra)/fragmentBytes, between, mover.log.complete[p.id].Sub(moved).Seconds(),
			here, there),
		Met: extra <= fragmentBytes && between <= fragmentBytes,
	})
}
