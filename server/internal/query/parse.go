package query

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxText is the longest query in bytes.
const MaxText = 8 << 10

// The other limits; see the package's doc. A query that a person wrote is far below them, one that
// a program wrote should send its computers otherwise.
const (
	maxDepth  = 32
	maxTerms  = 256
	maxValues = 1000
)

// Parse reads a query. Every error it returns is an [*Error]. For each expression it returns,
// Parse(expr.String()) returns an equal one.
func Parse(text string) (Expr, error) {
	switch {
	case len(text) > MaxText:
		return nil, &Error{Text: text, Column: 1,
			Problem: fmt.Sprintf("the query has %d bytes; the most is %d", len(text), MaxText)}
	case !utf8.ValidString(text):
		return nil, invalidUTF8(text)
	case strings.TrimSpace(text) == "":
		return nil, &Error{Text: text, Column: 1, Problem: "the query is empty",
			Hint: "write a condition, such as os = windows; every computer is chosen with --all"}
	}
	p := parser{query: text, tokens: lex(text)}
	expr, err := p.parseOr()
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tokenEnd {
		return nil, p.afterTerm()
	}
	if canonical := len(expr.String()); canonical > MaxText {
		return nil, &Error{Text: text, Column: 1, Problem: fmt.Sprintf(
			"the query has %d bytes once spaced and quoted as usual; the most is %d", canonical, MaxText)}
	}
	return expr, nil
}

// invalidUTF8 makes the error about the first byte that is no character.
func invalidUTF8(text string) *Error {
	at := 0
	for {
		r, size := utf8.DecodeRuneInString(text[at:])
		if r == utf8.RuneError && size <= 1 {
			return newError(text, at, at+size, "the query is not valid UTF-8")
		}
		at += size
	}
}

// A parser holds the tokens not read yet and what the limits count.
type parser struct {
	query  string
	tokens []token // never empty: the last is never taken
	depth  int
	terms  int
}

func (p *parser) peek() token { return p.tokens[0] }

// take returns the next token and moves past it, except at the end.
func (p *parser) take() token {
	next := p.tokens[0]
	if len(p.tokens) > 1 {
		p.tokens = p.tokens[1:]
	}
	return next
}

// fail makes an error about t.
func (p *parser) fail(t token, problem, hint string) *Error {
	err := newError(p.query, t.start, t.end, problem)
	err.Hint = hint
	return err
}

// unexpected makes the error for a token that cannot stand where it does.
func (p *parser) unexpected(t token, expected string) *Error {
	if t.kind == tokenBad {
		return t.err
	}
	problem := "the query ends too early"
	if t.kind != tokenEnd {
		problem = "unexpected " + shown(p.query[t.start:t.end])
	}
	err := p.fail(t, problem, "")
	err.Expected = expected
	return err
}

// afterTerm makes the error for what follows a complete condition.
func (p *parser) afterTerm() *Error {
	t := p.peek()
	err := p.unexpected(t, "and, or, or the end")
	switch {
	case t.kind == tokenBad, t.kind == tokenEnd:
	case t.kind == tokenClose:
		err.Hint = "there is no ( for this )"
	case t.kind == tokenComma:
		err.Hint = "a list stands in parentheses: site in (lyon, paris)"
	case t.text == "&&", t.text == "&", t.text == "||", t.text == "|":
		err.Hint = "write and, or"
	default:
		err.Hint = `a value with blanks stands in quotes: name = "front desk"`
	}
	return err
}

func (p *parser) parseOr() (Expr, error) {
	terms, err := p.parseJoined("or", p.parseAnd)
	if err != nil {
		return nil, err
	}
	var flat []Expr
	for _, term := range terms {
		if inner, is := term.(Or); is {
			flat = append(flat, inner.Terms...)
		} else {
			flat = append(flat, term)
		}
	}
	if len(flat) == 1 {
		return flat[0], nil
	}
	return Or{flat}, nil
}

func (p *parser) parseAnd() (Expr, error) {
	terms, err := p.parseJoined("and", p.parseOne)
	if err != nil {
		return nil, err
	}
	var flat []Expr
	for _, term := range terms {
		if inner, is := term.(And); is {
			flat = append(flat, inner.Terms...)
		} else {
			flat = append(flat, term)
		}
	}
	if len(flat) == 1 {
		return flat[0], nil
	}
	return And{flat}, nil
}

func (p *parser) parseJoined(word string, parse func() (Expr, error)) ([]Expr, error) {
	var terms []Expr
	for {
		term, err := parse()
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
		if !p.peek().is(word) {
			return terms, nil
		}
		p.take()
	}
}

// parseOne reads a condition with its "not" or its parentheses; all recursion goes through here.
func (p *parser) parseOne() (Expr, error) {
	first := p.peek()
	if !first.is("not") && first.kind != tokenOpen {
		return p.parseTerm()
	}
	if p.depth++; p.depth > maxDepth {
		return nil, p.tooDeep(first)
	}
	defer func() { p.depth-- }()
	p.take()
	if first.kind != tokenOpen {
		term, err := p.parseOne()
		if err != nil {
			return nil, err
		}
		return Not{term}, nil
	}
	expr, err := p.parseOr()
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tokenClose {
		failed := p.afterTerm()
		if p.peek().kind != tokenBad {
			failed.Expected = "and, or, or ) for the ( at column " +
				strconv.Itoa(newError(p.query, first.start, first.end, "").Column)
		}
		return nil, failed
	}
	p.take()
	return expr, nil
}

func (p *parser) tooDeep(t token) error {
	return p.fail(t, fmt.Sprintf("more than %d levels of not and parentheses", maxDepth), "")
}
