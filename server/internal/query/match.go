package query

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"enjambre/core"
)

// A Computer is what queries see of a managed machine. The zero value of a field means not known
// or, of a time, that it never happened.
type Computer struct {
	Name        string
	OS          string  // the full name, such as "Debian GNU/Linux 12"
	Family      core.OS // "" for neither Windows nor Linux
	Site        string
	Tag         string
	User        string // several are joined by UserSeparator
	Serial      string
	Agent       string // name and version as the agent reports them
	MemoryBytes int64
	DiskBytes   int64        // free on the drive that has the most free
	IPs         []netip.Addr // zones are ignored; IPv4 written as IPv6 counts as IPv4
	MACs        []string     // as NormalMAC writes them
	LastContact time.Time
	Inventory   time.Time // of the last inventory
	Software    []SoftwareItem
	States      map[core.PackageID]string // upper case; absent or "" is NONE
}

// UserSeparator stands between the users of a computer where several are logged on, as in an inventory's USERID.
const UserSeparator = "/"

// A SoftwareItem is one installed software; Version is "" where it is not known.
type SoftwareItem struct{ Name, Version string }

// Match reports whether the computer satisfies the expression at the time now. The expression must
// come from Parse; Match panics on values that Parse does not give a field.
func Match(expr Expr, computer Computer, now time.Time) bool {
	match := func(term Expr) bool { return Match(term, computer, now) }
	switch e := expr.(type) {
	case And:
		return !slices.ContainsFunc(e.Terms, func(term Expr) bool { return !match(term) })
	case Or:
		return slices.ContainsFunc(e.Terms, match)
	case Not:
		return !match(e.Term)
	case Compare:
		return matchCompare(e, computer, now)
	case Software:
		return slices.ContainsFunc(computer.Software, e.matches)
	case State:
		return e.matches(computer)
	}
	panic(fmt.Sprintf("query: unknown expression %#v", expr))
}

// matchCompare makes "in" the or of "=", and "!=" its opposite.
func matchCompare(c Compare, computer Computer, now time.Time) bool {
	switch c.Op {
	case opIn:
		return slices.ContainsFunc(c.Values, func(value Value) bool {
			return matchValue(c.Field, opEqual, value, computer, now)
		})
	case opNotEqual:
		return !matchValue(c.Field, opEqual, c.Values[0], computer, now)
	}
	return matchValue(c.Field, c.Op, c.Values[0], computer, now)
}

// matchValue compares with one value; the op is "=", "~" or an order.
func matchValue(field Field, op Op, value Value, computer Computer, now time.Time) bool {
	switch v := value.(type) {
	case Text:
		if field == FieldUser {
			return matchUser(op, computer.User, string(v))
		}
		return matchText(op, computer.text(field), string(v))
	case Family:
		return computer.Family == core.OS(v)
	case Bytes:
		return holds(op, cmp.Compare(computer.bytes(field), int64(v)))
	case Age:
		// The later the time, the smaller its age.
		return holds(op, now.Add(-time.Duration(v)).Compare(computer.time(field)))
	case Date:
		return holds(op, dateOf(computer.time(field)).compare(v))
	case Never:
		return computer.time(field).IsZero()
	case Network:
		return slices.ContainsFunc(computer.IPs, func(address netip.Addr) bool {
			return v.Contains(address.Unmap().WithZone(""))
		})
	case MAC:
		return slices.ContainsFunc(computer.MACs, func(mac string) bool {
			return matchText(op, mac, string(v))
		})
	}
	panic(fmt.Sprintf("query: unknown value %#v", value))
}

// matchText compares with "=" or "~", as a reader would: see Fold.
func matchText(op Op, text, wanted string) bool {
	if op == opContains {
		return containsText(text, wanted)
	}
	return equalText(text, wanted)
}

// matchUser compares with any of the users that an inventory names, or with all of them as it names them.
func matchUser(op Op, users, wanted string) bool {
	return matchText(op, users, wanted) || strings.Contains(users, UserSeparator) && slices.ContainsFunc(
		strings.Split(users, UserSeparator), func(user string) bool { return matchText(op, user, wanted) })
}

// holds reports whether op is true of two values that compare as order: -1, 0 or 1.
func holds(op Op, order int) bool {
	switch op {
	case opEqual:
		return order == 0
	case opNotEqual:
		return order != 0
	case opLess:
		return order < 0
	case opLessEqual:
		return order <= 0
	case opGreater:
		return order > 0
	case opGreaterEqual:
		return order >= 0
	}
	panic(fmt.Sprintf("query: operator %q does not order", op))
}

func (d Date) compare(other Date) int {
	return cmp.Or(
		cmp.Compare(d.Year, other.Year), cmp.Compare(d.Month, other.Month), cmp.Compare(d.Day, other.Day))
}

func (s Software) matches(item SoftwareItem) bool {
	if !matchText(opContains, item.Name, s.Name) {
		return false
	}
	return s.Op == "" || item.Version != "" && holds(s.Op, CompareVersions(item.Version, s.Version))
}

func (s State) matches(computer Computer) bool {
	state := cmp.Or(computer.States[s.Package], stateNone)
	return slices.Contains(s.States, state) != (s.Op == opNotEqual)
}

func (c Computer) text(field Field) string {
	switch field {
	case FieldName:
		return c.Name
	case FieldOS:
		return c.OS
	case FieldSite:
		return c.Site
	case FieldTag:
		return c.Tag
	case FieldUser:
		return c.User
	case FieldSerial:
		return c.Serial
	case FieldAgent:
		return c.Agent
	}
	panic(fmt.Sprintf("query: field %q is no text", field))
}

func (c Computer) bytes(field Field) int64 {
	switch field {
	case FieldMemory:
		return c.MemoryBytes
	case FieldDisk:
		return c.DiskBytes
	}
	panic(fmt.Sprintf("query: field %q is no size", field))
}

func (c Computer) time(field Field) time.Time {
	switch field {
	case FieldLastContact:
		return c.LastContact
	case FieldInventory:
		return c.Inventory
	}
	panic(fmt.Sprintf("query: field %q is no time", field))
}
