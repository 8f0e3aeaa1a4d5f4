package wire

import (
	"encoding/binary"
	"fmt"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/seal"
	"enjambre/peer/internal/octet"
)

// Version is the highest version of the language that this package speaks. Its history:
//
//	1  2026-11-24  the first
const Version = 1

// Bounds that the package comment names.
const (
	HeaderSize     = 5         // bytes of kind and length
	MaxFrame       = 64 << 10  // bytes of a body, but for Info and Digests
	MaxCertificate = 8 << 10   // bytes
	MaxTicket      = 1 << 10   // bytes
	MaxText        = 200       // bytes
	MaxRanges      = 1024      // of a list: as many bytes as the largest bitmap
	MaxKeys        = 8         // gossip keys, as in core/ocs
	MaxEpoch       = 150       // bytes
	MaxNotice      = 2 << 10   // bytes
	MaxProgress    = 64        // packages of one member
	MaxTold        = 56        // of them that are told, the most urgent: their frame fits into peer/link's MaxMessage
	maxRetry       = 600_000   // milliseconds
	maxEpochNumber = 1<<31 - 1 // of a gossip key, as in core/ocs
)

// A Kind says what a frame is. Zero is none, and neither is 19, with which libp2p's own protocols begin a
// stream.
type Kind uint8

// The kinds, since version 1.
const (
	KindHello      Kind = 1
	KindRefusal    Kind = 2
	KindAsk        Kind = 3
	KindFragment   Kind = 4
	KindBusy       Kind = 5
	KindMissing    Kind = 6
	KindHave       Kind = 7
	KindBitmap     Kind = 8
	KindDrop       Kind = 9
	KindAskInfo    Kind = 10
	KindInfo       Kind = 11
	KindAskDigests Kind = 12
	KindDigests    Kind = 13
	KindKeys       Kind = 14
	KindEpoch      Kind = 15
	KindProgress   Kind = 16
	KindGossip     Kind = 17
	KindNotice     Kind = 18 // only to who TakesNotice
)

const digestSize = len(core.Digest{})

// A form is what is known of a kind before its body: its name, the bounds of the body in bytes, and how to
// read one.
type form struct {
	name     string
	min, max int
	read     func(*octet.Reader) (Frame, error)
}

// forms are all kinds. The table is read only.
var forms = [...]form{
	KindHello:      {"hello", 13, 11 + MaxCertificate + MaxTicket, readHello},
	KindRefusal:    {"refusal", 1, 1 + MaxText, readRefusal},
	KindAsk:        {"ask", digestSize + 8, digestSize + 8, readAsk},
	KindFragment:   {"fragment", 4, 4, readFragment},
	KindBusy:       {"busy", 4, 4, readBusy},
	KindMissing:    {"missing", 0, 0, readMissing},
	KindHave:       {"have", digestSize + rangeSize, digestSize + MaxRanges*rangeSize, readHave},
	KindBitmap:     {"bitmap", digestSize + 5, digestSize + 4 + core.MaxFragments/8, readBitmap},
	KindDrop:       {"drop", digestSize, digestSize + MaxRanges*rangeSize, readDrop},
	KindAskInfo:    {"ask-info", digestSize, digestSize, readAskInfo},
	KindInfo:       {"info", 1, seal.MaxEnvelope, readInfo},
	KindAskDigests: {"ask-digests", digestSize, digestSize, readAskDigests},
	KindDigests:    {"digests", digestSize, core.MaxFragments * digestSize, readDigests},
	KindKeys:       {"keys", 1 + 5 + 16, 1 + MaxKeys*(5+32), readKeys},
	KindEpoch:      {"epoch", 1, MaxEpoch, readEpoch},
	KindProgress:   {"progress", progressFixed, progressFixed + MaxProgress*packageSize, readProgress},
	KindGossip:     {"gossip", 0, 0, readGossip},
	KindNotice:     {"notice", 1, MaxNotice, readNotice},
}

// form returns what is known of a kind; false for an unknown one.
func (k Kind) form() (form, bool) {
	if k == 0 || int(k) >= len(forms) {
		return form{}, false
	}
	return forms[k], true
}

// String returns the kind's name, such as "ask-info".
func (k Kind) String() string {
	if form, known := k.form(); known {
		return form.name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// MaxBody returns how long a body of this kind may be, in bytes; 0 for an unknown kind.
func (k Kind) MaxBody() int {
	form, _ := k.form()
	return form.max
}

// Opens reports whether a stream may begin with a frame of this kind.
func (k Kind) Opens() bool {
	switch k {
	case KindHello, KindAsk, KindAskInfo, KindAskDigests, KindGossip:
		return true
	}
	return false
}

// Answers returns the kinds of frames that may follow one of this kind on its stream, from the other side:
// those that answer an ask, and for Hello a Hello. It returns nil for kinds that no answer is given to.
func (k Kind) Answers() []Kind {
	switch k {
	case KindHello:
		return []Kind{KindHello, KindRefusal}
	case KindAsk:
		return []Kind{KindFragment, KindBusy, KindMissing, KindRefusal}
	case KindAskInfo:
		return []Kind{KindInfo, KindBusy, KindMissing, KindRefusal}
	case KindAskDigests:
		return []Kind{KindDigests, KindBusy, KindMissing, KindRefusal}
	}
	return nil
}

// ControlKinds returns the kinds of frames that may come on the control stream after Hello.
func ControlKinds() []Kind {
	return []Kind{KindHave, KindBitmap, KindDrop, KindKeys, KindEpoch, KindNotice, KindRefusal}
}

// ParseHeader reads a frame's kind and the length of its body. It refuses, with E_TYPE, an unknown kind, and
// a length that no body of the kind has: E_LIMIT for too long, E_FORMAT for too short.
func ParseHeader(header [HeaderSize]byte) (Kind, int, error) {
	kind, length := Kind(header[0]), binary.BigEndian.Uint32(header[1:])
	form, known := kind.form()
	switch {
	case !known:
		return 0, 0, core.Refuse(core.ClassType, "a frame of unknown %s", kind)
	case length > uint32(form.max):
		return 0, 0, core.Refuse(core.ClassLimit, "frame %s of %d bytes: at most %d are allowed", kind, length,
			form.max)
	case length < uint32(form.min):
		return 0, 0, core.Refuse(core.ClassFormat, "frame %s of %d bytes: it has at least %d", kind, length,
			form.min)
	}
	return kind, int(length), nil
}

// checkIndex holds a fragment index to its bound.
func checkIndex(index core.FragmentIndex) error {
	if index >= core.MaxFragments {
		return core.Refuse(core.ClassLimit, "fragment index %d: packages have at most %d fragments", index,
			core.MaxFragments)
	}
	return nil
}

// readDigestList cuts a "digests" file up.
func readDigestList(data []byte) fragment.Digests {
	list := make(fragment.Digests, len(data)/digestSize)
	for i := range list {
		list[i] = core.Digest(data[i*digestSize:])
	}
	return list
}
