package query

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"enjambre/core"
)

// A tokenKind tells the tokens of a query apart.
type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenQuoted
	tokenOp
	tokenOpen
	tokenClose
	tokenComma
	tokenBad // carries the error
)

// A token is text[start:end] of the query; its text is without quotes.
type token struct {
	kind       tokenKind
	text       string
	start, end int
	err        *Error
}

// is reports whether the token is the keyword word, which is in lower case.
func (t token) is(word string) bool {
	return t.kind == tokenWord && strings.EqualFold(t.text, word)
}

func (t token) isKeyword() bool {
	return t.is("and") || t.is("or") || t.is("not") || t.is("in")
}

// opCharacters and the other special characters end a word.
const opCharacters = "=!~<>"

// foreignOps maps what people know from elsewhere to what they should write.
var foreignOps = map[string]string{
	"==": "write =", "===": "write =", "<>": "write !=", "!==": "write !=", "=!": "write !=",
	"=>": "write >=", "=<": "write <=", "=~": "write ~", "!": "write not",
	"!~": "write not before the condition: not name ~ test",
}

// typographicQuotes come from word processors, and from chats that improve what is pasted.
const typographicQuotes = "“”„«»‘’‚"

// lex cuts the query into tokens. The last is the end or what could not be read: the parser
// reports that when it gets there, so that the leftmost mistake is the one reported.
func lex(text string) []token {
	var tokens []token
	for at := 0; ; {
		at = skipBlanks(text, at)
		next := lexOne(text, at)
		tokens = append(tokens, next)
		if next.kind == tokenEnd || next.kind == tokenBad {
			return tokens
		}
		at = next.end
	}
}

func skipBlanks(text string, at int) int {
	return len(text) - len(strings.TrimLeftFunc(text[at:], unicode.IsSpace))
}

// lexOne reads the token that begins at at, which is not a blank.
func lexOne(text string, at int) token {
	if at == len(text) {
		return token{kind: tokenEnd, start: at, end: at}
	}
	single := func(kind tokenKind) token {
		return token{kind: kind, text: text[at : at+1], start: at, end: at + 1}
	}
	switch c := text[at]; {
	case c == '(':
		return single(tokenOpen)
	case c == ')':
		return single(tokenClose)
	case c == ',':
		return single(tokenComma)
	case c == '"', c == '\'':
		return lexQuoted(text, at)
	case strings.IndexByte(opCharacters, c) >= 0:
		return lexOp(text, at)
	}
	rest := text[at:]
	end := strings.IndexFunc(rest, func(r rune) bool { return !isWordRune(r) })
	if end == 0 {
		return badRune(text, at)
	}
	if end < 0 {
		end = len(rest)
	}
	return token{kind: tokenWord, text: rest[:end], start: at, end: at + end}
}

// isWordRune reports whether r may stand in a value without quotes.
func isWordRune(r rune) bool {
	return !unicode.IsSpace(r) && !unicode.IsControl(r) && !core.IsDeceptive(r) &&
		!strings.ContainsRune(opCharacters+`(),"'`+typographicQuotes, r)
}

func lexOp(text string, at int) token {
	length := len(text[at:]) - len(strings.TrimLeft(text[at:], opCharacters))
	op := text[at : at+length]
	switch Op(op) {
	case opEqual, opNotEqual, opContains, opLess, opLessEqual, opGreater, opGreaterEqual:
		return token{kind: tokenOp, text: op, start: at, end: at + length}
	}
	err := newError(text, at, at+length, "unknown operator "+shown(op))
	err.Hint = foreignOps[op]
	if err.Hint == "" {
		err.Hint = "operators: =, !=, ~, <, <=, >, >=, in; quote a value that holds one"
	}
	return token{kind: tokenBad, start: at, end: at + length, err: err}
}

// lexQuoted reads a value in quotes; the same quote inside is written twice.
func lexQuoted(text string, at int) token {
	mark := text[at]
	var value strings.Builder
	for i := at + 1; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == rune(mark) && i+1 < len(text) && text[i+1] == mark:
			value.WriteByte(mark)
			size = 2
		case r == rune(mark):
			return token{kind: tokenQuoted, text: value.String(), start: at, end: i + 1}
		case unicode.IsControl(r), core.IsDeceptive(r):
			return badRune(text, i)
		default:
			value.WriteString(text[i : i+size])
		}
		i += size
	}
	err := newError(text, at, at+1, fmt.Sprintf("the quote %c is never closed", mark))
	err.Hint = `put the whole value in quotes: user = "O'Brien"`
	return token{kind: tokenBad, start: at, end: at + 1, err: err}
}

// badRune refuses the character at at.
func badRune(text string, at int) token {
	r, size := utf8.DecodeRuneInString(text[at:])
	problem, hint := fmt.Sprintf("the character %U is not allowed", r), "it does not show; remove it"
	if strings.ContainsRune(typographicQuotes, r) {
		problem, hint = fmt.Sprintf("the typographic quote %c is not allowed here", r), `use " or '`
	}
	err := newError(text, at, at+size, problem)
	err.Hint = hint
	return token{kind: tokenBad, start: at, end: at + size, err: err}
}

// quote writes text as a quoted value.
func quote(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }

// isWord reports whether text read without quotes is one value.
func isWord(text string) bool {
	word := token{kind: tokenWord, text: text}
	return text != "" && !word.isKeyword() &&
		strings.IndexFunc(text, func(r rune) bool { return !isWordRune(r) }) < 0
}
