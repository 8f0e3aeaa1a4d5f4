package query

import (
	"strings"

	"enjambre/core"
)

// An Expr is a query that Parse accepted: [And], [Or], [Not], [Compare], [Software] or [State].
// It is plain data and must not be changed once shared.
type Expr interface {
	// String returns the one canonical text; Parse reads it back to an equal expression.
	String() string
	expr()
}

// And is true when all its terms are. Parse makes it with two terms or more, none of them an And.
type And struct{ Terms []Expr }

// Or is true when any of its terms is. Parse makes it with two terms or more, none of them an Or.
type Or struct{ Terms []Expr }

// Not is true when its term is false.
type Not struct{ Term Expr }

// Compare compares a field with one value or, where Op is "in", with one to 1000. Each Value has
// a type that suits the field; see [Field].
type Compare struct {
	Field  Field
	Op     Op
	Values []Value
}

// Software is true when any installed item has a name that contains Name, in any case, and, where
// Op is not "", a version that is known and stands to Version as Op says, by [CompareVersions].
type Software struct {
	Name    string // never empty
	Op      Op     // "=", "!=", "<", "<=", ">", ">=", or "" for any version
	Version string // empty only where Op is ""
}

// State compares the state of a package on the computer; Op is "=", "!=" or "in". A package not
// affected to the computer has the state NONE there.
type State struct {
	Package core.PackageID
	Op      Op
	States  []string // upper case; one, or up to 1000 where Op is "in"
}

// An Op is one of "=", "!=", "~" (contains), "<", "<=", ">", ">=" and "in".
type Op string

const (
	opEqual        Op = "="
	opNotEqual     Op = "!="
	opContains     Op = "~"
	opLess         Op = "<"
	opLessEqual    Op = "<="
	opGreater      Op = ">"
	opGreaterEqual Op = ">="
	opIn           Op = "in"
)

func (And) expr()      {}
func (Or) expr()       {}
func (Not) expr()      {}
func (Compare) expr()  {}
func (Software) expr() {}
func (State) expr()    {}

// String joins the terms with "and".
func (a And) String() string {
	return joinTerms(a.Terms, " and ", func(term Expr) bool {
		switch term.(type) {
		case And, Or:
			return true
		}
		return false
	})
}

// String joins the terms with "or"; "and" binds closer, so its terms need no parentheses.
func (o Or) String() string {
	return joinTerms(o.Terms, " or ", func(term Expr) bool {
		_, is := term.(Or)
		return is
	})
}

// String puts "not" before the term.
func (n Not) String() string {
	switch n.Term.(type) {
	case And, Or:
		return "not (" + n.Term.String() + ")"
	}
	return "not " + n.Term.String()
}

// String writes field, operator and values, such as site in (lyon, paris).
func (c Compare) String() string {
	texts := make([]string, len(c.Values))
	for i, value := range c.Values {
		texts[i] = value.String()
	}
	return string(c.Field) + " " + string(c.Op) + " " + joinValues(texts)
}

// String writes software("name") or software("name", < version).
func (s Software) String() string {
	if s.Op == "" {
		return "software(" + quote(s.Name) + ")"
	}
	return "software(" + quote(s.Name) + ", " + string(s.Op) + " " + Text(s.Version).String() + ")"
}

// String writes state("package ID"), operator and states.
func (s State) String() string {
	return `state("` + s.Package.String() + `") ` + string(s.Op) + " " + joinValues(s.States)
}

func joinTerms(terms []Expr, word string, inParentheses func(Expr) bool) string {
	texts := make([]string, len(terms))
	for i, term := range terms {
		texts[i] = term.String()
		if inParentheses(term) {
			texts[i] = "(" + texts[i] + ")"
		}
	}
	return strings.Join(texts, word)
}

func joinValues(texts []string) string {
	if len(texts) == 1 {
		return texts[0]
	}
	return "(" + strings.Join(texts, ", ") + ")"
}
