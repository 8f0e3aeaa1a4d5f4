// Package cases holds the swarm to its promises with the real programs in laboratories: one server, and agents behind
// thin WAN links, that crash, are cut off or come late. The bytes are those that the kernel counts at the WANs.
//
// A case is a test that runs only when it is asked for, by -lab or "make lab", since each takes a minute or two and
// the machine for itself. It writes a row into the table of docs/swarm-measured.md, met or not.
package cases

import (
	"errors"
	"fmt"
	"strings"
)

// A Row is one case and what came out.
type Row struct {
	Case     string // names the row: another run of the case replaces it
	Goal     string
	Measured string
	Met      bool
	When     string // day and revision
}

// The lines between which the table is.
const (
	tableBegin = "<!-- table: written by make lab -->"
	tableEnd   = "<!-- end of table -->"
)

// tableHead is the head of the table.
const tableHead = "| case | goal | measured | met | when |\n| --- | --- | --- | --- | --- |\n"

// errNoTable: a document has no place for the table.
var errNoTable = errors.New("it has no lines " + tableBegin + " and " + tableEnd)

// Update returns a document with a row in its table: in the place of the case's former row, else at the end.
func Update(document string, row Row) (string, error) {
	before, rest, found := strings.Cut(document, tableBegin+"\n")
	table, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		return "", errNoTable
	}
	lines, replaced := strings.SplitAfter(strings.TrimPrefix(table, tableHead), "\n"), false
	for i, line := range lines {
		if strings.HasPrefix(line, "| "+cell(row.Case)+" |") {
			lines[i], replaced = row.String(), true
		}
	}
	if !replaced {
		lines = append(lines, row.String())
	}
	return before + tableBegin + "\n" + tableHead + strings.Join(lines, "") + tableEnd + after, nil
}

// String is the row as a line of the table.
func (r Row) String() string {
	met := "**no**"
	if r.Met {
		met = "yes"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", cell(r.Case), cell(r.Goal), cell(r.Measured), met, cell(r.When))
}

// cell makes a text fit into a cell.
func cell(text string) string { return strings.NewReplacer("|", "/", "\n", " ").Replace(text) }
