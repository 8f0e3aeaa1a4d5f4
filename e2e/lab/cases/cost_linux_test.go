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
	f := newFleet(t, plan{
		sites: near, set: []string{"--pace", "rate", "--wan-rate", "200mbit"}, idle: 1,
		settings: []string{"CONTACT_SECONDS 5"},
	})
	f.needDisk(costDisk)
	p := f.build(costBytes)
	f.must("affect", "--package", p.id.String(), "--query", "os = linux")
	giver := f.members[0]
	f.awaitComplete(5*time.Minute, []*member{giver}, p)
	f.awaitSuccess(2*time.Minute, p, 1)
	sent := payloadBytes(f.bodies(p))
	var members, bare []spending
	var ratios []float64
	for run := range costPairs {
		one, other := f.memberCost(giver, fmt.Sprint("fetcher-", run), p), f.bareCost(giver, p)
		t.Logf("run %d: members %.2f CPU s/GiB in %v, QUIC alone %.2f in %v", run, one.cpu, one.took, other.cpu, other.took)
		members, bare, ratios = append(members, one), append(bare, other), append(ratios, one.cpu/other.cpu)
	}
	if now := payloadBytes(f.bodies(p)); now != sent {
		t.Errorf("the origin has sent %d bytes of what the other member has", now-sent)
	}
	ours, others := spread(costs(members)), spread(costs(bare))
	ratio := ours.median / others.median
	report(t, Row{
		Case:     "two members on a LAN, 1 GiB, CPU beside that of QUIC alone, which hashes and writes too",
		Goal:     fmt.Sprintf("<= %.2f, medians of %d alternating runs", costGoal, costPairs),
		Measured: fmt.Sprintf("%.2f; pair by pair %v; %v and %v CPU s a GiB", ratio, spread(ratios), ours, others),
		Met:      ratio <= costGoal,
	})
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

// memberCost lets a new agent of the second host fetch a package from the one that has it, and returns what both spend
// from when it has the package's info file until it has every fragment verified and stored. Then it is stopped and
// removed, before it unpacks anything.
func (f *fleet) memberCost(giver *member, name string, p payload) spending {
	f.Helper()
	fetcher := f.enrolAs(name, 0, 2)
	if err := fetcher.Start(); err != nil {
		f.Fatal(err)
	}
	f.await(time.Minute, "the agents have met", func() bool {
		fetcher.log.read(f.T)
		return fetcher.log.neighbours > 0 && fetcher.log.contacts > 0
	})
	meter := meterOf(f.T, giver.PID(), fetcher.PID())
	f.must("affect", "--package", p.id.String(), "--query", "os = linux")
	end := f.awaitComplete(costTime, []*member{fetcher}, p)
	began := fetcher.log.assigned[p.id]
	f.await(time.Second, "the meter has seen the end", func() bool { return meter.until(end) })
	meter.stop()
	if err := errors.Join(fetcher.Stop(), os.RemoveAll(fetcher.State)); err != nil {
		f.Fatal(err)
	}
	return spending{(meter.at(end) - meter.at(began)) * (1 << 30) / float64(p.bytes), end.Sub(began)}
}

// bareCost moves the same bytes between the same hosts by QUIC alone, and returns what both processes spend.
func (f *fleet) bareCost(giver *member, p payload) spending {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), costTime)
	defer cancel()
	kept := filepath.Join(giver.State, "packages", p.id.String())
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
