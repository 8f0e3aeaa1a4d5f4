// Package info is the info file: the XML document that describes a package, and the one source of
// truth about it.
//
// Our server writes one canonical text, [Info.Canonical], and seals it (see core/seal); [Parse] reads
// it strictly, writes it again and demands equal bytes, so a document that two readers could
// understand differently is refused. Stock OCS agents read the same file; [ParseStock] reads the files
// of stock servers, with their tolerance and without our attributes.
//
// # The document
//
// One element, everything in attributes, in this order. The first block is what stock agents know,
// the second is ours; an attribute of the second block that has its default is left out.
//
//	ID                     package ID, decimal
//	PRI                    priority 0 to 10
//	ACT                    LAUNCH, EXECUTE or STORE
//	DIGEST                 MD5 of the archive in hex, for stock agents only; "" without archive
//	PROTO                  HTTP or HTTPS: how stock agents fetch fragments
//	FRAGS                  number of fragments; 0 without archive
//	DIGEST_ALGO            MD5
//	DIGEST_ENCODE          Hexa
//	NAME, COMMAND or PATH  what LAUNCH runs, EXECUTE runs, STORE fills
//	NOTIFY_USER            1: tell the user before the command runs
//	NOTIFY_TEXT            what to tell
//	NOTIFY_COUNTDOWN       seconds until it goes on by itself; 0 waits; "" without notice
//	NOTIFY_CAN_ABORT       1: the user may cancel
//	NOTIFY_CAN_DELAY       1: the user may delay
//	NEED_DONE_ACTION       1: show a text afterwards
//	NEED_DONE_ACTION_TEXT  that text
//	GARDEFOU               rien, a filler that stock agents read and never use
//
//	OS                     linux or windows; always there
//	SIZE                   bytes of the archive; always there with an archive, as the next five
//	FRAG_SIZE              bytes of each fragment but the last
//	DIGESTS                SHA-256 of the "digests" file
//	ARCHIVE_DIGEST         SHA-256 of the archive
//	UNPACKED               bytes of all files in the archive
//	ENTRIES                files and folders in the archive
//	SUCCESS_CODES          exit codes that are a success; default by OS, see core/outcome
//	EXEC_SECONDS           how long the command may run; default 7200
//	INTERACTIVE            1: the command needs the user's desktop; default 0
//	ON_INTERRUPT           retry: run again after an interruption; default: report it
//	MAX_DELAYS             how often the user may delay; default 5
//	NOT_BEFORE             RFC 3339 UTC; default: at once
//	SWARM                  0: members must not share it; default 1
//	ISSUED                 RFC 3339 UTC, when it was built; always there
//	DEPLOYMENT             name of the deployment; always there
package info

import (
	"crypto/md5"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/outcome"
)

// Bounds and defaults.
const (
	MaxTarget          = 4096               // bytes of a command, program or path
	MaxNotice          = 1 << 10            // bytes of a text shown to the user
	MaxCountdown       = 24 * time.Hour     // of a notice
	MaxDelays          = 100                // that a package may allow
	MaxExecTime        = 7 * 24 * time.Hour // of a command
	MaxUnpacked        = 8 << 30            // bytes of all files in an archive
	MaxEntries         = 100_000            // files and folders in an archive
	DefaultMaxDelays   = 5
	DefaultExecTime    = 2 * time.Hour
	maxDeploymentBytes = 255
)

// A Protocol is how stock agents fetch fragments.
type Protocol string

// Fragments may travel in the clear: their digest is in the info file, which may not.
const (
	HTTP  Protocol = "HTTP"
	HTTPS Protocol = "HTTPS"
)

// An Info describes one package. Its zero value is not valid; see [Info.Check].
type Info struct {
	ID         core.PackageID
	OS         core.OS
	Priority   core.Priority
	Action     core.Action
	Target     string // program and arguments, command, or path, according to Action
	Protocol   Protocol
	Archive    *Archive // nil: EXECUTE without files
	Notice     Notice
	Completion string // shown after the command; "" = nothing

	SuccessCodes outcome.SuccessCodes // nil = the defaults of OS
	ExecTime     time.Duration        // whole seconds, to MaxExecTime
	Interactive  bool
	Retry        bool // run again after an interruption, instead of reporting it
	NotBefore    time.Time
	NoSwarm      bool
	Issued       time.Time // whole seconds
	Deployment   string
}

// An Archive is what the info file says about the package's archive.
type Archive struct {
	Plan     fragment.Plan
	MD5      [md5.Size]byte // for stock agents; proves nothing
	Digest   core.Digest
	Digests  core.Digest // of the "digests" file
	Unpacked int64       // bytes of all files, 0 to MaxUnpacked
	Entries  int         // 1 to MaxEntries
}

// A Notice tells the user before the command runs. The zero Notice is none.
type Notice struct {
	Text      string        // "" = no notice
	Countdown time.Duration // whole seconds until it goes on by itself; 0 = it waits
	MayCancel bool
	MayDelay  bool
	MaxDelays int // 1 to MaxDelays when MayDelay, else 0
}

// Fragments returns the number of fragments, 0 without archive.
func (i *Info) Fragments() int {
	if i.Archive == nil {
		return 0
	}
	return i.Archive.Plan.Count()
}

// Codes returns the success codes that hold: its own, or the defaults of its operating system.
func (i *Info) Codes() outcome.SuccessCodes {
	if i.SuccessCodes == nil {
		return outcome.DefaultSuccessCodes(i.OS)
	}
	return i.SuccessCodes
}
