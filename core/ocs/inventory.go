package ocs

import (
	"strconv"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// An Inventory is what a computer says about itself: sections of fields, as the agent sent them.
// Names and values are the protocol's own; the server reads the few that it searches by.
type Inventory struct {
	Sections []Section        // ACCOUNTINFO and DOWNLOAD apart, which follow
	Account  []AccountField   // the administrative values the computer carries
	History  []core.PackageID // packages it has installed; at most MaxHistory
	Reported bool             // whether it said anything about its history
}

// A Section is one element below CONTENT, such as HARDWARE, or one item of a list such as SOFTWARES.
type Section struct {
	Name   string
	Fields []Field
}

// A Field is one value of a section.
type Field struct{ Name, Value string }

// An AccountField is an administrative value; the one called TAG is the computer's tag.
type AccountField struct{ Key, Value string }

// TagKey is the account field that holds a computer's tag.
const TagKey = "TAG"

// MaxHistory and MaxAccount bound the lists of one inventory; longer ones are refused with E_LIMIT.
const (
	MaxHistory = 10_000
	MaxAccount = 256
)

// Value returns a field of the section, or "".
func (s Section) Value(name string) string {
	for _, field := range s.Fields {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}

// First returns the first section called name, or an empty one.
func (inv Inventory) First(name string) Section {
	for _, section := range inv.Sections {
		if section.Name == name {
			return section
		}
	}
	return Section{Name: name}
}

// All returns the sections called name, in order.
func (inv Inventory) All(name string) []Section {
	var all []Section
	for _, section := range inv.Sections {
		if section.Name == name {
			all = append(all, section)
		}
	}
	return all
}

// sectionBits are the bits of HARDWARE/CHECKSUM: which sections changed since the last inventory that
// the server accepted.
var sectionBits = map[string]uint32{
	"HARDWARE": 1, "BIOS": 2, "MEMORIES": 4, "SLOTS": 8, "REGISTRY": 16, "CONTROLLERS": 32,
	"MONITORS": 64, "PORTS": 128, "STORAGES": 256, "DRIVES": 512, "INPUTS": 1024, "MODEMS": 2048,
	"NETWORKS": 4096, "PRINTERS": 8192, "SOUNDS": 16384, "VIDEOS": 32768, "SOFTWARES": 65536,
	"VIRTUALMACHINES": 131072, "CPUS": 262144, "SIM": 524288, "BATTERIES": 1048576, "USBDEVICES": 2097152,
}

// SectionBit returns the bit of a section in HARDWARE/CHECKSUM, or 0 for a section without one, which
// must be read every time.
func SectionBit(name string) uint32 { return sectionBits[name] }

// Changed reports whether the agent says that a section changed. Without a readable CHECKSUM, and for
// a section without a bit, everything counts as changed.
func (inv Inventory) Changed(section string) bool {
	sum, err := strconv.ParseUint(inv.First("HARDWARE").Value("CHECKSUM"), 10, 32)
	bit := SectionBit(section)
	return err != nil || bit == 0 || uint32(sum)&bit != 0
}

// Inventory reads an INVENTORY request.
func (r *Request) Inventory() (Inventory, error) {
	var inventory Inventory
	content := child(r.root, "CONTENT")
	if content == nil {
		return Inventory{}, core.Refuse(core.ClassField, "the inventory has no CONTENT")
	}
	for _, element := range content.Children {
		switch element.Name {
		case "ACCOUNTINFO":
			account, err := parseAccount(element)
			if err != nil {
				return Inventory{}, err
			}
			if account.Key != "" {
				inventory.Account = append(inventory.Account, account)
			}
		case "DOWNLOAD":
			if err := inventory.readHistory(element); err != nil {
				return Inventory{}, err
			}
		default:
			inventory.Sections = append(inventory.Sections, parseSection(element))
		}
		if len(inventory.Account) > MaxAccount {
			return Inventory{}, core.Refuse(core.ClassLimit, "the inventory has more than %d account fields",
				MaxAccount)
		}
	}
	return inventory, nil
}

func parseSection(element *strictxml.Element) Section {
	section := Section{
		Name:   element.Name,
		Fields: make([]Field, 0, len(element.Attributes)+len(element.Children)),
	}
	for _, attribute := range element.Attributes {
		section.Fields = append(section.Fields, Field(attribute))
	}
	for _, inside := range element.Children {
		if len(inside.Children) == 0 {
			section.Fields = append(section.Fields, Field{Name: inside.Name, Value: inside.Text})
		}
	}
	return section
}

func parseAccount(element *strictxml.Element) (AccountField, error) {
	key, err := field(element, "KEYNAME")
	if err != nil {
		return AccountField{}, err
	}
	value, err := field(element, "KEYVALUE")
	return AccountField{Key: key, Value: value}, err
}

// readHistory reads <DOWNLOAD><HISTORY><PACKAGE ID="..."/>...; an ID that is none is ignored, since
// stock agents keep whatever stands in their history file.
func (inv *Inventory) readHistory(download *strictxml.Element) error {
	history := child(download, "HISTORY")
	if history == nil {
		return nil
	}
	inv.Reported = true
	return children(history, "PACKAGE", func(element *strictxml.Element) error {
		text, err := field(element, "ID")
		if err != nil {
			return err
		}
		if id, err := core.ParsePackageID(text); err == nil {
			inv.History = append(inv.History, id)
		}
		if len(inv.History) > MaxHistory {
			return core.Refuse(core.ClassLimit, "the inventory's history has more than %d packages", MaxHistory)
		}
		return nil
	})
}

// Append appends the INVENTORY request in the Unix agent's form.
func (inv Inventory) Append(to []byte, device core.DeviceID) []byte {
	to = append(to, strictxml.Declaration...)
	to = append(to, "<REQUEST>\n  <CONTENT>\n"...)
	for _, section := range inv.Sections {
		to = appendSection(to, section)
	}
	for _, account := range inv.Account {
		to = appendAccount(to, 2, account)
	}
	if inv.Reported {
		to = append(to, "    <DOWNLOAD>\n      <HISTORY>\n"...)
		for _, id := range inv.History {
			to = append(to, "        <PACKAGE"...)
			to = strictxml.AppendAttribute(to, "ID", id.String())
			to = append(to, " />\n"...)
		}
		to = append(to, "      </HISTORY>\n    </DOWNLOAD>\n"...)
	}
	to = append(to, "  </CONTENT>\n"...)
	to = strictxml.AppendElement(to, 1, "DEVICEID", string(device))
	to = strictxml.AppendElement(to, 1, "QUERY", string(QueryInventory))
	return append(to, "</REQUEST>\n"...)
}

func appendSection(to []byte, section Section) []byte {
	to = append(append(append(to, "    <"...), section.Name...), ">\n"...)
	for _, field := range section.Fields {
		to = strictxml.AppendElement(to, 3, field.Name, field.Value)
	}
	return append(append(append(to, "    </"...), section.Name...), ">\n"...)
}

func appendAccount(to []byte, depth int, account AccountField) []byte {
	to = append(strictxml.AppendIndent(to, depth), "<ACCOUNTINFO>\n"...)
	to = strictxml.AppendElement(to, depth+1, "KEYNAME", account.Key)
	to = strictxml.AppendElement(to, depth+1, "KEYVALUE", account.Value)
	return append(strictxml.AppendIndent(to, depth), "</ACCOUNTINFO>\n"...)
}

// An InventoryReply is a server's answer to INVENTORY: account fields that the computer shall take
// over, or none.
type InventoryReply struct {
	Account []AccountField // at most MaxAccount
}

// Append appends the reply; its response is ACCOUNT_UPDATE when there are fields.
func (r InventoryReply) Append(to []byte) []byte {
	response := NoAccountUpdate
	if len(r.Account) > 0 {
		response = AccountUpdate
	}
	to = append(to, strictxml.Declaration...)
	to = append(to, "<REPLY>\n"...)
	to = strictxml.AppendElement(to, 1, "RESPONSE", string(response))
	for _, account := range r.Account {
		to = appendAccount(to, 1, account)
	}
	return append(to, "</REPLY>\n"...)
}

// ParseInventoryReply reads a server's answer to INVENTORY. Fields count only under ACCOUNT_UPDATE, as
// for the Unix agent.
func ParseInventoryReply(document []byte) (InventoryReply, error) {
	root, response, err := parseReply(document, replyLimits)
	if err != nil || response != AccountUpdate {
		return InventoryReply{}, err
	}
	var reply InventoryReply
	err = children(root, "ACCOUNTINFO", func(element *strictxml.Element) error {
		account, err := parseAccount(element)
		if err == nil && len(reply.Account) == MaxAccount {
			err = core.Refuse(core.ClassLimit, "the reply has more than %d account fields", MaxAccount)
		}
		reply.Account = append(reply.Account, account)
		return err
	})
	return reply, err
}
