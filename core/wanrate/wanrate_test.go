package wanrate

import (
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // so that zones are there on every machine

	"pgregory.net/rapid"

	"enjambre/core"
)

func place(t testing.TB, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ words, want string }{
		{"", ""},
		{"4mbit", "4mbit"},
		{"512kbit", "512kbit"},
		{"4000kbit", "4mbit"},
		{"8000bit", "8kbit"},
		{"1500kbit", "1500kbit"},
		{"100gbit", "100gbit"},
		{"4mbit@08:00-18:00", "4mbit@08:00-18:00"},
		{"4mbit@08:00-18:00 20mbit", "20mbit 4mbit@08:00-18:00"},
		{"1mbit@12:00-13:00 4mbit@08:00-12:00 2mbit@13:00-08:00", "4mbit@08:00-12:00 1mbit@12:00-13:00 2mbit@13:00-08:00"},
		{"9mbit@22:00-00:00 8mbit@00:00-01:00", "8mbit@00:00-01:00 9mbit@22:00-00:00"},
	} {
		got, err := Parse(strings.Fields(c.words)...)
		if err != nil || got.String() != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.words, got, err, c.want)
		}
		if got.Limited() != (c.words != "") {
			t.Errorf("%q: limited %v", c.words, got.Limited())
		}
	}
}

func TestRefuse(t *testing.T) {
	for words, want := range map[string]core.Class{
		"4":                                   core.ClassField,
		"4 mbit":                              core.ClassField,
		"mbit":                                core.ClassField,
		"4MBIT":                               core.ClassField,
		"4.5mbit":                             core.ClassField,
		"04mbit":                              core.ClassField,
		"-4mbit":                              core.ClassField,
		"7999bit":                             core.ClassLimit,
		"0mbit":                               core.ClassField,
		"101gbit":                             core.ClassLimit,
		"18446744073709551616bit":             core.ClassLimit,
		"18446744073710gbit":                  core.ClassLimit,
		"4mbit 5mbit":                         core.ClassField,
		"4mbit@8:00-18:00":                    core.ClassField,
		"4mbit@08:00-24:00":                   core.ClassField,
		"4mbit@08:60-18:00":                   core.ClassField,
		"4mbit@08:00":                         core.ClassField,
		"4mbit@08:00-08:00":                   core.ClassField,
		"4mbit@08:00-18:00-20:00":             core.ClassField,
		"4mbit@08:00-12:00 5mbit@11:59-13:00": core.ClassField,
		"4mbit@22:00-06:00 5mbit@05:00-07:00": core.ClassField,
		"4mbit@22:00-06:00 5mbit@21:00-22:01": core.ClassField,
		"4mbit@08:00-12:00 5mbit@08:00-12:00": core.ClassField,
		"4mbit@01:00-00:00 5mbit@00:00-01:01": core.ClassField,
		strings.Repeat("4mbit@08:00-18:00 ", MaxWindows+1):         core.ClassLimit,
		"4mbit@08:00-18:00 " + strings.Repeat("x", 500) + "@1:0-2": core.ClassField,
	} {
		got, err := Parse(strings.Split(strings.TrimSpace(words), " ")...)
		if words == "4 mbit" {
			got, err = Parse(words)
		}
		if core.ClassOf(err) != want {
			t.Errorf("%q: got %v, %v, want %s", words, got, err, want)
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%q: an error of %d bytes", words, len(err.Error()))
		}
	}
}

// TestAt: rates and changes, at the edges of windows and where clocks are put forward and back.
func TestAt(t *testing.T) {
	paris, utc := place(t, "Europe/Paris"), time.UTC
	office, err := Parse("20mbit", "4mbit@08:00-18:00")
	if err != nil {
		t.Fatal(err)
	}
	night, err := Parse("1mbit@02:30-03:30")
	if err != nil {
		t.Fatal(err)
	}
	skipped, err := Parse("1mbit@02:15-02:45")
	if err != nil {
		t.Fatal(err)
	}
	same, err := Parse("4mbit", "4mbit@08:00-18:00")
	if err != nil {
		t.Fatal(err)
	}
	in := func(location *time.Location, text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at.In(location)
	}
	for _, c := range []struct {
		name     string
		schedule Schedule
		at       time.Time
		want     Rate
		until    string // "": never
	}{
		{"none", Schedule{}, in(utc, "2026-11-24T08:00:00Z"), Unlimited, ""},
		{"before", office, in(utc, "2026-11-24T07:59:59Z"), 20e6, "2026-11-24T08:00:00Z"},
		{"at the begin", office, in(utc, "2026-11-24T08:00:00Z"), 4e6, "2026-11-24T18:00:00Z"},
		{"within a second of the end", office, in(utc, "2026-11-24T17:59:59.5Z"), 4e6, "2026-11-24T18:00:00Z"},
		{"at the end", office, in(utc, "2026-11-24T18:00:00Z"), 20e6, "2026-11-25T08:00:00Z"},
		{"by the clock of the place", office, in(paris, "2026-11-24T07:00:00Z"), 4e6, "2026-11-24T17:00:00Z"},
		{"in summer", office, in(paris, "2026-07-24T06:00:00Z"), 4e6, "2026-07-24T16:00:00Z"},
		{"the same rate", same, in(utc, "2026-11-24T09:00:00Z"), 4e6, ""},
		// Clocks go from 02:00 to 03:00 on 29 March 2026 at 01:00Z, and from 03:00 to 02:00 on 25 October.
		{"begins late where its begin is missing", night, in(paris, "2026-03-29T00:59:00Z"), Unlimited, "2026-03-29T01:00:00Z"},
		{"and ends as the clock says", night, in(paris, "2026-03-29T01:00:00Z"), 1e6, "2026-03-29T01:30:00Z"},
		{"missing altogether", skipped, in(paris, "2026-03-29T00:00:00Z"), Unlimited, "2026-03-30T00:15:00Z"},
		{"comes twice", skipped, in(paris, "2026-10-25T00:45:00Z"), Unlimited, "2026-10-25T01:15:00Z"},
		{"cut by the clock", night, in(paris, "2026-10-25T00:30:00Z"), 1e6, "2026-10-25T01:00:00Z"},
		{"and resumed", night, in(paris, "2026-10-25T01:00:00Z"), Unlimited, "2026-10-25T01:30:00Z"},
	} {
		rate, until := c.schedule.At(c.at)
		text := ""
		if !until.IsZero() {
			text = until.UTC().Format(time.RFC3339Nano)
		}
		if rate != c.want || text != c.until {
			t.Errorf("%s: got %s until %q, want %s until %q", c.name, rate, text, c.want, c.until)
		}
	}
}

// TestLasts: the bits of each hour go at its rate.
func TestLasts(t *testing.T) {
	morning := time.Date(2026, 11, 24, 7, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		schedule string
		from     time.Time
		bits     float64
		want     time.Duration
	}{
		{"", morning, 1e12, 0},
		{"4mbit", morning, 0, 0},
		{"4mbit", morning, 1e6, 250 * time.Millisecond},
		{"4mbit", morning, 4e6 * 3600 * 24 * 365, 365 * 24 * time.Hour},
		{"20mbit 4mbit@08:00-18:00", morning, 20e6 * 3600, time.Hour},
		{"20mbit 4mbit@08:00-18:00", morning, 20e6*3600 + 4e6*1800, 90 * time.Minute},
		{"20mbit 4mbit@08:00-18:00", morning, 20e6*3600 + 4e6*36000 + 20e6*60, 11*time.Hour + time.Minute},
		{"20mbit 4mbit@08:00-18:00", morning.In(place(t, "Europe/Paris")), 4e6 * 60, time.Minute},
		{"4mbit@08:00-18:00", morning, 1e12, 0},
		{"4mbit@08:00-18:00", morning.Add(10 * time.Hour), 1e12, time.Hour},
		{"4mbit@08:00-18:00 2mbit@18:00-08:00", morning, 2e6*3600 + 4e6*36000 + 2e6*14*3600 + 4e6, 25*time.Hour + time.Second},
	} {
		s, err := Parse(strings.Fields(c.schedule)...)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Lasts(c.from, c.bits); got != c.want {
			t.Errorf("%q: %.0f bits from %s last %s, want %s", c.schedule, c.bits, c.from, got, c.want)
		}
	}
}

// drawn is a random schedule: windows between sorted times of the day, some hours left out.
func drawn(t *rapid.T) Schedule {
	rate := rapid.Custom(func(t *rapid.T) Rate { return Rate(rapid.IntRange(8, 20).Draw(t, "kbit")) * 1000 })
	var words []string
	if rapid.Bool().Draw(t, "all day") {
		words = append(words, rate.Draw(t, "rate").String())
	}
	times := rapid.SliceOfNDistinct(rapid.IntRange(0, minutesPerDay-1), 0, MaxWindows, rapid.ID).Draw(t, "times")
	slices.Sort(times)
	for i, from := range times {
		if len(times) > 1 && rapid.Bool().Draw(t, "used") {
			to := times[(i+1)%len(times)]
			words = append(words, window{minute(from), minute(to), rate.Draw(t, "rate")}.String())
		}
	}
	s, err := Parse(words...)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return s
}

// TestEachMinuteOnce: each minute of the day lies in one window, or in none and has the rate of all day.
func TestEachMinuteOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawn(t)
		covered := 0
		for m := range minute(minutesPerDay) {
			holders, want := 0, s.allDay
			for _, one := range s.windows {
				if one.has(m) {
					holders, want = holders+1, one.rate
				}
			}
			covered += holders
			if holders > 1 || s.rateAt(m) != want {
				t.Fatalf("%s: %s lies in %d windows, rate %s", s, m, holders, s.rateAt(m))
			}
		}
		long := 0
		for _, one := range s.windows {
			long += one.minutes()
		}
		if covered != long {
			t.Fatalf("%s: windows of %d minutes cover %d", s, long, covered)
		}
	})
}

// TestAtAgainstTheClock walks days minute by minute, those on which clocks are put forward and back too: what
// At says holds for each minute until the change that it names, and no longer.
func TestAtAgainstTheClock(t *testing.T) {
	days := []struct {
		zone string
		day  time.Time
	}{
		{"UTC", time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)},
		{"Europe/Paris", time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC)},
		{"Europe/Paris", time.Date(2026, 10, 24, 21, 0, 0, 0, time.UTC)},
		{"America/New_York", time.Date(2026, 3, 8, 3, 0, 0, 0, time.UTC)},
		{"Australia/Lord_Howe", time.Date(2026, 4, 4, 10, 0, 0, 0, time.UTC)}, // by half an hour
		{"America/Santiago", time.Date(2026, 9, 5, 20, 0, 0, 0, time.UTC)},    // at midnight
	}
	rapid.Check(t, func(t *rapid.T) {
		s := drawn(t)
		one := rapid.SampledFrom(days).Draw(t, "day")
		location, err := time.LoadLocation(one.zone)
		if err != nil {
			t.Fatal(err)
		}
		rate, until := s.At(one.day.In(location))
		for at := one.day.In(location); at.Before(one.day.Add(26 * time.Hour)); at = at.Add(time.Minute) {
			if !until.IsZero() && !at.Before(until) {
				if !at.Equal(until) {
					t.Fatalf("%s: changes between two minutes, at %s", s, until)
				}
				before := rate
				if rate, until = s.At(at); rate == before {
					t.Fatalf("%s in %s: no change at %s", s, one.zone, at)
				}
			}
			if want := s.rateAt(minuteOf(at)); rate != want {
				t.Fatalf("%s in %s: at %s got %s, want %s", s, one.zone, at, rate, want)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "4mbit", "20mbit 4mbit@08:00-18:00", "512kbit@22:00-06:00",
		"1mbit@00:00-12:00 2mbit@12:00-00:00", "18446744073710gbit", "9mbit@@-", "1bit@00:00-00:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(strings.Fields(text)...)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Fatalf("%q: an error without class: %v", text, err)
			}
			return
		}
		written, _ := s.MarshalText()
		var again Schedule
		err = again.UnmarshalText(written)
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q: %q reads back as %q, %v", text, s, again, err)
		}
		if len(s.windows) > MaxWindows {
			t.Fatalf("%d windows", len(s.windows))
		}
		at := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
		if rate, until := s.At(at); !until.IsZero() {
			if after, _ := s.At(until); after == rate || !until.After(at) {
				t.Fatalf("%q: %s until %s, then %s", s, rate, until, after)
			}
		}
	})
}

func BenchmarkAt(b *testing.B) {
	s, err := Parse("20mbit", "4mbit@08:00-12:00", "8mbit@12:00-13:00", "4mbit@13:00-18:00")
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 3, 29, 0, 30, 0, 0, place(b, "Europe/Paris"))
	for b.Loop() {
		s.At(at)
	}
}
