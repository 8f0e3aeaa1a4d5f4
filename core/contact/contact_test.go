package contact

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// TestPauses: the first contact is due at once; failures wait longer and longer, never longer than the interval.
func TestPauses(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var p Pace
	if !p.Next().IsZero() {
		t.Errorf("the first is due at %v", p.Next())
	}
	for i, want := range []time.Duration{10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600} {
		p.Failed(start, random)
		got := p.Next().Sub(start)
		if want *= time.Second; got < want/2 || got > want || p.Failures() != i+1 {
			t.Errorf("failure %d: %v, want %v to %v", i+1, got, want/2, want)
		}
	}
	p.Answered(start, 20*time.Second, random)
	p.Failed(start, random)
	p.Failed(start, random)
	p.Failed(start, random)
	if got := p.Next().Sub(start); got > 20*time.Second || p.Failures() != 3 {
		t.Errorf("a pause of %v with an interval of 20 s", got)
	}
	p.Hurry(start.Add(time.Hour))
	p.Hurry(start.Add(time.Second))
	if got := p.Next().Sub(start); got != time.Second {
		t.Errorf("hurried to %v", got)
	}
	p.Shift(-time.Hour)
	if got := p.Next().Sub(start); got != time.Second-time.Hour {
		t.Errorf("shifted to %v", got)
	}
}

// TestLaws: whatever happened, the next contact is in the future and within a tenth above the interval, and the
// same chance gives the same times.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		one, two := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 1))
		var p, q Pace
		now, interval := start, DefaultInterval
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "pause")))
			if rapid.Bool().Draw(t, "answered") {
				wanted := time.Duration(rapid.Int64Range(-1, int64(30*24*time.Hour)).Draw(t, "interval"))
				if wanted > 0 {
					interval = min(max(wanted, MinInterval), MaxInterval)
				}
				p.Answered(now, wanted, one)
				q.Answered(now, wanted, two)
				if p.Next().Before(now.Add(interval - interval/10)) {
					t.Fatalf("due %v after an answer, the interval is %v", p.Next().Sub(now), interval)
				}
			} else {
				p.Failed(now, one)
				q.Failed(now, two)
			}
			if due := p.Next().Sub(now); due <= 0 || due > interval+interval/10 || !p.Next().Equal(q.Next()) {
				t.Fatalf("due in %v, the interval is %v; and in %v", due, interval, q.Next().Sub(now))
			}
		}
	})
}
