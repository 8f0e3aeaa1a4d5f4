package ticket

import (
	"encoding/binary"

	"enjambre/core"
	"enjambre/core/seal"
)

// A reader takes a document apart. Once something is missing it returns zeros, and end says so.
type reader struct {
	rest  []byte
	short bool
	wrong bool // a name of an impossible length
}

// begin reads version and key ID.
func (r *reader) begin(kind string) (signed, error) {
	version := r.take(1)[0]
	if !r.short && version != Version {
		return signed{}, core.Refuse(core.ClassVersion, "%s of format %d, this program knows %d", kind, version,
			Version)
	}
	return signed{keyID: seal.KeyID(r.take(len(seal.KeyID{})))}, nil
}

// take returns the next count bytes; zeros when there are fewer.
func (r *reader) take(count int) []byte {
	if len(r.rest) < count {
		r.rest, r.short = nil, true
		return make([]byte, count)
	}
	taken := r.rest[:count]
	r.rest = r.rest[count:]
	return taken
}

func (r *reader) number() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) name() []byte {
	length := int(r.take(1)[0])
	if length == 0 || length > MaxName {
		r.wrong = true
		return nil
	}
	return r.take(length)
}

// end refuses a document that was not read exactly to its end.
func (r *reader) end(kind string) error {
	switch {
	case r.wrong:
		return core.Refuse(core.ClassFormat, "a name in the %s is not of 1 to %d bytes", kind, MaxName)
	case r.short:
		return core.Refuse(core.ClassFormat, "the %s is cut short", kind)
	case len(r.rest) > 0:
		return core.Refuse(core.ClassFormat, "%d bytes follow the %s", len(r.rest), kind)
	}
	return nil
}
