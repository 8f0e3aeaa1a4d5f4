package ocs

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"enjambre/core"
	"enjambre/core/internal/loosexml"
	"enjambre/core/internal/strictxml"
)

// A Kept names a section of an inventory that its reader has a use for, with the fields. Of a section that occurs more
// than Most times the rest is passed over.
type Kept struct {
	Section string
	Most    int
	Fields  []string
}

// A StockReader reads messages of stock agents. Its INVENTORY is read tolerantly, see core/internal/loosexml: only the
// sections that are kept are looked at, and no text is longer than [MaxText]. All other messages are read as
// [ParseRequest] does. A StockReader does not change, so it may be shared.
type StockReader struct{ plan *loosexml.Plan }

// MaxText is how many bytes a [StockReader] keeps of one text of an inventory.
const MaxText = loosexml.MaxValue

// NewStockReader returns a reader that keeps the named sections, besides account fields and the history.
func NewStockReader(sections ...Kept) *StockReader {
	history := &loosexml.Plan{Inside: map[string]*loosexml.Plan{
		"PACKAGE": loosexml.Fields(MaxHistory, "ID"), "OLD_DEVICEID": loosexml.Field,
	}}
	content := map[string]*loosexml.Plan{
		"ACCOUNTINFO":  loosexml.Fields(MaxAccount, "KEYNAME", "KEYVALUE"),
		"DOWNLOAD":     {Inside: map[string]*loosexml.Plan{"HISTORY": history, "OLD_DEVICEID": loosexml.Field}},
		"OLD_DEVICEID": loosexml.Field, "DEVICEID": named,
	}
	for _, section := range sections {
		content[section.Section] = loosexml.Fields(section.Most, section.Fields...)
	}
	return &StockReader{&loosexml.Plan{Inside: map[string]*loosexml.Plan{
		"DEVICEID": named, "QUERY": named, "CONTENT": {Inside: content},
	}}}
}

// named is the plan of what says who sends which message: a second one is kept to be compared.
var named = &loosexml.Plan{Most: 2}

// ParseRequest reads a decoded message of a stock agent. A message that is no inventory is refused as by the function
// of this name; an inventory only where it cannot be read at all, or says two things about who sends it.
func (s *StockReader) ParseRequest(document []byte) (*Request, error) {
	var strictly error
	if len(document) <= MaxMessage {
		request, err := ParseRequest(document)
		if err == nil {
			return request, nil
		}
		strictly = err
	}
	root, err := loosexml.Parse(document, s.plan)
	if err == nil && root.Name != "REQUEST" {
		err = core.Refuse(core.ClassXML, "root element <%.40s>, want <REQUEST>", root.Name)
	}
	var query string
	if err == nil {
		query, err = agreed(root, "QUERY")
	}
	switch {
	case strictly != nil && (err != nil || Query(query) != QueryInventory):
		return nil, strictly
	case err != nil:
		return nil, err
	case Query(query) != QueryInventory:
		return nil, tooLong(query, document)
	}
	text, err := agreed(root, "DEVICEID")
	if err == nil && text == "" {
		text, err = agreed(child(root, "CONTENT"), "DEVICEID")
	}
	if err == nil && strings.ContainsRune(text, utf8.RuneError) { // who sends it must not be guessed
		err = core.Refuse(core.ClassField, "device ID %.80q holds a character that cannot be read", text)
	}
	if err != nil {
		return nil, err
	}
	device, err := core.ParseDeviceID(text)
	if err != nil {
		return nil, err
	}
	return &Request{Query: QueryInventory, Device: device, root: root}, nil
}

// agreed returns a field that is the same wherever the element has it; "" when absent. e may be nil.
func agreed(e *strictxml.Element, name string) (string, error) {
	if e == nil {
		return "", nil
	}
	var values []string
	for _, attribute := range e.Attributes {
		if attribute.Name == name {
			values = append(values, attribute.Value)
		}
	}
	_ = children(e, name, func(inside *strictxml.Element) error {
		values = append(values, inside.Text)
		return nil
	})
	agreed := ""
	for i, value := range values {
		if value = strings.TrimSpace(value); i > 0 && value != agreed {
			return "", core.Refuse(core.ClassXML, "<%s> has two different %s", e.Name, name)
		}
		agreed = value
	}
	return agreed, nil
}

// maxNames is how many times a device ID is looked for in a document that cannot be read.
const maxNames = 16

// Sender returns the device ID that a document names first, for the log: the document was refused, or ends early, and
// proves nothing. It is "" when none can be read.
func Sender(document []byte) core.DeviceID {
	const name = "DEVICEID"
	for range maxNames {
		before, after, found := bytes.Cut(document, []byte(name))
		if !found {
			return ""
		}
		document = after
		if bytes.HasSuffix(before, []byte("_")) { // OLD_DEVICEID
			continue
		}
		after = bytes.TrimLeft(after[:min(len(after), 2*core.MaxDeviceID)], " \t\r\n=>\"'")
		if end := bytes.IndexAny(after, "<\"'"); end >= 0 {
			id, err := core.ParseDeviceID(strings.TrimSpace(string(after[:end])))
			if err == nil && utf8.ValidString(string(id)) {
				return id
			}
		}
	}
	return ""
}
