package inventory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"enjambre/core"
	"enjambre/core/ocs"
)

// A Seen is what the server last accepted: a digest for each kind of section. In JSON it is an object of
// names and hexadecimal digests. The nil Seen is a server that knows nothing.
type Seen map[string]core.Digest

// unsteady are the fields that no digest covers, because they change from one minute to the next while the
// computer stays the same: uptime, free space, and the clock of a processor that saves power. They are sent
// all the same. Users who come and go do count.
var unsteady = map[string][]string{
	"HARDWARE": {"CHECKSUM", "DESCRIPTION", "PROCESSORS"},
	"DRIVES":   {"FREE", "NUMFILES"},
	"CPUS":     {"SPEED", "CURRENT_SPEED"},
}

// Checksum returns the bits of the sections that differ from those seen, and what will have been seen once
// the server accepts them: keep it then, not before. The order of a list's items and of their fields does not
// matter. A kind of section that is missing now has no bit, and keeps its digest: its source failed, which
// says nothing.
func Checksum(sections []ocs.Section, seen Seen) (sum uint32, next Seen) {
	items := make(map[string][]string)
	for _, section := range sections {
		items[section.Name] = append(items[section.Name], canonical(section))
	}
	next = make(Seen, len(items))
	maps.Copy(next, seen)
	for name, list := range items {
		slices.Sort(list)
		digest := core.DigestOf([]byte(strings.Join(list, "")))
		if known, was := seen[name]; !was || known != digest {
			sum |= ocs.SectionBit(name)
		}
		next[name] = digest
	}
	return sum, next
}

// canonical writes the steady fields of one item, sorted, each with its lengths so that no two items have the
// same text.
func canonical(section ocs.Section) string {
	lines := make([]string, 0, len(section.Fields))
	for _, field := range section.Fields {
		if !slices.Contains(unsteady[section.Name], field.Name) {
			lines = append(lines,
				fmt.Sprintf("%d:%s=%d:%s\n", len(field.Name), field.Name, len(field.Value), field.Value))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "") + "\n"
}

// MarshalJSON writes the digests in hexadecimal.
func (s Seen) MarshalJSON() ([]byte, error) {
	texts := make(map[string]string, len(s))
	for name, digest := range s {
		texts[name] = digest.String()
	}
	return json.Marshal(texts)
}

// maxSeen is how many kinds of section there may be; the protocol has 22 with a bit.
const maxSeen = 64

// UnmarshalJSON reads what MarshalJSON writes and nothing else: known sections, each once, whole digests.
func (s *Seen) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return core.Refuse(core.ClassFormat, "the sections seen are not a JSON object")
	}
	read := make(Seen)
	for decoder.More() {
		name, digest, err := readSeen(decoder)
		if err != nil {
			return err
		}
		if _, twice := read[name]; twice || len(read) == maxSeen {
			return core.Refuse(core.ClassFormat, "the sections seen name %q twice, or are more than %d", name, maxSeen)
		}
		read[name] = digest
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return core.Refuse(core.ClassFormat, "the sections seen have no end: %v", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return core.Refuse(core.ClassFormat, "something follows the sections seen")
	}
	*s = read
	return nil
}

func readSeen(decoder *json.Decoder) (string, core.Digest, error) {
	token, err := decoder.Token()
	name, isText := token.(string)
	if err != nil || !isText || ocs.SectionBit(name) == 0 {
		return "", core.Digest{}, core.Refuse(core.ClassField, "the sections seen hold %v, no section", token)
	}
	token, err = decoder.Token()
	text, isText := token.(string)
	if err != nil || !isText {
		return "", core.Digest{}, core.Refuse(core.ClassField,
			"section %s was seen with %v, not with a digest", name, token)
	}
	digest, err := core.ParseDigest(text)
	if err != nil {
		return "", core.Digest{}, fmt.Errorf("section %s as seen: %w", name, err)
	}
	return name, digest, nil
}
