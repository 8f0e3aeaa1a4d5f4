package core

import (
	"strconv"
	"strings"
	"time"
)

// day is a day as durations count it, whatever the clocks of a place do.
const day = 24 * time.Hour

// maxUnits is the most weeks and the most days of a duration: both together are less than a Duration can hold.
const maxUnits = 10_000

// ParseDuration reads how long something lasts as people write it, wherever that is asked for: 90s, 2h30m, 10d, 1w,
// 1d12h. Days are d and weeks w, whole ones, at most 10,000 of each, before the units of [time.ParseDuration]. Refusals: E_FIELD.
func ParseDuration(text string) (time.Duration, error) {
	bad := Refuse(ClassField, "%.40q is no time such as 90s, 2h or 10d", text)
	rest, isNegative := strings.CutPrefix(strings.TrimSpace(text), "-")
	if rest == "" || rest[0] == '-' || rest[0] == '+' {
		return 0, bad
	}
	var whole time.Duration
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * day}, {"d", day}} {
		number, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		count, err := strconv.ParseUint(number, 10, 16)
		if err != nil || count > maxUnits {
			return 0, bad
		}
		whole, rest = whole+time.Duration(count)*unit.length, after
	}
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil || more < 0 || rest[0] == '+' || more > 1<<63-1-whole {
			return 0, bad
		}
		whole += more
	}
	if isNegative {
		whole = -whole
	}
	return whole, nil
}

// DurationText writes a time as [ParseDuration] reads it, without units that are zero: 10d, 2h, 1d12h, 0s.
func DurationText(d time.Duration) string {
	if d < 0 {
		return "-" + DurationText(-d)
	}
	text := ""
	if days := d / day; days > 0 {
		text, d = strconv.FormatInt(int64(days), 10)+"d", d%day
	}
	if d == 0 && text != "" {
		return text
	}
	short := d.String()
	if strings.HasSuffix(short, "m0s") {
		short = strings.TrimSuffix(short, "0s")
	}
	if strings.HasSuffix(short, "h0m") {
		short = strings.TrimSuffix(short, "0m")
	}
	return text + short
}
