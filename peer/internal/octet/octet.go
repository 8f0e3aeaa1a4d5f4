// Package octet takes the swarm's binary formats apart: fixed fields in order, integers in big-endian order.
//
// A [Reader] never reads beyond its data and never allocates by a length that the data name. Once something is
// missing it gives zeros, and [Reader.End] says so: whoever uses a value before that must bound it.
package octet

import (
	"encoding/binary"

	"enjambre/core"
)

// A Reader reads one document or frame. Make one with [Read].
type Reader struct {
	data  []byte
	at    int
	short bool
}

// Read returns a Reader at the beginning of data, which it keeps.
func Read(data []byte) *Reader { return &Reader{data: data} }

// Take returns the next count bytes, which are part of the data; as many zeros when there are fewer, so count must
// be bounded.
func (r *Reader) Take(count int) []byte {
	if r.short || len(r.data)-r.at < count {
		r.short = true
		return make([]byte, count)
	}
	r.at += count
	return r.data[r.at-count : r.at : r.at]
}

// Uint8 returns the next byte.
func (r *Reader) Uint8() uint8 { return r.Take(1)[0] }

// Uint16 returns the next 2 bytes.
func (r *Reader) Uint16() uint16 { return binary.BigEndian.Uint16(r.Take(2)) }

// Uint32 returns the next 4 bytes.
func (r *Reader) Uint32() uint32 { return binary.BigEndian.Uint32(r.Take(4)) }

// Uint64 returns the next 8 bytes.
func (r *Reader) Uint64() uint64 { return binary.BigEndian.Uint64(r.Take(8)) }

// Rest returns all that is left.
func (r *Reader) Rest() []byte { return r.Take(len(r.data) - r.at) }

// Before returns all that was read so far.
func (r *Reader) Before() []byte { return r.data[:r.at] }

// Short reports whether something was missing.
func (r *Reader) Short() bool { return r.short }

// End refuses, with E_FORMAT, data that were not read exactly to their end. The thing is what they should be.
func (r *Reader) End(thing string) error {
	switch {
	case r.short:
		return core.Refuse(core.ClassFormat, "%s of %d bytes is cut short", thing, len(r.data))
	case r.at < len(r.data):
		return core.Refuse(core.ClassFormat, "%s of %d bytes ends after %d", thing, len(r.data), r.at)
	}
	return nil
}
