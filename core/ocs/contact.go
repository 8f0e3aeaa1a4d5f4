package ocs

import (
	"encoding/hex"
	"net/netip"
	"strconv"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// A ContactID names one contact of one enrolled agent. It is random, never reused, and no secret. The zero
// ContactID names none.
type ContactID [16]byte

// ParseContactID reads what String writes; "" is the zero ContactID, and other spellings are refused with
// E_FIELD.
func ParseContactID(text string) (ContactID, error) {
	var id ContactID
	if text == "" {
		return id, nil
	}
	if len(text) == hex.EncodedLen(len(id)) {
		if _, err := hex.Decode(id[:], []byte(text)); err == nil && id.String() == text {
			return id, nil
		}
	}
	return ContactID{}, core.Refuse(core.ClassField, "contact %q is not 32 lower-case hexadecimal digits",
		printable(text, 40))
}

// String returns 32 lower-case hex digits, or "" for the zero ContactID.
func (c ContactID) String() string {
	if c == (ContactID{}) {
		return ""
	}
	return hex.EncodeToString(c[:])
}

// A Prolog is what an enrolled agent's PROLOG says besides who asks. The zero Prolog is a stock agent's.
//
// A server tells by Contact and Last whether an identity is used by one computer or by several: see
// docs/decisions/0011-cloned-agents.md. For that an agent makes a new Contact for each PROLOG that it
// sends, also when it repeats one, and keeps it durably as its Last once a reply to it was read, before it
// acts on the reply. Any reply counts that [ParsePrologReply] accepts, one that says Cloned too.
type Prolog struct {
	Contact ContactID // of this PROLOG
	Last    ContactID // of the agent's last PROLOG that was answered; zero before the first

	// Trusts is the TrustDigest of the certificates that the agent verifies the server with. With it an agent
	// says that it takes over Swarm.Authorities. Zero: it does not.
	Trusts core.Digest

	// Listen is the UDP address where members of the agent's site reach it: a unicast address without zone, in
	// IPv4 form where it is one, and a port. The zero AddrPort: it takes no part in a swarm. A server heeds a loopback
	// address only of an agent that calls it from one: both are then on its computer, and so are the members.
	Listen netip.AddrPort
	Also   netip.AddrPort // the same of the other family, if it has both; servers that do not know it leave it out
	Weight int            // of an agent with Listen, how much it fetches for others: 0, 1, 2 or 4; 0 without
}

// parseListen reads an address where an agent may listen, and accepts no other spelling than String's.
func parseListen(text string) (netip.AddrPort, error) {
	listen, err := netip.ParseAddrPort(text)
	address := listen.Addr()
	if err != nil || listen.String() != text || listen.Port() == 0 || address.Zone() != "" || address.Is4In6() ||
		address.IsUnspecified() || address.IsMulticast() || address == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.AddrPort{}, core.Refuse(core.ClassField,
			"LISTEN=%q is no address and port where others reach an agent", printable(text, 60))
	}
	return listen, nil
}

// readListen reads where members reach the agent and its weight: both are given, or neither.
func (p *Prolog) readListen(r *Request) error {
	listen, err := field(r.root, "LISTEN")
	if err != nil {
		return err
	}
	class, err := field(r.root, "CLASS")
	if err != nil || listen == "" && class == "" {
		return err
	}
	if p.Listen, err = parseListen(listen); err != nil {
		return err
	}
	also, err := field(r.root, "ALSO")
	if err == nil && also != "" {
		p.Also, err = parseListen(also)
	}
	if err != nil {
		return err
	}
	if p.Also.IsValid() && p.Also.Addr().Is4() == p.Listen.Addr().Is4() {
		return core.Refuse(core.ClassField, "ALSO=%q is of the same family as LISTEN=%q", printable(also, 60),
			printable(listen, 60))
	}
	weight, err := strconv.Atoi(class)
	if err != nil || weight != 0 && weight != 1 && weight != 2 && weight != 4 || strconv.Itoa(weight) != class {
		return core.Refuse(core.ClassField, "CLASS=%q: an agent that listens has 0, 1, 2 or 4", printable(class, 40))
	}
	p.Weight = weight
	return nil
}

// Prolog reads a PROLOG request.
func (r *Request) Prolog() (Prolog, error) {
	var prolog Prolog
	for _, one := range []struct {
		name string
		to   *ContactID
	}{{"CONTACT", &prolog.Contact}, {"LAST", &prolog.Last}} {
		text, err := field(r.root, one.name)
		if err != nil {
			return Prolog{}, err
		}
		if *one.to, err = ParseContactID(text); err != nil {
			return Prolog{}, err
		}
	}
	text, err := field(r.root, "TRUSTS")
	if err == nil && text != "" {
		prolog.Trusts, err = core.ParseDigest(text)
	}
	if err == nil {
		err = prolog.readListen(r)
	}
	if err != nil {
		return Prolog{}, err
	}
	none := ContactID{}
	if prolog.Contact == none && prolog.Last != none || prolog.Contact != none && prolog.Last == prolog.Contact {
		return Prolog{}, core.Refuse(core.ClassField, "LAST %s needs another CONTACT than %q", prolog.Last,
			prolog.Contact)
	}
	return prolog, nil
}

// Append appends the PROLOG request; of the zero Prolog, exactly what a stock Unix agent writes.
func (p Prolog) Append(to []byte, device core.DeviceID) []byte {
	to = append(to, strictxml.Declaration...)
	to = append(to, "<REQUEST"...)
	to = appendOptional(to, "CONTACT", p.Contact.String())
	to = appendOptional(to, "LAST", p.Last.String())
	if p.Trusts != (core.Digest{}) {
		to = strictxml.AppendAttribute(to, "TRUSTS", p.Trusts.String())
	}
	if p.Listen.IsValid() {
		to = strictxml.AppendAttribute(to, "LISTEN", p.Listen.String())
		if p.Also.IsValid() {
			to = strictxml.AppendAttribute(to, "ALSO", p.Also.String())
		}
		to = appendNumber(to, "CLASS", p.Weight)
	}
	to = append(to, ">\n"...)
	to = strictxml.AppendElement(to, 1, "DEVICEID", string(device))
	to = strictxml.AppendElement(to, 1, "QUERY", string(QueryProlog))
	return append(to, "</REQUEST>\n"...)
}
