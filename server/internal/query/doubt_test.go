package query

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestDoubts(t *testing.T) {
	known := func(field Field) ([]string, error) {
		switch field {
		case FieldSite:
			return []string{"lyon", "paris"}, nil
		case FieldOS:
			return []string{"Debian GNU/Linux 12"}, nil
		case FieldName:
			return []string{"PC-042"}, nil
		}
		return nil, nil
	}
	for text, want := range map[string]string{
		"site = lyon": "", "site = LYON": "", `site = ""`: "", "site ~ lyo": "", "os = windows": "", "name = pc-042": "",
		`os = "debian gnu/linux 12"`: "",
		"site = lyom":                `there is no site "lyom"; did you mean "lyon"?`,
		"not site != lyom":           `there is no site "lyom"; did you mean "lyon"?`,
		"site in (lyon, xyzxyz)":     `there is no site "xyzxyz"`,
		"os = windwos or name = x":   `no computer has os = "windwos"; did you mean "windows"?|no computer has name = "x"`,
		"tag = y":                    `no computer has tag = "y"`,
		"ip in 10.1.0.0":             "ip in 10.1.0.0 is that one address; for the network write 10.1.0.0/16",
		"ip not in 10.1.2.0":         "ip in 10.1.2.0 is that one address; for the network write 10.1.2.0/24",
		"ip in 2001:db8::":           "ip in 2001:db8:: is that one address; for the network write 2001:db8::/32",
		"ip in 10.1.2.3":             "", "ip = 10.1.0.0": "", "ip in 10.1.0.0/16": "", "ip in 2001:db8::1:0": "", "ip in 0.0.0.0": "",
		`software("x") or memory > 8GB and last_contact > 1d`: "",
	} {
		expr, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, err := Doubts(expr, known)
		if joined := strings.Join(got, "|"); err != nil || joined != want {
			t.Errorf("%s: got %q, %v, want %q", text, joined, err, want)
		}
	}
	var names []string
	for i := range maxDoubts + 5 {
		names = append(names, fmt.Sprintf("n%d", i))
	}
	expr, err := Parse("name in (" + strings.Join(names, ", ") + ")")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Doubts(expr, known); err != nil || len(got) != maxDoubts {
		t.Errorf("of many: got %d, %v", len(got), err)
	}
	broken := errors.New("broken")
	if _, err := Doubts(expr, func(Field) ([]string, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("of what cannot be read: got %v", err)
	}
}
