package archive

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"enjambre/core"
)

// maxKept bounds the problems and the warnings that a report keeps.
const maxKept = 100

// A Problem is one reason why an archive was refused, or one warning. Its texts are printable: what is
// not in a foreign name is written in Go's escapes.
type Problem struct {
	Entry  string     // the entry's name as the archive spells it, cut after 200 bytes; "" for the archive
	Class  core.Class // as programs compare it
	Reason string     // as people read it: what the entry is or has, without its name
}

// String returns "ENTRY: REASON [CLASS]", on one line.
func (p Problem) String() string {
	text := p.Reason + " [" + string(p.Class) + "]"
	if p.Entry != "" {
		text = p.Entry + ": " + text
	}
	return text
}

// A RefusedError says that an archive has problems; it carries the whole report.
type RefusedError struct {
	Report Report // has at least one problem
}

// Error lists the problems, one a line.
func (e *RefusedError) Error() string {
	if e.Report.Bad == 1 {
		return "archive refused: " + e.Report.Problems[0].String()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "archive refused, %d problems:", e.Report.Bad)
	for _, problem := range e.Report.Problems {
		text.WriteString("\n  " + problem.String())
	}
	if more := e.Report.Bad - len(e.Report.Problems); more > 0 {
		fmt.Fprintf(&text, "\n  and %d more", more)
	}
	return text.String()
}

// Unwrap returns the first problem as a [core.Refusal].
func (e *RefusedError) Unwrap() error {
	first := e.Report.Problems[0]
	return core.Refuse(first.Class, "%s", first.Reason)
}

// A ledger keeps the first maxKept problems in the order of their entries. Links are judged last, so a
// problem of theirs can belong before others.
type ledger struct {
	problems  []Problem
	positions []int // of the problems' entries in the archive
}

// add puts a problem after those of the same position.
func (l *ledger) add(p Problem, position int) {
	at, _ := slices.BinarySearch(l.positions, position+1)
	if at >= maxKept {
		return
	}
	l.problems = slices.Insert(l.problems, at, p)
	l.positions = slices.Insert(l.positions, at, position)
	most := min(len(l.problems), maxKept)
	l.problems, l.positions = l.problems[:most], l.positions[:most]
}

// showable cuts a foreign name and writes what is unprintable in it in Go's escapes.
func showable(name string) string {
	const most = 200
	if len(name) > most {
		end := most
		for end > most-utf8.UTFMax && !utf8.RuneStart(name[end]) {
			end--
		}
		name = name[:end] + "..."
	}
	if core.Printable(name) {
		return name
	}
	quoted := strconv.QuoteToASCII(name)
	return quoted[1 : len(quoted)-1]
}
