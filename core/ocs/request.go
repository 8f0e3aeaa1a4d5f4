package ocs

import (
	"strings"
	"unicode"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// A Query says what a request is.
type Query string

// What agents ask. ENROLL and PROGRESS are Enjambre's own.
const (
	QueryProlog    Query = "PROLOG"
	QueryInventory Query = "INVENTORY"
	QueryDownload  Query = "DOWNLOAD"
	QueryNotify    Query = "NOTIFY"
	QueryEnroll    Query = "ENROLL"
	QueryProgress  Query = "PROGRESS"
)

// inventoryLimits bound the largest message; others are held to strictxml.Default.
var inventoryLimits = strictxml.Limits{
	Bytes: MaxInventory, Depth: 32, Attributes: 64, Value: 64 << 10, Elements: 150_000,
}

// A Request is one message of an agent, its common fields read; the methods named after the queries
// read the rest. A Request is not changed after ParseRequest, so it may be shared.
type Request struct {
	Query  Query
	Device core.DeviceID
	root   *strictxml.Element
}

// ParseRequest reads a decoded message. Refusals: E_XML for what is not a well-formed REQUEST,
// E_LIMIT for what is too large, E_FIELD for a missing QUERY or a device ID that is none. An unknown
// QUERY is accepted: the caller answers it.
func ParseRequest(document []byte) (*Request, error) {
	root, err := strictxml.Parse(document, inventoryLimits)
	if err != nil {
		return nil, err
	}
	if root.Name != "REQUEST" {
		return nil, core.Refuse(core.ClassXML, "root element <%s>, want <REQUEST>", root.Name)
	}
	query, err := field(root, "QUERY")
	if err != nil {
		return nil, err
	}
	if query == "" {
		return nil, core.Refuse(core.ClassField, "the request has no QUERY")
	}
	if Query(query) != QueryInventory && len(document) > MaxMessage {
		return nil, tooLong(query, document)
	}
	device, err := field(root, "DEVICEID")
	if err != nil {
		return nil, err
	}
	id, err := core.ParseDeviceID(device)
	if err != nil {
		return nil, err
	}
	return &Request{Query: Query(query), Device: id, root: root}, nil
}

func tooLong(query string, document []byte) error {
	return core.Refuse(core.ClassLimit, "%s request of %d bytes: at most %d are allowed", printable(query, 20),
		len(document), MaxMessage)
}

// OldDevice returns the device ID that the computer had before, or "" when the agent names none. The
// Windows agent sends it after a change of host name or network card, at one of several places.
func (r *Request) OldDevice() core.DeviceID {
	content := child(r.root, "CONTENT")
	if content == nil {
		return ""
	}
	download := child(content, "DOWNLOAD")
	for _, place := range []*strictxml.Element{content, download, child(download, "HISTORY")} {
		if place == nil {
			continue
		}
		if text, err := field(place, "OLD_DEVICEID"); err == nil && text != "" {
			if id, err := core.ParseDeviceID(text); err == nil && id != r.Device {
				return id
			}
		}
	}
	return ""
}

// An Adapter is a network adapter that changed; IP is "" when it has no address.
type Adapter struct{ MAC, IP string }

// MaxAdapters is how many adapters a NOTIFY may name; more are refused with E_LIMIT.
const MaxAdapters = 256

// Adapters reads a NOTIFY request: the adapters that changed.
func (r *Request) Adapters() ([]Adapter, error) {
	var adapters []Adapter
	err := children(r.root, "IFACE", func(element *strictxml.Element) error {
		mac, err := field(element, "MAC")
		if err != nil {
			return err
		}
		address, err := field(element, "IP")
		if err == nil && len(adapters) == MaxAdapters {
			err = core.Refuse(core.ClassLimit, "the notification names more than %d adapters", MaxAdapters)
		}
		adapters = append(adapters, Adapter{MAC: mac, IP: address})
		return err
	})
	return adapters, err
}

// AppendProlog appends a PROLOG request in the Unix agent's form.
func AppendProlog(to []byte, device core.DeviceID) []byte { return Prolog{}.Append(to, device) }

// field returns a field that may be an attribute or a child element, trimmed; "" when absent. Given
// twice it is refused with E_XML.
func field(e *strictxml.Element, name string) (string, error) {
	value, found := e.Attribute(name)
	for _, inside := range e.Children {
		if inside.Name != name {
			continue
		}
		if found {
			return "", core.Refuse(core.ClassXML, "<%s> has %s twice", e.Name, name)
		}
		value, found = inside.Text, true
	}
	return strings.TrimSpace(value), nil
}

// child returns the first child element called name, or nil; e may be nil.
func child(e *strictxml.Element, name string) *strictxml.Element {
	if e == nil {
		return nil
	}
	for _, inside := range e.Children {
		if inside.Name == name {
			return inside
		}
	}
	return nil
}

// children calls visit for each child element called name.
func children(e *strictxml.Element, name string, visit func(*strictxml.Element) error) error {
	if e == nil {
		return nil
	}
	for _, inside := range e.Children {
		if inside.Name == name {
			if err := visit(inside); err != nil {
				return err
			}
		}
	}
	return nil
}

// printable makes foreign text fit to be shown: lines end as on Unix, control and deceptive characters become
// '?', and no more than most bytes stay, cut between characters.
func printable(text string, most int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\r\n", "\n")
	text = strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 || core.IsDeceptive(c) {
			return '?'
		}
		return c
	}, text)
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xC0 == 0x80 {
		most--
	}
	return strings.TrimRightFunc(text[:most], unicode.IsSpace) // as a reader will
}
