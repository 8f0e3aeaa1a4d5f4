package query

import (
	"cmp"
	"strings"
)

// CompareVersions orders the versions of software: -1 when a is older than b, 0 when neither is
// older, 1 when a is newer. It is Debian's order (Debian Policy 5.6.12) made to accept any text:
//
//   - Digits before a first ":" are the epoch, which counts most; without them it is 0.
//   - What follows the last "-" is the revision, which counts least; without one it is empty.
//   - The rest, like the revision, is read as text and numbers in turn. Numbers compare as numbers
//     of any length. In text "~" sorts before everything, even the end, then the end, then
//     ASCII letters, then all else by byte.
//
// So 9.1 < 9.10, 2.3~rc1 < 2.3 < 2.3-1 and 1:1 > 2; but 140 < 140.0, and 1.0-rc1 > 1.0 because only
// "~" marks what comes before. It is a total preorder: different spellings such as 1.01 and 1.1 may
// be equal. Case counts. Blanks around a version do not.
func CompareVersions(a, b string) int {
	epochA, upstreamA, revisionA := splitVersion(a)
	epochB, upstreamB, revisionB := splitVersion(b)
	if order := compareNumbers(epochA, epochB); order != 0 {
		return order
	}
	if order := compareParts(upstreamA, upstreamB); order != 0 {
		return order
	}
	return compareParts(revisionA, revisionB)
}

// splitVersion never fails: a ":" without an epoch before it belongs to the upstream part.
func splitVersion(version string) (epoch, upstream, revision string) {
	upstream = strings.TrimSpace(version)
	if digits, rest := cutRun(upstream, isDigit); digits != "" && strings.HasPrefix(rest, ":") {
		epoch, upstream = digits, rest[1:]
	}
	if at := strings.LastIndexByte(upstream, '-'); at >= 0 {
		upstream, revision = upstream[:at], upstream[at+1:]
	}
	return epoch, upstream, revision
}

// compareParts compares text and numbers in turn, beginning with text, which may be empty.
func compareParts(a, b string) int {
	for a != "" || b != "" {
		var textA, textB, numberA, numberB string
		textA, a = cutRun(a, isNotDigit)
		textB, b = cutRun(b, isNotDigit)
		if order := compareTexts(textA, textB); order != 0 {
			return order
		}
		numberA, a = cutRun(a, isDigit)
		numberB, b = cutRun(b, isDigit)
		if order := compareNumbers(numberA, numberB); order != 0 {
			return order
		}
	}
	return 0
}

func compareTexts(a, b string) int {
	for i := range max(len(a), len(b)) {
		if order := cmp.Compare(weight(a, i), weight(b, i)); order != 0 {
			return order
		}
	}
	return 0
}

// weight places the byte at i, or the end of text, among the others.
func weight(text string, i int) int {
	if i >= len(text) {
		return 0
	}
	switch c := text[i]; {
	case c == '~':
		return -1
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return int(c)
	default:
		return int(c) + 256
	}
}

// compareNumbers compares digits of any length; no digits are 0.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if order := cmp.Compare(len(a), len(b)); order != 0 {
		return order
	}
	return strings.Compare(a, b)
}

func cutRun(text string, belongs func(byte) bool) (run, rest string) {
	end := 0
	for end < len(text) && belongs(text[end]) {
		end++
	}
	return text[:end], text[end:]
}

func isDigit(c byte) bool    { return c >= '0' && c <= '9' }
func isNotDigit(c byte) bool { return !isDigit(c) }
