package loosexml

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	textunicode "golang.org/x/text/encoding/unicode"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// plan keeps R/S, of which two, with its fields N and V.
var plan = &Plan{Inside: map[string]*Plan{"S": Fields(2, "N", "V")}}

// show writes an element in one line.
func show(e *strictxml.Element) string {
	text := e.Name
	for _, a := range e.Attributes {
		text += fmt.Sprintf(" %s=%q", a.Name, a.Value)
	}
	if e.Text != "" {
		text += fmt.Sprintf(" %q", e.Text)
	}
	for _, child := range e.Children {
		text += " (" + show(child) + ")"
	}
	return text
}

func encode(t *testing.T, text string, to interface{ String(string) (string, error) }) string {
	t.Helper()
	encoded, err := to.String(text)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// TestDamage: what agents in the field send, and what is made of it.
func TestDamage(t *testing.T) {
	for _, c := range []struct{ name, document, want string }{
		{"plain", "<R><S><N>a</N><V>1</V></S></R>", `R (S (N "a") (V "1"))`},
		{"attributes", `<R><S N = "a" V='1' X="<b>"/></R>`, `R (S N="a" V="1")`},
		{"Latin-1 in UTF-8", "<R><S><N>Adapt\xe9 und d\u00e9j\u00e0</N></S></R>", `R (S (N "Adapté und déjà"))`},
		{"Windows-1252 in UTF-8", "<R><S><N>10 \x80 \x81</N></S></R>", `R (S (N "10 € ` + "\uFFFD" + `"))`},
		{"CESU-8", "<R><S><N>\xED\xA0\xBD\xED\xB8\x80 \xED\xA0\xBDx</N></S></R>", `R (S (N "😀 ` + "\uFFFD" + `x"))`},
		{"references to surrogates", "<R><S><N>&#55357;&#xDE00; &#xD83D;x</N></S></R>", `R (S (N "😀 ` + "\uFFFD" + `x"))`},
		{"NUL", "<R><S><N>a\x00b&#0;c\xC0\x80d</N></S></R>", `R (S (N "a` + "\uFFFDb\uFFFDc\uFFFD" + `d"))`},
		{"control characters", "<R><S><N>\x0b\x1b[0m\uFFFF</N></S></R>", `R (S (N "` + "\uFFFD\uFFFD[0m\uFFFD" + `"))`},
		{"entities", "<R><S><N>a&nbsp;b&eacute;&amp;&lt;AT&T &bogus; &#x41;&#99999999999999999999;&</N></S></R>",
			`R (S (N "a` + `\u00a0` + `bé&<AT&T &bogus; A` + "\uFFFD" + `&"))`},
		{"processing instructions", "<R><?x <S> ?><S><N>a<?php b ?>c</N></S></R>", `R (S (N "ac"))`},
		{"comments", "<R><!-- a -- <S> b --><S><N>a<!-- -- -->b</N></S></R>", `R (S (N "ab"))`},
		{"prefixes and accents", "<x:R xmlns:x='y'/>", "x:R"},
		{"prefixes inside", "<R><x:S><x:N>a</x:N></x:S><Été/><S x:N='1'><N>b</N></S></R>", `R (S (N "b"))`},
		{"around the root", "\r\n \x00<?xml version='1.0'?>junk<R/>\x00\x00<Q/>", "R"},
		{"two byte order marks", "\xEF\xBB\xBF\n\xEF\xBB\xBF<?xml version='1.0'?><R/>", "R"},
		{"CDATA", "<R><S><N><![CDATA[<a>&amp;\x01]]> b</N></S></R>", `R (S (N "<a>&amp;` + "\uFFFD" + ` b"))`},
		{"bare angle", "<R><S><N>a < b << 3 > c</N></S></R>", `R (S (N "a < b << 3 > c"))`},
		{"not well formed in what is not kept", "<R><X><a><b></a>&;</X><S><N>a</N><Y><N>z</X></Y></S></R>", `R (S (N "a"))`},
		{"same name inside what is not kept", "<R><X><X>1</X><S/></X><S/></R>", `R (S)`},
		{"end tag of nothing", "<R></Y><S></Z><N>a</N></S></R>", `R (S (N "a"))`},
		{"more than are kept", "<R><S/><S><N>1</N><N>2</N></S><S><N>3</N></S></R>", `R (S) (S (N "1"))`},
		{"duplicate attributes", "<R><S N='1' N='2'><N>3</N></S></R>", `R (S N="1")`},
		{"attributes without value or quotes", "<R><S a N=1 V='2'></S></R>", `R (S N="1" V="2")`},
		{"angles among attributes", "<R><S N='a'/></R>", `R (S N="a")`},
		{"angles behind a quote", `<R><S " = ">" N="a"></S></R>`, `R (S N="a")`},
		{"angle behind an assigned quote", `<R><S N=b"> V='>' "/></R>`, `R (S N="b\">" V=">")`},
		{"line ends", "<R><S><N>a\r\nb\rc</N></S></R>", `R (S (N "a\nb\nc"))`},
		{"long text", "<R><S><N>" + strings.Repeat("é", 70_000) + "</N></S></R>",
			fmt.Sprintf("R (S (N %q))", strings.Repeat("é", MaxValue/2))},
		{"long text of references", "<R><S><N>" + strings.Repeat("&#x41;", 70_000) + "</N></S></R>",
			fmt.Sprintf("R (S (N %q))", strings.Repeat("A", MaxValue))},
		{"deep", "<R>" + strings.Repeat("<X>", 100_000) + strings.Repeat("</X>", 100_000) + "<S/></R>", "R (S)"},
		{"UTF-16", encode(t, "<R><S><N>é😀</N></S></R>",
			textunicode.UTF16(textunicode.LittleEndian, textunicode.ExpectBOM).NewEncoder()), `R (S (N "é😀"))`},
		{"UTF-16 without mark", encode(t, "<R><S><N>é</N></S></R>",
			textunicode.UTF16(textunicode.BigEndian, textunicode.IgnoreBOM).NewEncoder()), `R (S (N "é"))`},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, err := Parse([]byte(c.document), plan)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(root); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestRefused: what cannot be read, or would be read in part.
func TestRefused(t *testing.T) {
	for _, document := range []string{
		"", "  ", "no XML", "<", "<!-- only a comment -->", "<R", "<R><S>", "<R><S></R>", "<R><S><N>a</S></R>", "<R><X></R>",
		"<R><!-- ", "<R><![CDATA[</R>", "<R a='></R>", "<!DOCTYPE R [<!ENTITY a 'b'>]><R/>", "<R></Q>",
	} {
		if root, err := Parse([]byte(document), plan); core.ClassOf(err) != core.ClassXML {
			t.Errorf("%q: got %v, %v, want E_XML", document, root, err)
		}
	}
}

// TestCharsets: every usual spelling of an encoding means it.
func TestCharsets(t *testing.T) {
	for encoded, names := range map[string][]string{
		"\xa4": {"ISO-8859-15", "iso8859-15", "ISO_8859-15", "ISO8859_15", "latin9", "Latin-9", "8859_15", "l9"},
	} {
		for _, name := range names {
			want(t, name, encoded, "€")
		}
	}
	const cyrillic, polish, greek, chinese, kana = "Привет", "Łódź", "Αθήνα", "软件测试", "テスト"
	for _, c := range []struct {
		encoder interface{ String(string) (string, error) }
		text    string
		names   string
	}{
		{charmap.Windows1252.NewEncoder(), "10 € déjà", "ISO-8859-1 iso8859-1 ISO_8859-1 latin1 latin-1 Latin1 windows-1252 Cp1252 WINDOWS1252 win-1252 ANSI"},
		{charmap.Windows1250.NewEncoder(), polish, "windows-1250 cp1250 CP-1250 win1250 Windows_1250 x-cp1250"},
		{charmap.ISO8859_2.NewEncoder(), polish, "ISO-8859-2 iso8859-2 ISO_8859-2 latin2 latin-2 l2 ISO8859_2"},
		{charmap.Windows1251.NewEncoder(), cyrillic, "windows-1251 cp1251 win-1251 Windows1251 ms1251"},
		{charmap.ISO8859_5.NewEncoder(), cyrillic, "ISO-8859-5 iso8859-5"},
		{charmap.KOI8R.NewEncoder(), cyrillic, "KOI8-R koi8r KOI8_R"},
		{charmap.CodePage866.NewEncoder(), cyrillic, "ibm866 cp866 CP-866 866"},
		{charmap.Windows1253.NewEncoder(), greek, "windows-1253 cp1253"},
		{charmap.ISO8859_7.NewEncoder(), greek, "ISO-8859-7 greek"},
		{charmap.Windows1254.NewEncoder(), "ığş", "ISO-8859-9 windows-1254 latin5"},
		{charmap.CodePage850.NewEncoder(), "déjà", "ibm850 cp850 CP850 dos-850"},
		{simplifiedchinese.GBK.NewEncoder(), chinese, "GB2312 gbk GBK gb_2312-80 EUC-CN cp936 CP-936 windows-936 x-gbk"},
		{simplifiedchinese.GB18030.NewEncoder(), chinese, "GB18030 gb-18030 GB18030-2005"},
		{japanese.ShiftJIS.NewEncoder(), kana, "Shift_JIS shift-jis SJIS cp932 windows-31j x-sjis"},
		{japanese.EUCJP.NewEncoder(), kana, "EUC-JP eucjp"},
		{textunicode.UTF8.NewEncoder(), chinese, "UTF-8 utf8 UTF_8 us-ascii ASCII unknown-8bit UTF-16 ISO-2022-JP cp65001 ebcdic-cp-us"},
	} {
		for _, name := range strings.Fields(c.names) {
			want(t, name, encode(t, c.text, c.encoder), c.text)
		}
	}
}

func want(t *testing.T, name, encoded, text string) {
	t.Helper()
	document := `<?xml version="1.0" encoding="` + name + `"?><R><S N="&lt;` + encoded + `&gt;"><V>` + encoded + "</V></S></R>"
	root, err := Parse([]byte(document), plan)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if got, want := show(root), fmt.Sprintf(`R (S N=%q (V %q))`, "<"+text+">", text); got != want {
		t.Errorf("%s: got %s, want %s", name, got, want)
	}
}

// TestMemory: 16 MiB of whatever it may be take no more than what is kept of them.
func TestMemory(t *testing.T) {
	const size = 16 << 20
	fill := func(before, unit, after string) []byte {
		return []byte(before + strings.Repeat(unit, (size-len(before)-len(after))/len(unit)) + after)
	}
	for name, document := range map[string][]byte{
		"angles":                    fill("<R><S a='", "x> ", "'/></R>"),
		"angles behind a quote":     fill("<R><S a=b'", "> ", "'/></R>"),
		"attributes":                fill("<R><S", " a=''", "/></R>"),
		"attributes that are kept":  fill("<R><S", " N=''", "/></R>"),
		"elements with attributes":  fill("<R>", "<S N='' V='' a='' b=''/>", "</R>"),
		"elements not kept":         fill("<R>", "<a/>", "</R>"),
		"elements kept":             fill("<R>", "<S/>", "</R>"),
		"fields":                    fill("<R><S>", "<N/>", "</S></R>"),
		"depth":                     fill("<R>", "<S>", ""),
		"depth of what is not kept": fill("<R>", "<a>", ""),
		"one text":                  fill("<R><S><N>", "\x00", "</N></S></R>"),
		"runs of text":              fill("<R><S><N>", "x<!---->", "</N></S></R>"),
		"sections of text":          fill("<R><S><N>", "<![CDATA[x]]>", "</N></S></R>"),
		"references":                fill("<R><S><N>", "&nbsp;", "</N></S></R>"),
		"bare angles":               fill("<R>", "<", "</R>"),
		"quotes in a tag":           fill("<R><S ", `"`, "></S></R>"),
		"equals in a tag":           fill("<R><S ", "=", "></S></R>"),
		"name":                      fill("<R><", "é", "/></R>"),
		"comments":                  fill("<R>", "<!---->", "</R>"),
		"declaration":               fill("<?xml ", "encoding='' ", "?><R/>"),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse(document, plan)
			runtime.ReadMemStats(&after)
			if err != nil && core.ClassOf(err) != core.ClassXML {
				t.Error(err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 256<<10 {
				t.Errorf("allocated %d KiB", used>>10)
			}
		})
	}
}

// FuzzParse: whatever comes, what is kept is text that XML can hold, within its bounds, and means the same when it is
// written and read strictly.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"<R><S N='a'><V>b</V></S></R>", "<R><S><N>\xE9&nbsp;&#0;\xED\xA0\xBD\xED\xB8\x80<![CDATA[x]]></N></S></R>",
		"<?xml encoding='gbk'?><R><S><N>\xC8\xED</N></S></R>", "\xFF\xFE<\x00R\x00/\x00>\x00", "<R><X><b></X><!-- - --></R>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		root, err := Parse(document, plan)
		if err != nil {
			if core.ClassOf(err) != core.ClassXML {
				t.Fatalf("error of class %q: %v", core.ClassOf(err), err)
			}
			return
		}
		if len(root.Children) > 2 {
			t.Fatalf("%d elements kept", len(root.Children))
		}
		for _, s := range root.Children {
			if len(s.Children)+len(s.Attributes) > 2 {
				t.Fatalf("%d fields kept", len(s.Children)+len(s.Attributes))
			}
			for _, field := range s.Children {
				holds(t, field.Text)
			}
			for _, attribute := range s.Attributes {
				holds(t, attribute.Value)
			}
		}
	})
}

func holds(t *testing.T, text string) {
	t.Helper()
	if len(text) > MaxValue || !utf8.ValidString(text) {
		t.Fatalf("%d bytes kept: %q", len(text), text)
	}
	document := append(strictxml.AppendAttribute([]byte("<a"), "v", text), "/>"...)
	read, err := strictxml.Parse(document, strictxml.Default)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if got, _ := read.Attribute("v"); got != text {
		t.Fatalf("%q is written as %q", text, got)
	}
}
