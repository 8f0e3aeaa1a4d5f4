package inventory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"enjambre/core"
)

// Bounds of the SMBIOS table. Firmware has some hundred structures in a few KiB.
const (
	maxTable      = 1 << 20
	maxStructures = 4096
)

// Firmware is what SMBIOS says of a computer. Texts are "" and numbers 0 when it does not say.
type firmware struct {
	biosMaker, biosVersion, biosDate string
	maker, model, serial             string
	uuid                             string
	boardMaker, boardModel           string
	boardSerial                      string
	chassis                          byte // type of housing, see chassisNames
	assetTag                         string
	slots                            int
	modules                          []module
}

// A module is a memory module in its slot.
type module struct {
	slot                int // counted from 1
	mebibytes           uint64
	speed               int // millions of transfers a second
	kind, locator, bank string
	maker, serial, part string
}

// A structure is one of the table: its formatted area, header included, and the texts that follow.
type structure struct {
	data  []byte
	texts []string
}

// parseSMBIOS reads the table of structures that the kernel shows in /sys/firmware/dmi/tables/DMI:
//
//	kind     uint8, 127 ends the table
//	length   uint8, of the formatted area, at least 4
//	handle   uint16, little-endian
//	fields   length-4 bytes
//	texts    each ended by a zero byte; one more zero byte ends them, two if there are none
//
// A table that breaks off or exceeds its bounds is refused with E_FORMAT or E_LIMIT: half of it would look
// like memory that was taken out.
func parseSMBIOS(table []byte) (firmware, error) {
	var found firmware
	if len(table) > maxTable {
		return firmware{}, core.Refuse(core.ClassLimit, "SMBIOS table of more than %d bytes", maxTable)
	}
	for at, n := 0, 0; at < len(table); n++ {
		if n == maxStructures {
			return firmware{}, core.Refuse(core.ClassLimit, "SMBIOS table of more than %d structures", maxStructures)
		}
		one, size, err := cutStructure(table[at:])
		if err != nil {
			return firmware{}, core.Refuse(core.ClassFormat, "SMBIOS table, byte %d: %v", at, err)
		}
		if one.data[0] == 127 {
			break
		}
		found.add(one)
		at += size
	}
	return found, nil
}

// cutStructure returns the first structure of rest and the bytes it takes.
func cutStructure(rest []byte) (structure, int, error) {
	if len(rest) < 4 || int(rest[1]) < 4 || int(rest[1]) > len(rest) {
		return structure{}, 0, fmt.Errorf("a structure breaks off")
	}
	length := int(rest[1])
	if rest[0] == 127 {
		return structure{data: rest[:length]}, length, nil
	}
	end := bytes.Index(rest[length:], []byte{0, 0})
	if end < 0 {
		return structure{}, 0, fmt.Errorf("the texts of a structure have no end")
	}
	one := structure{data: rest[:length]}
	if end > 0 {
		one.texts = strings.Split(string(rest[length:length+end]), "\x00")
	}
	return one, length + end + 2, nil
}

func (s structure) byte(at int) byte {
	if at >= len(s.data) {
		return 0
	}
	return s.data[at]
}

func (s structure) word(at int) uint16 {
	if at+2 > len(s.data) {
		return 0
	}
	return binary.LittleEndian.Uint16(s.data[at:])
}

func (s structure) long(at int) uint32 {
	if at+4 > len(s.data) {
		return 0
	}
	return binary.LittleEndian.Uint32(s.data[at:])
}

// text returns the text whose number, counted from 1, is the byte at at.
func (s structure) text(at int) string {
	n := int(s.byte(at))
	if n == 0 || n > len(s.texts) {
		return ""
	}
	return known(s.texts[n-1])
}

// set fills a value in that no earlier structure had.
func set(value *string, text string) {
	if *value == "" {
		*value = text
	}
}

func (f *firmware) add(s structure) {
	switch s.data[0] {
	case 0:
		set(&f.biosMaker, s.text(4))
		set(&f.biosVersion, s.text(5))
		set(&f.biosDate, s.text(8))
	case 1:
		set(&f.maker, s.text(4))
		set(&f.model, s.text(5))
		set(&f.serial, s.text(7))
		if len(s.data) >= 24 {
			set(&f.uuid, uuidText(s.data[8:24]))
		}
	case 2:
		set(&f.boardMaker, s.text(4))
		set(&f.boardModel, s.text(5))
		set(&f.boardSerial, s.text(7))
	case 3:
		if f.chassis == 0 {
			f.chassis = s.byte(5) & 0x7f // the upper bit is a lock
		}
		set(&f.assetTag, s.text(8))
	case 17:
		f.slots++
		f.addModule(s)
	}
}

// addModule reads a memory device; an empty slot is none.
func (f *firmware) addModule(s structure) {
	one := module{slot: f.slots, kind: memoryKinds[s.byte(18)], locator: s.text(16), bank: s.text(17),
		speed: int(s.word(21)), maker: s.text(23), serial: s.text(24), part: s.text(26)}
	switch size := s.word(12); {
	case size == 0 || size == 0xffff: // empty, or unknown
		return
	case size == 0x7fff: // 32 GiB and more stand elsewhere
		one.mebibytes = uint64(s.long(28) & 0x7fffffff)
	case size&0x8000 != 0:
		one.mebibytes = uint64(size&0x7fff) >> 10 // KiB
	default:
		one.mebibytes = uint64(size)
	}
	if one.speed == 0xffff {
		one.speed = int(s.long(84) & 0x7fffffff)
	}
	f.modules = append(f.modules, one)
}

// uuidText writes the 16 bytes as the kernel does: the first three groups are little-endian since SMBIOS 2.6.
func uuidText(b []byte) string {
	little := binary.LittleEndian
	return known(fmt.Sprintf("%08x-%04x-%04x-%x-%x", little.Uint32(b), little.Uint16(b[4:]),
		little.Uint16(b[6:]), b[8:10], b[10:16]))
}

// placeholders are what makers leave in place of a value, in lower case. A serial number that thousands share
// is worse than none.
var placeholders = map[string]bool{
	"to be filled by o.e.m.": true, "default string": true, "system serial number": true,
	"system product name": true, "system manufacturer": true, "system version": true, "not specified": true,
	"not available": true, "none": true,
	"not applicable": true, "chassis serial number": true, "base board serial number": true, "unknown": true,
	"o.e.m.": true, "oem": true, "n/a": true, "na": true, "empty": true, "invalid": true, "no asset tag": true,
	"asset-1234567890": true, "no dimm": true, "no asset information": true, "serial number": true,
	"default_string": true, "123456789": true, "1234567890": true,
	"03000200-0400-0500-0006-000700080009": true,
}

// known returns a value of the firmware without blanks around it, or "" when it is a placeholder.
func known(text string) string {
	text = strings.TrimSpace(text)
	lower := strings.ToLower(text)
	if placeholders[lower] || strings.Trim(lower, "0-. ") == "" || strings.Trim(lower, "f-") == "" ||
		strings.Trim(lower, "x") == "" {
		return ""
	}
	return text
}

var memoryKinds = map[byte]string{
	0x12: "DDR", 0x13: "DDR2", 0x14: "DDR2 FB-DIMM", 0x18: "DDR3", 0x1a: "DDR4", 0x1b: "LPDDR", 0x1c: "LPDDR2",
	0x1d: "LPDDR3", 0x1e: "LPDDR4", 0x20: "HBM", 0x21: "HBM2", 0x22: "DDR5", 0x23: "LPDDR5", 0x03: "DRAM",
	0x0f: "SDRAM", 0x07: "RAM", 0x09: "Flash",
}

var chassisNames = map[byte]string{
	3: "Desktop", 4: "Low Profile Desktop", 5: "Pizza Box", 6: "Mini Tower", 7: "Tower", 8: "Portable",
	9: "Laptop", 10: "Notebook", 11: "Hand Held", 12: "Docking Station", 13: "All in One", 14: "Sub Notebook",
	15: "Space-saving",
	16: "Lunch Box", 17: "Main Server Chassis", 18: "Expansion Chassis", 22: "RAID Chassis",
	23: "Rack Mount Chassis", 24: "Sealed-case PC", 25: "Multi-system chassis", 28: "Blade",
	29: "Blade Enclosure",
	30: "Tablet", 31: "Convertible", 32: "Detachable", 34: "Embedded PC", 35: "Mini PC", 36: "Stick PC",
}
