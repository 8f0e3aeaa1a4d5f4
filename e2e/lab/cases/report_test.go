package cases

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestReport: rows are added in order, and replaced where they are.
func TestReport(t *testing.T) {
	document := "# Measured\n\n" + tableBegin + "\n" + tableEnd + "\n\nAfter it.\n"
	for _, row := range []Row{
		{"a | b", "R = 1", "1.2,\nnot well", false, "2026-01-01 abc"},
		{"second", "<= 3 s", "2 s", true, "2026-01-01 abc"},
		{"a | b", "R = 1", "1.000", true, "2026-01-02 def"},
		{"a", "a case whose name begins another's", "-", false, "2026-01-02 def"},
	} {
		var err error
		if document, err = Update(document, row); err != nil {
			t.Fatal(err)
		}
	}
	golden := filepath.Join("testdata", "report.md")
	if *update {
		if err := os.WriteFile(golden, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if document != string(want) {
		t.Errorf("got\n%s\nwant\n%s", document, want)
	}
	if _, err := Update("# No table\n"+tableEnd, Row{}); !errors.Is(err, errNoTable) {
		t.Errorf("without a table: got %v", err)
	}
}
