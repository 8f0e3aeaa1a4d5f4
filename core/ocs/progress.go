package ocs

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// A Phase is a part of the state NOTIFIED.
type Phase string

// The phases, in the order in which a package goes through them.
const (
	Downloading Phase = "DOWNLOADING"
	Delayed     Phase = "DELAYED" // by the user
	Installing  Phase = "INSTALLING"
)

// MaxProblem bounds a problem's text, in bytes; longer ones are cut.
const MaxProblem = 1 << 10

// MaxShared bounds what is said of a package's bytes that came from members: the largest archive there can be.
const MaxShared int64 = core.MaxFragmentSize * core.MaxFragments

// Bounds of what an agent passes on of other members, such that a request with MaxPacks packages is not longer than
// MaxMessage.
const (
	MaxSaid      = 192      // members
	MaxSaidBytes = 20 << 10 // bytes of all, before they are spelled in base64
)

// A Progress is a PROGRESS request: for display only, never a result. It is answered with a ProgressReply, and
// packages that are not affected to the computer are left out of account. So are members that the server does not know
// to be at the agent's site, and what they have not signed.
type Progress struct {
	Packages []PackageProgress // at most MaxPacks
	Said     [][]byte          // by other members of the site, of theirs, see peer/wire; within MaxSaid and MaxSaidBytes

	// Wait is for how long the answer may wait for news of the site above the number Known: in whole seconds, at most
	// MaxWait; 0: it is to come at once, as it does from servers that know of no waiting.
	Wait  time.Duration
	Known uint64
}

// MaxWait bounds Progress.Wait.
const MaxWait = time.Minute

// A PackageProgress says how many of a package's fragments a computer has, verified.
type PackageProgress struct {
	Package  core.PackageID
	Phase    Phase
	Have, Of int    // fragments, 0 to core.MaxFragments
	Problem  string // why it does not go on, as far as it does not, such as "origin: 503"; at most MaxProblem bytes
	Shared   int64  // bytes of it that members of the site sent, 0 to MaxShared; 0 also from agents that do not say
}

// Progress reads a PROGRESS request.
func (r *Request) Progress() (Progress, error) {
	var progress Progress
	err := children(r.root, "PACKAGE", func(element *strictxml.Element) error {
		if len(progress.Packages) == MaxPacks {
			return core.Refuse(core.ClassLimit, "progress of more than %d packages", MaxPacks)
		}
		fields, numbers := blobs{from: element}, newNumbers(element)
		id, err := core.ParsePackageID(fields.text("ID"))
		if err != nil {
			return err
		}
		one := PackageProgress{
			Package: id, Phase: Phase(fields.text("PHASE")),
			Have: numbers.read("HAVE", 0, core.MaxFragments), Of: numbers.read("OF", 0, core.MaxFragments),
			Problem: printable(fields.text("PROBLEM"), MaxProblem), Shared: numbers.read64("SHARED", 0, MaxShared),
		}
		switch one.Phase {
		case Downloading, Delayed, Installing:
		default:
			return core.Refuse(core.ClassField, "unknown phase %q", printable(string(one.Phase), 40))
		}
		progress.Packages = append(progress.Packages, one)
		if fields.err != nil {
			return fields.err
		}
		return numbers.err
	})
	if err != nil {
		return progress, err
	}
	if err := children(r.root, "NEWS", func(element *strictxml.Element) error {
		numbers := newNumbers(element)
		progress.Known = uint64(numbers.read64("KNOWN", 0, math.MaxInt64))
		progress.Wait = time.Duration(numbers.read("WAIT", 0, int(MaxWait/time.Second))) * time.Second
		return numbers.err
	}); err != nil {
		return progress, err
	}
	progress.Said, err = r.said()
	return progress, err
}

// appendNews appends that the answer may wait.
func (p Progress) appendNews(to []byte) []byte {
	if p.Wait < time.Second {
		return to
	}
	to = append(to, "  <NEWS"...)
	to = strictxml.AppendAttribute(to, "KNOWN", strconv.FormatUint(min(p.Known, math.MaxInt64), 10))
	to = appendNumber(to, "WAIT", int(min(p.Wait, MaxWait)/time.Second))
	return append(to, " />\n"...)
}

// said reads what an agent passes on.
func (r *Request) said() (said [][]byte, err error) {
	bytes := 0
	err = children(r.root, "MEMBER", func(element *strictxml.Element) error {
		fields := blobs{from: element}
		one := fields.bytes("SAID")
		bytes += len(one)
		switch {
		case fields.err != nil:
			return fields.err
		case len(one) == 0:
			return core.Refuse(core.ClassField, "a member that says nothing")
		case len(said) == MaxSaid || bytes > MaxSaidBytes:
			return core.Refuse(core.ClassLimit, "progress of more than %d members, or %d bytes of it: no more are allowed",
				MaxSaid, MaxSaidBytes)
		}
		said = append(said, one)
		return nil
	})
	return said, err
}

// appendSaid appends what an agent passes on.
func (p Progress) appendSaid(to []byte) []byte {
	for _, one := range p.Said {
		to = append(to, "  <MEMBER"...)
		to = strictxml.AppendAttribute(to, "SAID", base64.StdEncoding.EncodeToString(one))
		to = append(to, " />\n"...)
	}
	return to
}

// appendShared appends the attribute SHARED, at most MaxShared, unless it is 0.
func appendShared(to []byte, bytes int64) []byte {
	if bytes <= 0 {
		return to
	}
	return strictxml.AppendAttribute(to, "SHARED", strconv.FormatInt(min(bytes, MaxShared), 10))
}

// packageRoom is what one package without problem takes of a PROGRESS request at most, in bytes.
const packageRoom = 128

// Append appends the PROGRESS request. Problems are left out, the last ones first, where the request would
// become longer than MaxMessage.
func (p Progress) Append(to []byte, device core.DeviceID) []byte {
	begin := len(to)
	to = append(to, strictxml.Declaration...)
	to = append(to, "<REQUEST"...)
	to = strictxml.AppendAttribute(to, "DEVICEID", string(device))
	to = strictxml.AppendAttribute(to, "QUERY", string(QueryProgress))
	to = append(to, ">\n"...)
	said := p.appendSaid(p.appendNews(nil))
	for i, one := range p.Packages {
		to = append(to, "  <PACKAGE"...)
		to = strictxml.AppendAttribute(to, "ID", one.Package.String())
		to = strictxml.AppendAttribute(to, "PHASE", string(one.Phase))
		to = appendNumber(to, "HAVE", one.Have)
		to = appendNumber(to, "OF", one.Of)
		to = appendShared(to, one.Shared)
		told := appendOptional(to, "PROBLEM", printable(one.Problem, MaxProblem))
		if len(told)-begin+(len(p.Packages)-i)*packageRoom+len(said) <= MaxMessage {
			to = told
		}
		to = append(to, " />\n"...)
	}
	return append(append(to, said...), "</REQUEST>\n"...)
}

// Bounds of the signed words of a ProgressReply, in bytes; epochs of peer/ticket have 113, notices up to 1660.
const (
	MaxEpoch  = 256
	MaxNotice = 2 << 10
)

// A ProgressReply is a server's answer to PROGRESS from an enrolled agent: what is new at its site. Agents that have
// none, and all agents of a server that knows of no epochs, are answered with nothing, which is the zero
// ProgressReply.
type ProgressReply struct {
	Epoch  []byte // of the site, signed, see peer/ticket; at most MaxEpoch bytes, nil: nothing is said
	Notice []byte // the site's, signed; at most MaxNotice bytes, nil: nothing is said
}

// Append appends the reply; of the zero ProgressReply, nothing.
func (r ProgressReply) Append(to []byte) []byte {
	if len(r.Epoch) == 0 {
		return to
	}
	to = append(to, strictxml.Declaration...)
	to = append(to, "<REPLY>\n"...)
	to = strictxml.AppendElement(to, 1, "EPOCH", base64.StdEncoding.EncodeToString(r.Epoch))
	if len(r.Notice) > 0 {
		to = strictxml.AppendElement(to, 1, "NOTICE", base64.StdEncoding.EncodeToString(r.Notice))
	}
	return append(to, "</REPLY>\n"...)
}

// ParseProgressReply reads a server's answer to PROGRESS, also an empty one.
func ParseProgressReply(document []byte) (ProgressReply, error) {
	if len(document) == 0 {
		return ProgressReply{}, nil
	}
	root, _, err := parseReply(document, replyLimits)
	if err != nil {
		return ProgressReply{}, err
	}
	fields := blobs{from: root}
	reply := ProgressReply{Epoch: fields.bytes("EPOCH"), Notice: fields.bytes("NOTICE")}
	if fields.err == nil && (len(reply.Epoch) > MaxEpoch || len(reply.Notice) > MaxNotice) {
		return ProgressReply{}, core.Refuse(core.ClassLimit,
			"an epoch of %d bytes and a notice of %d: at most %d and %d are allowed", len(reply.Epoch), len(reply.Notice),
			MaxEpoch, MaxNotice)
	}
	if fields.err != nil {
		return ProgressReply{}, fields.err
	}
	return reply, nil
}
