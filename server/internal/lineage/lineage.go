// Package lineage tells by its contacts whether an enrolled agent's identity is used by one computer or by
// several, as after an image with an enrolled agent was copied.
//
// Each PROLOG of an agent names itself and the last one that was answered (see [ocs.Prolog]), so the
// contacts of one computer are a chain. Copies begin chains of their own, which come up in turns. A
// [Lineage] is what is kept of the contacts of one identity, in constant space; [Lineage.Step] decides. It
// does no input or output.
//
// One computer is never taken for several because answers or requests are lost, repeated or overtake each
// other, because the computer is set back to an earlier state (fewer than MaxStrays times between two
// answered contacts), or because the server forgot contacts. Two states of one computer that are put back
// in turns are taken for two computers, which nobody could tell from them. Docs: decision 0011.
package lineage

import (
	"fmt"
	"strings"

	"enjambre/core/ocs"
)

// MaxStrays is how many contacts in a row may each go on from a contact that is not known. One is what a
// restored database or a computer that was set back looks like; many computers with one identity make
// nothing else.
const MaxStrays = 5

// A Lineage is what is kept of an identity's contacts. The zero Lineage is that of an identity without any.
type Lineage struct {
	head   branch // the chain that goes on; once cloned, the one to be kept
	rival  branch // the chain that went on before head took its place
	strays int    // contacts in a row that went on from nothing known
	cloned bool   // for good: only a new Lineage clears it
}

// A branch is the end of a chain of contacts.
type branch struct {
	base   ocs.ContactID // the last contact that is known to have been answered
	newest ocs.ContactID // the last contact, which went on from base; zero: there is no branch
	own    bool          // base was this branch's newest before, so no other branch began at it
}

// Step takes a contact, which must not be zero, and the last one before it that was answered. It returns
// what is to be kept from then on, and whether the contact is a clone's, which must be given nothing.
func (l Lineage) Step(contact ocs.Prolog) (next Lineage, clone bool) {
	switch {
	case l.head.newest == (ocs.ContactID{}):
		l.head = begin(contact)
	case contact.Contact == l.head.newest: // the same message again
	case contact.Last == l.head.newest:
		l.head, l.strays = branch{base: contact.Last, newest: contact.Contact, own: true}, 0
	case contact.Last == l.head.base: // its answer was lost
		l.head.newest = contact.Contact
	case l.cloned:
		return l, true
	case l.rival.goesOn(contact.Last) && l.head.own:
		l.cloned = true // both have gone on from contacts that were their own
		return l, true
	case l.rival.goesOn(contact.Last): // head was a message that came late, or a clone that never came back
		l.head, l.rival = branch{base: contact.Last, newest: contact.Contact, own: true}, l.head
	case l.strays+1 >= MaxStrays:
		l.cloned = true
		return l, true
	default:
		l.head, l.rival, l.strays = begin(contact), l.head, l.strays+1
	}
	return l, false
}

// begin returns a branch whose past is not known.
func begin(contact ocs.Prolog) branch { return branch{base: contact.Last, newest: contact.Contact} }

// goesOn reports whether a contact with this last one can only be the branch's own next.
func (b branch) goesOn(last ocs.ContactID) bool {
	return b.newest != ocs.ContactID{} && (last == b.newest || b.own && last == b.base)
}

// Cloned reports whether the identity was found on several computers.
func (l Lineage) Cloned() bool { return l.cloned }

// String writes a Lineage as Parse reads it: one line of at most 160 bytes, "" for the zero Lineage.
func (l Lineage) String() string {
	if l == (Lineage{}) {
		return ""
	}
	return fmt.Sprintf("%s %s %d", l.head, l.rival, l.strays) + map[bool]string{true: " cloned"}[l.cloned]
}

// String writes a branch as base>newest or, when the base is its own, base=newest.
func (b branch) String() string {
	return b.base.String() + map[bool]string{false: ">", true: "="}[b.own] + b.newest.String()
}

// Parse reads what String wrote.
func Parse(text string) (l Lineage, err error) {
	if text == "" {
		return Lineage{}, nil
	}
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return Lineage{}, fmt.Errorf("lineage %q has %d fields", text, len(fields))
	}
	if l.head, err = parseBranch(fields[0]); err != nil {
		return Lineage{}, err
	}
	if l.rival, err = parseBranch(fields[1]); err != nil {
		return Lineage{}, err
	}
	if _, err := fmt.Sscanf(fields[2], "%d", &l.strays); err != nil {
		return Lineage{}, fmt.Errorf("lineage %q: %w", text, err)
	}
	l.cloned = strings.HasSuffix(text, " cloned")
	if l.String() != text {
		return Lineage{}, fmt.Errorf("lineage %q is not what this program writes", text)
	}
	return l, nil
}

func parseBranch(text string) (b branch, err error) {
	base, newest, own := strings.Cut(text, "=")
	if !own {
		base, newest, _ = strings.Cut(text, ">")
	}
	b.own = own
	if b.base, err = ocs.ParseContactID(base); err != nil {
		return branch{}, err
	}
	b.newest, err = ocs.ParseContactID(newest)
	return b, err
}
