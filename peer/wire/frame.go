package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"enjambre/core"
	"enjambre/peer/internal/octet"
)

// A Frame is one of the types of this package, such as Hello or Ask.
type Frame interface {
	// Kind says which frame it is.
	Kind() Kind
	// check refuses a frame that has no spelling.
	check() error
	// append writes the body of a frame that check accepts.
	append(to []byte) []byte
}

// Append writes a frame to the end of a slice. It refuses what [Parse] would, with the same classes; then to
// is returned as it was.
func Append(to []byte, frame Frame) ([]byte, error) {
	if err := frame.check(); err != nil {
		return to, fmt.Errorf("write frame %s: %w", frame.Kind(), err)
	}
	begin := len(to)
	to = frame.append(append(to, byte(frame.Kind()), 0, 0, 0, 0))
	binary.BigEndian.PutUint32(to[begin+1:], uint32(len(to)-begin-HeaderSize))
	if _, _, err := ParseHeader([HeaderSize]byte(to[begin:])); err != nil {
		return to[:begin], fmt.Errorf("write: %w", err)
	}
	return to, nil
}

// Parse reads the body of a frame, whose length [ParseHeader] has accepted for this kind. The frame may keep
// parts of the body. Refusals: E_TYPE for an unknown kind, E_FORMAT for another length than the fields have,
// E_LIMIT and E_FIELD for values out of bounds, E_CANON for another spelling than the one allowed, E_VERSION
// for a Hello of version 0.
func Parse(kind Kind, body []byte) (Frame, error) {
	form, known := kind.form()
	if !known {
		return nil, core.Refuse(core.ClassType, "a frame of unknown %s", kind)
	}
	if len(body) > form.max {
		return nil, core.Refuse(core.ClassLimit, "frame %s of %d bytes: at most %d are allowed", kind, len(body),
			form.max)
	}
	r := octet.Read(body)
	frame, err := form.read(r)
	if err == nil {
		err = r.End("the body")
	}
	if err == nil {
		err = frame.check()
	}
	if err != nil {
		return nil, fmt.Errorf("frame %s: %w", kind, err)
	}
	return frame, nil
}

// ParseMessage reads a message that is one whole frame, of one of the kinds that are wanted, and nothing besides. The
// frame may keep parts of it. Refusals are those of [ParseHeader] and [Parse]; E_TYPE for another kind; E_FORMAT for a
// message that is shorter or longer than its frame.
func ParseMessage(message []byte, wanted ...Kind) (Frame, error) {
	if len(message) < HeaderSize {
		return nil, core.Refuse(core.ClassFormat, "a message of %d bytes: a frame has at least %d", len(message),
			HeaderSize)
	}
	kind, length, err := ParseHeader([HeaderSize]byte(message))
	if err == nil {
		err = checkPlace(kind, wanted)
	}
	if body := len(message) - HeaderSize; err == nil && body != length {
		err = core.Refuse(core.ClassFormat, "frame %s says that its body has %d bytes, the message has %d", kind, length,
			body)
	}
	if err != nil {
		return nil, err
	}
	return Parse(kind, message[HeaderSize:])
}

// checkPlace refuses a kind that is not wanted.
func checkPlace(kind Kind, wanted []Kind) error {
	if !slices.Contains(wanted, kind) {
		return core.Refuse(core.ClassType, "frame %s has no place here, only %v", kind, wanted)
	}
	return nil
}

// pieceSize is how much room is taken at first for a body: whoever claims more sends it before it costs more.
const pieceSize = MaxFrame

// Read reads one frame, of one of the kinds that are wanted; others are refused with E_TYPE before their body
// is read. It reads no byte beyond the frame. At the end of the stream, before a frame, it returns io.EOF
// itself; an end or a failure within one is an error that wraps the reader's. Other errors are those of
// [ParseHeader] and [Parse]. Memory follows what arrives, within a factor of four, from 64 KiB on.
func Read(from io.Reader, wanted ...Kind) (Frame, error) {
	var header [HeaderSize]byte
	if _, err := io.ReadFull(from, header[:]); err == io.EOF {
		return nil, io.EOF
	} else if err != nil {
		return nil, fmt.Errorf("read the header of a frame: %w", err)
	}
	kind, length, err := ParseHeader(header)
	if err != nil {
		return nil, err
	}
	if err := checkPlace(kind, wanted); err != nil {
		return nil, err
	}
	body := make([]byte, 0, min(length, pieceSize))
	for len(body) < length {
		have := len(body)
		piece := min(length-have, max(have, pieceSize)) // doubling: all copying costs one more body
		body = slices.Grow(body, piece)[:have+piece]
		if _, err := io.ReadFull(from, body[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("read the %d bytes of frame %s: %w", length, kind, err)
		}
	}
	return Parse(kind, body)
}
