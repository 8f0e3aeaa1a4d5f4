package strictxml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"enjambre/core"
)

// large are limits as a big message has them.
var large = Limits{Bytes: 16 << 20, Depth: 32, Attributes: 64, Value: 64 << 10, Elements: 150_000}

// TestCorpusX is group X of the bad-input corpus, as far as it concerns XML alone.
func TestCorpusX(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("<a>", n) + strings.Repeat("</a>", n) }
	attributes := func(n int) string {
		var text strings.Builder
		text.WriteString("<a")
		for i := range n {
			fmt.Fprintf(&text, " b%d=''", i)
		}
		return text.String() + "/>"
	}
	cases := []struct {
		name, document string
		class          core.Class // "" = accepted
	}{
		{"X01 empty", "", core.ClassXML},
		{"X02 only BOM", "\xEF\xBB\xBF", core.ClassXML},
		{"X03 truncated tag", "<REQUEST><DEVICEID", core.ClassXML},
		{"X04 invalid UTF-8", "<a>\xff\xfe</a>", core.ClassXML},
		{"X05 NUL reference", "<a>&#0;</a>", core.ClassXML},
		{"X06 UTF-16", "\xFF\xFE<\x00a\x00/\x00>\x00", core.ClassXML},
		{"X07 EBCDIC declared", `<?xml version="1.0" encoding="ebcdic-cp-us"?><a/>`, core.ClassXML},
		{"X08 Latin-1", "<?xml version='1.0' encoding='ISO-8859-1'?><a>Ni\xf1o \x80</a>", ""},
		{"X09 duplicate attribute", `<a ID="1" ID="2"/>`, core.ClassXML},
		{"X10 prefixed attribute", `<a a:ID="1"/>`, core.ClassXML},
		{"X11 prefixed root", `<evil:DOWNLOAD ID="1"/>`, core.ClassXML},
		{"X12 two roots", "<a/><a/>", core.ClassXML},
		{"X13 junk after root", "<a/>junk", core.ClassXML},
		{"X14 text before root", "junk<a/>", core.ClassXML},
		{"X15 DOCTYPE SYSTEM", `<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>`, core.ClassXML},
		{"X16 billion laughs", `<!DOCTYPE a [<!ENTITY l "ha"><!ENTITY m "&l;&l;">]><a>&m;</a>`, core.ClassXML},
		{"X16 unknown entity", "<a>&m;</a>", core.ClassXML},
		{"X17 depth 32", deep(32), ""},
		{"X17 depth 33", deep(33), core.ClassLimit},
		{"X17 depth 20000", deep(20_000), core.ClassLimit},
		{"X17 depth 1000000", deep(1_000_000), core.ClassLimit},
		{"X18 64 attributes", attributes(64), ""},
		{"X18 65 attributes", attributes(65), core.ClassLimit},
		{"X18 300000 attributes", attributes(300_000), core.ClassLimit},
		{"X19 value at its limit", "<a b='" + strings.Repeat("x", 64<<10) + "'/>", ""},
		{"X19 16 MiB attribute", "<a b='" + strings.Repeat("x", 15<<20) + "'/>", core.ClassLimit},
		{"X20 100000 xmlns", "<a" + strings.Repeat(" xmlns='x'", 100_000) + "/>", core.ClassXML},
		{"X21 comment bomb", "<!--" + strings.Repeat("x", 15<<20) + "--><a/>", core.ClassLimit},
		{"X21 document over its limit", strings.Repeat(" ", 16<<20) + "<a/>", core.ClassLimit},
		{"X22 CDATA in attribute place", "<a <![CDATA[b='c']]>/>", core.ClassXML},
		{"processing instruction", "<a><?php x ?></a>", core.ClassXML},
		{"second declaration", "<?xml version='1.0'?><?xml version='1.0'?><a/>", core.ClassXML},
		{"unquoted", "<a b=c/>", core.ClassXML},
		{"no blank between attributes", `<a b="1"c="2"/>`, core.ClassXML},
		{"bare less-than in value", `<a b="<"/>`, core.ClassXML},
		{"bare ampersand", "<a>AT&T</a>", core.ClassXML},
		{"wrong end tag", "<a><b></a></b>", core.ClassXML},
		{"two dashes in comment", "<a><!-- a -- b --></a>", core.ClassXML},
		{"control character", "<a>\x01</a>", core.ClassXML},
		{"surrogate reference", "<a>&#xD800;</a>", core.ClassXML},
		{"signed reference", "<a>&#+65;</a>", core.ClassXML},
		{"many text pieces", "<a>" + strings.Repeat("x<!---->", 60_000) + "</a>", ""},
		{"much white space", "<a>" + strings.Repeat("\n     <b/>", 50_000) + "</a>", ""},
		{"text over its limit in pieces", "<a>" + strings.Repeat("xx<!---->", 60_000) + "</a>", core.ClassLimit},
		{"150001 elements", "<a>" + strings.Repeat("<b/>", 150_000) + "</a>", core.ClassLimit},
		{"everything allowed", "\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<!-- c -->" +
			"<a b='1' c=\"&lt;&#x41;\" ><d>x &amp; y</d><e/><![CDATA[<raw>]]></a>\n<!-- end -->", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			data := []byte(c.document)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse(data, large)
			runtime.ReadMemStats(&after)
			if got := core.ClassOf(err); got != c.class || (err != nil) != (c.class != "") {
				t.Errorf("got %v, want class %q", err, c.class)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
				t.Errorf("allocated %d MiB, want less than 32", used>>20)
			}
		})
	}
}

func TestValues(t *testing.T) {
	root, err := Parse([]byte("<?xml version='1.0' encoding='iso-8859-1'?><a n='&#9;\xe9 &quot;'>"+
		" one\r\ntwo <b>B</b><![CDATA[ & ]]>&#x1F41D;</a>"), Default)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := root.Attribute("n"); got != "\té \"" {
		t.Errorf("attribute: got %q", got)
	}
	if want := " one\ntwo  & 🐝"; root.Text != want {
		t.Errorf("text: got %q, want %q", root.Text, want)
	}
	if len(root.Children) != 1 || root.Children[0].Text != "B" {
		t.Errorf("children: got %v", root.Children)
	}
}

func TestEscapeRoundTrip(t *testing.T) {
	for _, text := range []string{"", "plain", `a<b>&"'c`, "tab\tline\nreturn\r", "ñ🐝\u0085", " blank "} {
		document := append([]byte("<a"), AppendAttribute(nil, "v", text)...)
		root, err := Parse(append(document, "/>"...), Default)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got, _ := root.Attribute("v"); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	if got := string(AppendEscaped(nil, "a\x00b\xffc")); got != "a\uFFFDb\uFFFDc" {
		t.Errorf("forbidden characters: got %q", got)
	}
}

// FuzzParse holds the reader to encoding/xml: a document accepted here must be accepted there with
// the same elements, attributes and text.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`<a b="1"><c>x</c><c/>y</a>`, "<?xml version='1.0'?><a>&#65;&amp;<![CDATA[x]]></a>",
		"<!-- c --><a\n b = 'x'/> ", "<a>\r\n</a>", `<REQUEST ID="1" ERR="SUCCESS"><QUERY>DOWNLOAD</QUERY></REQUEST>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := Parse(data, Default)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Fatalf("error without class: %v", err)
			}
			return
		}
		if declaredEncoding(data) != "" {
			return // the standard decoder converts nothing
		}
		var ours, theirs strings.Builder
		dump(&ours, root)
		if err := dumpStandard(&theirs, data); err != nil {
			t.Fatalf("accepted here, refused by encoding/xml: %v", err)
		}
		if ours.String() != theirs.String() {
			t.Fatalf("read differently:\nhere:  %s\nthere: %s", ours.String(), theirs.String())
		}
	})
}

func dump(to *strings.Builder, e *Element) {
	fmt.Fprintf(to, "(%s", e.Name)
	for _, a := range e.Attributes {
		fmt.Fprintf(to, " %s=%q", a.Name, a.Value)
	}
	for _, child := range e.Children {
		dump(to, child)
	}
	fmt.Fprintf(to, " %q)", strings.Join(strings.Fields(e.Text), " "))
}

func dumpStandard(to *strings.Builder, data []byte) error {
	decoder := xml.NewDecoder(strings.NewReader(string(data)))
	var texts []string
	for {
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			fmt.Fprintf(to, "(%s", token.Name.Local)
			for _, a := range token.Attr {
				fmt.Fprintf(to, " %s=%q", a.Name.Local, a.Value)
			}
			texts = append(texts, "")
		case xml.EndElement:
			fmt.Fprintf(to, " %q)", strings.Join(strings.Fields(texts[len(texts)-1]), " "))
			texts = texts[:len(texts)-1]
		case xml.CharData:
			if len(texts) > 0 {
				if strings.Trim(string(token), " \t\n\r") != "" || len(token) == 0 {
					texts[len(texts)-1] += string(token)
				}
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	var document strings.Builder
	document.WriteString("<REQUEST><CONTENT>")
	for i := range 1000 {
		fmt.Fprintf(&document,
			"<SOFTWARES><NAME>package%d</NAME><VERSION>1.2.%d</VERSION><FROM>deb</FROM></SOFTWARES>\n", i, i)
	}
	document.WriteString("</CONTENT></REQUEST>")
	data := []byte(document.String())
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse(data, large); err != nil {
			b.Fatal(err)
		}
	}
}
