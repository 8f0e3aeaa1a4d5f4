package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"enjambre/core"
)

// A kind is what a record says.
type kind string

const (
	intent      kind = "intent"
	launched    kind = "launched"
	interrupted kind = "interrupted"
	ended       kind = "result"
	reported    kind = "reported"
	summary     kind = "summary" // an attempt as it was when the file was shortened
)

// A record is one line of the file.
type record struct {
	Kind    kind           `json:"kind"`
	Package core.PackageID `json:"package"`
	At      time.Time      `json:"at"`
	Nonce   string         `json:"nonce,omitempty"`
	Info    core.Digest    `json:"info,omitzero"`
	Shim    string         `json:"shim,omitempty"`
	Result  *Result        `json:"result,omitempty"`
	Attempt *Attempt       `json:"attempt,omitempty"` // of a summary
}

// apply returns what a package's last attempt is after the record. It refuses a record that cannot follow.
func (r record) apply(a Attempt) (Attempt, error) {
	cannot := func() (Attempt, error) {
		return Attempt{}, core.Refuse(core.ClassFormat, "package %s: %s cannot follow %q", r.Package, r.Kind, a.Stage)
	}
	next := a
	switch r.Kind {
	case intent:
		if a.Stage != Intended {
			next = Attempt{Package: r.Package, Number: a.Number + 1, Result: Result{Installed: a.Result.Installed}}
		}
		next.Stage, next.Nonce, next.Info, next.Shim = Intended, r.Nonce, r.Info, ""
	case launched:
		if a.Stage != Intended || a.Shim != "" || r.Shim == "" {
			return cannot()
		}
		next.Shim = r.Shim
	case interrupted:
		if a.Stage != Intended {
			return cannot()
		}
		next.Interrupted++
		next.Shim = ""
	case ended:
		if r.Result == nil || r.Result.Text == "" {
			return cannot()
		}
		if a.Stage != Intended {
			next = Attempt{Package: r.Package, Number: a.Number + 1}
		}
		next.Stage, next.Result = Ended, *r.Result
		next.Result.Installed = next.Result.Installed || a.Result.Installed // a failed repetition uninstalls nothing
	case reported:
		if a.Stage != Ended {
			return cannot()
		}
		next.Stage, next.Result.Output = Reported, ""
	case summary:
		if r.Attempt == nil || a.Stage != "" || r.Attempt.Package != r.Package {
			return cannot()
		}
		return *r.Attempt, nil
	default:
		return cannot()
	}
	next.At = r.At
	return next, nil
}

// line returns the record's line behind a chain, and the chain it makes.
func (r record) line(chain string) (line []byte, next string, err error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, "", err
	}
	next = link(chain, text)
	line = append(append([]byte(next), ' '), text...)
	if line = append(line, '\n'); len(line) > maxLine {
		return nil, "", core.Refuse(core.ClassLimit, "a record of %d bytes: at most %d are allowed", len(line), maxLine)
	}
	return line, next, nil
}

// link returns the CHAIN of a line.
func link(chain string, text []byte) string {
	sum := sha256.New()
	sum.Write([]byte(chain))
	sum.Write(text)
	return hex.EncodeToString(sum.Sum(nil))
}

// parseLine reads one line without its end. It accepts no other spelling than the one that line writes.
func parseLine(line []byte, chain string) (r record, next string, err error) {
	stated, text, found := bytes.Cut(line, []byte(" "))
	next = string(stated)
	if !found || next != link(chain, text) {
		return record{}, "", core.Refuse(core.ClassHash, "the chain of records is broken")
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, "", core.Refuse(core.ClassFormat, "record: %v", err)
	}
	if again, err := json.Marshal(r); err != nil || !bytes.Equal(again, text) {
		return record{}, "", core.Refuse(core.ClassCanon, "a record is not in its canonical form")
	}
	return r, next, nil
}

// isTorn reports whether a crash can have left this of a line: its beginning, perhaps with blocks of zeros that never
// reached the disk. What cannot be the beginning of a line was written by somebody else.
func isTorn(line []byte) bool {
	const chain = 2 * sha256.Size
	for i, c := range line[:min(len(line), chain+1)] {
		isDigit := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if c != 0 && !(i < chain && isDigit) && !(i == chain && c == ' ') {
			return false
		}
	}
	return len(line) <= maxLine
}

// replay applies a file's lines in order. It returns how many bytes are good lines, the chain at their end,
// and the attempts. Behind them a crash can have left part of one line, since each is durable before the next
// is begun; if there is more, it is damage.
func replay(data []byte) (good int, chain string, last map[core.PackageID]Attempt, err error) {
	last = map[core.PackageID]Attempt{}
	for good < len(data) {
		line, rest, complete := bytes.Cut(data[good:], []byte("\n"))
		r, next, err := parseLine(line, chain)
		if err != nil || !complete {
			if err == nil {
				err = core.Refuse(core.ClassFormat, "a line has no end")
			}
			if len(rest) > 0 || !isTorn(line) {
				return 0, "", nil, fmt.Errorf("%w at byte %d: %w", ErrDamaged, good, err)
			}
			return good, chain, last, nil
		}
		attempt, err := r.apply(last[r.Package])
		if err != nil {
			return 0, "", nil, fmt.Errorf("%w at byte %d: %w", ErrDamaged, good, err)
		}
		last[r.Package] = attempt
		good += len(line) + 1
		chain = next
	}
	return good, chain, last, nil
}
