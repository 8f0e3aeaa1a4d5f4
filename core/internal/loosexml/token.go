package loosexml

import "bytes"

// The kinds of what stands between runs of text.
const (
	endOfText = iota
	startTag
	emptyTag
	endTag
	section  // CDATA
	docType  // and what else begins with <!
	skipping // a comment or a processing instruction, which only divides the text
)

// A tag is one of them. Its bytes are the document's own.
type tag struct {
	kind int
	name []byte // of an element
	body []byte // the attributes of an element, or the text of a section
}

// next returns the text up to the next tag, and the tag. A "<" that begins none is text.
func (r *reader) next() (run []byte, found tag) {
	start := r.at
	for from := start; ; {
		open := bytes.IndexByte(r.text[from:], '<')
		if open < 0 {
			r.at = len(r.text)
			return r.text[start:], tag{kind: endOfText}
		}
		open += from
		if length, found := cutTag(r.text[open:]); length > 0 {
			r.at = open + length
			return r.text[start:open], found
		}
		from = open + 1
	}
}

// cutTag returns the tag that text begins with, and its length; 0 if it begins with none. A tag without end reaches to
// the end of the text.
func cutTag(text []byte) (length int, found tag) {
	const comment, cdata = "<!--", "<![CDATA["
	switch {
	case len(text) < 2:
		return 0, tag{}
	case bytes.HasPrefix(text, []byte(comment)):
		return ending(text, len(comment), "-->"), tag{kind: skipping}
	case bytes.HasPrefix(text, []byte(cdata)):
		length = ending(text, len(cdata), "]]>")
		return length, tag{kind: section, body: bytes.TrimSuffix(text[len(cdata):length], []byte("]]>"))}
	case text[1] == '?':
		return ending(text, 2, "?>"), tag{kind: skipping}
	case text[1] == '!':
		return ending(text, 2, ">"), tag{kind: docType}
	case text[1] == '/':
		length = ending(text, 2, ">")
		return length, tag{kind: endTag, name: cutName(text[2:length])}
	case !beginsName(text[1]):
		return 0, tag{}
	}
	return cutElement(text)
}

// ending returns the length of text up to and including end, which is looked for behind the first bytes.
func ending(text []byte, behind int, end string) int {
	if n := bytes.Index(text[behind:], []byte(end)); n >= 0 {
		return behind + n + len(end)
	}
	return len(text)
}

// cutElement returns a start tag and its length. A ">" in a quoted value does not end it.
func cutElement(text []byte) (length int, found tag) {
	quote, assigned := byte(0), false // a quote counts only behind a "="
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote, assigned = 0, false
			}
		case c == '=':
			assigned = true
		case assigned && (c == '"' || c == '\''):
			quote = c
		case c == '>':
			found = tag{kind: startTag, name: cutName(text[1:i])}
			found.body = text[1+len(found.name) : i]
			if i > 1 && text[i-1] == '/' {
				found.kind, found.body = emptyTag, bytes.TrimSuffix(found.body, []byte{'/'})
			}
			return i + 1, found
		}
	}
	return len(text), tag{kind: skipping} // and the end of the text follows
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// beginsName takes every byte beyond ASCII for a letter.
func beginsName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' || c >= 0x80
}

// cutName returns the name that text begins with.
func cutName(text []byte) []byte {
	for i, c := range text {
		if isSpace(c) || c == '/' || c == '>' || c == '=' {
			return text[:i]
		}
	}
	return text
}

// cutAttribute takes the first attribute off the body of a start tag. An attribute without value has the value "".
func cutAttribute(body []byte) (name, value, rest []byte) {
	body = bytes.TrimLeft(body, " \t\r\n/")
	name = cutName(body)
	body = bytes.TrimLeft(body[len(name):], " \t\r\n")
	switch {
	case len(body) == 0:
		return name, nil, nil
	case body[0] != '=' && len(name) == 0: // nothing that begins an attribute, such as ">"
		return nil, nil, body[1:]
	case body[0] != '=':
		return name, nil, body
	}
	body = bytes.TrimLeft(body[1:], " \t\r\n")
	if len(body) == 0 {
		return name, nil, nil
	}
	if quote := body[0]; quote == '"' || quote == '\'' {
		if end := bytes.IndexByte(body[1:], quote); end >= 0 {
			return name, body[1 : 1+end], body[2+end:]
		}
		return name, body[1:], nil
	}
	end := 0
	for end < len(body) && !isSpace(body[end]) {
		end++
	}
	return name, body[:end], body[end:]
}
