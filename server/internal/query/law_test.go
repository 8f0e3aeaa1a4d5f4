package query

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"enjambre/core"
)

// fataler is what rapid's and testing's T share here.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkRoundTrip holds Parse and String to their law.
func checkRoundTrip(t fataler, expr Expr) {
	t.Helper()
	canonical := expr.String()
	again, err := Parse(canonical)
	if err != nil {
		t.Fatalf("canonical text refused: %v", err)
	}
	if !reflect.DeepEqual(again, expr) || again.String() != canonical {
		t.Fatalf("%s\nbecame %#v,\nnot %#v", canonical, again, expr)
	}
}

// checkError holds an error to what its fields promise.
func checkError(t fataler, text string, err *Error) {
	t.Helper()
	if err.Text != text || err.Offset < 0 || err.Offset > len(text) || err.Problem == "" ||
		!strings.HasPrefix(text[err.Offset:], err.Token) ||
		err.Column != utf8.RuneCountInString(text[:err.Offset])+1 {
		t.Fatalf("error does not fit %q: %#v", text, err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 1 && (len(lines) != 3 || !strings.Contains(lines[2], "^")) {
		t.Fatalf("got %d lines: %q", len(lines), err.Error())
	}
	for _, line := range lines {
		if !core.Printable(line) {
			t.Fatalf("not printable: %q", line)
		}
	}
}

// someText draws what may stand in quotes.
func someText(t *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "and", "in", "never", "Windows 11", "O'Brien", `a"b`, `CORP\ana`, "a,b"}),
		rapid.StringMatching(`[a-zA-Z0-9._:/@-]{1,12}`),
		rapid.String().Filter(core.Printable),
	).Draw(t, label)
}

func someValue(t *rapid.T, field Field, op Op) Value {
	switch field {
	case FieldOS:
		if op != opContains && rapid.Bool().Draw(t, "family") {
			return rapid.SampledFrom([]Value{Family(core.Windows), Family(core.Linux)}).Draw(t, "os")
		}
	case FieldMemory, FieldDisk:
		amount := rapid.Int64Range(0, 1<<20).Draw(t, "amount")
		unit := rapid.SampledFrom(sizeUnits).Draw(t, "unit")
		return Bytes(min(amount*min(unit.bytes, 1<<40), maxBytes))
	case FieldIP:
		bytes := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")
		if rapid.Bool().Draw(t, "IPv6") {
			bytes = append([]byte{0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, bytes...)
		}
		address, _ := netip.AddrFromSlice(bytes)
		bits := address.BitLen()
		if op == opIn {
			bits = rapid.IntRange(0, bits).Draw(t, "bits")
		}
		return Network{netip.PrefixFrom(address, bits).Masked()}
	case FieldMAC:
		count := macBytes
		if op == opContains {
			count = rapid.IntRange(1, macBytes).Draw(t, "bytes")
		}
		text := rapid.StringMatching(`([0-9a-f]{2}:){6}`).Draw(t, "mac")
		return MAC(text[:3*count-1])
	case FieldLastContact, FieldInventory:
		if op == opEqual || op == opNotEqual || op == opIn {
			if rapid.Bool().Draw(t, "never") {
				return Never{}
			}
		} else if rapid.Bool().Draw(t, "age") {
			return Age(time.Minute * time.Duration(rapid.Int64Range(0, int64(maxAge/time.Minute)).Draw(t, "minutes")))
		}
		return dateOf(time.Unix(rapid.Int64Range(0, 200*365*86_400).Draw(t, "seconds"), 0))
	}
	return Text(rapid.Custom(func(t *rapid.T) string { return someText(t, "text") }).
		Filter(func(text string) bool {
			_, err := core.ParseOS(strings.ToLower(text))
			return (field != FieldOS || err != nil) && (op != opContains || text != "")
		}).Draw(t, "value"))
}

func someTerm(t *rapid.T) Expr {
	switch rapid.IntRange(0, 3).Draw(t, "kind of term") {
	case 0:
		software := Software{Name: "x" + someText(t, "software")}
		if rapid.Bool().Draw(t, "with version") {
			software.Op = rapid.SampledFrom(kindVersion.ops).Draw(t, "op")
			software.Version = someText(t, "version") + "1"
		}
		return software
	case 1:
		state := State{Package: core.PackageID(rapid.Int64Range(1, 1e17).Draw(t, "package"))}
		state.Op = rapid.SampledFrom(kindState.ops).Draw(t, "op")
		most := 1
		if state.Op == opIn {
			most = 4
		}
		state.States = rapid.SliceOfN(rapid.SampledFrom(states), 1, most).Draw(t, "states")
		return state
	}
	compare := Compare{Field: rapid.SampledFrom(fields).Draw(t, "field")}
	compare.Op = rapid.SampledFrom(compare.Field.kind().ops).Draw(t, "op")
	count := 1
	if compare.Op == opIn {
		count = rapid.IntRange(1, 4).Draw(t, "values")
	}
	for range count {
		compare.Values = append(compare.Values, someValue(t, compare.Field, compare.Op))
	}
	return compare
}

// someExpr draws an expression as Parse makes it: no And in an And, no Or in an Or.
func someExpr(t *rapid.T, levels int) Expr {
	shape := 0
	if levels > 0 {
		shape = rapid.IntRange(0, 3).Draw(t, "shape")
	}
	if shape == 0 {
		return someTerm(t)
	}
	if shape == 1 {
		return Not{someExpr(t, levels-1)}
	}
	var terms []Expr
	for range rapid.IntRange(2, 3).Draw(t, "terms") {
		term := someExpr(t, levels-1)
		_, isAnd := term.(And)
		_, isOr := term.(Or)
		if shape == 2 && isAnd || shape == 3 && isOr {
			term = Not{term}
		}
		terms = append(terms, term)
	}
	if shape == 2 {
		return And{terms}
	}
	return Or{terms}
}

func TestRoundTripLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expr := someExpr(t, 3)
		if len(expr.String()) > MaxText {
			t.Skip("too long")
		}
		checkRoundTrip(t, expr)
	})
}

// TestOppositeLaw: no computer is between an operator and its opposite, whatever it lacks.
func TestOppositeLaw(t *testing.T) {
	opposites := map[Op]Op{
		"=": "!=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<",
	}
	rapid.Check(t, func(t *rapid.T) {
		expr, isCompare := someTerm(t).(Compare)
		opposite := opposites[expr.Op]
		if !isCompare || opposite == "" {
			t.Skip("no opposite")
		}
		other := Compare{expr.Field, opposite, expr.Values}
		for _, computer := range []Computer{desk, {}} {
			if Match(expr, computer, now) == Match(other, computer, now) {
				t.Fatalf("%s and %s agree on %+v", expr, other, computer)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, test := range accepted {
		f.Add(test.text)
	}
	for _, test := range refused {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		expr, err := Parse(text)
		var failed *Error
		switch {
		case err == nil:
			checkRoundTrip(t, expr)
			Match(expr, desk, now)
		case errors.As(err, &failed):
			checkError(t, text, failed)
		default:
			t.Fatalf("got %T, want *Error", err)
		}
	})
}

func TestFold(t *testing.T) {
	for _, pair := range [][2]string{
		{"PC-042", "pc-042"}, {"MÜLLER", "müller"}, {"ΟΔΟΣ", "οδος"}, {"\u212a", "k"}, {"ПК", "пк"},
		{"Rene\u0301", "RENÉ"}, {"a\u00a0\t b", "A b"}, {"J\u030c", "\u01f0"}, {"Win®(R)(TM) 7", "WIN 7"}, {"((r)r)", ""},
	} {
		if Fold(pair[0]) != Fold(pair[1]) {
			t.Errorf("Fold(%q) is %q, Fold(%q) is %q", pair[0], Fold(pair[0]), pair[1], Fold(pair[1]))
		}
	}
	if Fold("müller") == Fold("muller") {
		t.Error("accents do not count")
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		folded := Fold(string(r))
		if Fold(folded) != folded {
			t.Errorf("Fold(Fold(%U)) is %q, not %q", r, Fold(folded), folded)
		}
		if other := string(unicode.SimpleFold(r)); Fold(other) != folded {
			t.Errorf("Fold(%U) is %q, but Fold(%q) is %q", r, folded, other, Fold(other))
		}
	}
}

// TestFoldLaw: folding once is enough, whatever stands together.
func TestFoldLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"(", "r", "R", "c", "tm", ")", "(r)", "®", " ", "\u00a0", "\u0301", "\u0345", "\u030c", "e", "J", "α", "Ι", "\u1fbe", "İ", "\xff",
		})), 0, 12).Draw(t, "pieces"), "")
		folded := Fold(text)
		if again := Fold(folded); again != folded {
			t.Fatalf("Fold(%q) is %q, and then %q", text, folded, again)
		}
		if !utf8.ValidString(folded) {
			t.Fatalf("Fold(%q) is %q", text, folded)
		}
	})
}
