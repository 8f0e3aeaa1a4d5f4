package wire

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"enjambre/core"
	"enjambre/peer/internal/octet"
)

// A Code says why something was refused, for programs. Codes of later versions are accepted and have no name.
type Code uint8

// The codes, since version 1.
const (
	CodeInternal  Code = 1  // the sender's own fault
	CodeProtocol  Code = 2  // a frame that is malformed, too long, or out of place
	CodeVersion   Code = 3  // no common version
	CodeIdentity  Code = 4  // a certificate that does not show who the connection's key belongs to
	CodeTicket    Code = 5  // a ticket for another site or member, or an expired one
	CodeRevoked   Code = 6  // a certificate that the deployment has revoked
	CodeUnknown   Code = 7  // an info digest that the sender does not know
	CodeWithdrawn Code = 8  // a package that was withdrawn
	CodeCrowded   Code = 9  // no room for another neighbour or stream
	CodeLeaving   Code = 10 // the sender leaves the site
)

// String returns the code's name, such as "ticket".
func (c Code) String() string {
	names := [...]string{"", "internal", "protocol", "version", "identity", "ticket", "revoked", "unknown",
		"withdrawn", "crowded", "leaving"}
	if c == 0 || int(c) >= len(names) {
		return fmt.Sprintf("code %d", uint8(c))
	}
	return names[c]
}

// CodeOf returns the code that tells the other side about an error of [Read], [Parse] or a verifier:
// E_VERSION and E_IDENT have codes of their own, any other class is CodeProtocol, and an error without class
// CodeInternal. What a ticket's verifier refuses with E_IDENT is the caller's to call CodeTicket.
func CodeOf(err error) Code {
	switch core.ClassOf(err) {
	case core.ClassVersion:
		return CodeVersion
	case core.ClassIdent, core.ClassSig:
		return CodeIdentity
	case "":
		return CodeInternal
	}
	return CodeProtocol
}

// A Refusal says that something will not be, and why. It is an error to who receives it.
type Refusal struct {
	Code Code
	Text string // for people; may be empty
}

// NewRefusal makes a Refusal of any text: what may not stand in one becomes "?", and a long one is cut.
func NewRefusal(code Code, text string) Refusal {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if !core.Printable(string(r)) {
			return '?'
		}
		return r
	}, text[:min(len(text), 4*MaxText)])
	for len(text) > MaxText || !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return Refusal{Code: code, Text: text}
}

// Error says what the other side said.
func (r Refusal) Error() string {
	if r.Text == "" {
		return fmt.Sprintf("refused by the other member (%s)", r.Code)
	}
	return fmt.Sprintf("refused by the other member (%s): %s", r.Code, r.Text)
}

// Kind returns KindRefusal.
func (Refusal) Kind() Kind { return KindRefusal }

func (r Refusal) check() error {
	switch {
	case r.Code == 0:
		return core.Refuse(core.ClassField, "a refusal without a code")
	case len(r.Text) > MaxText:
		return core.Refuse(core.ClassLimit, "a refusal's text of %d bytes: at most %d are allowed",
			len(r.Text), MaxText)
	case !core.Printable(r.Text):
		return core.Refuse(core.ClassField, "a refusal's text holds what cannot be shown")
	}
	return nil
}

func (r Refusal) append(to []byte) []byte { return append(append(to, byte(r.Code)), r.Text...) }

func readRefusal(r *octet.Reader) (Frame, error) {
	return Refusal{Code: Code(r.Uint8()), Text: string(r.Rest())}, nil
}
