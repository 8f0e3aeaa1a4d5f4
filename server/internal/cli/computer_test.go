package cli

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"text/tabwriter"

	"enjambre/core/ocs"
	"enjambre/server/internal/site"
	"enjambre/server/internal/store"
)

func TestProgressText(t *testing.T) {
	for want, progress := range map[string]store.Progress{
		"downloading 120 of 400 fragments; last problem: origin: 503 again": {
			Phase: ocs.Downloading, Have: 120, Of: 400, Problem: "origin: 503\n\tagain"},
		"delayed by the user": {Phase: ocs.Delayed, Have: 4, Of: 4},
		"installing":          {Phase: ocs.Installing, Have: 4, Of: 4},
	} {
		if got := progressText(progress); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestComputerTable: what an agent told of a failure is shown whole, line by line, and no text of its can
// make cells or lines that are not its own.
func TestComputerTable(t *testing.T) {
	view := store.ComputerView{
		Affectations: []store.Affectation{{Package: 7, PackageName: "editor", State: "ERR_EXECUTE", Text: "SUCCESS_3\tx\ny",
			Exit: "3", Detail: "E_EXEC\tno\nspace", Output: "\nfirst\n\tsecond\n\nlast\n"}},
		Results: []store.Result{
			{Package: 7, Text: "SUCCESS_3\tx\ny", Exit: "3", Detail: "E_EXEC\tno\nspace", Output: "\nfirst\n\tsecond\n\nlast\n"},
			{Package: 8, Text: "ERR_EXECUTE", Exit: "9", Output: "of another"},
		},
	}
	var text bytes.Buffer
	writer := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	computerTable(writer, view)
	if err := writer.Flush(); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	_, after, _ := strings.Cut(text.String(), "programs")
	for line := range strings.Lines(after) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	want := `          0
package 7         editor  ERR_EXECUTE  SUCCESS_3 x y  affected -  notified -  ended -
  exit            3
  detail          E_EXEC    no
                  space
  output          first
                      second

                  last
result            7  SUCCESS_3 x y  -
result            8  ERR_EXECUTE    -
  exit            9
  output          of another
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// TestPlaceText: people are told why a computer is at its site.
func TestPlaceText(t *testing.T) {
	lyon := site.Judgement{Site: "lyon", By: site.ByNetwork, Network: netip.MustParsePrefix("10.1.0.0/16")}
	for _, c := range []struct {
		at   store.Place
		want string
	}{
		{store.Place{}, ""},
		{store.Place{Judgement: site.Judgement{Site: "lyon", By: site.ByHand}, Assigned: "lyon"}, "by hand"},
		{store.Place{Judgement: site.Judgement{Site: "lyon", By: site.ByToken}, Assigned: "lyon"}, "by token"},
		{store.Place{Judgement: lyon, Assigned: "lyon"}, "by network 10.1.0.0/16"},
		{store.Place{Judgement: lyon, Assigned: "nice"}, "by network 10.1.0.0/16, else nice"},
	} {
		if got := placeText(c.at); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.at, got, c.want)
		}
	}
}
