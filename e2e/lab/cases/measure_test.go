package cases

import (
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/e2e/lab"
)

// history makes samples, a second apart, of a WAN that carried so many bytes in each.
func history(bytes ...uint64) []sample {
	at, sum := time.Unix(1_800_000_000, 0), uint64(1000)
	samples := []sample{{at, []lab.Counter{{Down: lab.Traffic{Bytes: sum}}}}}
	for _, more := range bytes {
		at, sum = at.Add(time.Second), sum+more
		samples = append(samples, sample{at, []lab.Counter{{Down: lab.Traffic{Bytes: sum}}}})
	}
	return samples
}

// TestWindows: the busiest and the idlest time of a WAN.
func TestWindows(t *testing.T) {
	for name, one := range map[string]struct {
		bytes   []uint64
		fastest float64 // in 3 s, a second
		idlest  time.Duration
	}{
		"even":         {[]uint64{300, 300, 300, 300}, 300, 0},
		"burst":        {[]uint64{0, 0, 900, 300, 0, 600, 0}, 400, 2 * time.Second},
		"idle at ends": {[]uint64{0, 600, 0, 0, 0}, 200, 3 * time.Second},
		"trickle":      {[]uint64{9, 9, 10, 9}, 28.0 / 3, 2 * time.Second},
		"too short":    {[]uint64{900, 900}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fastest(history(one.bytes...), 0, 3*time.Second); math.Abs(got-one.fastest) > 0.01 {
				t.Errorf("fastest: got %v, want %v", got, one.fastest)
			}
			if got := idlest(history(one.bytes...), 0, 8*100); got != one.idlest {
				t.Errorf("idlest: got %v, want %v", got, one.idlest)
			}
		})
	}
}

// TestHistory: what a watch has seen, from the sample before a time to the one after another.
func TestHistory(t *testing.T) {
	w := &watch{samples: history(1, 2, 4, 8, 16)}
	at := func(seconds float64) time.Time {
		return w.samples[0].at.Add(time.Duration(seconds * float64(time.Second)))
	}
	for _, one := range []struct {
		from, until float64
		want        int64
	}{{0, 5, 31}, {-1, 9, 31}, {1, 2, 2}, {1.5, 2.5, 6}, {4.5, 4.6, 16}} {
		if got := w.down(0, at(one.from), at(one.until)); got != one.want {
			t.Errorf("from %v to %v: got %d, want %d", one.from, one.until, got, one.want)
		}
	}
}

// TestEvents: an agent's log, read as it grows.
func TestEvents(t *testing.T) {
	e := &events{path: filepath.Join(t.TempDir(), "log")}
	e.read(t) // not there yet
	const id core.PackageID = 1800000000
	write := func(text string) {
		t.Helper()
		file, err := os.OpenFile(e.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("time=2026-11-24T10:00:00.500Z level=INFO msg=contact response=OTHER\n" +
		`time=2026-11-24T10:00:01.000Z level=INFO msg="package assigned" package=1800000000 action=LAUNCH` + "\nnonsense\n" +
		`time=2026-11-24T10:00:02.000Z level=DEBUG msg=decided event=plan.FragmentStored action="plan.Run{Packa`)
	e.read(t)
	if e.contacts != 1 || e.assigned[id].IsZero() || !e.complete[id].IsZero() {
		t.Errorf("the first part: got %+v", e)
	}
	write("ge:1800000000}\"\n" +
		`time=2026-11-24T10:00:03.000Z level=DEBUG msg=decided event=plan.WakeDue action=plan.Run{Package:1800000000}` + "\n" +
		`time=2026-11-24T10:00:04.000Z level=INFO msg="package runs" package=1800000000 action=LAUNCH` + "\n" +
		`time=2026-11-24T10:00:05.000Z level=INFO msg="package ended" package=1800000000 text=SUCCESS` + "\n")
	e.read(t)
	start := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for name, one := range map[string]struct {
		got  time.Time
		want int
	}{
		"assigned": {e.assigned[id], 1}, "complete": {e.complete[id], 2},
		"runs": {e.runs[id], 4}, "ended": {e.ended[id], 5},
	} {
		if want := start.Add(time.Duration(one.want) * time.Second); !one.got.Equal(want) {
			t.Errorf("%s: got %v, want %v", name, one.got, want)
		}
	}
}

// TestArchiveSize: an archive is as large as it was asked to be.
func TestArchiveSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tar.gz")
	for _, want := range []int64{400 << 10, 10 * mib} {
		got, err := writeArchive(path, want)
		if err != nil || got > want || got < want-want/200-8<<10 {
			t.Errorf("got %d bytes, %v; want %d", got, err, want)
		}
	}
}

func TestHexAddress(t *testing.T) {
	if got, want := hexAddress("0200560A:20FB"), netip.MustParseAddr("10.86.0.2"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestBound: what a line needs for a package, and with a schedule besides.
func TestBound(t *testing.T) {
	if got := bound(100*mib, 20_000_000).Seconds(); math.Abs(got-43.85) > 0.02 {
		t.Errorf("100 MiB at 20 Mbit/s: got %.2f s", got)
	}
	f := &fleet{topology: lab.Topology{Sites: sites(1, 20, 20_000_000)}}
	p := payload{bytes: 100 * mib, fragments: 200}
	if got := f.floor(p, "rate", 10, 20); got != 1 {
		t.Errorf("with PACE=rate: got %v", got)
	}
	if got := f.floor(p, "latency", 10, 20) * 43.85; math.Abs(got-(90+4.4)) > 0.1 {
		t.Errorf("ten rounds: got %.1f s", got)
	}
}
