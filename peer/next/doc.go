// Package next is how a member asks the origin for the next fragment of a package, and what it is answered:
// the headers of GET /download/ID/next, over HTTPS with the agent's certificate. Package lease decides what
// the answer is; this package only spells.
//
// Every value has one spelling. Numbers are decimal, without sign or leading zero; lists are separated by one
// comma without spaces; a header that would be empty is left out, and none stands twice.
//
// # The request
//
//	Enjambre-Weight        0, 1, 2 or 4: the member's, see package owner. Always there
//	Enjambre-Want          7,3,9: the fragments that it misses, counted from 0, the dearest first; none twice,
//	                       at most MaxWant. Without it the request only acknowledges
//	Enjambre-Acknowledged  3-7,9: ascending ranges that do not touch, at most MaxAcknowledged fragments: what
//	                       it verified since the last request, wherever it came from
//	Enjambre-Failed        7:PEER:corrupt,8:PEER:lost: at most MaxFailed complaints about holders: wrong
//	                       bytes; or not reached, stalled, or without the fragment. 7:origin:corrupt: a
//	                       body was wrong
//	Enjambre-Resume        7:65536: it has the first 65536 bytes of fragment 7, of which a body broke
//	Enjambre-Have          all that it holds, the bitmap of fragment.Set in unpadded base64url. It says more than
//	                       Acknowledged, which is not there with it
//	Enjambre-Start         123: the number of the beginning with this package that the member is in, drawn by chance from
//	                       1 to MaxStart when its agent has started or the package was assigned anew. What it had
//	                       before and is not in the next Have is lost by no fault of its own
//	Enjambre-Island        PEER,PEER: it is cut off from its site but for these members, ascending, at most
//	                       MaxReached; "alone" from all. Without it the request says nothing of that
//
// A request's values have at most MaxText bytes together, so that its headers stay below 16 KiB. Whoever has
// more to say says the rest with the next request.
//
// # The answer
//
//	200  Enjambre-Fragment 7, Enjambre-From 0 and Enjambre-Length 524288: the body is so many bytes of this
//	     fragment, from that byte on
//	204  the member has all that it wants
//	409  Enjambre-Reason, a word of lease.Reason; Enjambre-Retry 1500, milliseconds from 100 to 300000, and
//	     Retry-After, the same in seconds rounded up, for others than us. With Enjambre-Fragment and
//	     Enjambre-Holder: that peer has this fragment
//	410  the package was withdrawn, or never was
//	503  Enjambre-Reason and Enjambre-Retry as with 409: no slot was free in time
//
// Each of them may have Enjambre-Sent, the bytes of this package that the origin has sent into the asker's site so far or
// is sending, at least 1 and at most 2^53: by the package's own bytes that is R, the copies that the site has cost.
//
// Each may have Enjambre-Introduce besides, PEER@192.0.2.7:4901 or PEER: a member that the asker is to connect to,
// since it is a bridge to others of its site, and where that listens, if the server knows: a unicast address without
// zone, in IPv4 form where it is one, and a port.
package next

import (
	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/owner"
)

// Bounds of a request.
const (
	MaxWant         = 64
	MaxAcknowledged = 1024
	MaxFailed       = 64
	MaxReached      = 24
	MaxStart        = 1 << 53  // JavaScript can still hold it
	MaxText         = 15 << 10 // bytes of all its values
)

// Name is the last part of the path that is asked: /download/ID/next.
const Name = "next"

// A Header is that of an HTTP message: values by canonical name. An http.Header converts to it.
type Header map[string][]string

// The headers' names.
const (
	headerWeight       = "Enjambre-Weight"
	headerWant         = "Enjambre-Want"
	headerAcknowledged = "Enjambre-Acknowledged"
	headerFailed       = "Enjambre-Failed"
	headerResume       = "Enjambre-Resume"
	headerHave         = "Enjambre-Have"
	headerStart        = "Enjambre-Start"
	headerIsland       = "Enjambre-Island"
	headerFragment     = "Enjambre-Fragment"
	headerFrom         = "Enjambre-From"
	headerLength       = "Enjambre-Length"
	headerReason       = "Enjambre-Reason"
	headerHolder       = "Enjambre-Holder"
	headerRetry        = "Enjambre-Retry"
	headerRetryAfter   = "Retry-After"
	headerSent         = "Enjambre-Sent"
	headerIntroduce    = "Enjambre-Introduce"
)

// A Request is what a member says when it asks.
type Request struct {
	Weight       owner.Weight
	Want         []core.FragmentIndex // the dearest first
	Acknowledged []core.FragmentIndex // ascending
	Failed       []Complaint
	Resume       Resume
	Have         []byte    // fragment.Set.Bytes; nil if it does not say
	Start        uint64    // at most MaxStart; 0 if it does not say
	CutOff       bool      // from all members but Reached
	Reached      []id.Peer // ascending; only with CutOff
}

// A Complaint says that a holder failed the member. A zero Holder is the origin, whose bytes were corrupt.
type Complaint struct {
	Fragment core.FragmentIndex
	Holder   id.Peer
	Corrupt  bool
}

// Resume says that the member has the first From bytes of a fragment. From 0: of none.
type Resume struct {
	Fragment core.FragmentIndex
	From     int64 // below core.MaxFragmentSize
}
