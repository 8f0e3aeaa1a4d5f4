package ocs

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enjambre/core"
	"enjambre/core/internal/loosexml"
	"enjambre/core/internal/strictxml"
)

var stockKept = []Kept{
	{"HARDWARE", 1, []string{"NAME", "OSNAME", "CHECKSUM"}},
	{"SOFTWARES", 20_000, []string{"NAME", "VERSION"}},
}

var stock = NewStockReader(stockKept...)

// long pads a message with a section that is not kept, so that only the tolerant reader can take it.
var long = "<PLUGIN>" + strings.Repeat("<X>1</X>", MaxMessage/8) + "</PLUGIN>"

// TestStockInventory: the fields that a stock agent's inventory is about, damaged or not, short or long.
func TestStockInventory(t *testing.T) {
	id := string(device)
	for _, c := range []struct{ name, request string }{
		{"plain", "<REQUEST><CONTENT>%s</CONTENT><DEVICEID>" + id + "</DEVICEID><QUERY>INVENTORY</QUERY></REQUEST>"},
		{"attributes", "<REQUEST DEVICEID='" + id + "' QUERY='INVENTORY'><CONTENT>%s</CONTENT></REQUEST>"},
		{"device ID in the content", "<REQUEST><QUERY>INVENTORY</QUERY><CONTENT>%s<DEVICEID> " + id + "</DEVICEID></CONTENT></REQUEST>"},
		{"device ID in both", "<REQUEST><QUERY>INVENTORY</QUERY><CONTENT>%s<DEVICEID>x</DEVICEID></CONTENT><DEVICEID>" + id + "</DEVICEID></REQUEST>"},
		{"damaged", "\n<?xml version='1.0'?>\n<REQUEST><CONTENT>%s<X>\xff\x00&#0;</X></CONTENT><DEVICEID>" + id + "</DEVICEID><QUERY>INVENTORY</QUERY></REQUEST>\x00"},
	} {
		for _, filling := range []string{"", long} {
			content := filling + "<HARDWARE><NAME>pc</NAME></HARDWARE><SOFTWARES><NAME>a</NAME><X>2</X></SOFTWARES><SOFTWARES NAME='b'/>" +
				"<ACCOUNTINFO><KEYNAME>TAG</KEYNAME><KEYVALUE>t</KEYVALUE></ACCOUNTINFO>" +
				"<DOWNLOAD><HISTORY><PACKAGE ID='1700000001'/><PACKAGE ID='none'/><PACKAGE><ID>1700000002</ID></PACKAGE></HISTORY></DOWNLOAD>" +
				"<OLD_DEVICEID>old-2026-01-01-00-00-00</OLD_DEVICEID>"
			request, err := stock.ParseRequest(fmt.Appendf(nil, c.request, content))
			if err != nil {
				t.Errorf("%s, %d bytes more: %v", c.name, len(filling), err)
				continue
			}
			inventory, err := request.Inventory()
			if err != nil {
				t.Fatal(err)
			}
			want := Inventory{
				Sections: []Section{{"HARDWARE", []Field{{"NAME", "pc"}}}, {"SOFTWARES", []Field{{"NAME", "a"}}}, {"SOFTWARES", []Field{{"NAME", "b"}}}},
				Account:  []AccountField{{"TAG", "t"}}, History: []core.PackageID{1_700_000_001, 1_700_000_002}, Reported: true,
			}
			if diff := cmp.Diff(want, kept(inventory), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, %d bytes more (-want +got):\n%s", c.name, len(filling), diff)
			}
			if request.Device != device || request.Query != QueryInventory || request.OldDevice() != "old-2026-01-01-00-00-00" {
				t.Errorf("%s: %s from %s, before %s", c.name, request.Query, request.Device, request.OldDevice())
			}
		}
	}
}

// kept leaves of an inventory what the stock reader of these tests keeps.
func kept(inventory Inventory) Inventory {
	left := inventory
	left.Sections = nil
	for _, section := range inventory.Sections {
		i := slices.IndexFunc(stockKept, func(k Kept) bool { return k.Section == section.Name })
		if i < 0 {
			continue
		}
		one := Section{Name: section.Name}
		for _, field := range section.Fields {
			if slices.Contains(stockKept[i].Fields, field.Name) && section.Value(field.Name) == field.Value &&
				!slices.ContainsFunc(one.Fields, func(f Field) bool { return f.Name == field.Name }) {
				one.Fields = append(one.Fields, field)
			}
		}
		left.Sections = append(left.Sections, one)
	}
	return left
}

// TestStockRefuses: other messages are held to the strict reader, and nobody's inventory is guessed.
func TestStockRefuses(t *testing.T) {
	id := string(device)
	for _, c := range []struct {
		name, document string
		class          core.Class
	}{
		{"damaged PROLOG", "<REQUEST><DEVICEID>" + id + "</DEVICEID><QUERY>PROLOG</QUERY><X>\xff</X></REQUEST>", core.ClassXML},
		{"damaged result", "<REQUEST ID='1' ERR='SUCCESS'><DEVICEID>" + id + "</DEVICEID><QUERY>DOWNLOAD</QUERY>&nbsp;</REQUEST>", core.ClassXML},
		{"long PROLOG", "<REQUEST><DEVICEID>" + id + "</DEVICEID><QUERY>PROLOG</QUERY>" + long + "</REQUEST>", core.ClassLimit},
		{"no query", "<REQUEST><DEVICEID>" + id + "</DEVICEID>" + long + "</REQUEST>", core.ClassLimit},
		{"two queries", "<REQUEST><QUERY>INVENTORY</QUERY><QUERY>PROLOG</QUERY><DEVICEID>" + id + "</DEVICEID></REQUEST>", core.ClassXML},
		{"two device IDs", "<REQUEST><QUERY>INVENTORY</QUERY><DEVICEID>" + id + "</DEVICEID><DEVICEID>x" + id + "</DEVICEID>" + long + "</REQUEST>", core.ClassXML},
		{"no device ID", "<REQUEST><QUERY>INVENTORY</QUERY><CONTENT>" + long + "</CONTENT></REQUEST>", core.ClassField},
		{"device ID that cannot be read", "<REQUEST><QUERY>INVENTORY</QUERY><DEVICEID>a\x00" + id + "</DEVICEID>" + long + "</REQUEST>", core.ClassField},
		{"another root", "<REPLY><QUERY>INVENTORY</QUERY><DEVICEID>" + id + "</DEVICEID>" + long + "</REPLY>", core.ClassXML},
		{"cut short", "<REQUEST><QUERY>INVENTORY</QUERY><DEVICEID>" + id + "</DEVICEID><CONTENT><SOFTWARES><NAME>a", core.ClassXML},
		{"DOCTYPE", "<!DOCTYPE x><REQUEST><QUERY>INVENTORY</QUERY><DEVICEID>" + id + "</DEVICEID></REQUEST>", core.ClassXML},
	} {
		if _, err := stock.ParseRequest([]byte(c.document)); core.ClassOf(err) != c.class {
			t.Errorf("%s: got %v, want %s", c.name, err, c.class)
		}
	}
}

// TestInventoryMemory: an inventory of 16 MiB, whatever it is made of, takes no more than its bound besides the
// document itself: of stock agents, and of our own.
func TestInventoryMemory(t *testing.T) {
	const bound = 40 << 20
	head, tail := "<REQUEST><QUERY>INVENTORY</QUERY><DEVICEID>"+string(device)+"</DEVICEID><CONTENT>", "</CONTENT></REQUEST>"
	var attributes strings.Builder
	attributes.WriteString("<SOFTWARES")
	for i := range 64 {
		fmt.Fprintf(&attributes, " %c%c=''", 'a'+i/26, 'a'+i%26)
	}
	attributes.WriteString("/>")
	for name, unit := range map[string]string{
		"attributes": attributes.String(), "programs": "<SOFTWARES><NAME>a</NAME><VERSION>b</VERSION></SOFTWARES>",
		"empty programs": "<SOFTWARES/>", "history": "<DOWNLOAD><HISTORY><PACKAGE ID='1'/></HISTORY></DOWNLOAD>",
		"accounts": "<ACCOUNTINFO/>", "long texts": "<SOFTWARES><NAME>" + strings.Repeat("\x01", 400) + "</NAME></SOFTWARES>",
	} {
		document := []byte(head + strings.Repeat(unit, (MaxInventory-len(head)-len(tail))/len(unit)) + tail)
		for reader, parse := range map[string]func([]byte) (*Request, error){"stock": stock.ParseRequest, "strict": ParseRequest} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			request, err := parse(document)
			if err == nil {
				_, err = request.Inventory()
			}
			runtime.ReadMemStats(&after)
			if reader == "stock" && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			most := uint64(bound)
			if reader == "strict" {
				most += uint64(len(document)) // it reads a copy
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > most {
				t.Errorf("%s, %s: allocated %d MiB, want at most %d", name, reader, used>>20, most>>20)
			}
		}
	}
}

// TestAnyRatio: how far a document shrinks is nobody's fault.
func TestAnyRatio(t *testing.T) {
	document := []byte("<REQUEST><QUERY>INVENTORY</QUERY><DEVICEID>" + string(device) + "</DEVICEID><CONTENT>" +
		strings.Repeat("<EVENTLOG><SOURCE>disk</SOURCE></EVENTLOG>", 300_000) + "</CONTENT></REQUEST>")
	body := Encode(document)
	if len(document) < 100*len(body) {
		t.Fatalf("%d bytes are no test, of %d", len(body), len(document))
	}
	read, err := Decode(body, MaxInventory)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stock.ParseRequest(read); err != nil {
		t.Error(err)
	}
}

// TestSender: whose a message is that cannot be read.
func TestSender(t *testing.T) {
	for document, want := range map[string]core.DeviceID{
		"":          "",
		"<REQUEST>": "",
		"<REQUEST><DEVICEID>" + string(device) + "</DEVICEID>\xff":                                            device,
		"<REQUEST DEVICEID = \"" + string(device) + "\" ":                                                     device,
		"<OLD_DEVICEID>x" + string(device) + "</OLD_DEVICEID><DEVICEID>\n " + string(device) + " </DEVICEID>": device,
		"<DEVICEID>x</DEVICEID><DEVICEID>" + string(device) + "<":                                             device,
		"<DEVICEID>" + string(device):                                                                         "", // it may go on
		"<DEVICEID>" + strings.Repeat("x", 1000) + "</DEVICEID>":                                              "",
		strings.Repeat("<DEVICEID></DEVICEID>", 100_000) + "<DEVICEID>" + string(device) + "</DEVICEID>":      "",
	} {
		if got := Sender([]byte(document)); got != want {
			t.Errorf("%.80q: got %q, want %q", document, got, want)
		}
	}
}

// FuzzStockInventory holds the tolerant reader to the strict one: an inventory that the latter takes means the same to
// both, as far as it is kept.
func FuzzStockInventory(f *testing.F) {
	f.Add(read(f, "03-inventory-request.xml"))
	f.Add(read(f, "golden-inventory.xml"))
	f.Add([]byte("<?xml version='1.0' encoding='latin1'?><REQUEST DEVICEID='" + device + "' QUERY='INVENTORY'><CONTENT><HARDWARE NAME='\xe9\x80'/>" +
		"<SOFTWARES><NAME>&#65;<!-- -->b<![CDATA[ c]]></NAME></SOFTWARES><SOFTWARES><X><NAME>d</NAME></X></SOFTWARES></CONTENT></REQUEST>"))
	f.Fuzz(func(t *testing.T, document []byte) {
		request, err := ParseRequest(document)
		if err != nil || request.Query != QueryInventory || !plainFields(request.root) {
			return
		}
		want, err := request.Inventory()
		if err != nil {
			return
		}
		root, err := loosexml.Parse(document, stock.plan)
		if err != nil {
			t.Fatalf("taken strictly, then refused: %v", err)
		}
		again := &Request{Query: QueryInventory, Device: request.Device, root: root}
		got, err := again.Inventory()
		if err != nil {
			t.Fatalf("taken strictly, then refused: %v", err)
		}
		if device, err := agreed(root, "DEVICEID"); err != nil || device != string(request.Device) {
			t.Fatalf("device %q, %v, want %q", device, err, request.Device)
		}
		if diff := cmp.Diff(kept(want), kept(got), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("strict and tolerant differ (-strict +tolerant):\n%s", diff)
		}
	})
}

// plainFields reports whether a strict reader's request has no more than the plan keeps, no field with elements inside
// and no text that is cut: of others the two readers make different things.
func plainFields(root *strictxml.Element) bool {
	seen := map[string]int{}
	for _, e := range root.Children {
		if seen[e.Name]++; seen[e.Name] > 1 {
			return false
		}
	}
	plain := true
	var walk func(*strictxml.Element, int)
	walk = func(e *strictxml.Element, depth int) {
		plain = plain && len(e.Text) <= MaxText/4 && (len(e.Children) == 0 || strings.TrimSpace(e.Text) == "")
		for _, a := range e.Attributes {
			plain = plain && len(a.Value) <= MaxText/4
		}
		names := map[string]bool{}
		for _, a := range e.Attributes {
			names[a.Name] = true
		}
		for _, inside := range e.Children {
			if depth != 1 && names[inside.Name] && inside.Name != "PACKAGE" {
				plain = false // the first of several is kept
			}
			names[inside.Name] = true
			walk(inside, depth+1)
		}
		plain = plain && (depth < 2 || e.Name == "HISTORY" || e.Name == "DOWNLOAD" || !hasGrandchildren(e))
	}
	walk(root, 0)
	if content := child(root, "CONTENT"); content != nil {
		for _, e := range content.Children {
			if seen[e.Name]++; (e.Name == "HARDWARE" || e.Name == "DOWNLOAD") && seen[e.Name] > 1 {
				return false
			}
		}
	}
	return plain
}

func hasGrandchildren(e *strictxml.Element) bool {
	return slices.ContainsFunc(e.Children, func(inside *strictxml.Element) bool { return len(inside.Children) > 0 })
}
