package query

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestManual holds the manual to the program: its examples parse, and it names every field and state.
func TestManual(t *testing.T) {
	page, err := os.ReadFile("../../../docs/search.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(page)
	firstBlock, _, _ := strings.Cut(manual, "An empty query")
	var examples []string
	for line := range strings.Lines(firstBlock) {
		if example, indented := strings.CutPrefix(line, "    "); indented {
			examples = append(examples, example)
		}
	}
	term := regexp.MustCompile("`((?:not )?(?:[a-z_]+ (?:[=!~<>]+|in|not in) |software\\(\"|state\\(\")[^`]+)`")
	for _, found := range term.FindAllStringSubmatch(manual, -1) {
		examples = append(examples, found[1])
	}
	if len(examples) < 40 {
		t.Errorf("found %d examples only", len(examples))
	}
	for _, example := range examples {
		if _, err := Parse(example); err != nil {
			t.Errorf("the manual says %s\n%v", example, err)
		}
	}
	for _, field := range fields {
		if !strings.Contains(manual, "\n| `"+string(field)+"` |") {
			t.Errorf("field %s is not in the manual", field)
		}
	}
	for _, state := range states {
		if !strings.Contains(manual, "`"+state+"`") {
			t.Errorf("state %s is not in the manual", state)
		}
	}
}
