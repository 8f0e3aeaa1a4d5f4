package query

import (
	"fmt"
	"slices"
	"strings"

	"enjambre/core"
)

// aCondition is what a query is made of, for messages.
const aCondition = "a condition such as name = pc-042"

// parseTerm reads one comparison, software(...) or state(...).
func (p *parser) parseTerm() (Expr, error) {
	first := p.take()
	if first.kind == tokenQuoted {
		return nil, p.fail(first, "a value without a field", "to search by name: name ~ "+shown(first.text))
	}
	if first.kind != tokenWord || first.isKeyword() {
		return nil, p.unexpected(first, aCondition)
	}
	if p.terms++; p.terms > maxTerms {
		return nil, p.fail(first, fmt.Sprintf("more than %d conditions", maxTerms),
			"use in with a list: name in (a, b, c)")
	}
	switch {
	case first.is("software"):
		return p.parseSoftware()
	case first.is("state"):
		return p.parseState()
	}
	field, known := findField(first.text)
	if !known {
		return nil, p.unknownField(first)
	}
	return p.parseCompare(field)
}

func (p *parser) unknownField(t token) error {
	names := append(slices.Clone(fields), "software", "state")
	hint := "fields: " + list(names)
	near := core.Nearest(strings.ToLower(t.text), strings.Split(list(names), ", "))
	if near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	} else if next := p.peek(); next.kind != tokenOp && next.kind != tokenOpen && !next.is("in") {
		hint = "to search by name: name ~ " + shown(t.text) + "; " + hint
	}
	return p.fail(t, "unknown field "+shown(t.text), hint)
}

func (p *parser) parseCompare(field Field) (Expr, error) {
	kind := field.kind()
	op, negated, err := p.parseOp(string(field), kind)
	if err != nil {
		return nil, err
	}
	compare := Compare{Field: field, Op: op}
	err = p.parseValues(op, kind.value, func(t token) *refusal {
		value, bad := kind.parse(op, t.text)
		compare.Values = append(compare.Values, value)
		return bad
	})
	if err != nil {
		return nil, err
	}
	if negated {
		return Not{compare}, nil
	}
	return compare, nil
}

// parseOp reads the operator after what subject names, and whether it was "not in".
func (p *parser) parseOp(subject string, kind kind) (op Op, negated bool, err error) {
	t := p.take()
	if t.is("not") && p.peek().is("in") {
		if p.depth >= maxDepth {
			return "", false, p.tooDeep(t)
		}
		t, negated = p.take(), true
	}
	switch {
	case t.kind == tokenOp:
		op = Op(t.text)
	case t.is("in"):
		op = opIn
	default:
		unexpected := p.unexpected(t, "an operator: "+list(kind.ops))
		if t.is("is") || t.is("like") || t.is("contains") {
			unexpected.Hint = "write = or ~"
		}
		return "", false, unexpected
	}
	if !slices.Contains(kind.ops, op) {
		problem := fmt.Sprintf("%s does not work with %s, since it compares %s", op, subject, kind.plural)
		hint := "use one of " + list(kind.ops)
		if kind.hint != "" {
			hint += "; " + kind.hint
		}
		return "", false, p.fail(t, problem, hint)
	}
	return op, negated, nil
}

// parseValues reads one value, or for "in" perhaps a list, and gives each to accept.
func (p *parser) parseValues(op Op, expected string, accept func(token) *refusal) error {
	if op != opIn || p.peek().kind != tokenOpen {
		return p.parseValue(op, expected, accept)
	}
	p.take()
	for count := 1; ; count++ {
		if count > maxValues {
			return p.fail(p.peek(), fmt.Sprintf("more than %d values in a list", maxValues), "")
		}
		if err := p.parseValue(op, expected, accept); err != nil {
			return err
		}
		switch t := p.take(); t.kind {
		case tokenComma:
		case tokenClose:
			return nil
		default:
			err := p.unexpected(t, "a comma or )")
			if t.kind == tokenWord || t.kind == tokenQuoted {
				err.Hint = "a value with blanks stands in quotes"
			}
			return err
		}
	}
}

func (p *parser) parseValue(op Op, expected string, accept func(token) *refusal) error {
	t := p.take()
	if t.kind != tokenQuoted && (t.kind != tokenWord || t.isKeyword()) {
		err := p.unexpected(t, expected)
		switch {
		case t.isKeyword():
			err.Hint = fmt.Sprintf("for the word itself write %q", t.text)
		case t.kind == tokenOpen:
			err.Hint = "lists need in: site in (lyon, paris)"
		case t.kind == tokenOp:
			err.Hint = "a value that begins with an operator stands in quotes"
		}
		return err
	}
	if bad := accept(t); bad != nil {
		return p.fail(t, bad.problem, bad.hint)
	}
	return nil
}

// parseSoftware reads what follows the word software.
func (p *parser) parseSoftware() (Expr, error) {
	const example = `software("firefox") or software("firefox", < 140)`
	if t := p.take(); t.kind != tokenOpen {
		return nil, p.unexpected(t, `( as in `+example)
	}
	software := Software{}
	err := p.parseValue(opContains, "the software's name or a part of it", func(t token) *refusal {
		software.Name = t.text
		if t.text == "" {
			return &refusal{"the software's name is empty", "write a part of its name: " + example}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if p.peek().kind == tokenComma {
		p.take()
		if t := p.peek(); t.kind == tokenWord && !t.isKeyword() || t.kind == tokenQuoted {
			return nil, p.fail(t, "a version without an operator", "write = "+shown(t.text)+", or < or >=")
		}
		if software.Op, _, err = p.parseOp("software", kindVersion); err != nil {
			return nil, err
		}
		err = p.parseValue(software.Op, kindVersion.value, func(t token) *refusal {
			software.Version = t.text
			if t.text == "" {
				return &refusal{"the version is empty", "for any version: software(" + quote("firefox") + ")"}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if t := p.take(); t.kind != tokenClose {
		return nil, p.unexpected(t, ") as in "+example)
	}
	return software, nil
}

// parseState reads what follows the word state.
func (p *parser) parseState() (Expr, error) {
	const example = `state("1760000000") = ERR_EXECUTE`
	if t := p.take(); t.kind != tokenOpen {
		return nil, p.unexpected(t, `( as in `+example)
	}
	state := State{}
	err := p.parseValue(opEqual, "a package ID", func(t token) *refusal {
		id, err := core.ParsePackageID(t.text)
		if state.Package = id; err != nil {
			return &refusal{shown(t.text) + " is not a package ID", "IDs are digits: " + example}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if t := p.take(); t.kind != tokenClose {
		return nil, p.unexpected(t, ") as in "+example)
	}
	negated := false
	if state.Op, negated, err = p.parseOp("state", kindState); err != nil {
		return nil, err
	}
	err = p.parseValues(state.Op, kindState.value, func(t token) *refusal {
		name := strings.ToUpper(t.text)
		state.States = append(state.States, name)
		if slices.Contains(states, name) {
			return nil
		}
		bad := &refusal{"unknown state " + shown(t.text), "states: " + list(states)}
		if near := core.Nearest(name, states); near != "" {
			bad.hint = fmt.Sprintf("did you mean %s? %s", near, bad.hint)
		}
		return bad
	})
	if err != nil {
		return nil, err
	}
	if negated {
		return Not{state}, nil
	}
	return state, nil
}
