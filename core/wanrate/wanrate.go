// Package wanrate says how fast a site's WAN link may be filled, by hours.
//
// A [Schedule] is a rate for all day and up to [MaxWindows] windows of hours in which another one holds:
//
//	20mbit                 at any time
//	4mbit@08:00-18:00      between these hours, instead of the rate without hours
//	512kbit@22:00-06:00    across midnight
//
// A rate is a whole number of bit, kbit, mbit or gbit a second, each a thousand of the one before. Hours are
// read from the wall clock of a place: a window begins when the clock first shows its begin or a later time,
// and ends likewise, so that on the day when the clock is put forward an hour is missing, and on the day when
// it is put back an hour comes twice. Windows do not overlap. Each minute of any day has exactly one rate.
//
// The package knows rates, not packets: what counts against a rate is for whoever keeps it.
package wanrate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"enjambre/core"
)

// MaxWindows is how many windows a schedule may have.
const MaxWindows = 8

// A Schedule says which rate holds when. The zero Schedule is no limit at any time. Schedules come from
// Parse and are not changed afterwards, so they may be shared.
type Schedule struct {
	allDay  Rate
	windows []window // by begin, without overlap
}

// A window is the hours of one rate, in minutes of the day; from is not to, and to may be the smaller one.
type window struct {
	from, to minute
	rate     Rate
}

// A minute is a time of day: minutes since midnight on the clock, 0 to 1439.
type minute int

const minutesPerDay = 24 * 60

// String returns the minute as HH:MM.
func (m minute) String() string { return fmt.Sprintf("%02d:%02d", int(m)/60, int(m)%60) }

// parseMinute reads HH:MM, 00:00 to 23:59.
func parseMinute(text string) (minute, error) {
	if len(text) == 5 && text[2] == ':' {
		var digits [4]int
		valid := true
		for i, at := range []int{0, 1, 3, 4} {
			digits[i] = int(text[at]) - '0'
			valid = valid && digits[i] >= 0 && digits[i] <= 9
		}
		hour, minutes := digits[0]*10+digits[1], digits[2]*10+digits[3]
		if valid && hour < 24 && minutes < 60 {
			return minute(hour*60 + minutes), nil
		}
	}
	return 0, core.Refuse(core.ClassField, "time of day %.20q: use HH:MM, 00:00 to 23:59; midnight is 00:00", text)
}

// String returns the window as Parse reads it.
func (w window) String() string { return fmt.Sprintf("%s@%s-%s", w.rate, w.from, w.to) }

// minutes returns how long the window is.
func (w window) minutes() int { return (int(w.to-w.from) + minutesPerDay) % minutesPerDay }

// has reports whether a minute of the day lies in the window.
func (w window) has(m minute) bool {
	if w.from < w.to {
		return w.from <= m && m < w.to
	}
	return m >= w.from || m < w.to
}

// Parse reads the words of a schedule, in any order: at most one rate without hours, and windows. Refusals:
// E_LIMIT for too many windows or a rate out of bounds, E_FIELD for anything else.
func Parse(words ...string) (Schedule, error) {
	var s Schedule
	for _, word := range words {
		text, hours, windowed := strings.Cut(word, "@")
		rate, err := ParseRate(text)
		if err != nil {
			return Schedule{}, err
		}
		if !windowed {
			if s.allDay != 0 {
				return Schedule{}, core.Refuse(core.ClassField,
					"two rates without hours, %s and %s: give hours to one, such as %s@08:00-18:00", s.allDay, rate, rate)
			}
			s.allDay = rate
			continue
		}
		if len(s.windows) == MaxWindows {
			return Schedule{}, core.Refuse(core.ClassLimit, "more than %d rates with hours", MaxWindows)
		}
		one, err := parseWindow(rate, hours)
		if err != nil {
			return Schedule{}, fmt.Errorf("rate %.40q: %w", word, err)
		}
		s.windows = append(s.windows, one)
	}
	slices.SortFunc(s.windows, func(a, b window) int { return int(a.from - b.from) })
	return s, s.checkOverlap()
}

func parseWindow(rate Rate, hours string) (window, error) {
	begin, end, found := strings.Cut(hours, "-")
	if !found {
		return window{}, core.Refuse(core.ClassField, "hours %.40q: use HH:MM-HH:MM, such as 08:00-18:00", hours)
	}
	from, err := parseMinute(begin)
	if err != nil {
		return window{}, err
	}
	to, err := parseMinute(end)
	if err != nil {
		return window{}, err
	}
	if from == to {
		return window{}, core.Refuse(core.ClassField, "hours %s begin where they end; a rate for all day has no hours",
			hours)
	}
	return window{from, to, rate}, nil
}

// checkOverlap compares each window with the next one around the day.
func (s Schedule) checkOverlap() error {
	for i, one := range s.windows {
		next := s.windows[(i+1)%len(s.windows)]
		gap := (int(next.from-one.from) + minutesPerDay) % minutesPerDay
		if len(s.windows) > 1 && gap < one.minutes() {
			return core.Refuse(core.ClassField, "rates %s and %s hold at the same time: let their hours not overlap", one,
				next)
		}
	}
	return nil
}

// Words returns what Parse reads as the same schedule: the rate for all day, then windows by their begin. Nil
// for the zero Schedule.
func (s Schedule) Words() []string {
	var words []string
	if s.allDay != 0 {
		words = append(words, s.allDay.String())
	}
	for _, one := range s.windows {
		words = append(words, one.String())
	}
	return words
}

// String returns the words with spaces between them.
func (s Schedule) String() string { return strings.Join(s.Words(), " ") }

// MarshalText returns String's text.
func (s Schedule) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads words with spaces between them, with the rules of [Parse].
func (s *Schedule) UnmarshalText(text []byte) (err error) {
	*s, err = Parse(strings.Fields(string(text))...)
	return err
}

// Limited reports whether there is any limit at any time.
func (s Schedule) Limited() bool { return s.allDay != 0 || len(s.windows) > 0 }

// rateAt returns the rate of a minute of the day.
func (s Schedule) rateAt(m minute) Rate {
	for _, one := range s.windows {
		if one.has(m) {
			return one.rate
		}
	}
	return s.allDay
}

// At returns the rate that holds at t, Unlimited for none, and the next time at which another one does, the
// zero time for never. Hours are those of t's location.
func (s Schedule) At(t time.Time) (rate Rate, until time.Time) {
	rate = s.rateAt(minuteOf(t))
	// Where the clock is put forward over a window, it is missing that day: three days have every window.
	for next, end := t, t.Add(3*24*time.Hour); next.Before(end); {
		next = s.nextBoundary(next)
		if next.IsZero() {
			break
		}
		if s.rateAt(minuteOf(next)) != rate {
			return rate, next
		}
	}
	return rate, time.Time{}
}

// Lasts returns how long a link that is kept to the schedule takes at least for a number of bits, from t on; 0 where it
// sets no bound, as it is unlimited at t. Hours are those of t's location. It ends, since no rate is below MinRate.
func (s Schedule) Lasts(t time.Time, bits float64) time.Duration {
	for at := t; ; {
		rate, until := s.At(at)
		if rate == Unlimited { // the rest takes no time
			return at.Sub(t)
		}
		rest := bits / float64(rate) // seconds
		if until.IsZero() || rest <= until.Sub(at).Seconds() {
			return at.Sub(t) + time.Duration(rest*float64(time.Second))
		}
		bits -= until.Sub(at).Seconds() * float64(rate)
		at = until
	}
}

// nextBoundary returns the next time after t at which a window may begin or end: when the clock shows one of
// its hours, or is put forward or back.
func (s Schedule) nextBoundary(t time.Time) time.Time {
	hour, minutes, seconds := t.Clock()
	sinceMidnight := time.Duration(hour)*time.Hour + time.Duration(minutes)*time.Minute +
		time.Duration(seconds)*time.Second + time.Duration(t.Nanosecond())
	var nearest time.Time
	consider := func(next time.Time) {
		if nearest.IsZero() || next.Before(nearest) {
			nearest = next
		}
	}
	for _, one := range s.windows {
		for _, boundary := range []minute{one.from, one.to} {
			wait := time.Duration(boundary)*time.Minute - sinceMidnight
			if wait <= 0 {
				wait += 24 * time.Hour // on the clock; it is put forward or back before, or not at all
			}
			consider(t.Add(wait))
		}
	}
	if _, change := t.ZoneBounds(); !change.IsZero() && !nearest.IsZero() {
		consider(change)
	}
	return nearest
}

// minuteOf returns what the clock of t's location shows.
func minuteOf(t time.Time) minute {
	hour, minutes, _ := t.Clock()
	return minute(hour*60 + minutes)
}
