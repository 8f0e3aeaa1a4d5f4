package core

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "2h": 2 * time.Hour, "10d": 10 * day, "1w": 7 * day, "10000w10000d": 80_000 * day, "1w2d3h": 9*day + 3*time.Hour,
		"1d12h30m": 36*time.Hour + 30*time.Minute, "1.5h": 90 * time.Minute, "0": 0, "0d": 0, " 5m ": 5 * time.Minute,
		"-1h": -time.Hour, "-2d": -2 * day, "250ms": 250 * time.Millisecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "1.5d", "10", "10 d", "1d2w", "1d-2h", "1d+2h", "+1d", "--1d", "1x", "99999999d",
		"1d1d", "10days", "3000000h", "65535w", "10001d", "10000w10000d2562047h"} {
		if got, err := ParseDuration(text); ClassOf(err) != ClassField {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

// TestDurationText: what is written is read back, whatever it is.
func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{10 * day: "10d", 36 * time.Hour: "1d12h", 2 * time.Hour: "2h",
		90 * time.Second: "1m30s", 10 * time.Minute: "10m", 0: "0s", -day: "-1d", 100 * time.Millisecond: "100ms"} {
		if got := DurationText(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(-int64(400*7*day), int64(400*7*day)).Draw(t, "d"))
		if got, err := ParseDuration(DurationText(d)); err != nil || got != d {
			t.Fatalf("%v is written %q, and read as %v, %v", d, DurationText(d), got, err)
		}
	})
}
