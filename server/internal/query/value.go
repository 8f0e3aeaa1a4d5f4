package query

import (
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"enjambre/core"
)

// A Value is what a field is compared with: [Text], [Family], [Bytes], [Age], [Date], [Never],
// [Network] or [MAC].
type Value interface {
	// String returns the canonical spelling, in quotes where the language needs them.
	String() string
	value()
}

// Text compares in any case, by [Fold]. It may be empty except with "~".
type Text string

// Family means every version of Windows or of Linux.
type Family core.OS

// Bytes is a size: 0 to 1 EiB.
type Bytes int64

// Age is how long ago something was: 0 to 36500 days in whole minutes. Its operators are <, <=, >
// and >=; "> 30d" is more than 30 days ago.
type Age time.Duration

// Date is a day in UTC, 1970-01-01 to 9999-12-31. It compares with the day on which something was:
// "<" is on an earlier day, "<=" on that day or earlier.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// Never equals the time of what has not happened yet. Its operators are =, != and in.
type Never struct{}

// Network is an IPv4 or IPv6 prefix without host bits; an IPv4 prefix is never written as IPv6.
// With = and != it is one address, a prefix of full length.
type Network struct{ netip.Prefix }

// MAC is an address as [NormalMAC] writes it or, with "~", 1 to 6 of its bytes in that spelling.
type MAC string

const (
	maxBytes   = 1 << 60
	maxAge     = 36_500 * 24 * time.Hour
	macBytes   = 6
	dateLayout = "2006-01-02"
)

func (Text) value()    {}
func (Family) value()  {}
func (Bytes) value()   {}
func (Age) value()     {}
func (Date) value()    {}
func (Never) value()   {}
func (Network) value() {}
func (MAC) value()     {}

// String quotes the text unless it is one word.
func (t Text) String() string {
	if isWord(string(t)) {
		return string(t)
	}
	return quote(string(t))
}

// String returns windows or linux.
func (f Family) String() string { return string(f) }

// sizeUnits are the units of sizes, the largest first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6},
	{"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

// String uses the largest unit that gives a whole number.
func (b Bytes) String() string {
	for _, unit := range sizeUnits {
		if b != 0 && int64(b)%unit.bytes == 0 {
			return strconv.FormatInt(int64(b)/unit.bytes, 10) + unit.name
		}
	}
	return "0B"
}

// String uses days, hours or minutes, the largest that gives a whole number.
func (a Age) String() string {
	switch age := time.Duration(a); {
	case age%(24*time.Hour) == 0:
		return strconv.FormatInt(int64(age/(24*time.Hour)), 10) + "d"
	case age%time.Hour == 0:
		return strconv.FormatInt(int64(age/time.Hour), 10) + "h"
	default:
		return strconv.FormatInt(int64(age/time.Minute), 10) + "m"
	}
}

// String writes YYYY-MM-DD.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

// String returns never.
func (Never) String() string { return "never" }

// String writes an address without the length that every address has.
func (n Network) String() string {
	if n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.Prefix.String()
}

// String returns the bytes with colons.
func (m MAC) String() string { return string(m) }

// A refusal says why a text is no value of a kind; the parser knows where it stands.
type refusal struct{ problem, hint string }

func parseText(op Op, text string) (Value, *refusal) {
	if op == opContains && text == "" {
		return nil, &refusal{"~ needs some text", `empty is = "", not empty is != ""`}
	}
	return Text(text), nil
}

func parseOS(op Op, text string) (Value, *refusal) {
	if family, err := core.ParseOS(strings.ToLower(text)); err == nil && op != opContains {
		return Family(family), nil
	}
	return parseText(op, text)
}

func parseBytes(_ Op, text string) (Value, *refusal) {
	number, unit := cutRun(text, func(c byte) bool { return isDigit(c) || c == '.' })
	bad := &refusal{
		shown(text) + " is not a size",
		"units: KiB, MiB, GiB, TiB (by 1024), KB, MB, GB, TB (by 1000), B",
	}
	if unit == "" && number != "" {
		bad.hint = "write the unit without a blank, such as " + number[:min(len(number), 20)] + "GiB; " + bad.hint
	}
	const mostDigits = 30
	if len(number) > mostDigits {
		return nil, bad
	}
	amount, valid := new(big.Rat).SetString(number)
	if !valid {
		return nil, bad
	}
	for _, known := range sizeUnits {
		if !strings.EqualFold(unit, known.name) {
			continue
		}
		amount.Mul(amount, new(big.Rat).SetInt64(known.bytes))
		bytes := new(big.Int).Quo(amount.Num(), amount.Denom())
		if bytes.Cmp(big.NewInt(maxBytes)) > 0 {
			return nil, &refusal{shown(text) + " is too much", "the most is 1048576TiB"}
		}
		return Bytes(bytes.Int64()), nil
	}
	return nil, bad
}

func parseTime(op Op, text string) (Value, *refusal) {
	orders := op != opEqual && op != opNotEqual && op != opIn
	if strings.EqualFold(text, "never") {
		if orders {
			return nil, &refusal{string(op) + " does not work with never", "use = or !="}
		}
		return Never{}, nil
	}
	if day, err := time.Parse(dateLayout, text); err == nil && day.Year() >= 1970 {
		return dateOf(day), nil
	}
	age, bad := parseAge(text)
	if bad != nil {
		return nil, bad
	}
	if !orders {
		return nil, &refusal{
			string(op) + " does not work with an age",
			"use > " + age.String() + " for longer ago, < " + age.String() + " for more recently, or a date",
		}
	}
	return age, nil
}

func parseAge(text string) (Age, *refusal) {
	const mostDigits = 9 // in minutes, already far beyond the longest age
	number, unit := cutRun(text, isDigit)
	length, known := map[string]time.Duration{
		"w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute,
	}[strings.ToLower(unit)]
	if number == "" || !known {
		return 0, &refusal{
			shown(text) + " is neither an age nor a date",
			"ages are whole numbers of m (minutes), h, d or w, such as 30d; dates are YYYY-MM-DD",
		}
	}
	count, err := strconv.ParseInt(number, 10, 64)
	if err != nil || len(number) > mostDigits || time.Duration(count) > maxAge/length {
		return 0, &refusal{shown(text) + " is too long ago", "the most is 36500d"}
	}
	return Age(time.Duration(count) * length), nil
}

func dateOf(t time.Time) Date {
	year, month, day := t.UTC().Date()
	return Date{year, month, day}
}

func parseNetwork(op Op, text string) (Value, *refusal) {
	bad := &refusal{
		shown(text) + " is not an IP address or network",
		"examples: ip = 10.1.2.3, ip in 10.1.0.0/16, ip in 2001:db8::/32",
	}
	prefix, err := netip.ParsePrefix(text)
	if !strings.Contains(text, "/") {
		var address netip.Addr
		if address, err = netip.ParseAddr(text); err == nil && address.Zone() == "" {
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
	}
	if err != nil || !prefix.IsValid() {
		return nil, bad
	}
	const mappedBits = 96 // of an IPv6 prefix that holds IPv4 addresses only
	prefix = prefix.Masked()
	if prefix.Addr().Is4In6() && prefix.Bits() >= mappedBits {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mappedBits)
	}
	if op != opIn && !prefix.IsSingleIP() {
		return nil, &refusal{
			string(op) + " compares with one address, and " + shown(text) + " is a network",
			"use ip in, or ip not in",
		}
	}
	return Network{prefix}, nil
}

// NormalMAC returns a MAC address as six lower-case hexadecimal bytes with colons, and whether text
// is one: 12 digits with colons, hyphens or dots between bytes, or with nothing between them; HP-UX writes 0x before
// them.
func NormalMAC(text string) (string, bool) {
	if len(text) == len("0x")+2*macBytes && (text[:2] == "0x" || text[:2] == "0X") {
		text = text[2:]
	}
	if mac := normalBytes(text); len(mac) == 3*macBytes-1 {
		return mac, true
	}
	return "", false
}

// normalBytes returns the bytes of all or part of a MAC address with colons, or "".
func normalBytes(text string) string {
	var normal strings.Builder
	pending := byte(0) // the first digit of a byte
	for i := range len(text) {
		c := text[i]
		if c >= 'A' && c <= 'F' {
			c += 'a' - 'A'
		}
		switch {
		case isDigit(c), c >= 'a' && c <= 'f':
			if pending == 0 {
				pending = c
				continue
			}
			if normal.Len() > 0 {
				normal.WriteByte(':')
			}
			normal.Write([]byte{pending, c})
			pending = 0
		case pending == 0 && (c == ':' || c == '-' || c == '.'):
		default:
			return ""
		}
	}
	if pending != 0 {
		return ""
	}
	return normal.String()
}

func parseMAC(op Op, text string) (Value, *refusal) {
	if mac, whole := NormalMAC(text); whole {
		return MAC(mac), nil
	}
	part := normalBytes(text)
	if op == opContains && part != "" && len(part) < 3*macBytes {
		return MAC(part), nil
	}
	bad := &refusal{shown(text) + " is not a MAC address", "example: mac = 00:1a:2b:3c:4d:5e"}
	if op == opContains {
		bad.problem = shown(text) + " is not part of a MAC address"
		bad.hint = "whole bytes, example: mac ~ 00:1a:2b"
	} else if part != "" {
		bad.hint += "; for a part: mac ~ 00:1a:2b"
	}
	return nil, bad
}
