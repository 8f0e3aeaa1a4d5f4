package wire

import (
	"encoding/binary"

	"enjambre/core"
	"enjambre/peer/internal/octet"
	"enjambre/peer/owner"
)

// Features are abilities beyond the version's, a bit each. Unknown bits mean nothing.
type Features uint32

// TakesNotice is the feature of members that may be sent a Notice: others would take it for malformed.
const TakesNotice Features = 1 << 0

// Has reports whether all of some abilities are among them.
func (f Features) Has(some Features) bool { return f&some == some }

// A Hello shows who a member is. Reading one proves nothing: its receiver verifies the certificate
// (core/identity), that its key is the connection's, and the ticket (peer/ticket).
type Hello struct {
	Version     uint16 // the highest that the sender speaks, at least 1
	Weight      owner.Weight
	Features    Features
	Certificate []byte // DER
	Ticket      []byte
}

// Kind returns KindHello.
func (Hello) Kind() Kind { return KindHello }

// Speaks returns the version that this package and the sender speak with each other.
func (h Hello) Speaks() uint16 { return min(h.Version, Version) }

func (h Hello) check() error {
	if h.Version == 0 {
		return core.Refuse(core.ClassVersion, "version 0 of the language does not exist")
	}
	if _, err := owner.ParseWeight(uint8(h.Weight)); err != nil {
		return err
	}
	if err := checkBlob("certificate", h.Certificate, MaxCertificate); err != nil {
		return err
	}
	return checkBlob("site ticket", h.Ticket, MaxTicket)
}

// checkBlob holds bytes that mean something elsewhere to their bounds.
func checkBlob(name string, data []byte, most int) error {
	switch {
	case len(data) == 0:
		return core.Refuse(core.ClassField, "no %s", name)
	case len(data) > most:
		return core.Refuse(core.ClassLimit, "%s of %d bytes: at most %d are allowed", name, len(data), most)
	}
	return nil
}

func (h Hello) append(to []byte) []byte {
	to = append(binary.BigEndian.AppendUint16(to, h.Version), byte(h.Weight))
	to = binary.BigEndian.AppendUint32(to, uint32(h.Features))
	to = append(binary.BigEndian.AppendUint16(to, uint16(len(h.Certificate))), h.Certificate...)
	return append(binary.BigEndian.AppendUint16(to, uint16(len(h.Ticket))), h.Ticket...)
}

func readHello(r *octet.Reader) (Frame, error) {
	hello := Hello{Version: r.Uint16(), Weight: owner.Weight(r.Uint8()), Features: Features(r.Uint32())}
	hello.Certificate = r.Take(int(r.Uint16()))
	hello.Ticket = r.Take(int(r.Uint16()))
	return hello, nil
}
