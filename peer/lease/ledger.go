package lease

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
)

// A Cause says why a byte went into the site more than once.
type Cause uint8

// The causes. NoCause is that of a first copy.
const (
	NoCause        Cause = iota
	CauseOwnerLost       // who had it is gone, or never said that it had it
	CauseTimeout         // the lease before was overdue
	CauseBroken          // the body before broke
	CauseCorrupt         // the bytes were wrong, on the way or at a member
	CauseIsland          // another island has it
	CauseNoPeers         // stock agents, and members that reach no other
	CauseWithdrawn       // the package was withdrawn and came back
	CauseRestarted       // who had it lost it by a crash, or was ordered to begin anew
	causeCount
)

var causeTexts = [causeCount]string{
	"none", "owner-lost", "timeout", "broken", "corrupt", "island", "no-peers", "withdrawn",
	"restarted",
}

// String returns the cause as the console and the log show it.
func (c Cause) String() string { return causeTexts[c] }

// A Kind says what a ledger's entry is.
type Kind uint8

// The kinds of entries.
const (
	KindSent      Kind = iota + 1 // bytes went into the site
	KindKept                      // a member acknowledged what it got under a lease
	KindWithdrawn                 // the package was withdrawn
	KindRepaired                  // bytes that had gone into the site, though the ledger lost it: a member has them
)

// An Entry is one line of the ledger; the package comment has its bytes. Fields that a kind does not have are
// zero.
type Entry struct {
	Kind     Kind
	Cause    Cause
	Begins   bool // a lease, whose other entries follow
	Charged  bool // Extra counts as the member's cost
	Fragment core.FragmentIndex
	From     uint32 // bytes
	Bytes    uint32
	Extra    uint32 // of Bytes
	At       time.Time
	Package  core.Digest
	Member   id.Peer
}

// EntrySize is the size of an entry in bytes.
const EntrySize = 4 + 4*4 + 8 + 32 + 32 + 4

const (
	flagBegins   = 1
	flagCharged  = 2
	maxEntryTime = 1 << 53 // milliseconds; JavaScript can still hold it
)

// The versions of entries. Each entry has the lowest that can say it, so that a server which is set back refuses only
// the ledgers that it would misread.
const (
	firstVersion  = 1
	ledgerVersion = 2 // CauseRestarted, KindRepaired
)

func (e Entry) version() byte {
	if e.Cause >= CauseRestarted || e.Kind >= KindRepaired {
		return ledgerVersion
	}
	return firstVersion
}

// Append appends the entry's bytes.
func (e Entry) Append(to []byte) []byte {
	start := len(to)
	var flags byte
	if e.Begins {
		flags |= flagBegins
	}
	if e.Charged {
		flags |= flagCharged
	}
	to = append(to, e.version(), byte(e.Kind), byte(e.Cause), flags)
	to = binary.BigEndian.AppendUint32(to, uint32(e.Fragment))
	to = binary.BigEndian.AppendUint32(to, e.From)
	to = binary.BigEndian.AppendUint32(to, e.Bytes)
	to = binary.BigEndian.AppendUint32(to, e.Extra)
	to = binary.BigEndian.AppendUint64(to, uint64(e.At.UnixMilli()))
	to = append(to, e.Package[:]...)
	to = append(to, e.Member[:]...)
	return binary.BigEndian.AppendUint32(to, crc32.ChecksumIEEE(to[start:]))
}

// ParseEntry reads the bytes that Append writes, EntrySize of them. It refuses what is torn or altered
// (E_HASH), what a newer program wrote (E_VERSION), and what no Site says (E_FORMAT).
func ParseEntry(data []byte) (Entry, error) {
	if len(data) != EntrySize {
		return Entry{}, core.Refuse(core.ClassFormat, "ledger entry of %d bytes, want %d", len(data), EntrySize)
	}
	number := binary.BigEndian.Uint32
	if body := data[:EntrySize-4]; crc32.ChecksumIEEE(body) != number(data[EntrySize-4:]) {
		return Entry{}, core.Refuse(core.ClassHash, "ledger entry with a wrong check sum: torn, or altered")
	}
	if data[0] < firstVersion || data[0] > ledgerVersion {
		return Entry{}, core.Refuse(core.ClassVersion,
			"ledger entry of version %d, want %d to %d; use a newer server", data[0], firstVersion, ledgerVersion)
	}
	e := Entry{
		Kind: Kind(data[1]), Cause: Cause(data[2]),
		Begins: data[3]&flagBegins != 0, Charged: data[3]&flagCharged != 0,
		Fragment: core.FragmentIndex(number(data[4:])), From: number(data[8:]),
		Bytes: number(data[12:]), Extra: number(data[16:]),
		Package: core.Digest(data[28:60]), Member: id.Peer(data[60:92]),
	}
	at := binary.BigEndian.Uint64(data[20:])
	if at > maxEntryTime || data[3]&^(flagBegins|flagCharged) != 0 || !e.valid() || data[0] != e.version() {
		return Entry{}, core.Refuse(core.ClassFormat, "ledger entry %x makes no sense", data[:28])
	}
	e.At = time.UnixMilli(int64(at)).UTC()
	return e, nil
}

// valid reports whether the fields fit the kind, At apart.
func (e Entry) valid() bool {
	bare := e.Cause == NoCause && !e.Begins && !e.Charged && e.From|e.Bytes|e.Extra == 0
	first := e.Cause == NoCause && !e.Begins && !e.Charged && e.Extra == 0
	end := uint64(e.From) + uint64(e.Bytes)
	switch e.Kind {
	case KindRepaired:
		return first && e.Fragment < core.MaxFragments && e.Bytes > 0 && end <= core.MaxFragmentSize
	case KindSent:
		return e.Cause < causeCount && e.Fragment < core.MaxFragments && e.Bytes > 0 &&
			e.Extra <= e.Bytes && (e.Extra == 0) == (e.Cause == NoCause) && end <= core.MaxFragmentSize
	case KindKept:
		return bare && e.Fragment < core.MaxFragments
	case KindWithdrawn:
		return bare && e.Fragment == 0 && e.Member == id.Peer{}
	}
	return false
}
