package cli

import (
	"encoding/json"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
	"enjambre/server/internal/origin"
	"enjambre/server/internal/site"
	"enjambre/server/internal/store"
)

// TestRatios: 1 is the least possible, and what cannot be told is null.
func TestRatios(t *testing.T) {
	begin := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	const size = 1448 * 1000 // 12.112 Mbit in frames
	for _, c := range []struct {
		name, rate string
		size, sent int64
		took       time.Duration
		want       string
	}{
		{"without a rate", "", size, size, 3 * time.Second, `{"bytes":1,"time":null}`},
		{"the least", "4mbit", size, size, 3028 * time.Millisecond, `{"bytes":1,"time":1}`},
		{"as far as it is", "4mbit", size, size / 2, 1514 * time.Millisecond, `{"bytes":0.5,"time":0.5}`},
		{"twice", "4mbit", size, 2 * size, 9 * time.Second, `{"bytes":2,"time":2.972}`},
		{"without a rate at that time", "4mbit@09:00-18:00", size, size, time.Second, `{"bytes":1,"time":null}`},
		{"across hours", "8kbit@08:00-08:10 4mbit", size, size, 601828 * time.Millisecond, `{"bytes":1,"time":1}`},
		{"in one moment", "4mbit", size, size, 0, `{"bytes":1,"time":null}`},
		{"without archive", "4mbit", 0, 0, 0, `{"bytes":null,"time":null}`},
	} {
		at := site.New("lyon")
		if err := at.Rate.UnmarshalText([]byte(c.rate)); err != nil {
			t.Fatal(err)
		}
		row, err := newTrafficRow(at, store.Package{ID: 7, ArchiveSize: c.size}, origin.Traffic{
			Totals: lease.Totals{First: c.sent}, First: begin, Last: begin.Add(c.took),
		}, map[core.PackageID]int64{7: 5, 8: 6})
		got, _ := json.Marshal(row.Ratios)
		if err != nil || string(got) != c.want || *row.MemberBytes != 5 {
			t.Errorf("%s: got %s and %d bytes between members, %v, want %s", c.name, got, *row.MemberBytes, err, c.want)
		}
	}
}

// TestRowWithoutZone: a time zone that this program does not know is said, and no figure made up.
func TestRowWithoutZone(t *testing.T) {
	at := site.New("lyon")
	at.TimeZone = "Nowhere"
	if _, err := newTrafficRow(at, store.Package{}, origin.Traffic{}, nil); core.ClassOf(err) != core.ClassField {
		t.Errorf("got %v", err)
	}
}
