package query

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"enjambre/core"
)

// An Error says why Parse refused a query, and where. Everything in it but Text and Token is safe
// to show on a terminal; Error's text is safe as a whole.
type Error struct {
	Text     string // the query as given
	Offset   int    // where the offending token begins: bytes from 0; len(Text) is the end
	Column   int    // the same place in characters, counted from 1
	Token    string // the offending token as typed; "" at the end of the query
	Problem  string // what is wrong
	Expected string // what could stand there; "" where Problem says it
	Hint     string // what to do; may be ""
}

// newError makes an Error about the token that text[start:end] is.
func newError(text string, start, end int, problem string) *Error {
	return &Error{
		Text: text, Offset: start, Column: utf8.RuneCountInString(text[:start]) + 1,
		Token: text[start:end], Problem: problem,
	}
}

// Error says the place, the problem and the hint on the first line; the second shows the query, or
// the part of it around the place, and the third has carets under the token.
func (e *Error) Error() string {
	message := e.Problem
	if e.Expected != "" {
		message += ", expected " + e.Expected
	}
	if e.Hint != "" {
		message += "; " + e.Hint
	}
	if strings.TrimSpace(e.Text) == "" || len(e.Text) > MaxText {
		return message // there is nothing to point at
	}
	return fmt.Sprintf("column %d: %s\n%s", e.Column, message, e.excerpt())
}

// excerpt returns two indented lines that fit a terminal of 80 columns: the query and the carets.
func (e *Error) excerpt() string {
	const (
		width  = 70
		before = 45 // of width, what is shown before the token of a long query
	)
	runes := []rune(e.Text)
	at := e.Column - 1
	from := 0
	if len(runes) > width && at > before {
		from = min(at-before, len(runes)-width)
	}
	until := min(len(runes), from+width)
	var query, carets strings.Builder
	if from > 0 {
		query.WriteString("...")
		carets.WriteString("   ")
	}
	end := min(at+max(1, utf8.RuneCountInString(e.Token)), max(until, at+1))
	for i := from; i < max(until, end); i++ {
		glyph := ' '
		if i < len(runes) {
			glyph = visible(runes[i])
			query.WriteRune(glyph)
		}
		switch {
		case i == at:
			carets.WriteByte('^')
		case unicode.Is(unicode.Mn, glyph): // stands over its neighbour and takes no column
		case i < at:
			carets.WriteByte(' ')
		case i < end:
			carets.WriteByte('^')
		}
	}
	if until < len(runes) {
		query.WriteString("...")
	}
	return "  " + query.String() + "\n  " + carets.String()
}

// visible replaces what would move the carets or deceive the reader.
func visible(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r), core.IsDeceptive(r):
		return utf8.RuneError
	}
	return r
}

// shown quotes foreign text for a message, at most 40 characters of it, with nothing invisible.
func shown(text string) string {
	const most = 40
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "..."
	}
	return quote(strings.Map(visible, text))
}
