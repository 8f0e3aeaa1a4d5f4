package inventory

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
)

// structureOf makes a structure of a kind: what follows its header, and its texts.
func structureOf(kind byte, formatted []byte, texts ...string) []byte {
	one := append([]byte{kind, byte(4 + len(formatted)), 0, 0}, formatted...)
	for _, text := range texts {
		one = append(append(one, text...), 0)
	}
	if len(texts) == 0 {
		one = append(one, 0)
	}
	return append(one, 0)
}

// moduleOf makes the fields of a memory device with texts 1 to 5: locator, bank, maker, serial, part.
func moduleOf(size uint16, extended uint32, kind byte, speed uint16) []byte {
	fields := make([]byte, 84)
	binary.LittleEndian.PutUint16(fields[12-4:], size)
	fields[16-4], fields[17-4], fields[18-4] = 1, 2, kind
	binary.LittleEndian.PutUint16(fields[21-4:], speed)
	fields[23-4], fields[24-4], fields[26-4] = 3, 4, 5
	binary.LittleEndian.PutUint32(fields[28-4:], extended)
	binary.LittleEndian.PutUint32(fields[84-4:], 70_000)
	return fields
}

var officeUUID = []byte{0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 1, 2, 3, 4, 5, 6, 7, 8}

// officeTable is what the firmware of an office computer says: one module of 16 GiB, one empty slot.
func officeTable() []byte {
	return bytes.Join([][]byte{
		structureOf(0, []byte{1, 2, 0, 0, 3}, "BIOS Maker", "Q01 Ver. 02", "01/01/2020"),
		structureOf(1, append([]byte{1, 2, 0, 3}, append(officeUUID, 6)...), "Maker", "Desk", "To Be Filled By O.E.M."),
		structureOf(2, []byte{1, 2, 0, 3}, "Board Maker", "83E1", "PJKVB0"),
		structureOf(3, []byte{0, 0x83, 0, 0, 0}),
		structureOf(17, moduleOf(16384, 0, 0x1a, 2666), "DIMM1", "BANK 0", "Memory Maker", "12345", "M378A2K43CB1"),
		structureOf(17, moduleOf(0, 0, 2, 0), "DIMM2", "BANK 1"),
		structureOf(127, nil),
		[]byte("padding is not read"),
	}, nil)
}

func TestParseSMBIOS(t *testing.T) {
	got, err := parseSMBIOS(officeTable())
	if err != nil {
		t.Fatal(err)
	}
	want := firmware{biosMaker: "BIOS Maker", biosVersion: "Q01 Ver. 02", biosDate: "01/01/2020", maker: "Maker",
		model: "Desk", uuid: "11223344-5566-7788-0102-030405060708", boardMaker: "Board Maker", boardModel: "83E1",
		boardSerial: "PJKVB0", chassis: 3, slots: 2,
		modules: []module{{slot: 1, mebibytes: 16384, speed: 2666, kind: "DDR4", locator: "DIMM1", bank: "BANK 0",
			maker: "Memory Maker", serial: "12345", part: "M378A2K43CB1"}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(firmware{}, module{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestModuleSizes(t *testing.T) {
	for _, c := range []struct {
		name     string
		size     uint16
		extended uint32
		want     uint64 // MiB; 0 for no module
	}{
		{"empty", 0, 0, 0}, {"unknown", 0xffff, 0, 0}, {"in MiB", 8192, 1, 8192}, {"in KiB", 0x8000 | 2048, 0, 2},
		{"too large for a word", 0x7fff, 65536, 65536},
	} {
		got, err := parseSMBIOS(structureOf(17, moduleOf(c.size, c.extended, 0x22, 0xffff)))
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want == 0 && len(got.modules) > 0:
			t.Errorf("%s: got %v", c.name, got.modules)
		case c.want > 0 && (len(got.modules) != 1 || got.modules[0].mebibytes != c.want || got.modules[0].speed != 70_000):
			t.Errorf("%s: got %v, want %d MiB", c.name, got.modules, c.want)
		}
	}
}

func TestParseSMBIOSRefusals(t *testing.T) {
	whole := officeTable()
	for _, c := range []struct {
		name  string
		table []byte
		class core.Class
	}{
		{"half a header", []byte{1, 4}, core.ClassFormat},
		{"a length below the header's", []byte{1, 3, 0, 0, 0, 0}, core.ClassFormat},
		{"a length beyond the end", []byte{1, 200, 0, 0, 0, 0}, core.ClassFormat},
		{"texts without an end", whole[:30], core.ClassFormat},
		{"too many", bytes.Repeat(structureOf(9, nil), maxStructures+1), core.ClassLimit},
		{"too long", make([]byte, maxTable+1), core.ClassLimit},
	} {
		if got, err := parseSMBIOS(c.table); core.ClassOf(err) != c.class || got.slots != 0 {
			t.Errorf("%s: got %v, %v, want %s", c.name, got, err, c.class)
		}
	}
}

func TestKnown(t *testing.T) {
	for text, want := range map[string]string{
		"  5CG9 ": "5CG9", "To Be Filled By O.E.M.": "", "0000000": "", "00000000-0000-0000-0000-000000000000": "",
		"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF": "", "Default string": "", "0001": "0001", "xxxx": "", "": "",
	} {
		if got := known(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzSMBIOS(f *testing.F) {
	f.Add(officeTable())
	f.Add(structureOf(17, moduleOf(0x7fff, 1<<31, 0xff, 0xffff)))
	f.Add(structureOf(1, nil, "x"))
	f.Fuzz(func(t *testing.T, table []byte) {
		found, err := parseSMBIOS(table)
		if err != nil {
			if core.ClassOf(err) == "" || found.slots != 0 {
				t.Fatalf("got %v with error %v", found, err)
			}
			return
		}
		if len(found.modules) > found.slots || found.slots > maxStructures {
			t.Fatalf("%d modules in %d slots", len(found.modules), found.slots)
		}
	})
}
