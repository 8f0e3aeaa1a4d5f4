package query

import (
	"slices"
	"strings"

	"enjambre/core/outcome"
)

// A Field is something of a computer that can be compared.
type Field string

// The fields, and the types that their values have.
const (
	FieldName        Field = "name"         // Text
	FieldOS          Field = "os"           // Family for windows and linux with =, != and in; else Text
	FieldSite        Field = "site"         // Text; empty without a site
	FieldTag         Field = "tag"          // Text; may be empty
	FieldUser        Field = "user"         // Text; may be empty
	FieldSerial      Field = "serial"       // Text; may be empty
	FieldAgent       Field = "agent"        // Text: the agent's name and version as it reports them
	FieldMemory      Field = "memory"       // Bytes
	FieldDisk        Field = "disk"         // Bytes free on the drive that has the most of them
	FieldIP          Field = "ip"           // Network; an address is a network of one
	FieldMAC         Field = "mac"          // MAC; with ~ a part of one
	FieldLastContact Field = "last_contact" // Age, Date or Never
	FieldInventory   Field = "inventory"    // Age, Date or Never, of the last inventory
)

// fields lists the fields in the order that messages name them.
var fields = []Field{
	FieldName, FieldOS, FieldSite, FieldTag, FieldUser, FieldSerial, FieldMemory, FieldDisk,
	FieldIP, FieldMAC, FieldAgent, FieldLastContact, FieldInventory,
}

// states are the states of a package on a computer: none, and those of an affectation.
var states = affectationStates()

func affectationStates() []string {
	names := []string{stateNone}
	for _, state := range outcome.States() {
		names = append(names, string(state))
	}
	return names
}

// stateNone is the state of a package that is not affected to the computer.
const stateNone = "NONE"

// A kind is what the fields with the same type of value share.
type kind struct {
	plural string // "sizes", in "sizes compare with"
	value  string // what is expected after an operator
	ops    []Op
	hint   string // when another operator was tried; may be ""
	parse  func(op Op, text string) (Value, *refusal)
}

var (
	kindText = kind{
		"texts", "a text, in quotes if it holds blanks",
		[]Op{opEqual, opNotEqual, opContains, opIn},
		"< and > order memory, disk, last_contact, inventory and software versions", parseText,
	}
	kindOS = kind{
		"operating systems", `windows, linux or a full name such as "Debian GNU/Linux 12"`,
		[]Op{opEqual, opNotEqual, opContains, opIn},
		"< and > order memory, disk, last_contact, inventory and software versions", parseOS,
	}
	kindBytes = kind{
		"sizes", "a size such as 8GiB",
		[]Op{opEqual, opNotEqual, opLess, opLessEqual, opGreater, opGreaterEqual, opIn}, "", parseBytes,
	}
	kindTime = kind{
		"times", "an age such as 30d, a date such as 2026-11-01, or never",
		[]Op{opEqual, opNotEqual, opLess, opLessEqual, opGreater, opGreaterEqual, opIn}, "", parseTime,
	}
	kindIP = kind{
		"addresses", "an address such as 10.1.2.3 or, after in, a network such as 10.1.0.0/16",
		[]Op{opEqual, opNotEqual, opIn},
		"for a part of the addresses use a network: ip in 10.1.0.0/16", parseNetwork,
	}
	kindMAC = kind{
		"MAC addresses", "a MAC address such as 00:1a:2b:3c:4d:5e",
		[]Op{opEqual, opNotEqual, opContains, opIn},
		"< and > order memory, disk, last_contact, inventory and software versions", parseMAC,
	}
	kindVersion = kind{
		"versions", "a version such as 140.0.1",
		[]Op{opEqual, opNotEqual, opLess, opLessEqual, opGreater, opGreaterEqual}, "", nil,
	}
	kindState = kind{
		"states", "a state such as ERR_EXECUTE",
		[]Op{opEqual, opNotEqual, opIn}, "", nil,
	}
)

// kind returns what the field shares with others of its kind.
func (f Field) kind() kind {
	switch f {
	case FieldOS:
		return kindOS
	case FieldMemory, FieldDisk:
		return kindBytes
	case FieldIP:
		return kindIP
	case FieldMAC:
		return kindMAC
	case FieldLastContact, FieldInventory:
		return kindTime
	}
	return kindText
}

// findField returns the field that word names in any case.
func findField(word string) (Field, bool) {
	field := Field(strings.ToLower(word))
	return field, slices.Contains(fields, field)
}

// list joins names for a message.
func list[S ~string](names []S) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return strings.Join(texts, ", ")
}
