package loosexml

// A Plan says what is kept of an element: its own text, and those of its attributes and child elements that the plan
// names. A plan without names is one of a field, of which the text is kept.
type Plan struct {
	// Inside are the plans of attributes and child elements, by name. An attribute is kept whatever its plan says.
	Inside map[string]*Plan

	// Most is how many elements of this name are kept inside one parent; 0 means one. Those that follow are passed over.
	Most int
}

// Field is the plan of a field.
var Field = &Plan{}

// Fields is the plan of an element that holds the named fields, of which a parent has at most so many.
func Fields(most int, names ...string) *Plan {
	plan := &Plan{Inside: map[string]*Plan{}, Most: most}
	for _, name := range names {
		plan.Inside[name] = Field
	}
	return plan
}

func (p *Plan) most() int { return max(p.Most, 1) }

// MaxValue is how many bytes are kept of one text or attribute value; what is longer is cut between characters. The
// server keeps 255 characters of a text.
const MaxValue = 1 << 10
