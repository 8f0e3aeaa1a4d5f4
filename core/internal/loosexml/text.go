package loosexml

import (
	"bytes"
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxReference is the longest reference that is looked for, such as "&CounterClockwiseContourIntegral;".
const maxReference = 40

// longestSource is how many bytes of a document one byte of text may need: "&#x0000000041;" and longer ones.
const longestSource = 16

// A text gathers the runs of one element's text, MaxValue bytes of them. Nearly every element has one run.
type text struct {
	first string
	all   []byte // of several runs; else empty
}

// addRun adds a run, unless it is only white space.
func (t *text) addRun(run string) {
	if strings.TrimLeft(run, " \t\r\n") != "" {
		t.add(run)
	}
}

func (t *text) add(more string) {
	switch {
	case more == "" || len(t.all) >= MaxValue:
	case t.first == "":
		t.first = more
	default:
		if len(t.all) == 0 {
			t.all = append(t.all, t.first...)
		}
		t.all = append(t.all, more...)
	}
}

// String returns what was gathered.
func (t *text) String() string {
	if len(t.all) > 0 {
		return clip(string(t.all))
	}
	return t.first
}

// clip cuts a text to MaxValue bytes, between characters.
func clip(text string) string {
	if len(text) <= MaxValue {
		return text
	}
	end := MaxValue
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] // of a text that is a few bytes longer
}

// value returns the text that raw bytes of the document mean, references resolved.
func (r *reader) value(raw []byte) string { return r.read(raw, true) }

// plain returns the text of a CDATA section.
func (r *reader) plain(raw []byte) string { return r.read(raw, false) }

func (r *reader) read(raw []byte, references bool) string {
	raw = raw[:min(len(raw), longestSource*(MaxValue+1))]
	if isPlain(raw) {
		return string(raw[:min(len(raw), MaxValue)])
	}
	if r.charset != nil {
		raw = r.charset(raw)
	}
	text := r.scratch[:0]
	for len(raw) > 0 && len(text) <= MaxValue {
		c, length := character(raw, references)
		text = utf8.AppendRune(text, c)
		raw = raw[length:]
	}
	r.scratch = text
	return clip(string(text))
}

// isPlain reports whether the bytes mean themselves in every character set, as nearly all do.
func isPlain(raw []byte) bool {
	for _, c := range raw {
		if c < ' ' && c != '\n' && c != '\t' || c >= utf8.RuneSelf || c == '&' {
			return false
		}
	}
	return true
}

// character returns the first character that raw means, and how many bytes tell it. What XML cannot hold is U+FFFD.
func character(raw []byte, references bool) (c rune, length int) {
	if raw[0] == '&' && references {
		return reference(raw)
	}
	c, length = utf8.DecodeRune(raw)
	switch {
	case c == utf8.RuneError && length == 1:
		return foreign(raw)
	case c == '\r':
		if len(raw) > 1 && raw[1] == '\n' {
			length = 2
		}
		return '\n', length
	}
	return allowed(c), length
}

// allowed returns c, or U+FFFD when no XML document may hold it: the production Char of XML 1.0.
func allowed(c rune) rune {
	if c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0xD7FF || c >= 0xE000 && c <= 0xFFFD ||
		c >= 0x10000 && c <= utf8.MaxRune {
		return c
	}
	return utf8.RuneError
}

// foreign reads bytes that are no UTF-8: surrogates of three bytes each, which some systems write for a character
// beyond U+FFFF (CESU-8), the NUL of two bytes that Java writes, or else one letter of Windows-1252. A stock server
// reads such a document as Latin-1.
func foreign(raw []byte) (c rune, length int) {
	if high, is := surrogate(raw); is {
		if low, is := surrogate(raw[3:]); is {
			if pair := utf16.DecodeRune(high, low); pair != utf8.RuneError {
				return allowed(pair), 6
			}
		}
		return utf8.RuneError, 3
	}
	if bytes.HasPrefix(raw, []byte("\xC0\x80")) {
		return utf8.RuneError, 2
	}
	return fromWindows1252(raw[0]), 1
}

// surrogate returns the surrogate that raw begins with.
func surrogate(raw []byte) (rune, bool) {
	if len(raw) < 3 || raw[0] != 0xED || raw[1] < 0xA0 || raw[1] > 0xBF || raw[2]&0xC0 != 0x80 {
		return 0, false
	}
	return 0xD000 | rune(raw[1]&0x3F)<<6 | rune(raw[2]&0x3F), true
}

// reference reads what begins with "&". An "&" without a known reference means itself.
func reference(raw []byte) (c rune, length int) {
	name, _, found := bytes.Cut(raw[1:min(len(raw), maxReference)], []byte{';'})
	if !found || len(name) == 0 {
		return '&', 1
	}
	length = len(name) + 2
	if digits, numeric := bytes.CutPrefix(name, []byte{'#'}); numeric {
		number, is := codePoint(string(digits))
		if !is {
			return '&', 1
		}
		if utf16.IsSurrogate(number) { // two references may make one character
			return joined(number, raw, length)
		}
		return allowed(number), length
	}
	whole := string(raw[:length])
	if text := html.UnescapeString(whole); text != whole && utf8.RuneCountInString(text) == 1 {
		c, _ = utf8.DecodeRuneInString(text)
		return allowed(c), length
	}
	return '&', 1
}

// joined returns the character of which a reference is the high surrogate and the next one the low surrogate.
func joined(high rune, raw []byte, length int) (rune, int) {
	rest := raw[length:]
	name, _, found := bytes.Cut(rest[:min(len(rest), maxReference)], []byte{';'})
	digits, numeric := bytes.CutPrefix(name, []byte("&#"))
	if found && numeric {
		if low, is := codePoint(string(digits)); is {
			if pair := utf16.DecodeRune(high, low); pair != utf8.RuneError {
				return allowed(pair), length + len(name) + 1
			}
		}
	}
	return utf8.RuneError, length
}

// codePoint reads the number of a character reference, "10" or "xA"; one that is too large is U+FFFD.
func codePoint(digits string) (rune, bool) {
	base := 10
	if hexadecimal := strings.TrimLeft(digits, "xX"); len(hexadecimal) == len(digits)-1 {
		digits, base = hexadecimal, 16
	}
	number, err := strconv.ParseUint(digits, base, 64)
	if err != nil && !isRange(err) {
		return 0, false
	}
	if number > utf8.MaxRune {
		return utf8.RuneError, true
	}
	return rune(number), true
}
