// Package ledger remembers what an agent has run, so that nothing is run twice and no result is lost.
//
// It is one append-only file of lines. Each is durable before the call that appends it returns:
//
//	CHAIN JSON
//
// CHAIN is the SHA-256, in 64 hex digits, over the CHAIN of the line before (nothing before the first) and the
// JSON. So no line can be changed, moved or taken out of the middle unseen. The JSON is a record:
//
//	intent       a command is about to be handed over: attempt, nonce, digest of the info file
//	launched     who watches over that command: from now on it may run
//	interrupted  the command of the open intent had begun, and its end is unknown; it will be run again
//	result       how the package ended, whether it ran or not
//	reported     the server has acknowledged that result
//
// A line that a crash cut short is dropped when the file is opened: its append never returned. A damaged line
// with good ones behind it is another matter, as it may have said that a command has run; then [Open] fails
// with [ErrDamaged], and a person has to decide.
//
// The file never forgets the last result of a package, or a package could run twice. What is reported is
// shortened when the file has grown by 4 MiB. Room for new lines is reserved ahead, so that a full disk does
// not keep a result from being noted.
package ledger

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

// Bounds, in bytes.
const (
	maxLine    = 64 << 10 // a result's texts have 6 KiB before they are escaped
	maxFile    = 64 << 20
	compactAt  = 4 << 20
	reserve    = 4 << 20
	nonceBytes = 16
	maxExit    = 20 // of an exit code in digits
)

// ErrDamaged says that the middle of a ledger cannot be read.
var ErrDamaged = errors.New("the ledger is damaged")

// A Result is how a package ended on this computer.
type Result struct {
	Text   string `json:"text"`             // as it is reported: SUCCESS_0, ERR_EXECUTE, ...
	Exit   string `json:"exit,omitempty"`   // exit code in decimal digits, "" when nothing ran
	Detail string `json:"detail,omitempty"` // class and reason of a failure
	Output string `json:"output,omitempty"` // the end of the command's output; dropped once reported

	// Shared is how many bytes of the package came from members of the site, as it is reported; 0 also where a version
	// that did not count them noted it.
	Shared int64 `json:"shared,omitempty"`

	// Installed says that the package is on the computer from now on: it is not run again.
	Installed bool `json:"installed,omitempty"`
}

// clean returns the result with texts that are read as they were written, and fit into a line.
func (r Result) clean() Result {
	begin := func(text string, most int) string {
		text = strings.ToValidUTF8(text, "\uFFFD")
		return strings.ToValidUTF8(text[:min(len(text), most)], "")
	}
	r.Text, r.Exit = begin(r.Text, ocs.MaxResultText), begin(r.Exit, maxExit)
	r.Detail = begin(r.Detail, ocs.MaxResultDetail)
	r.Output = strings.ToValidUTF8(r.Output, "\uFFFD")
	r.Output = strings.ToValidUTF8(r.Output[max(0, len(r.Output)-ocs.MaxResultOutput):], "")
	return r
}

// A Stage is how far an attempt is.
type Stage string

// The stages, in their order.
const (
	Intended Stage = "intended" // a command may run, or have run
	Ended    Stage = "ended"    // there is a result, which the server has not acknowledged
	Reported Stage = "reported" // it has
)

// An Attempt is the last one of a package.
type Attempt struct {
	Package     core.PackageID `json:"package"`
	Number      int            `json:"attempt"` // from 1; a package that is affected again counts on
	Stage       Stage          `json:"stage"`
	Nonce       string         `json:"nonce"`          // names the job of this attempt
	Info        core.Digest    `json:"info"`           // of the info file that it was about; zero when none was had
	Shim        string         `json:"shim,omitempty"` // who was told to run the command; "": nothing has run
	Interrupted int            `json:"interrupted,omitempty"`
	Result      Result         `json:"result,omitzero"`
	At          time.Time      `json:"at"` // of the last change, by this computer's clock
}

// A Ledger is an open ledger. Safe for concurrent use.
type Ledger struct {
	path string
	now  func() time.Time

	mu       sync.Mutex
	file     *os.File
	size     int64
	reserved int64 // up to where room is reserved
	// compactNext is the size past which the file is shortened.
	compactNext int64
	chain       string
	last        map[core.PackageID]Attempt
	broken      error // the first failed write; nothing is believed after it
	dropped     int64 // bytes of a line cut short, found by Open
}

// Open opens the ledger in a file, made if it is missing. now stamps the records.
func Open(path string, now func() time.Time) (*Ledger, error) {
	l := &Ledger{path: path, now: now, last: map[core.PackageID]Attempt{}}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	return l, nil
}

// Close closes the file.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// Dropped returns how many bytes of a line cut short Open has dropped; 0 after an orderly end.
func (l *Ledger) Dropped() int64 { return l.dropped }

// Last returns the last attempt of a package, or false when there was none.
func (l *Ledger) Last(id core.PackageID) (Attempt, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	attempt, known := l.last[id]
	return attempt, known
}

// At returns the attempts that are at a stage, in order of their packages.
func (l *Ledger) At(stage Stage) []Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Attempt
	for _, attempt := range l.last {
		if attempt.Stage == stage {
			found = append(found, attempt)
		}
	}
	slices.SortFunc(found, func(a, b Attempt) int { return int(a.Package - b.Package) })
	return found
}

// Installed returns the packages that are on the computer, the newest at most ocs.MaxHistory, in order.
func (l *Ledger) Installed() []core.PackageID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []core.PackageID
	for id, attempt := range l.last {
		if attempt.Result.Installed {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[max(0, len(ids)-ocs.MaxHistory):]
}

// Intend notes that the package's command is about to be handed over, and returns the attempt with a fresh
// nonce. What was intended before is taken to have come to nothing.
func (l *Ledger) Intend(id core.PackageID, info core.Digest) (Attempt, error) {
	nonce := make([]byte, nonceBytes)
	_, _ = rand.Read(nonce) // never fails
	return l.change(record{Kind: intent, Package: id, Nonce: hex.EncodeToString(nonce), Info: info})
}

// Launch notes who is about to be told to run the intended command, in the words of agent/internal/execute. From then
// on the command counts as begun, whatever else is lost, until Intend or Interrupt say otherwise.
func (l *Ledger) Launch(id core.PackageID, shim string) (Attempt, error) {
	return l.change(record{Kind: launched, Package: id, Shim: shim})
}

// Interrupt notes that the intended command had begun and ended in an unknown way, and will be run again.
func (l *Ledger) Interrupt(id core.PackageID) (Attempt, error) {
	return l.change(record{Kind: interrupted, Package: id})
}

// End notes how the package ended. Without an open intent it begins an attempt of its own: one that ended
// before anything ran. Longer texts than the server keeps are cut, and what is not UTF-8 in them is replaced: they
// tell what strangers said, and a result must not be lost for that.
func (l *Ledger) End(id core.PackageID, result Result) (Attempt, error) {
	result = result.clean()
	return l.change(record{Kind: ended, Package: id, Result: &result})
}

// Report notes that the server has acknowledged the result. It is an error if there is none to acknowledge.
func (l *Ledger) Report(id core.PackageID) error {
	_, err := l.change(record{Kind: reported, Package: id})
	return err
}

// change appends a record and applies it.
func (l *Ledger) change(r record) (Attempt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.At = l.now().UTC().Truncate(time.Millisecond)
	next, err := r.apply(l.last[r.Package])
	if err == nil {
		err = l.append(r)
	}
	if err != nil {
		return Attempt{}, fmt.Errorf("ledger %s: %w", l.path, err)
	}
	l.last[r.Package] = next
	return next, nil
}
