package main

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// A style is how a line of the board stands out on a terminal.
type style string

// The styles, as terminals are told.
const (
	plain style = ""
	faint style = "\x1b[2m"
	green style = "\x1b[32m"
	reset style = "\x1b[0m"
)

// A line is one of the board.
type line struct {
	style style
	text  string
}

// Widths of the board's bars, in cells.
const (
	minBar = 6
	maxBar = 24
)

// board draws a view: the sites, then the packages. Its bars are as long as lines of fewer cells than width allow; where
// they would be too short there are none.
func board(v view, width int) []line {
	bar := maxBar
	for bar > 0 && widest(sites(v.sites, bar)) >= width {
		if bar--; bar < minBar {
			bar = 0
		}
	}
	return append(sites(v.sites, bar), packages(v.packages)...)
}

// widest returns the cells of the longest line.
func widest(lines []line) (cells int) {
	for _, one := range lines {
		cells = max(cells, utf8.RuneCountInString(one.text))
	}
	return cells
}

// sites draws the sites, with bars of that many cells.
func sites(all []siteView, bar int) []line {
	rows := [][]string{{"SITE", "RATE", "AGENTS", "NEIGHBOURS", "OVER THE WAN", "R", "AT AGENTS"}}
	styles := []style{faint}
	for _, s := range all {
		row := []string{
			string(s.name), s.rate.String(), fmt.Sprintf("%d of %d", s.members, s.agents),
			fmt.Sprintf("%d of %d", s.neighbours/2, s.pairs()), "-", "-", "-",
		}
		if s.whole > 0 {
			row[4] = joined(barOf(s.copies(), bar), fmt.Sprintf("%4.1f of %.1f MiB", mebi(s.origin), mebi(s.whole)))
			row[5] = fmt.Sprintf("%.2f", s.copies())
			row[6] = joined(barOf(s.spread(), bar), fmt.Sprintf("%3.0f %%", math.Floor(100*s.spread())))
		}
		rows = append(rows, row)
		chosen := plain
		if s.spread() == 1 {
			chosen = green
		}
		styles = append(styles, chosen)
	}
	return styled(columns(rows), styles)
}

// packages draws the packages; nothing when there are none.
func packages(all []packageView) []line {
	if len(all) == 0 {
		return nil
	}
	rows := [][]string{{"PACKAGE", "NAME", "STATE"}}
	styles := []style{faint}
	for _, p := range all {
		rows = append(rows, []string{p.id.String(), p.name, p.states()})
		chosen := plain
		if p.computers > 0 && p.succeeded == p.computers {
			chosen = green
		}
		styles = append(styles, chosen)
	}
	return styled(columns(rows), styles)
}

func styled(texts []string, styles []style) (lines []line) {
	for i, text := range texts {
		lines = append(lines, line{styles[i], text})
	}
	return lines
}

// columns aligns the cells of rows to the left, two blanks apart.
func columns(rows [][]string) (lines []string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var text strings.Builder
		for i, cell := range row {
			text.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		lines = append(lines, strings.TrimRight(text.String(), " "))
	}
	return lines
}

// barOf draws a part of 1 in a number of cells, halves included. More than 1 fills it.
func barOf(part float64, cells int) string {
	halves := int(math.Floor(min(max(part, 0), 1) * float64(2*cells)))
	text := strings.Repeat("━", halves/2)
	if halves%2 == 1 {
		text += "╸"
	}
	return text + strings.Repeat("─", cells-utf8.RuneCountInString(text))
}

// joined puts a bar before a text.
func joined(bar, text string) string {
	if bar == "" {
		return text
	}
	return bar + " " + text
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// fit cuts a text to so many cells.
func fit(text string, cells int) string {
	if utf8.RuneCountInString(text) <= cells {
		return text
	}
	return string([]rune(text)[:cells])
}
