package lease

import (
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
)

// A RequestID is the shell's number for one request; a Site sees each number once.
type RequestID uint64

// A LeaseID is a Site's number for one lease, counted from 1.
type LeaseID uint64

// Bounds of what is said and kept. What goes beyond is ignored, or refused with ReasonBusy.
const (
	MaxWant         = 64   // fragments of one request; the rest is ignored
	MaxAcknowledged = 1024 // of one request
	MaxFailed       = 64   // complaints of one request
	MaxWaiting      = 16   // requests that wait in a site
	MaxOfMember     = 6    // requests of a member at once: two that bodies answer, and those that wait
	MaxFetchers     = 64   // bodies at once in a site
	MaxMembers      = 4096
	MaxPackages     = 4096
	MaxIslands      = 64 // of more than one member
)

// An Event is something that happened; the shell reports it.
type Event interface{ event() }

// PackageKnown reports a package that the site may have, or its new priority. A package that was withdrawn
// comes back by it: its holders are forgotten, what was sent is not.
type PackageKnown struct {
	Package  core.Digest // of the info file
	Plan     fragment.Plan
	Priority core.Priority
}

// PackageWithdrawn reports that a package is wanted no more: its bodies are reset and its askers told.
type PackageWithdrawn struct{ Package core.Digest }

// MemberAsked reports a request for the next fragment. It is answered by one action, at once or within 20 s.
type MemberAsked struct {
	Request      RequestID
	Member       id.Peer
	Package      core.Digest
	Want         []core.FragmentIndex // the dearest first, none that is under way; empty: it only acknowledges
	Acknowledged []core.FragmentIndex // verified since the last request, wherever they came from
	Failed       []Complaint
	Have         *fragment.Set // all that it holds; nil if it does not say. What it wants besides it has lost
	Resume       Resume
	Start        Start // 0 if it does not say
	Weightless   bool  // weight 0: a VPN or a metered line. It comes after others of its priority
}

// A Complaint says that a holder failed the asker. A zero Holder is the origin, whose bytes were corrupt.
type Complaint struct {
	Fragment core.FragmentIndex
	Holder   id.Peer
	Corrupt  bool // wrong bytes; otherwise not reached, stalled, or it had not got it
}

// Resume says that the asker has the first From bytes of a fragment of which a body broke. 0: of none.
type Resume struct {
	Fragment core.FragmentIndex
	From     int64
}

// ClientLeft reports that the client of a request that waits hung up. A request that was answered is not
// touched: its BodyEnded tells.
type ClientLeft struct{ Request RequestID }

// BytesSent reports that the network took bytes of a lease's body, beyond those reported before.
type BytesSent struct {
	Lease LeaseID
	Bytes int64 // at least 1
}

// BodyEnded reports that a lease's body will send nothing more.
type BodyEnded struct {
	Lease  LeaseID
	Failed bool // error, reset or cancel; a body that is not whole has failed in any case
}

// ServedOutside reports bytes that went into the site without a lease: to stock agents.
type ServedOutside struct {
	Package  core.Digest
	Fragment core.FragmentIndex
	From     int64
	Bytes    int64
}

// MemberSeen reports a sign of life of a member by another way than a request.
type MemberSeen struct{ Member id.Peer }

// MemberLeft reports that a member left the site or was revoked: its leases are void and it holds nothing for
// it.
type MemberLeft struct{ Member id.Peer }

// IslandDeclared reports that a member failed to reach three holders in a row, or that it met somebody
// outside its island, and with whom it exchanged a frame in the last 5 min. It is heeded once a minute for
// each member.
type IslandDeclared struct {
	Member id.Peer
	With   []id.Peer // the first MaxMembers count
}

// PolicyChanged reports the site's policy as it is now.
type PolicyChanged struct{ Policy Policy }

// Restarted reports that the origin has just started. Nothing is granted for 10 s, in which holders are
// learnt.
type Restarted struct {
	// Torn: the origin had not ended well, and the end of the ledger may be lost. What members have is booked then, for
	// a day, where the ledger does not know that it was sent.
	Torn bool
}

// WakeDue reports that the time named by NextWake has come. Too early or too often does no harm.
type WakeDue struct{}

func (PackageKnown) event()     {}
func (PackageWithdrawn) event() {}
func (MemberAsked) event()      {}
func (ClientLeft) event()       {}
func (BytesSent) event()        {}
func (BodyEnded) event()        {}
func (ServedOutside) event()    {}
func (MemberSeen) event()       {}
func (MemberLeft) event()       {}
func (IslandDeclared) event()   {}
func (PolicyChanged) event()    {}
func (Restarted) event()        {}
func (WakeDue) event()          {}

// An Action is something the shell must do.
type Action interface{ action() }

// Grant answers a request: send the fragment, from the byte From on, under this lease.
type Grant struct {
	Request  RequestID
	Lease    LeaseID
	Fragment core.FragmentIndex
	From     int64
	Cause    Cause // why it is not the first copy; NoCause if it is
}

// Refuse answers a request with 409 (503 for ReasonBusy): ask again after RetryAfter, or ask Holder.
type Refuse struct {
	Request    RequestID
	Reason     Reason
	Fragment   core.FragmentIndex // that Holder has
	Holder     id.Peer            // zero: none is known
	RetryAfter time.Duration      // 100 ms to 5 min
}

// Gone answers a request with 410: the package was withdrawn.
type Gone struct{ Request RequestID }

// Complete answers a request with 204: it wants nothing that it has not got.
type Complete struct{ Request RequestID }

// ResetBody orders to break a body off. BodyEnded must follow.
type ResetBody struct{ Lease LeaseID }

// SetRate sets how fast a body may be sent, in payload bytes a second; 0 is without limit.
type SetRate struct {
	Lease          LeaseID
	BytesPerSecond int64
}

// Introduce orders to tell a member, with its next answer, to connect to another, which is a bridge between
// what were two islands.
type Introduce struct{ Member, To id.Peer }

// Record orders to append an entry to the ledger, within a second.
type Record struct{ Entry Entry }

func (Grant) action()     {}
func (Refuse) action()    {}
func (Gone) action()      {}
func (Complete) action()  {}
func (ResetBody) action() {}
func (SetRate) action()   {}
func (Introduce) action() {}
func (Record) action()    {}

// A Reason says why a request is refused.
type Reason uint8

// The reasons.
const (
	ReasonLeased     Reason = iota + 1 // all it wants is on its way to others: wait for their HAVE
	ReasonHeld                         // Holder has Fragment
	ReasonBusy                         // no slot within 20 s, or a queue that is full
	ReasonQuiet                        // the origin has just started, and the queue is full
	ReasonSpent                        // it had all it wants three times today
	ReasonDistrusted                   // others complain of it, and are not done
	ReasonUnknown                      // no such package here
)

var reasonTexts = [...]string{"", "leased", "held", "busy", "quiet", "spent", "distrusted", "unknown"}

// String returns one word for a log.
func (r Reason) String() string { return reasonTexts[r] }
