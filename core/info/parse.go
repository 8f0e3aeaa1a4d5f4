package info

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/internal/strictxml"
	"enjambre/core/outcome"
)

// Parse reads a canonical info file. Refusals: E_XML for what is not the document, E_FIELD and E_LIMIT
// for what Check refuses, E_CANON for a document that says a valid thing in another spelling,
// unknown attributes included.
func Parse(document []byte) (*Info, error) {
	f, err := read(document)
	if err != nil {
		return nil, err
	}
	info := &Info{
		OS:           core.OS(f.text("OS")),
		Protocol:     Protocol(f.text("PROTO")),
		ExecTime:     f.seconds("EXEC_SECONDS", DefaultExecTime, MaxExecTime),
		Interactive:  f.text("INTERACTIVE") == "1",
		Retry:        f.text("ON_INTERRUPT") == "retry",
		NotBefore:    f.time("NOT_BEFORE"),
		NoSwarm:      f.text("SWARM") == "0",
		Issued:       f.time("ISSUED"),
		Deployment:   f.text("DEPLOYMENT"),
		SuccessCodes: f.codes("SUCCESS_CODES"),
	}
	f.common(&info.ID, &info.Priority, &info.Action, &info.Target)
	info.Notice, info.Completion = f.notice()
	if info.Notice.MayDelay {
		info.Notice.MaxDelays = int(f.number("MAX_DELAYS", DefaultMaxDelays, MaxDelays))
	}
	info.Archive = f.archive(int(f.number("FRAGS", -1, core.MaxFragments)))
	if f.err != nil {
		return nil, f.err
	}
	if err := info.Check(); err != nil {
		return nil, err
	}
	if !bytes.Equal(info.Canonical(), document) {
		return nil, core.Refuse(core.ClassCanon, "info file of package %s is not in its canonical form", info.ID)
	}
	return info, nil
}

// A fields reads attributes of a document and keeps the first error.
type fields struct {
	root *strictxml.Element
	err  error
}

func read(document []byte) (*fields, error) {
	root, err := strictxml.Parse(document, strictxml.Default)
	if err != nil {
		return nil, err
	}
	if root.Name != "DOWNLOAD" || len(root.Children) > 0 || root.Text != "" {
		return nil, core.Refuse(core.ClassXML, "info file: root <%s>, want one empty <DOWNLOAD>", root.Name)
	}
	return &fields{root: root}, nil
}

func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// text returns an attribute, or "".
func (f *fields) text(name string) string {
	value, _ := f.root.Attribute(name)
	return value
}

// number returns a whole number from 0 to most, or absent when there is none; absent below 0 means
// that it must be there.
func (f *fields) number(name string, absent, most int64) int64 {
	text, found := f.root.Attribute(name)
	if !found && absent >= 0 {
		return absent
	}
	number, err := strconv.ParseUint(text, 10, 63)
	if err != nil || int64(number) > most {
		f.fail(core.Refuse(core.ClassLimit, "%s: %.40q is not a whole number from 0 to %d", name, text, most))
		return 0
	}
	return int64(number)
}

func (f *fields) seconds(name string, absent, most time.Duration) time.Duration {
	return time.Duration(f.number(name, int64(absent/time.Second), int64(most/time.Second))) * time.Second
}

// time returns an RFC 3339 time, or the zero time when there is none.
func (f *fields) time(name string) time.Time {
	text, found := f.root.Attribute(name)
	if !found {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		f.fail(core.Refuse(core.ClassField, "%s: %.40q is not a time such as 2026-11-24T08:00:00Z", name, text))
		return time.Time{}
	}
	return t.UTC()
}

func (f *fields) codes(name string) outcome.SuccessCodes {
	text, found := f.root.Attribute(name)
	if !found {
		return nil
	}
	codes, err := outcome.ParseSuccessCodes(text)
	if err != nil {
		f.fail(err)
	}
	return codes
}

func (f *fields) digest(name string) core.Digest {
	digest, err := core.ParseDigest(f.text(name))
	if err != nil {
		f.fail(err)
	}
	return digest
}

// common reads what every info file has.
func (f *fields) common(id *core.PackageID, priority *core.Priority, action *core.Action, target *string) {
	var err error
	if *id, err = core.ParsePackageID(f.text("ID")); err != nil {
		f.fail(err)
	}
	if *priority, err = core.ParsePriority(f.text("PRI")); err != nil {
		f.fail(err)
	}
	if *action, err = core.ParseAction(f.text("ACT")); err != nil {
		f.fail(err)
	}
	*target = f.text(targetName(*action))
}

// notice reads what the user is told. Without NOTIFY_USER=1 there is no notice, whatever else is said.
func (f *fields) notice() (before Notice, after string) {
	if f.text("NOTIFY_USER") == "1" {
		before = Notice{
			Text:      f.text("NOTIFY_TEXT"),
			Countdown: f.seconds("NOTIFY_COUNTDOWN", 0, MaxCountdown),
			MayCancel: f.text("NOTIFY_CAN_ABORT") == "1",
			MayDelay:  f.text("NOTIFY_CAN_DELAY") == "1",
		}
	}
	if f.text("NEED_DONE_ACTION") == "1" {
		after = f.text("NEED_DONE_ACTION_TEXT")
	}
	return before, after
}

// archive reads what is said about the archive; nil when there are no fragments.
func (f *fields) archive(fragments int) *Archive {
	if fragments == 0 {
		return nil
	}
	const mostBytes = int64(core.MaxFragments) * core.MaxFragmentSize
	plan, err := fragment.NewPlan(f.number("SIZE", -1, mostBytes),
		f.number("FRAG_SIZE", -1, core.MaxFragmentSize))
	if err != nil {
		f.fail(err)
		return nil
	}
	if plan.Count() != fragments {
		f.fail(core.Refuse(core.ClassLimit, "FRAGS: %d, but SIZE and FRAG_SIZE make %d", fragments, plan.Count()))
	}
	archive := &Archive{
		Plan:     plan,
		Digest:   f.digest("ARCHIVE_DIGEST"),
		Digests:  f.digest("DIGESTS"),
		Unpacked: f.number("UNPACKED", -1, MaxUnpacked),
		Entries:  int(f.number("ENTRIES", -1, MaxEntries)),
	}
	if n, err := hex.Decode(archive.MD5[:], []byte(clip(f.text("DIGEST"), 32))); err != nil ||
		n != len(archive.MD5) {
		f.fail(core.Refuse(core.ClassField, "DIGEST: it is not an MD5 in hexadecimal"))
	}
	return archive
}

func clip(text string, most int) string { return text[:min(len(text), most)] }
