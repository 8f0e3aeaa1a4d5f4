package wanrate

import (
	"strconv"
	"strings"

	"enjambre/core"
)

// A Rate is a number of bits a second. The zero Rate is Unlimited.
type Rate uint64

// Unlimited is the rate of a link that may be filled.
const Unlimited Rate = 0

// Bounds of a rate. Below the first, a fragment of 512 KiB takes nine minutes.
const (
	MinRate Rate = 8_000
	MaxRate Rate = 100_000_000_000
)

// units are the units of a rate, the largest first.
var units = []struct {
	name string
	bits Rate
}{{"gbit", 1_000_000_000}, {"mbit", 1_000_000}, {"kbit", 1000}, {"bit", 1}}

// maxDigits keeps a number inside 64 bits whatever its unit.
const maxDigits = 9

// ParseRate reads a whole number and its unit, such as 4mbit. Refusals: E_LIMIT for a rate below MinRate or
// above MaxRate, E_FIELD for anything else.
func ParseRate(text string) (Rate, error) {
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(text)
	}
	digits, unit := text[:end], text[end:]
	for _, one := range units {
		if one.name != unit || digits == "" || digits[0] == '0' {
			continue
		}
		number, err := strconv.ParseUint(digits, 10, 64)
		rate := Rate(number) * one.bits
		if err != nil || len(digits) > maxDigits && one.bits > 1 || rate < MinRate || rate > MaxRate {
			return 0, core.Refuse(core.ClassLimit, "rate %.40q: use %s to %s", text, MinRate, MaxRate)
		}
		return rate, nil
	}
	return 0, core.Refuse(core.ClassField, "rate %.40q: use a whole number of bit, kbit, mbit or gbit, such as 4mbit",
		text)
}

// String returns the rate as ParseRate reads it, in the largest unit that leaves a whole number; "unlimited",
// which ParseRate does not read, for Unlimited.
func (r Rate) String() string {
	if r == Unlimited {
		return "unlimited"
	}
	for _, one := range units {
		if r%one.bits == 0 {
			return strconv.FormatUint(uint64(r/one.bits), 10) + one.name
		}
	}
	panic("wanrate: every number is a multiple of one bit")
}
