package cases

import (
	"sync"
	"testing"
	"time"

	"enjambre/e2e/lab"
)

// sampleEvery is how often the WANs' counters are read.
const sampleEvery = 100 * time.Millisecond

// A sample is the WANs' counters at a time.
type sample struct {
	at       time.Time
	counters []lab.Counter
}

// A watch samples the WANs' counters until it is stopped. It holds an hour at most, and then forgets the oldest.
type watch struct {
	stopped chan struct{}
	wait    sync.WaitGroup

	mu      sync.Mutex // guards samples
	samples []sample
}

// maxSamples is an hour.
const maxSamples = int(time.Hour / sampleEvery)

// watchOver begins to watch a lab.
func watchOver(t *testing.T, l *lab.Lab) *watch {
	t.Helper()
	w := &watch{stopped: make(chan struct{})}
	if err := w.take(l); err != nil {
		t.Fatal(err)
	}
	w.wait.Go(func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for {
			select {
			case <-w.stopped:
				return
			case <-ticker.C:
				if err := w.take(l); err != nil {
					t.Errorf("watch the WANs: %v", err)
					return
				}
			}
		}
	})
	return w
}

func (w *watch) take(l *lab.Lab) error {
	counters, err := l.Counters()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples = append(w.samples, sample{time.Now(), counters})
	w.samples = w.samples[max(0, len(w.samples)-maxSamples):]
	return nil
}

// stop ends the watch. It may be called again.
func (w *watch) stop() {
	select {
	case <-w.stopped:
	default:
		close(w.stopped)
	}
	w.wait.Wait()
}

// history returns the samples from one time until another: from the last before, to the first after.
func (w *watch) history(from, until time.Time) []sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, last := 0, len(w.samples)-1
	for i, one := range w.samples {
		if !one.at.After(from) {
			first = i
		}
		if !one.at.Before(until) {
			last = i
			break
		}
	}
	return append([]sample(nil), w.samples[first:last+1]...)
}

// down returns the IP bytes that came to a site, by its place in the topology, between two times.
func (w *watch) down(site int, from, until time.Time) int64 {
	history := w.history(from, until)
	return int64(history[len(history)-1].counters[site].Down.Bytes - history[0].counters[site].Down.Bytes)
}

// fastest returns the most IP bytes a second towards a site in any window of that length.
func fastest(history []sample, site int, window time.Duration) (bytesPerSecond float64) {
	start := 0
	for end := range history {
		for start+1 < end && history[end].at.Sub(history[start+1].at) >= window {
			start++
		}
		took := history[end].at.Sub(history[start].at)
		if took >= window {
			bytes := history[end].counters[site].Down.Bytes - history[start].counters[site].Down.Bytes
			bytesPerSecond = max(bytesPerSecond, float64(bytes)/took.Seconds())
		}
	}
	return bytesPerSecond
}

// idlest returns the longest time in which the WAN carried less than a tenth of a rate towards a site, in bits a
// second, as every sample tells.
func idlest(history []sample, site int, rate float64) (longest time.Duration) {
	var since time.Time
	for i := 1; i < len(history); i++ {
		before, now := history[i-1], history[i]
		bits := 8 * float64(now.counters[site].Down.Bytes-before.counters[site].Down.Bytes)
		if bits >= rate/10*now.at.Sub(before.at).Seconds() {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = before.at
		}
		longest = max(longest, now.at.Sub(since))
	}
	return longest
}

// between returns the bytes that sites have sent to each other.
func (f *fleet) between() (bytes uint64) {
	counters, err := f.lab.Counters()
	if err != nil {
		f.Fatal(err)
	}
	for _, one := range counters {
		bytes += one.Sideways.Bytes
	}
	return bytes
}
