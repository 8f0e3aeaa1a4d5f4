package cases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"enjambre/e2e/lab"
)

// What the case of costs is: so many runs of members and of QUIC alone, in turn, with a package of so many bytes.
const (
	costPairs = 7
	costBytes = 1 << 30
	costTime  = 2 * time.Minute // that one run may take
	costDisk  = 10 << 30        // bytes that must be free: the server, both agents and what is unpacked
	costGoal  = 1.10
)

// A spending is what one run took.
type spending struct {
	cpu  float64 // seconds, of both ends together, a GiB
	took time.Duration
}

// TestCost: what a package costs two members on a LAN, against QUIC alone between two processes on the same hosts that
// reads, hashes and writes the same.
func TestCost(t *testing.T) {
	near := sites(1, 2, 200_000_000)
	near[0].RTT = 0 // or the first agent alone needs minutes
	f := newFleet(t, plan{sites: near, set: []string{"--pace", "rate", "--wan-rate", "200mbit"}, idle: 1})
	f.needDisk(costDisk)
	giver, fetchers := f.members[0], f.members[1:]
	for len(fetchers) < costPairs {
		fetchers = append(fetchers, f.known(fmt.Sprint("fetcher-", len(fetchers))))
	}
	p := f.build(costBytes)
	f.affect(p)
	f.awaitComplete(5*time.Minute, []*member{giver}, p)
	f.awaitSuccess(2*time.Minute, p, 1)
	f.restartQuietly(giver)
	sent := payloadBytes(f.bodies(p))
	var members, bare []spending
	var ratios []float64
	for run, fetcher := range fetchers {
		one, other := f.memberCost(giver, fetcher, p), f.bareCost(giver, p)
		t.Logf("run %d: members %v, QUIC alone %v", run, one, other)
		members, bare, ratios = append(members, one), append(bare, other), append(ratios, one.cpu/other.cpu)
	}
	if now := payloadBytes(f.bodies(p)); now != sent {
		t.Errorf("the origin has sent %d bytes of what the other member has", now-sent)
	}
	ours, others := spread(costs(members)), spread(costs(bare))
	ratio := ours.median / others.median
	report(t, Row{
		Case:     "two members on a LAN, 1 GiB: CPU beside that of QUIC alone, which hashes and writes too",
		Goal:     fmt.Sprintf("<= %.2f, medians of %d alternating runs", costGoal, costPairs),
		Measured: fmt.Sprintf("%.2f; pair by pair %v; CPU s a GiB %v and %v", ratio, spread(ratios), ours, others),
		Met:      ratio <= costGoal,
	})
}

func (s spending) String() string {
	return fmt.Sprintf("%.2f CPU s a GiB in %.1f s", s.cpu, s.took.Seconds())
}

// known makes one more agent of the second host, that the server knows and that does not run.
func (f *fleet) known(name string) *member {
	f.Helper()
	m := f.enrolAs(name, 0, 2)
	f.each([]*member{m}, "start", func(m *member) error { return m.Start() })
	f.await(time.Minute, "the agent has called", func() bool { m.log.read(f.T); return m.log.contacts > 0 })
	f.each([]*member{m}, "stop", func(m *member) error { return m.Stop() })
	return m
}

// restartQuietly starts an agent anew, as one runs that nobody watches, and waits until it has called.
func (f *fleet) restartQuietly(m *member) {
	f.Helper()
	m.Quiet = true
	m.log.read(f.T)
	before := m.log.contacts
	f.each([]*member{m}, "restart", func(m *member) error { return errors.Join(m.Stop(), m.Start()) })
	f.await(time.Minute, "the agent has called again", func() bool { m.log.read(f.T); return m.log.contacts > before })
}

func costs(of []spending) (cpu []float64) {
	for _, one := range of {
		cpu = append(cpu, one.cpu)
	}
	return cpu
}

// A spreading is where several values lie.
type spreading struct{ least, median, most float64 }

// spread is that of values, at least one.
func spread(of []float64) spreading {
	sorted := slices.Sorted(slices.Values(of))
	return spreading{sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1]}
}

func (s spreading) String() string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.median, s.least, s.most)
}

// needDisk ends a case that would fill the disk.
func (f *fleet) needDisk(bytes uint64) {
	f.Helper()
	var disk unix.Statfs_t
	if err := unix.Statfs(f.folder, &disk); err != nil {
		f.Fatal(err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < bytes {
		f.Fatalf("%s has %d bytes free; the case needs %d: give it another TMPDIR", f.folder, free, bytes)
	}
}

// memberCost lets an agent of the second host fetch a package from the one that has it, and returns what both spend from
// when it has the package's info file until it has every fragment verified and stored. Then it is stopped and removed,
// before it unpacks anything.
func (f *fleet) memberCost(giver, fetcher *member, p payload) spending {
	f.Helper()
	fetcher.Quiet = true
	if err := fetcher.Start(); err != nil {
		f.Fatal(err)
	}
	meter := meterOf(f.T, giver.PID(), fetcher.PID())
	end := f.awaitStored(fetcher, p)
	f.await(time.Second, "the meter has seen the end", func() bool { return meter.until(end) })
	meter.stop()
	fetcher.log.read(f.T)
	began, isKnown := fetcher.log.assigned[p.id]
	if !isKnown {
		f.Fatalf("%s does not say when it has the info file", fetcher.host)
	}
	if err := errors.Join(fetcher.Stop(), os.RemoveAll(fetcher.State)); err != nil {
		f.Fatal(err)
	}
	return spending{(meter.at(end) - meter.at(began)) * (1 << 30) / float64(p.bytes), end.Sub(began)}
}

// awaitStored waits until an agent's vault has every fragment, by the size of its records, and returns when the last was
// written: just then, or the hashing of the whole that follows at once would count.
func (f *fleet) awaitStored(m *member, p payload) time.Time {
	f.Helper()
	const record = 12 // bytes, for each fragment
	records := filepath.Join(vaultOf(m, p), "have")
	for deadline := time.Now().Add(costTime); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if stat, err := os.Stat(records); err == nil && stat.Size() == int64(p.fragments*record) {
			return stat.ModTime()
		}
	}
	f.Fatalf("%s does not have package %s within %v", m.host, p.id, costTime)
	return time.Time{}
}

// vaultOf is where an agent keeps a package.
func vaultOf(m *member, p payload) string { return filepath.Join(m.State, "packages", p.id.String()) }

// bareCost moves the same bytes between the same hosts by QUIC alone, and returns what both processes spend.
func (f *fleet) bareCost(giver *member, p payload) spending {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), costTime)
	defer cancel()
	kept := vaultOf(giver, p)
	target := filepath.Join(f.folder, "fetched")
	defer os.Remove(target)
	if err := allocate(target, p.bytes); err != nil {
		f.Fatal(err)
	}
	from := f.startBare(ctx, 1, "give", fmt.Sprintf("%v:4902", lab.HostAddress(0, 1)), filepath.Join(kept, "data"))
	address := from.await("ready")
	to := f.startBare(ctx, 2, "fetch", address, target, filepath.Join(kept, "digests"))
	suite := to.await("ready")
	if want := "TLS_AES_128_GCM_SHA256"; suite != want {
		f.Logf("the cipher suite is %s", suite)
	}
	before, began := cpuOf(f.T, from.pid())+cpuOf(f.T, to.pid()), time.Now()
	to.tell()
	to.await("done")
	took, after := time.Since(began), cpuOf(f.T, from.pid())+cpuOf(f.T, to.pid())
	to.end()
	from.end()
	return spending{(after - before) * (1 << 30) / float64(p.bytes), took}
}
