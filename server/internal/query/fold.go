package query

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fold maps text to a form that is equal for texts that differ only in case, in every script:
// MÜLLER, Müller and müller fold alike. All comparisons of text in this package fold both sides; a
// store that compares in another language must use this very function. It folds character by
// character, so "ß" is not "ss", and it does not compose accents. Fold(Fold(s)) is Fold(s).
func Fold(text string) string {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return strings.Map(foldRune, text)
		}
	}
	return strings.ToLower(text)
}

// foldRune picks one member of each set of characters that differ in case only. Lower case alone
// would leave "σ" and "ς", or "k" and the Kelvin sign, apart.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return unicode.ToLower(least)
}
