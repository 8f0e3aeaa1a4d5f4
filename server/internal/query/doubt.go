package query

import (
	"fmt"
	"net/netip"
	"time"

	"enjambre/core"
)

// maxDoubts is how many doubts are told of one query; a list of a thousand names needs no thousand lines.
const maxDoubts = 10

// Doubts returns what in an expression is perhaps not what was meant, for people: values of name, os, site, tag, user,
// serial or agent that no computer has, with the nearest that one has, and after "ip in" an address that looks like a
// network without the length of its prefix. At most ten. known returns the values that there are of a field.
func Doubts(expr Expr, known func(Field) ([]string, error)) (doubts []string, err error) {
	values := map[Field][]string{}
	for _, compare := range compares(expr, nil) {
		for _, value := range compare.Values {
			if len(doubts) == maxDoubts {
				return doubts, nil
			}
			var doubt string
			switch v := value.(type) {
			case Network:
				doubt = networkDoubt(compare.Op, v)
			case Text:
				if compare.Op == opContains || v == "" {
					continue
				}
				if _, read := values[compare.Field]; !read {
					if values[compare.Field], err = known(compare.Field); err != nil {
						return doubts, err
					}
				}
				doubt = textDoubt(compare.Field, v, values[compare.Field])
			}
			if doubt != "" {
				doubts = append(doubts, doubt)
			}
		}
	}
	return doubts, nil
}

// compares appends the comparisons of an expression.
func compares(expr Expr, to []Compare) []Compare {
	switch e := expr.(type) {
	case And:
		for _, term := range e.Terms {
			to = compares(term, to)
		}
	case Or:
		for _, term := range e.Terms {
			to = compares(term, to)
		}
	case Not:
		to = compares(e.Term, to)
	case Compare:
		to = append(to, e)
	}
	return to
}

// textDoubt says that no value of a field equals a text; "" if one does.
func textDoubt(field Field, text Text, known []string) string {
	for _, one := range known {
		computer := Computer{Name: one, OS: one, Site: one, Tag: one, User: one, Serial: one, Agent: one}
		if matchValue(field, opEqual, text, computer, time.Time{}) {
			return ""
		}
	}
	doubt := fmt.Sprintf("no computer has %s = %s", field, shown(string(text)))
	if field == FieldSite {
		doubt = "there is no site " + shown(string(text))
	}
	if field == FieldOS {
		known = append([]string{string(core.Windows), string(core.Linux)}, known...)
	}
	if near := core.Nearest(string(text), known); near != "" {
		doubt += "; did you mean " + shown(near) + "?"
	}
	return doubt
}

// networkDoubt says that an address after "in" looks like a network: its last bytes are zero, as no computer's are.
func networkDoubt(op Op, network Network) string {
	if op != opIn || !network.IsSingleIP() {
		return ""
	}
	address := network.Addr()
	bytes := address.AsSlice()
	last := len(bytes)
	for last > 1 && bytes[last-1] == 0 {
		last--
	}
	const hostBytes = 8 // of an IPv6 address
	if last == len(bytes) || address.Is6() && last > len(bytes)-hostBytes || last == 1 && bytes[0] == 0 {
		return ""
	}
	return fmt.Sprintf("ip in %s is that one address; for the network write %s", address,
		netip.PrefixFrom(address, 8*last))
}
