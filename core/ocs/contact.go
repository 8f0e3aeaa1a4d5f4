package ocs

import (
	"encoding/hex"

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
	to = append(to, ">\n"...)
	to = strictxml.AppendElement(to, 1, "DEVICEID", string(device))
	to = strictxml.AppendElement(to, 1, "QUERY", string(QueryProlog))
	return append(to, "</REQUEST>\n"...)
}
