package strictxml

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"enjambre/core"
)

// Limits bound one document. All are inclusive; a zero limit allows nothing, so start from [Default].
type Limits struct {
	Bytes      int // the whole document, before character conversion
	Depth      int // nested elements; the root has depth 1
	Attributes int // of one element
	Value      int // bytes of one attribute value, one run of text or one comment
	Elements   int // in the document, attributes counted too; each costs about 150 bytes of memory
}

// Default are the limits for small messages: 64 KiB, 32 levels, 64 attributes of 64 KiB at most.
var Default = Limits{Bytes: 64 << 10, Depth: 32, Attributes: 64, Value: 64 << 10, Elements: 4096}

// An Element is one element with what it holds, in document order.
type Element struct {
	Name       string
	Attributes []Attribute
	Children   []*Element
	Text       string // the text directly inside, entities resolved; runs of only white space are dropped
}

// An Attribute is one attribute of an Element; names are unique within it.
type Attribute struct{ Name, Value string }

// Attribute returns the value of the attribute called name.
func (e *Element) Attribute(name string) (string, bool) {
	for _, attribute := range e.Attributes {
		if attribute.Name == name {
			return attribute.Value, true
		}
	}
	return "", false
}

// Parse reads one document. Its errors are Refusals of class E_XML, or E_LIMIT where a limit is
// exceeded; the text names the byte where reading stopped.
func Parse(data []byte, limits Limits) (*Element, error) {
	if len(data) > limits.Bytes {
		return nil, core.Refuse(core.ClassLimit, "XML document of %d bytes: at most %d are allowed", len(data),
			limits.Bytes)
	}
	text, err := decodeText(data)
	if err != nil {
		return nil, err
	}
	r := &reader{text: text, limits: limits}
	if err := r.skipDeclaration(); err != nil {
		return nil, err
	}
	if err := r.skipBetween(); err != nil {
		return nil, err
	}
	root, err := r.element(1)
	if err != nil {
		return nil, err
	}
	if err := r.skipBetween(); err != nil {
		return nil, err
	}
	if r.at < len(r.text) {
		return nil, r.refuse("something follows the root element <%s>", root.Name)
	}
	return root, nil
}

// A reader walks the text of one document; at is the next byte.
type reader struct {
	text     string
	at       int
	limits   Limits
	elements int
}

func (r *reader) refuse(format string, args ...any) error {
	return core.Refuse(core.ClassXML, "XML, byte "+strconv.Itoa(r.at)+": "+format, args...)
}

func (r *reader) limit(format string, args ...any) error {
	return core.Refuse(core.ClassLimit, "XML, byte "+strconv.Itoa(r.at)+": "+format, args...)
}

// skip passes over prefix if it comes next.
func (r *reader) skip(prefix string) bool {
	if strings.HasPrefix(r.text[r.at:], prefix) {
		r.at += len(prefix)
		return true
	}
	return false
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skipSpace passes over white space and reports whether there was any.
func (r *reader) skipSpace() bool {
	start := r.at
	for r.at < len(r.text) && isSpace(r.text[r.at]) {
		r.at++
	}
	return r.at > start
}

// skipDeclaration passes over <?xml ... ?>, which decodeText has understood already.
func (r *reader) skipDeclaration() error {
	if !strings.HasPrefix(r.text, "<?xml") {
		return nil
	}
	end := strings.Index(r.text, "?>")
	if end < 0 || end > maxDeclaration {
		return r.refuse("the XML declaration has no end")
	}
	r.at = end + len("?>")
	return nil
}

// skipBetween passes over white space and comments around the root element.
func (r *reader) skipBetween() error {
	for {
		r.skipSpace()
		if !strings.HasPrefix(r.text[r.at:], "<!--") {
			return nil
		}
		if err := r.comment(); err != nil {
			return err
		}
	}
}

// comment passes over one comment. XML forbids "--" inside.
func (r *reader) comment() error {
	r.at += len("<!--")
	body, err := r.until("--", "comment")
	if err != nil {
		return err
	}
	if err := r.checkCharacters(body); err != nil {
		return err
	}
	if !r.skip(">") {
		return r.refuse("\"--\" inside a comment")
	}
	return nil
}

// until returns the text before end and moves behind end; it looks no further than the value limit.
func (r *reader) until(end, what string) (string, error) {
	rest := r.text[r.at:]
	window := rest[:min(len(rest), r.limits.Value+len(end))]
	n := strings.Index(window, end)
	switch {
	case n < 0 && len(window) < len(rest):
		return "", r.limit("a %s is longer than %d bytes", what, r.limits.Value)
	case n < 0:
		return "", r.refuse("a %s has no end", what)
	}
	r.at += n + len(end)
	return rest[:n], nil
}

// name reads the name of an element or attribute. Letters, digits, '_', '-' and '.' are enough for
// the protocol; a colon would be a prefix, by which other readers see another name.
func (r *reader) name() (string, error) {
	start := r.at
	for r.at < len(r.text) {
		c := r.text[r.at]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (r.at == start || !(c >= '0' && c <= '9' || c == '-' || c == '.')) {
			break
		}
		r.at++
	}
	switch {
	case r.at == start:
		return "", r.refuse("a name was expected")
	case r.at < len(r.text) && r.text[r.at] == ':':
		return "", r.refuse("name %q has a namespace prefix", r.text[start:r.at+1])
	}
	return r.text[start:r.at], nil
}

// element reads one element, from its "<" to the end of its end tag.
func (r *reader) element(depth int) (*Element, error) {
	if depth > r.limits.Depth {
		return nil, r.limit("more than %d nested elements", r.limits.Depth)
	}
	if r.elements++; r.elements > r.limits.Elements {
		return nil, r.limit("more than %d elements and attributes", r.limits.Elements)
	}
	if strings.HasPrefix(r.text[r.at:], "<!DOCTYPE") {
		return nil, r.refuse("a DOCTYPE is not allowed")
	}
	if !r.skip("<") {
		return nil, r.refuse("an element was expected")
	}
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	e := &Element{Name: name}
	empty, err := r.attributes(e)
	if err != nil || empty {
		return e, err
	}
	if err := r.content(e, depth); err != nil {
		return nil, err
	}
	closing, err := r.name()
	if err != nil {
		return nil, err
	}
	r.skipSpace()
	if closing != name || !r.skip(">") {
		return nil, r.refuse("<%s> is closed by </%s>", name, closing)
	}
	return e, nil
}

// attributes reads the rest of a start tag and reports whether it ended in "/>".
func (r *reader) attributes(e *Element) (empty bool, err error) {
	for {
		spaced := r.skipSpace()
		switch {
		case r.skip("/>"):
			return true, nil
		case r.skip(">"):
			return false, nil
		case !spaced:
			return false, r.refuse("<%s> is not well formed", e.Name)
		case len(e.Attributes) == r.limits.Attributes:
			return false, r.limit("<%s> has more than %d attributes", e.Name, r.limits.Attributes)
		}
		if r.elements++; r.elements > r.limits.Elements {
			return false, r.limit("more than %d elements and attributes", r.limits.Elements)
		}
		attribute, err := r.attribute()
		if err != nil {
			return false, err
		}
		if _, duplicate := e.Attribute(attribute.Name); duplicate {
			return false, r.refuse("<%s> has attribute %s twice", e.Name, attribute.Name)
		}
		e.Attributes = append(e.Attributes, attribute)
	}
}

func (r *reader) attribute() (Attribute, error) {
	name, err := r.name()
	if err != nil {
		return Attribute{}, err
	}
	if name == "xmlns" {
		return Attribute{}, r.refuse("namespaces are not allowed")
	}
	r.skipSpace()
	if !r.skip("=") {
		return Attribute{}, r.refuse("attribute %s has no value", name)
	}
	r.skipSpace()
	var quote string
	switch {
	case r.skip(`"`):
		quote = `"`
	case r.skip("'"):
		quote = "'"
	default:
		return Attribute{}, r.refuse("the value of attribute %s is not quoted", name)
	}
	raw, err := r.until(quote, "attribute value")
	if err != nil {
		return Attribute{}, err
	}
	if strings.Contains(raw, "<") {
		return Attribute{}, r.refuse("attribute %s holds a bare \"<\"", name)
	}
	value, err := r.resolve(raw)
	return Attribute{Name: name, Value: value}, err
}

// content reads text and children up to and including the "</" of the end tag.
func (r *reader) content(e *Element, depth int) error {
	var text pieces
	for {
		run, err := r.run()
		if err != nil {
			return err
		}
		if strings.TrimLeft(run, " \t\r\n") != "" {
			text.add(run)
		}
		rest := r.text[r.at:]
		switch {
		case strings.HasPrefix(rest, "</"):
			r.at += len("</")
			e.Text = text.String()
			return nil
		case strings.HasPrefix(rest, "<!--"):
			err = r.comment()
		case strings.HasPrefix(rest, "<![CDATA["):
			var section string
			section, err = r.cdata()
			text.add(section)
		case strings.HasPrefix(rest, "<!"), strings.HasPrefix(rest, "<?"):
			err = r.refuse("declarations and processing instructions are not allowed inside")
		default:
			var child *Element
			if child, err = r.element(depth + 1); err == nil {
				e.Children = append(e.Children, child)
			}
		}
		if err != nil {
			return err
		}
		if text.size > r.limits.Value {
			return r.limit("the text of <%s> is longer than %d bytes", e.Name, r.limits.Value)
		}
	}
}

// run reads text up to the next "<".
func (r *reader) run() (string, error) {
	raw, err := r.until("<", "run of text")
	if err != nil {
		return "", err
	}
	r.at-- // the "<" belongs to what follows
	if strings.Contains(raw, "]]>") {
		return "", r.refuse("\"]]>\" in text")
	}
	return r.resolve(raw)
}

func (r *reader) cdata() (string, error) {
	r.at += len("<![CDATA[")
	raw, err := r.until("]]>", "CDATA section")
	if err != nil {
		return "", err
	}
	return lineEnds(raw), r.checkCharacters(raw)
}

// checkCharacters refuses what no XML document may hold, escaped or not.
func (r *reader) checkCharacters(text string) error {
	for i, c := range text {
		if !allowed(c) || c == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)) {
			return r.refuse("character %U is not allowed", c)
		}
	}
	return nil
}

// pieces joins the runs of one element's text. Nearly every element has one run, which costs nothing;
// many are joined in linear time.
type pieces struct {
	first string
	rest  strings.Builder
	size  int
}

func (p *pieces) add(text string) {
	if p.size == 0 {
		p.first = text
	} else {
		p.rest.WriteString(text)
	}
	p.size += len(text)
}

// String returns all runs in order.
func (p *pieces) String() string {
	if p.rest.Len() == 0 {
		return p.first
	}
	return p.first + p.rest.String()
}

// allowed is the production Char of XML 1.0.
func allowed(c rune) bool {
	return c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0xD7FF ||
		c >= 0xE000 && c <= 0xFFFD || c >= 0x10000 && c <= 0x10FFFF
}
