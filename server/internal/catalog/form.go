package catalog

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"enjambre/core"
	"enjambre/core/archive"
	"enjambre/core/command"
	"enjambre/core/info"
	"enjambre/core/outcome"
)

// A Form is what an administrator fills in to build a package, as text. Empty fields take the default.
type Form struct {
	Name         string // for people; 1 to 128 bytes
	OS           string // linux or windows
	Action       string // LAUNCH, EXECUTE or STORE, in any case
	Priority     string // 0 to 10
	File         string // path of the archive
	Path         string // STORE: the folder to fill
	Command      string // LAUNCH: program and arguments; EXECUTE: command
	FragmentSize string // such as 512KiB; default DefaultFragmentSize
	Protocol     string // http or https, for fragments; default https
	SuccessCodes string // such as 0,3010; default by OS
	ExecTimeout  string // such as 2h; default info.DefaultExecTime
	OnInterrupt  string // report or retry; default report

	Interactive     bool
	NotifyText      string
	NotifyCountdown string // such as 60s; 0 waits for an answer
	UserMayCancel   bool
	UserMayDelay    bool
	MaxDelays       string // default info.DefaultMaxDelays
	CompletionText  string
}

// DefaultFragmentSize is 512 KiB: at stock latencies a fragment each 10 s is 420 kbit/s.
const DefaultFragmentSize = 512 << 10

// maxName is the longest name of a package in bytes.
const maxName = 128

// An order is a form that has been read: everything that can be known before the archive is.
type order struct {
	name         string
	info         info.Info // without ID, archive, issue and deployment
	file         *os.File  // nil without archive
	size         int64
	fragmentSize int64
	inArchive    string // the file of the archive that the command of an EXECUTE begins with, by its plain name
}

func (o *order) close() {
	if o.file != nil {
		_ = o.file.Close() // only read from
	}
}

// A FormError is every mistake of a form, joined. Usage is false when the form itself is right and only
// the archive's file could not be had.
type FormError struct {
	Usage    bool
	Mistakes []error
}

// Error lists the mistakes, one a line.
func (e *FormError) Error() string { return errors.Join(e.Mistakes...).Error() }

// Unwrap returns the mistakes.
func (e *FormError) Unwrap() []error { return e.Mistakes }

// problems gathers mistakes, so that all are reported at once.
type problems struct {
	list  []error
	usage bool
}

func (p *problems) add(format string, args ...any) {
	p.list = append(p.list, fmt.Errorf(format, args...))
	p.usage = true
}

// file adds a problem of the archive's file.
func (p *problems) file(err error) { p.list = append(p.list, fmt.Errorf("--file: %w", err)) }

func (p *problems) err(err error, field string) {
	if err != nil {
		p.add("%s: %w", field, err)
	}
}

// unreadable adds a problem of a text that holds more than printable characters, tabs and line feeds: agents
// refuse it, and would be told so only after the archive has been cut.
func (p *problems) unreadable(text, field string) {
	bare := strings.NewReplacer("\n", "", "\t", "").Replace(text)
	if !core.Printable(bare) || strings.ContainsAny(bare, "\uFFFE\uFFFF") {
		p.add("%s: it holds control or deceptive characters", field)
	}
}

// read checks the whole form and opens the archive. The caller closes the order.
func (f Form) read() (*order, error) {
	var p problems
	o := &order{name: f.Name, fragmentSize: DefaultFragmentSize}
	if f.Name == "" || len(f.Name) > maxName || !core.Printable(f.Name) ||
		strings.TrimSpace(f.Name) != f.Name {
		p.add("--name: give a name of 1 to %d printable bytes", maxName)
	}
	var err error
	o.info.OS, err = core.ParseOS(strings.ToLower(f.OS))
	p.err(err, "--os")
	o.info.Action, err = core.ParseAction(strings.ToUpper(f.Action))
	p.err(err, "--action")
	o.info.Priority, err = core.ParsePriority(f.Priority)
	p.err(err, "--priority")
	f.readProtocol(o, &p)
	f.readTarget(o, &p)
	f.readExecution(o, &p)
	f.readNotice(o, &p)
	f.openArchive(o, &p)
	if len(p.list) > 0 {
		o.close()
		return nil, &FormError{Usage: p.usage, Mistakes: p.list}
	}
	return o, nil
}

func (f Form) readProtocol(o *order, p *problems) {
	switch strings.ToLower(f.Protocol) {
	case "", "https":
		o.info.Protocol = info.HTTPS
	case "http":
		o.info.Protocol = info.HTTP
	default:
		p.add("--protocol: %.40q is neither http nor https", f.Protocol)
	}
}

// readTarget checks that exactly the field that belongs to the action is filled in.
func (f Form) readTarget(o *order, p *problems) {
	switch o.info.Action {
	case core.Store:
		o.info.Target = f.Path
		if f.Path == "" {
			p.add("--path: STORE needs the folder to copy the files to")
		}
		if f.Command != "" {
			p.add("--command: STORE runs nothing; use LAUNCH or EXECUTE")
		}
	case core.Launch, core.Execute:
		o.info.Target = f.Command
		if f.Command == "" {
			p.add("--command: %s needs what to run", o.info.Action)
		}
		if f.Path != "" {
			p.add("--path: only STORE has a path")
		}
	}
	if o.info.Target != strings.TrimSpace(o.info.Target) {
		p.add("--command, --path: it begins or ends with a blank")
	}
	if o.info.Target != "" && o.info.OS != "" {
		switch o.info.Action {
		case core.Store:
			p.err(command.CheckFolder(o.info.Target, o.info.OS), "--path")
		case core.Launch:
			_, err := command.Parse(o.info.Target, o.info.OS)
			p.err(err, "--command")
		}
	}
	if len(o.info.Target) > info.MaxTarget {
		p.add("--command, --path: longer than %d bytes", info.MaxTarget)
	}
	p.unreadable(o.info.Target, "--command, --path")
}

func (f Form) readExecution(o *order, p *problems) {
	o.info.Interactive = f.Interactive
	switch strings.ToLower(f.OnInterrupt) {
	case "", "report":
	case "retry":
		o.info.Retry = true
	default:
		p.add("--on-interrupt: %.40q is neither report nor retry", f.OnInterrupt)
	}
	o.info.ExecTime = info.DefaultExecTime
	if f.ExecTimeout != "" {
		d, err := core.ParseDuration(f.ExecTimeout)
		if err != nil || d < time.Second || d > info.MaxExecTime || d%time.Second != 0 {
			p.add("--exec-timeout: %.40q is not a duration from 1s to %s, such as 90s or 2h", f.ExecTimeout,
				core.DurationText(info.MaxExecTime))
		}
		o.info.ExecTime = d
	}
	if f.SuccessCodes != "" {
		codes, err := outcome.ParseSuccessCodes(f.SuccessCodes)
		p.err(err, "--success-codes")
		if codes.String() != outcome.DefaultSuccessCodes(o.info.OS).String() { // the defaults are written as none
			o.info.SuccessCodes = codes
		}
	}
}

func (f Form) readNotice(o *order, p *problems) {
	n := &o.info.Notice
	n.Text, o.info.Completion = f.NotifyText, f.CompletionText
	for _, shown := range []struct{ field, text string }{
		{"--notify-text", f.NotifyText}, {"--completion-text", f.CompletionText},
	} {
		if len(shown.text) > info.MaxNotice {
			p.add("%s: longer than %d bytes", shown.field, info.MaxNotice)
		}
		p.unreadable(shown.text, shown.field)
	}
	if f.NotifyText == "" {
		if f.NotifyCountdown != "" || f.UserMayCancel || f.UserMayDelay || f.MaxDelays != "" {
			p.add(
				"--notify-text: give the text that the user is shown, or leave out the other options of the notice")
		}
		return
	}
	n.MayCancel, n.MayDelay = f.UserMayCancel, f.UserMayDelay
	if f.NotifyCountdown != "" && f.NotifyCountdown != "0" {
		d, err := core.ParseDuration(f.NotifyCountdown)
		if err != nil || d < 0 || d > info.MaxCountdown || d%time.Second != 0 {
			p.add("--notify-countdown: %.40q is not a duration from 0 to %s, such as 60s", f.NotifyCountdown,
				core.DurationText(info.MaxCountdown))
		}
		n.Countdown = d
	}
	if f.MaxDelays != "" && !f.UserMayDelay {
		p.add("--max-delays: the user may not delay; give --user-may-delay too")
	}
	if f.UserMayDelay {
		n.MaxDelays = info.DefaultMaxDelays
		if f.MaxDelays != "" {
			number, err := strconv.Atoi(f.MaxDelays)
			if err != nil || number < 1 || number > info.MaxDelays {
				p.add("--max-delays: %.40q is not 1 to %d", f.MaxDelays, info.MaxDelays)
			}
			n.MaxDelays = number
		}
	}
}

func (f Form) openArchive(o *order, p *problems) {
	validSize := true
	if f.FragmentSize != "" {
		size, err := core.ParseSize(f.FragmentSize)
		if err != nil || size < core.MinFragmentSize || size > core.MaxFragmentSize {
			p.add("--fragment-size: %.40q is not a size from 16KiB to 16MiB", f.FragmentSize)
			validSize = false
		}
		o.fragmentSize = size
	}
	if f.File == "" {
		if o.info.Action.NeedsArchive() {
			p.add("--file: %s needs an archive (%s)", o.info.Action, kindsText(o.info.OS))
		}
		if f.FragmentSize != "" {
			p.add("--fragment-size: there is no archive to cut")
		}
		return
	}
	var err error
	if o.file, o.size, err = openFile(f.File); err != nil {
		p.file(err)
		return
	}
	if validSize && (o.size-1)/o.fragmentSize >= core.MaxFragments {
		p.add("--fragment-size: %d bytes in fragments of %d are more than %d fragments; use at least %d bytes",
			o.size, o.fragmentSize, core.MaxFragments, (o.size-1)/core.MaxFragments+1)
	}
}

// openFile opens a file that is not empty. It looks before it opens: opening a pipe waits for its writer.
func openFile(path string) (file *os.File, size int64, err error) {
	stat, err := os.Stat(path)
	if err == nil && !stat.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a file", path)
	}
	if file, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	stat, err = file.Stat()
	if err == nil && stat.Size() == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, stat.Size(), nil
}

func kindsText(os core.OS) string {
	if os == "" {
		return "tar.gz for Linux, zip for Windows"
	}
	return string(archive.KindFor(os))
}
