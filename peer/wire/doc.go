// Package wire is the language of a site's members: the frames, and how they lie on a connection's streams.
//
// It turns bytes into frames and back. It knows no connection: [Read] takes any io.Reader, and what to say
// when is decided elsewhere. Everything is bounded before memory is taken for it: the header names kind and
// length, each kind has its bounds, and whoever reads says which kinds may come. What is accepted has exactly
// one spelling, so that [Append] gives back the bytes that were parsed.
//
// # Streams
//
// A connection between two members carries streams. The first byte of each is the kind of its first frame.
//
//	control     The dialling side opens it first, one a connection. Each side begins with Hello; until it has
//	            accepted the other's it sends nothing more and takes no other stream. Then either side sends
//	            Have, Bitmap, Drop, Keys and Epoch at any time.
//	fragment    Ask; then Fragment and the fragment's bytes, or Busy, Missing or Refusal. One ask a stream; who
//	            no longer wants the answer resets it.
//	documents   AskInfo, answered by Info; AskDigests, answered by Digests; or by Busy, Missing or Refusal.
//	gossip      Gossip; then the stream is memberlist's.
//
// Refusal may come in place of any frame. On the control stream it is the last word on the connection. A
// frame that is refused closes the connection: members run our programs, no frame is malformed by accident.
//
// # Messages
//
// Progress travels on no stream: the whole frame is one message of gossip (peer/link), which may be lost, from the
// member to those that report for the site; and from them to the server as it is, within core/ocs PROGRESS. The server
// takes it from any of them, since it is signed. A message that is refused is dropped.
//
// # Frames
//
// Integers are in big-endian order. A frame is
//
//	kind        uint8, see Kind
//	length      uint32, of the body in bytes, within the bounds of its kind; at most MaxFrame but for Info
//	            (256 KiB) and Digests (2 MiB), which nobody gets without asking
//	body        as follows
//
//	Hello       version uint16, at least 1: the highest that the sender speaks; the lower of the two is spoken
//	            weight uint8: 0, 1, 2 or 4, see peer/owner
//	            features uint32: 1 TakesNotice; unknown bits mean nothing
//	            certificate: length uint16, 1 to MaxCertificate, and the agent's certificate in DER
//	            ticket: length uint16, 1 to MaxTicket, and the site ticket, see peer/ticket
//	            This layout is the same in all versions.
//	Refusal     code uint8, not 0, see Code
//	            text, all that follows: at most MaxText bytes that core.Printable accepts
//	Ask         info digest 32 bytes
//	            fragment index uint32, below core.MaxFragments
//	            offset uint32 in bytes, below core.MaxFragmentSize: where to begin; not 0 when an earlier
//	            answer broke off
//	Fragment    length uint32, 1 to core.MaxFragmentSize: as many bytes of the fragment follow the frame, from
//	            the offset that was asked for to the fragment's end
//	Busy        milliseconds uint32, 1 to 600,000: when to ask again
//	Missing     empty: the sender does not have it, or no longer
//	Have        info digest; ranges, at least one: the sender now has these fragments, verified
//	Bitmap      info digest
//	            count uint32, 1 to core.MaxFragments: of the package's fragments
//	            bitmap, as fragment.Set spells it: all fragments that the sender has. Unless it is full, the
//	            sender wants the others.
//	Drop        info digest; ranges: the sender no longer has these fragments; no range: nothing of the
//	            package, and it wants nothing of it
//	AskInfo     info digest
//	Info        a sealed info file, see core/seal: 1 to seal.MaxEnvelope bytes
//	AskDigests  info digest
//	Digests     the "digests" file of a package: 1 to core.MaxFragments digests of 32 bytes
//	Keys        count uint8, 1 to MaxKeys; then each of the site's gossip keys: epoch uint32, below 2^31; key:
//	            length uint8, 16, 24 or 32, and the key
//	            The first key is the one to use; the others descend by epoch. No epoch comes twice.
//	Epoch       a signed site epoch, see peer/ticket: 1 to MaxEpoch bytes
//	Notice      a signed site notice, see peer/ticket: 1 to MaxNotice bytes; only to who TakesNotice
//	Progress    peer 32 bytes: the member's key; issued uint64, Unix time in seconds, at least 1: the server's time
//	            as far as the member knows it
//	            count uint8, at most MaxProgress; then each package, ascending by ID: package ID uint64; phase
//	            uint8: 1 downloading, 2 delayed, 3 installing; fragments had uint32; of how many uint32, at
//	            most core.MaxFragments
//	            signature 64 bytes: Ed25519 by the member's key over "enjambre progress", a zero byte and all
//	            of the body before
//	Gossip      empty
//
// A range is two uint32, the first and the last index of a run of fragments, first <= last <
// core.MaxFragments. A list has at most MaxRanges, ascending, with a gap between each and the next. Whoever
// would need more sends a Bitmap.
//
// The info digest names a package: the SHA-256 of the info file, which only computers that the package is
// meant for are told. Knowing it is the permission to ask.
package wire
