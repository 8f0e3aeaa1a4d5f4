package loosexml

import (
	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// Parse reads one document and returns its root with what the plan keeps. Besides the document itself, which it does
// not change, it needs memory for that alone: about 150 bytes an element and MaxValue a text. A document in UTF-16 is
// converted first, to at most one and a half times its size. Its errors are Refusals of class E_XML.
func Parse(document []byte, plan *Plan) (*strictxml.Element, error) {
	text, charset := decode(document)
	r := &reader{text: text, charset: charset}
	start, err := r.root()
	if err != nil {
		return nil, err
	}
	return r.element(start, plan)
}

// A reader walks the bytes of one document; at is the next one.
type reader struct {
	text    []byte
	at      int
	charset charset
	scratch []byte // used again for each text
}

// root passes over what stands before the root element, and reads its start tag.
func (r *reader) root() (tag, error) {
	for {
		_, next := r.next()
		switch next.kind {
		case endOfText:
			return tag{}, core.Refuse(core.ClassXML, "the XML document has no element")
		case docType:
			return tag{}, core.Refuse(core.ClassXML, "XML, byte %d: a DOCTYPE is not allowed", r.at)
		case startTag, emptyTag:
			return next, nil
		}
	}
}

// element reads an element whose start tag has been read, up to its end tag. It goes no deeper than the plan.
func (r *reader) element(start tag, plan *Plan) (*strictxml.Element, error) {
	e := &strictxml.Element{Name: string(start.name)}
	var kept counts
	r.attributes(e, start.body, plan, &kept)
	if start.kind == emptyTag {
		return e, nil
	}
	var text text
	for {
		run, next := r.next()
		if len(plan.Inside) == 0 {
			text.addRun(r.value(run))
		}
		switch next.kind {
		case endOfText:
			return nil, endsInside(e.Name)
		case section:
			text.add(r.plain(next.body))
		case endTag:
			if string(next.name) == e.Name { // another one ends what never began
				e.Text = text.String()
				return e, nil
			}
		case startTag, emptyTag:
			inside := plan.Inside[string(next.name)]
			if inside == nil || !kept.add(string(next.name), inside) {
				if err := r.pass(next); err != nil {
					return nil, err
				}
				continue
			}
			child, err := r.element(next, inside)
			if err != nil {
				return nil, err
			}
			e.Children = append(e.Children, child)
		}
	}
}

// pass passes over an element whose start tag has been read. Only elements of the same name are counted, so what is not
// well formed inside ends with the element.
func (r *reader) pass(start tag) error {
	if start.kind == emptyTag {
		return nil
	}
	for depth := 1; depth > 0; {
		_, next := r.next()
		switch {
		case next.kind == endOfText:
			return endsInside(string(start.name))
		case string(next.name) != string(start.name):
		case next.kind == startTag:
			depth++
		case next.kind == endTag:
			depth--
		}
	}
	return nil
}

func endsInside(name string) error {
	return core.Refuse(core.ClassXML, "the XML document ends inside <%.40s>", name)
}

// counts are how many attributes and elements of each name one element keeps.
type counts map[string]int

// add counts one more and reports whether it may be kept.
func (c *counts) add(name string, plan *Plan) bool {
	if *c == nil {
		*c = counts{}
	}
	if (*c)[name] >= plan.most() {
		return false
	}
	(*c)[name]++
	return true
}

// attributes keeps the attributes that the plan names; body is what stands between the element's name and its ">".
func (r *reader) attributes(e *strictxml.Element, body []byte, plan *Plan, kept *counts) {
	if len(plan.Inside) == 0 {
		return
	}
	for len(body) > 0 {
		var name, value []byte
		name, value, body = cutAttribute(body)
		if inside := plan.Inside[string(name)]; inside != nil && kept.add(string(name), inside) {
			e.Attributes = append(e.Attributes, strictxml.Attribute{Name: string(name), Value: r.value(value)})
		}
	}
}
