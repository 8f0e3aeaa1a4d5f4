package core

import "testing"

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"lyom": "lyon", "lst": "list", "jason": "json", "windwos": "windows", "lyon": "lyon", "xyz": "", "": "",
		"l\u00efst": "list",
	} {
		if got := Nearest(word, []string{"lyon", "list", "json", "windows"}); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	if got := Nearest("x", []SiteName{}); got != "" {
		t.Errorf("of none: got %q", got)
	}
}
