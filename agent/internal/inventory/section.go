package inventory

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"enjambre/core"
	"enjambre/core/ocs"
)

const (
	maxValue = 64 << 10 // bytes of one value once it is escaped: what the protocol's reader takes
	maxNote  = 1 << 10
	// maxEscape is the longest escape of one character in XML, &quot;.
	maxEscape = len("&quot;")
)

// section makes a section of pairs of names and values, without those that are empty.
func section(name string, pairs ...string) ocs.Section {
	made := ocs.Section{Name: name, Fields: make([]ocs.Field, 0, len(pairs)/2)}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			made.Fields = append(made.Fields, ocs.Field{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	return made
}

// number writes a count, or "" for none known.
func number[T ~int | ~int64 | ~uint64](n T) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(int64(n), 10)
}

// mebibytes writes a size in MiB; that of an empty drive is 0, not unknown.
func mebibytes(bytes uint64) string { return strconv.FormatUint(bytes>>20, 10) }

// printable makes a value one line without control characters or others that deceive, and cuts it so that it
// has at most most bytes once it is escaped.
func printable(value string, most int) string {
	var clean strings.Builder
	clean.Grow(min(len(value), most))
	size := 0
	for _, r := range strings.TrimSpace(value) {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			r = ' '
		case r == utf8.RuneError:
			r = '?'
		case unicode.IsControl(r), core.IsDeceptive(r), r == '\ufffe', r == '\uffff':
			continue
		}
		width := utf8.RuneLen(r)
		if strings.ContainsRune(`&<>"'`, r) {
			width = maxEscape
		}
		if size += width; size > most {
			break
		}
		clean.WriteRune(r)
	}
	return strings.TrimSpace(clean.String())
}

// sizeOf returns an upper bound of a section's bytes as XML, and its elements.
func sizeOf(section ocs.Section) (bytes, elements int) {
	const markup = len("    <>\n") + len("    </>\n") // of a section; fields are on one line, so theirs is less
	bytes, elements = markup+2*len(section.Name), 1
	for _, field := range section.Fields {
		bytes += markup + 2*len(field.Name) + len(field.Value)
		for _, r := range field.Value {
			if strings.ContainsRune(`&<>"'`, r) {
				bytes += maxEscape - 1
			}
		}
		elements++
	}
	return bytes, elements
}

// essential are the fields that programs keep when there are too many of them for all their fields.
var essential = map[string]bool{"NAME": true, "VERSION": true, "ARCHITECTURE": true, "FROM": true}

// bound makes every value fit to be sent, and holds lists and the whole to their bounds: first programs lose
// what is not essential, then the last of them are cut.
func (r *Report) bound(system System) {
	counts := make(map[string]int)
	kept := r.Sections[:0]
	bytes, elements := 0, 0
	for _, section := range r.Sections {
		most := MaxItems
		if section.Name == softwares {
			most = MaxPrograms
		}
		if counts[section.Name]++; counts[section.Name] > most {
			if counts[section.Name] == most+1 {
				r.note(system, section.Name, "there are more than "+strconv.Itoa(most)+"; the rest is not sent")
			}
			continue
		}
		for i, field := range section.Fields {
			section.Fields[i].Value = printable(field.Value, maxValue)
		}
		kept = append(kept, section)
		b, e := sizeOf(section)
		bytes, elements = bytes+b, elements+e
	}
	r.Sections = kept
	if bytes <= MaxSections && elements <= MaxElements {
		return
	}
	r.note(system, "bounds", "there is too much to say: programs are sent by name and version alone")
	r.shrink(system)
}

// shrink leaves programs their essential fields, and drops sections from the end, where the programs are,
// that do not fit even so.
func (r *Report) shrink(system System) {
	bytes, elements := 0, 0
	for i, section := range r.Sections {
		if section.Name == softwares {
			var fields []ocs.Field
			for _, field := range section.Fields {
				if essential[field.Name] {
					fields = append(fields, field)
				}
			}
			r.Sections[i].Fields = fields
		}
		b, e := sizeOf(r.Sections[i])
		if bytes, elements = bytes+b, elements+e; bytes > MaxSections || elements > MaxElements {
			r.note(system, "bounds", "the inventory is longer than "+strconv.Itoa(MaxSections)+
				" bytes; the rest of "+section.Name+" is not sent")
			r.Sections = r.Sections[:i]
			return
		}
	}
}
