package command

import (
	"strings"

	"enjambre/core"
)

// A piece is a part of a word that is quoted in one way.
type piece struct {
	text    string
	literal bool // variables are not expanded in it
}

// A word is one argument before its variables are expanded. No word has none, an empty one has one.
type word []piece

// splitWords splits a command line into words.
//
// For Linux as a POSIX shell does, with nothing of its expansions: blanks stand between words; '...' is
// taken as it is; in "..." a backslash takes the meaning from $, `, ", \ and no other character; outside
// from any. For Windows "..." is all there is, since backslashes stand in paths.
func splitWords(line string, os core.OS) ([]word, error) {
	s := splitter{rest: line, posix: os != core.Windows}
	for s.rest != "" {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	s.endWord()
	return s.words, nil
}

// A splitter is a command line on its way to words.
type splitter struct {
	rest   string
	posix  bool
	words  []word
	word   word
	inside bool // a word has begun
}

func (s *splitter) add(text string, literal bool) {
	s.inside = true
	s.word = append(s.word, piece{text, literal})
}

func (s *splitter) endWord() {
	if s.inside {
		s.words = append(s.words, s.word)
	}
	s.word, s.inside = nil, false
}

// take cuts the first n bytes off the rest.
func (s *splitter) take(n int) string {
	taken := s.rest[:n]
	s.rest = s.rest[n:]
	return taken
}

// next reads one quotation, one escape, one blank, or what stands before the next of them.
func (s *splitter) next() error {
	special := " \t\r\n\""
	if s.posix {
		special += `'\`
	}
	if plain := strings.IndexAny(s.rest, special); plain != 0 {
		if plain < 0 {
			plain = len(s.rest)
		}
		s.add(s.take(plain), false)
		return nil
	}
	switch s.take(1)[0] {
	case '"':
		return s.doubleQuotes()
	case '\'':
		end := strings.IndexByte(s.rest, '\'')
		if end < 0 {
			return core.Refuse(core.ClassExec, "the command has a ' that is not closed")
		}
		s.add(s.take(end), true)
		s.take(1)
	case '\\':
		if s.rest == "" {
			return core.Refuse(core.ClassExec, `the command ends in a \`)
		}
		s.add(s.take(1), true) // of a longer character the rest is plain
	default:
		s.endWord()
	}
	return nil
}

// doubleQuotes reads to the closing quote.
func (s *splitter) doubleQuotes() error {
	s.add("", false)
	special := `"`
	if s.posix {
		special += `\`
	}
	for {
		at := strings.IndexAny(s.rest, special)
		if at < 0 {
			return core.Refuse(core.ClassExec, `the command has a " that is not closed`)
		}
		s.add(s.take(at), false)
		if s.take(1) == `"` {
			return nil
		}
		if s.rest != "" && strings.IndexByte("$`\"\\", s.rest[0]) >= 0 {
			s.add(s.take(1), true)
		} else {
			s.add(`\`, true)
		}
	}
}

// expand returns the word's text, with each variable replaced by its value, which is not looked at again.
func (w word) expand(lookup Lookup, os core.OS) (string, error) {
	var text strings.Builder
	for _, one := range w {
		if one.literal {
			text.WriteString(one.text)
			continue
		}
		expanded, err := Expand(one.text, lookup, os)
		if err != nil {
			return "", err
		}
		text.WriteString(expanded)
	}
	return text.String(), nil
}

// check refuses a word with a variable that is not closed (E_ENV).
func (w word) check(os core.OS) error {
	_, err := w.expand(func(string) (string, error) { return "", nil }, os)
	return err
}

// literally returns the word's text, and whether that is known without any variable.
func (w word) literally(os core.OS) (text string, isWhole bool) {
	for _, one := range w {
		if one.literal {
			text += one.text
			continue
		}
		part, isWhole, err := literally(one.text, os)
		text += part
		if !isWhole || err != nil {
			return text, false
		}
	}
	return text, true
}

// literally returns a text up to its first variable, and whether it has none.
func literally(text string, os core.OS) (begin string, isWhole bool, err error) {
	for {
		before, name, after, err := nextVariable(text, os)
		begin += before
		if err != nil || name != "" {
			return begin, false, err
		}
		if after == "" {
			return begin, true, nil
		}
		text = after
	}
}

// Expand replaces $NAME and ${NAME}, for Windows %NAME%, by their values. A "$" or a "%" that begins no
// variable stands for itself. The errors are those of lookup, and E_ENV for a variable that is not closed.
func Expand(text string, lookup Lookup, os core.OS) (string, error) {
	var expanded strings.Builder
	for {
		before, name, after, err := nextVariable(text, os)
		if err != nil {
			return "", err
		}
		expanded.WriteString(before)
		if name == "" && after == "" {
			return expanded.String(), nil
		}
		if name != "" {
			value, err := lookup(name)
			if err != nil {
				return "", err
			}
			expanded.WriteString(value)
		}
		text = after
	}
}

// nextVariable returns what stands before the first variable, its name, and what stands after it. Without
// a name, before has been looked at and after has not.
func nextVariable(text string, os core.OS) (before, name, after string, err error) {
	if os == core.Windows {
		start, rest, found := strings.Cut(text, "%")
		name, after, closed := strings.Cut(rest, "%")
		if !found || !closed {
			return text, "", "", nil
		}
		if name == "" || strings.ContainsAny(name, " \\/\"") { // two percent signs, not a variable
			return start + "%", "", rest, nil
		}
		return start, name, after, nil
	}
	before, rest, found := strings.Cut(text, "$")
	if !found {
		return text, "", "", nil
	}
	if inner, braced := strings.CutPrefix(rest, "{"); braced {
		name, after, closed := strings.Cut(inner, "}")
		if !closed || nameLength(name) != len(name) || name == "" {
			return "", "", "", core.Refuse(core.ClassEnv, "${%.40s: a variable is ${NAME}, closed and not nested",
				inner)
		}
		return before, name, after, nil
	}
	length := nameLength(rest)
	if length == 0 {
		return before + "$", "", rest, nil
	}
	return before, rest[:length], rest[length:], nil
}

// nameLength returns how many bytes of text can be a variable's name: letters, digits and "_", no digit
// first.
func nameLength(text string) int {
	for i := range len(text) {
		c := text[i]
		isLetter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !isLetter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(text)
}
