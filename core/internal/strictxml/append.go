package strictxml

import "unicode/utf8"

// Declaration is the first line of every document we write.
const Declaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// AppendEscaped appends text so that it means itself in an attribute value and in an element, and has
// one spelling: the five entities, and references for tab and line ends, which a reader may
// otherwise change. What XML cannot hold at all becomes U+FFFD.
func AppendEscaped(to []byte, text string) []byte {
	for _, c := range text {
		switch c {
		case '&':
			to = append(to, "&amp;"...)
		case '<':
			to = append(to, "&lt;"...)
		case '>':
			to = append(to, "&gt;"...)
		case '"':
			to = append(to, "&quot;"...)
		case '\'':
			to = append(to, "&apos;"...)
		case '\t':
			to = append(to, "&#x9;"...)
		case '\n':
			to = append(to, "&#xA;"...)
		case '\r':
			to = append(to, "&#xD;"...)
		default:
			if !allowed(c) {
				c = utf8.RuneError
			}
			to = utf8.AppendRune(to, c)
		}
	}
	return to
}

// AppendAttribute appends ` name="value"`, escaped. The name is ours, so it is not checked.
func AppendAttribute(to []byte, name, value string) []byte {
	to = append(to, ' ')
	to = append(to, name...)
	to = append(to, '=', '"')
	to = AppendEscaped(to, value)
	return append(to, '"')
}

// AppendElement appends one line, <name>value</name>, indented by depth times two blanks.
func AppendElement(to []byte, depth int, name, value string) []byte {
	to = AppendIndent(to, depth)
	to = append(to, '<')
	to = append(to, name...)
	to = append(to, '>')
	to = AppendEscaped(to, value)
	to = append(to, '<', '/')
	to = append(to, name...)
	return append(to, '>', '\n')
}

// AppendIndent appends depth times two blanks.
func AppendIndent(to []byte, depth int) []byte {
	for range depth {
		to = append(to, ' ', ' ')
	}
	return to
}
