package wire

import (
	"encoding/binary"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/seal"
	"enjambre/peer/internal/octet"
)

// An Ask asks for one fragment, from an offset to its end.
type Ask struct {
	Info   core.Digest
	Index  core.FragmentIndex
	Offset uint32 // bytes, below core.MaxFragmentSize
}

// Kind returns KindAsk.
func (Ask) Kind() Kind { return KindAsk }

func (a Ask) check() error {
	if a.Offset >= core.MaxFragmentSize {
		return core.Refuse(core.ClassLimit, "offset %d: a fragment has at most %d bytes", a.Offset,
			core.MaxFragmentSize)
	}
	return checkIndex(a.Index)
}

func (a Ask) append(to []byte) []byte {
	to = binary.BigEndian.AppendUint32(append(to, a.Info[:]...), uint32(a.Index))
	return binary.BigEndian.AppendUint32(to, a.Offset)
}

func readAsk(r *octet.Reader) (Frame, error) {
	return Ask{Info: readDigest(r), Index: core.FragmentIndex(r.Uint32()), Offset: r.Uint32()}, nil
}

func readDigest(r *octet.Reader) core.Digest { return core.Digest(r.Take(digestSize)) }

// A Fragment is the head of a fragment: as many bytes of it as Length says follow the frame on the stream.
// Whoever asked compares the length with what the package's plan leaves from the offset on, before reading
// on.
type Fragment struct{ Length uint32 }

// Kind returns KindFragment.
func (Fragment) Kind() Kind { return KindFragment }

func (f Fragment) check() error {
	if f.Length == 0 || f.Length > core.MaxFragmentSize {
		return core.Refuse(core.ClassLimit, "a fragment of %d bytes: it has 1 to %d", f.Length,
			core.MaxFragmentSize)
	}
	return nil
}

func (f Fragment) append(to []byte) []byte { return binary.BigEndian.AppendUint32(to, f.Length) }

func readFragment(r *octet.Reader) (Frame, error) { return Fragment{Length: r.Uint32()}, nil }

// A Busy says that all upload slots are taken. RetryAfter is in whole milliseconds, 1 ms to 10 minutes; what
// is smaller than one is lost.
type Busy struct{ RetryAfter time.Duration }

// Kind returns KindBusy.
func (Busy) Kind() Kind { return KindBusy }

func (b Busy) check() error {
	if ms := b.RetryAfter.Milliseconds(); ms < 1 || ms > maxRetry {
		return core.Refuse(core.ClassLimit, "busy for %v: use 1 ms to 10 minutes", b.RetryAfter)
	}
	return nil
}

func (b Busy) append(to []byte) []byte {
	return binary.BigEndian.AppendUint32(to, uint32(b.RetryAfter.Milliseconds()))
}

func readBusy(r *octet.Reader) (Frame, error) {
	return Busy{RetryAfter: time.Duration(r.Uint32()) * time.Millisecond}, nil
}

// A Missing says that the sender does not have what was asked for.
type Missing struct{}

// Kind returns KindMissing.
func (Missing) Kind() Kind              { return KindMissing }
func (Missing) check() error            { return nil }
func (Missing) append(to []byte) []byte { return to }

func readMissing(*octet.Reader) (Frame, error) { return Missing{}, nil }

// A Gossip hands its stream to memberlist.
type Gossip struct{}

// Kind returns KindGossip.
func (Gossip) Kind() Kind              { return KindGossip }
func (Gossip) check() error            { return nil }
func (Gossip) append(to []byte) []byte { return to }

func readGossip(*octet.Reader) (Frame, error) { return Gossip{}, nil }

// An AskInfo asks for a package's sealed info file.
type AskInfo struct{ Info core.Digest }

// Kind returns KindAskInfo.
func (AskInfo) Kind() Kind                { return KindAskInfo }
func (AskInfo) check() error              { return nil }
func (a AskInfo) append(to []byte) []byte { return append(to, a.Info[:]...) }

func readAskInfo(r *octet.Reader) (Frame, error) { return AskInfo{readDigest(r)}, nil }

// An Info is a sealed info file. Its receiver verifies the seal and compares the digest of the payload with
// the one that it asked for.
type Info struct{ Envelope []byte }

// Kind returns KindInfo.
func (Info) Kind() Kind                { return KindInfo }
func (i Info) check() error            { return checkBlob("sealed info file", i.Envelope, seal.MaxEnvelope) }
func (i Info) append(to []byte) []byte { return append(to, i.Envelope...) }

func readInfo(r *octet.Reader) (Frame, error) { return Info{r.Rest()}, nil }

// An AskDigests asks for a package's "digests" file.
type AskDigests struct{ Info core.Digest }

// Kind returns KindAskDigests.
func (AskDigests) Kind() Kind                { return KindAskDigests }
func (AskDigests) check() error              { return nil }
func (a AskDigests) append(to []byte) []byte { return append(to, a.Info[:]...) }

func readAskDigests(r *octet.Reader) (Frame, error) { return AskDigests{readDigest(r)}, nil }

// A Digests is a "digests" file. Its receiver compares its digest with the one in the info file.
type Digests struct{ List fragment.Digests }

// Kind returns KindDigests.
func (Digests) Kind() Kind { return KindDigests }

func (d Digests) check() error {
	if len(d.List) == 0 || len(d.List) > core.MaxFragments {
		return core.Refuse(core.ClassLimit, "%d digests: there are 1 to %d", len(d.List), core.MaxFragments)
	}
	return nil
}

func (d Digests) append(to []byte) []byte { return append(to, d.List.Bytes()...) }

func readDigests(r *octet.Reader) (Frame, error) {
	data := r.Rest()
	if len(data)%digestSize != 0 {
		return nil, core.Refuse(core.ClassFormat, "a digest list of %d bytes is not of whole digests", len(data))
	}
	return Digests{readDigestList(data)}, nil
}
