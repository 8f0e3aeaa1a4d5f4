package query

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold maps text to a form that is equal for texts that a reader takes for the same. They may differ
//
//   - in case, in every script: MÜLLER, Müller and müller fold alike;
//   - in how accents are composed: "é" may be one character or two;
//   - in blanks: every white space, such as U+00A0, is a blank, and several are one;
//   - in the signs ® ™ ℠ © and (R) (TM) (SM) (C), which makers write or leave out.
//
// All comparisons of text in this package fold both sides; a store that compares in another language must use this
// very function. It folds character by character, so "ß" is not "ss", and accents count. Fold(Fold(s)) is Fold(s).
func Fold(text string) string {
	if isFolded(text) {
		return text
	}
	if !isASCII(text) {
		text = norm.NFC.String(text)
	}
	folded := make([]byte, 0, len(text))
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			if n := len(folded); n == 0 || folded[n-1] != ' ' {
				folded = append(folded, ' ')
			}
			continue
		case isSign(r):
			continue
		}
		folded = utf8.AppendRune(folded, foldRune(r))
		if r == ')' {
			folded = withoutSign(folded)
		}
	}
	if isASCII(text) {
		return string(folded)
	}
	return string(norm.NFC.Bytes(folded)) // what is lower case now may be one character with its accent
}

// isFolded reports whether a text is ASCII that Fold does not change, as most queries and many values are.
func isFolded(text string) bool {
	for i := range len(text) {
		c := text[i]
		if c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' || c == ')' || c < ' ' || c == ' ' && i > 0 && text[i-1] == ' ' {
			return false
		}
	}
	return true
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isSign reports whether a character only says whose name something is.
func isSign(r rune) bool { return r == '®' || r == '™' || r == '℠' || r == '©' }

// withoutSign takes such a sign, as it is spelled in ASCII, off the end of folded text. What it leaves may end in
// another one's beginning, and the next ")" sees that.
func withoutSign(folded []byte) []byte {
	for _, sign := range []string{"(r)", "(tm)", "(sm)", "(c)"} {
		if bytes.HasSuffix(folded, []byte(sign)) {
			return folded[:len(folded)-len(sign)]
		}
	}
	return folded
}

// foldRune picks one member of each set of characters that differ in case only. Lower case alone
// would leave "σ" and "ς", or "k" and the Kelvin sign, apart. It is no combining mark, if there is another.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		if unicode.IsMark(least) || next < least && !unicode.IsMark(next) {
			least = next
		}
	}
	return unicode.ToLower(least)
}

// equalText reports whether two texts are the same to a reader. A text of nothing but signs and blanks is not empty.
func equalText(text, other string) bool {
	return (text == "") == (other == "") && strings.Trim(Fold(text), " ") == strings.Trim(Fold(other), " ")
}

// containsText reports whether a text contains another to a reader. One of nothing but signs is looked for as it is.
func containsText(text, part string) bool {
	if folded := Fold(part); strings.Trim(folded, " ") != "" {
		return strings.Contains(Fold(text), folded)
	}
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}
