package loosexml

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	textunicode "golang.org/x/text/encoding/unicode"
)

// A charset converts bytes of a document to UTF-8; nil for a document that is in UTF-8 itself. In all of them markup
// is what it is in ASCII, so a document is taken apart first, and only what is kept is converted.
type charset func([]byte) []byte

// decode returns the document without byte order mark, and the character set that it declares. UTF-16, in which markup
// has two bytes, is converted as a whole.
func decode(document []byte) ([]byte, charset) {
	order := textunicode.LittleEndian
	switch {
	case bytes.HasPrefix(document, []byte("\xEF\xBB\xBF")):
		document = document[3:]
	case bytes.HasPrefix(document, []byte("\xFE\xFF")), bytes.HasPrefix(document, []byte("\x00<")):
		order = textunicode.BigEndian
		fallthrough
	case bytes.HasPrefix(document, []byte("\xFF\xFE")), bytes.HasPrefix(document, []byte("<\x00")):
		if text, err := textunicode.UTF16(order, textunicode.UseBOM).NewDecoder().Bytes(document); err == nil {
			return text, nil
		}
	}
	return document, charsetOf(declared(document))
}

// maxDeclared is how far into a document its encoding is looked for.
const maxDeclared = 1 << 10

// declared returns the encoding that a document's first processing instruction names, or "".
func declared(document []byte) string {
	head := document[:min(len(document), maxDeclared)]
	_, head, found := bytes.Cut(head, []byte("<?xml"))
	head, _, closed := bytes.Cut(head, []byte("?>"))
	if !found || !closed {
		return ""
	}
	for len(head) > 0 {
		var name, value []byte
		if name, value, head = cutAttribute(head); strings.EqualFold(string(name), "encoding") {
			return string(value)
		}
	}
	return ""
}

// families are the beginnings of names that have a number, as programs spell them without punctuation, and how the
// same name is spelled in the Encoding Standard or by IANA.
var families = []struct{ prefix, standard string }{
	{"iso8859", "iso-8859-"}, {"8859", "iso-8859-"}, {"windows125", "windows-125"}, {"win125", "windows-125"},
	{"cp125", "windows-125"}, {"ms125", "windows-125"}, {"ansi125", "windows-125"}, {"125", "windows-125"},
	{"ibm", "ibm"}, {"cp", "ibm"}, {"dos", "ibm"}, {"latin", "latin"},
}

// others are names that are spelled in further ways.
var others = map[string]string{
	"gb2312": "gbk", "gb231280": "gbk", "euccn": "gbk", "cp936": "gbk", "ms936": "gbk", "windows936": "gbk", "936": "gbk",
	"gb18030": "gb18030", "gb180302000": "gb18030", "gb180302005": "gb18030", "gb180302022": "gb18030", "cp54936": "gb18030",
	"big5hkscs": "big5", "cp950": "big5", "ms950": "big5", "windows950": "big5",
	"sjis": "shift_jis", "shiftjis": "shift_jis", "cp932": "shift_jis", "ms932": "shift_jis", "windows932": "shift_jis",
	"windows31j": "shift_jis", "eucjp": "euc-jp", "euckr": "euc-kr", "cp949": "euc-kr", "windows949": "euc-kr",
	"cp874": "windows-874", "tis620": "windows-874", "koi8": "koi8-r", "koi8r": "koi8-r", "koi8u": "koi8-u", "koi8ru": "koi8-u", "cp878": "koi8-r", "cp866": "ibm866",
	"latin9": "iso-8859-15", "latin0": "iso-8859-15", "latin10": "iso-8859-16", "latin7": "iso-8859-13",
	"latin8": "iso-8859-14", "mac": "macintosh", "macroman": "macintosh", "ansi": "windows-1252",
}

// charsetOf returns the character set that a name means in any usual spelling. What is not known is read as UTF-8,
// bytes that are none as Windows-1252; so is what cannot be true, such as UTF-16 declared in bytes of ASCII.
func charsetOf(name string) charset {
	name = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "x-")
	bare := strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return c
		}
		return -1
	}, name)
	spellings := []string{others[bare], name, bare}
	for _, family := range families {
		if number, is := strings.CutPrefix(bare, family.prefix); is && number != "" {
			spellings = append(spellings, family.standard+number)
		}
	}
	for _, spelling := range spellings {
		switch found := lookUp(spelling); {
		case found == nil:
		case found != charmap.Windows1252:
			return convert(found)
		case strings.Contains(bare, "ascii"): // by the Encoding Standard the same; but here UTF-8 comes first
			return nil
		default:
			return convertWindows1252
		}
	}
	return nil
}

func convertWindows1252(raw []byte) []byte {
	text := make([]byte, 0, len(raw)+len(raw)/8)
	for _, b := range raw {
		text = utf8.AppendRune(text, fromWindows1252(b))
	}
	return text
}

// lookUp finds an encoding in which ASCII is ASCII by one of its registered names.
func lookUp(name string) encoding.Encoding {
	if name == "" {
		return nil
	}
	found, err := htmlindex.Get(name)
	if err != nil {
		if found, err = ianaindex.IANA.Encoding(name); err != nil || found == nil {
			return nil
		}
	}
	if found == charmap.ISO8859_1 { // programs that declare it send Windows-1252, as every browser assumes
		return charmap.Windows1252
	}
	if found == textunicode.UTF8 || !keepsASCII(found) {
		return nil
	}
	return found
}

// keepsASCII reports whether markup in ASCII is itself in an encoding.
func keepsASCII(one encoding.Encoding) bool {
	const markup = "<?xml?>\t\n<A b='1' c=\"2\">&#65;</A> ~{}+AGE- \x1b(B"
	text, err := one.NewDecoder().String(markup)
	return err == nil && text == markup
}

// convert returns the charset of an encoding. What it cannot convert stays, and is read as UTF-8.
func convert(one encoding.Encoding) charset {
	decoder := one.NewDecoder()
	return func(raw []byte) []byte {
		if text, err := decoder.Bytes(raw); err == nil {
			return text
		}
		return raw
	}
}

// fromWindows1252 returns the character that a byte means, U+FFFD where none is defined.
func fromWindows1252(b byte) rune {
	c := charmap.Windows1252.DecodeByte(b)
	if c >= utf8.RuneSelf && c < 0xA0 { // a control character
		return utf8.RuneError
	}
	return c
}

func isRange(err error) bool { return errors.Is(err, strconv.ErrRange) }
