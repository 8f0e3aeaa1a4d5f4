package strictxml

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"enjambre/core"
)

// maxDeclaration is the longest XML declaration in bytes; real ones have less than 60.
const maxDeclaration = 256

// decodeText returns the document as valid UTF-8 without byte order mark.
func decodeText(data []byte) (string, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")):
		data = data[3:]
	case bytes.HasPrefix(data, []byte("\xFE\xFF")), bytes.HasPrefix(data, []byte("\xFF\xFE")):
		return "", core.Refuse(core.ClassXML, "the XML document is UTF-16; use UTF-8")
	}
	encoding := declaredEncoding(data)
	switch strings.ToLower(encoding) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		if !utf8.Valid(data) {
			return "", core.Refuse(core.ClassXML, "the XML document is not valid UTF-8")
		}
		return string(data), nil
	case "iso-8859-1", "latin1", "windows-1252", "cp1252":
		return fromWindows1252(data), nil
	}
	return "", core.Refuse(core.ClassXML, "XML encoding %q: use UTF-8", encoding)
}

// declaredEncoding returns the encoding of the XML declaration, or "" when none is named.
func declaredEncoding(data []byte) string {
	if !bytes.HasPrefix(data, []byte("<?xml")) {
		return ""
	}
	head := data[:min(len(data), maxDeclaration)]
	if end := bytes.Index(head, []byte("?>")); end >= 0 {
		head = head[:end]
	}
	_, value, found := bytes.Cut(head, []byte("encoding"))
	value = bytes.TrimLeft(value, " \t\r\n=")
	if !found || len(value) == 0 {
		return ""
	}
	quote := value[0]
	name, _, _ := bytes.Cut(value[1:], []byte{quote})
	return string(name)
}

// windows1252 are the characters 0x80 to 0x9F, where Windows-1252 differs from ISO-8859-1. Programs
// that declare the latter send the former, as every browser assumes. 0 means undefined.
var windows1252 = [32]rune{
	'€', 0, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0, 'Ž', 0,
	0, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0, 'ž', 'Ÿ',
}

func fromWindows1252(data []byte) string {
	var text strings.Builder
	text.Grow(len(data) + len(data)/8)
	for _, b := range data {
		c := rune(b)
		if b >= 0x80 && b < 0xA0 {
			if c = windows1252[b-0x80]; c == 0 {
				c = utf8.RuneError
			}
		}
		text.WriteRune(c)
	}
	return text.String()
}

// lineEnds reads each line end, CR LF or CR or LF, as one LF.
func lineEnds(text string) string {
	if !strings.Contains(text, "\r") {
		return text
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

// entities are the five that XML defines; there are no others without a DOCTYPE.
var entities = map[string]string{"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'"}

// resolve replaces entity and character references and checks the characters.
func (r *reader) resolve(raw string) (string, error) {
	if err := r.checkCharacters(raw); err != nil {
		return "", err
	}
	raw = lineEnds(raw)
	if !strings.Contains(raw, "&") {
		return raw, nil
	}
	var text strings.Builder
	for {
		before, after, found := strings.Cut(raw, "&")
		text.WriteString(before)
		if !found {
			return text.String(), nil
		}
		// The longest reference is "&#x10FFFF;", give or take leading zeros.
		name, _, found := strings.Cut(after[:min(len(after), 16)], ";")
		if !found {
			return "", r.refuse("\"&\" without an entity")
		}
		raw = after[len(name)+1:]
		if entity, known := entities[name]; known {
			text.WriteString(entity)
			continue
		}
		c, err := r.character(name)
		if err != nil {
			return "", err
		}
		text.WriteRune(c)
	}
}

// character reads the inside of a character reference: "#10" or "#xA".
func (r *reader) character(name string) (rune, error) {
	digits, base := strings.TrimPrefix(name, "#"), 10
	if hexadecimal, isHex := strings.CutPrefix(digits, "x"); isHex {
		digits, base = hexadecimal, 16
	}
	number, err := strconv.ParseUint(digits, base, 32)
	if err != nil || !strings.HasPrefix(name, "#") || number > utf8.MaxRune {
		return 0, r.refuse("unknown entity &%s;", name)
	}
	if !allowed(rune(number)) {
		return 0, r.refuse("character reference &%s; is not allowed", name)
	}
	return rune(number), nil
}
