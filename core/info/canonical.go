package info

import (
	"encoding/hex"
	"strconv"
	"time"

	"enjambre/core/internal/strictxml"
)

// The attributes that say the same in every file of ours.
const (
	digestAlgorithm = "MD5"
	digestEncoding  = "Hexa"
	filler          = "rien"
)

// Canonical returns the one text of the document. The info must pass Check.
func (i *Info) Canonical() []byte {
	text := append([]byte(strictxml.Declaration), "<DOWNLOAD"...)
	for _, attribute := range i.attributes() {
		text = strictxml.AppendAttribute(text, attribute.Name, attribute.Value)
	}
	return append(text, " />\n"...)
}

// attributes lists what the document says, in its order, defaults of ours left out.
func (i *Info) attributes() []strictxml.Attribute {
	var list []strictxml.Attribute
	add := func(name, value string) {
		list = append(list, strictxml.Attribute{Name: name, Value: value})
	}
	unless := func(isDefault bool, name, value string) {
		if !isDefault {
			add(name, value)
		}
	}
	md5Digest := ""
	if i.Archive != nil {
		md5Digest = hex.EncodeToString(i.Archive.MD5[:])
	}
	add("ID", i.ID.String())
	add("PRI", i.Priority.String())
	add("ACT", string(i.Action))
	add("DIGEST", md5Digest)
	add("PROTO", string(i.Protocol))
	add("FRAGS", strconv.Itoa(i.Fragments()))
	add("DIGEST_ALGO", digestAlgorithm)
	add("DIGEST_ENCODE", digestEncoding)
	add(targetName(i.Action), i.Target)
	i.addNotice(add)
	add("GARDEFOU", filler)

	add("OS", string(i.OS))
	i.addArchive(add)
	unless(i.SuccessCodes == nil, "SUCCESS_CODES", i.SuccessCodes.String())
	unless(i.ExecTime == DefaultExecTime, "EXEC_SECONDS", seconds(i.ExecTime))
	unless(!i.Interactive, "INTERACTIVE", "1")
	unless(!i.Retry, "ON_INTERRUPT", "retry")
	unless(!i.Notice.MayDelay || i.Notice.MaxDelays == DefaultMaxDelays, "MAX_DELAYS",
		strconv.Itoa(i.Notice.MaxDelays))
	unless(i.NotBefore.IsZero(), "NOT_BEFORE", i.NotBefore.UTC().Format(time.RFC3339))
	unless(!i.NoSwarm, "SWARM", "0")
	add("ISSUED", i.Issued.UTC().Format(time.RFC3339))
	add("DEPLOYMENT", i.Deployment)
	return list
}

func (i *Info) addNotice(add func(name, value string)) {
	n := i.Notice
	countdown := ""
	if n.Text != "" {
		countdown = seconds(n.Countdown)
	}
	add("NOTIFY_USER", zeroOrOne(n.Text != ""))
	add("NOTIFY_TEXT", n.Text)
	add("NOTIFY_COUNTDOWN", countdown)
	add("NOTIFY_CAN_ABORT", zeroOrOne(n.MayCancel))
	add("NOTIFY_CAN_DELAY", zeroOrOne(n.MayDelay))
	add("NEED_DONE_ACTION", zeroOrOne(i.Completion != ""))
	add("NEED_DONE_ACTION_TEXT", i.Completion)
}

func (i *Info) addArchive(add func(name, value string)) {
	a := i.Archive
	if a == nil {
		return
	}
	add("SIZE", strconv.FormatInt(a.Plan.ArchiveSize(), 10))
	add("FRAG_SIZE", strconv.FormatInt(a.Plan.FragmentSize(), 10))
	add("DIGESTS", a.Digests.String())
	add("ARCHIVE_DIGEST", a.Digest.String())
	add("UNPACKED", strconv.FormatInt(a.Unpacked, 10))
	add("ENTRIES", strconv.Itoa(a.Entries))
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func zeroOrOne(on bool) string {
	if on {
		return "1"
	}
	return "0"
}
