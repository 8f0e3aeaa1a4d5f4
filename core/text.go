package core

import (
	"strings"
	"unicode/utf8"
)

// byteOrderMark begins the files that some editors write, above all on Windows.
const byteOrderMark = "\uFEFF"

// Text returns what a file says that a person has written: without a byte order mark. What is not UTF-8 is refused with
// E_FORMAT and its name, if it is UTF-16, as Windows PowerShell and Notepad write it where they are told "Unicode".
func Text(data []byte) (string, error) {
	switch text := string(data); {
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"), strings.ContainsRune(text, 0):
		return "", Refuse(ClassFormat, "it is UTF-16, or no text at all; save it as UTF-8")
	case !utf8.ValidString(text):
		return "", Refuse(ClassFormat, "it is not UTF-8; save it as UTF-8")
	default:
		return strings.TrimPrefix(text, byteOrderMark), nil
	}
}
