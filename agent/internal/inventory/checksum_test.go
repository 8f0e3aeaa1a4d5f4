package inventory

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
)

func TestChecksum(t *testing.T) {
	bash, dash := section(softwares, "NAME", "bash", "VERSION", "5"), section(softwares, "NAME", "dash")
	_, seen := Checksum([]ocs.Section{bash, dash}, nil)
	bit := ocs.SectionBit(softwares)
	for _, c := range []struct {
		name     string
		sections []ocs.Section
		want     uint32
	}{
		{"the same", []ocs.Section{bash, dash}, 0},
		{"another order", []ocs.Section{dash, bash}, 0},
		{"another order of fields", []ocs.Section{dash, section(softwares, "VERSION", "5", "NAME", "bash")}, 0},
		{"one fewer", []ocs.Section{bash}, bit},
		{"one twice", []ocs.Section{bash, bash, dash}, bit},
		{"another value", []ocs.Section{bash, section(softwares, "NAME", "zsh")}, bit},
		{"a value in the other item", []ocs.Section{section(softwares, "NAME", "bash"),
			section(softwares, "NAME", "dash", "VERSION", "5")}, bit},
		{"two fields that look like one", []ocs.Section{dash, section(softwares, "NAME", "bash\n7:VERSION=1:5")}, bit},
		{"nothing said", nil, 0},
		{"a section without a bit", []ocs.Section{bash, dash, section("EXTRA", "A", "B")}, 0},
		{"another kind", []ocs.Section{bash, dash, section("BIOS", "SSN", "1")}, 2},
	} {
		got, next := Checksum(c.sections, seen)
		if got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
		if _, kept := next[softwares]; !kept {
			t.Errorf("%s: what was seen is forgotten", c.name)
		}
		if again, _ := Checksum(c.sections, next); again != 0 {
			t.Errorf("%s: accepted, and %d changed again", c.name, again)
		}
	}
	if len(seen) != 1 {
		t.Errorf("Checksum changed its argument: %v", seen)
	}
}

func TestSeenInJSON(t *testing.T) {
	seen := Seen{"HARDWARE": core.DigestOf(nil), softwares: core.DigestOf([]byte("x"))}
	text, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	var read Seen
	if err := json.Unmarshal(text, &read); err != nil || !maps.Equal(seen, read) {
		t.Errorf("got %v, %v", read, err)
	}
	digest := `"` + core.DigestOf(nil).String() + `"`
	for _, bad := range []string{
		`null`, `[]`, `"x"`, `1`, `{"HARDWARE":1}`, `{"HARDWARE":null}`, `{"HARDWARE":"ab"}`, `{"hardware":` + digest + `}`,
		`{"HARDWARE":` + digest + `,"HARDWARE":` + digest + `}`, `{"HARDWARE":` + strings.ToUpper(digest) + `}`,
		`{"HARDWARE":{}}`,
	} {
		var read Seen
		if err := json.Unmarshal([]byte(bad), &read); err == nil {
			t.Errorf("%s was read as %v", bad, read)
		}
	}
}

func FuzzSeen(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"BIOS":"` + core.DigestOf(nil).String() + `"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var seen, again Seen
		if json.Unmarshal(text, &seen) != nil {
			return
		}
		written, err := json.Marshal(seen)
		if err != nil || json.Unmarshal(written, &again) != nil || !maps.Equal(seen, again) {
			t.Fatalf("%s: wrote %s, %v", text, written, err)
		}
	})
}

func TestAppend(t *testing.T) {
	sections := []ocs.Section{section("BIOS", "SSN", "1"), section("HARDWARE", "NAME", "pc")}
	got := Append(sections, 3, nil, []core.PackageID{5})
	if got.First("HARDWARE").Value("CHECKSUM") != "3" || got.First("HARDWARE").Value("NAME") != "pc" ||
		!got.Reported || !slices.Equal(got.History, []core.PackageID{5}) {
		t.Errorf("got %+v", got)
	}
	if sections[1].Value("CHECKSUM") != "" {
		t.Error("the argument was changed")
	}
	if got := Append(nil, 7, nil, nil); got.First("HARDWARE").Value("CHECKSUM") != "7" || !got.Reported {
		t.Errorf("without HARDWARE: got %+v", got)
	}
	long := make([]core.PackageID, ocs.MaxHistory+1)
	long[ocs.MaxHistory] = 9
	if got := Append(nil, 0, make([]ocs.AccountField, ocs.MaxAccount+1), long); len(got.Account) != ocs.MaxAccount ||
		len(got.History) != ocs.MaxHistory || got.History[ocs.MaxHistory-1] != 9 {
		t.Errorf("got %d fields, %d packages", len(got.Account), len(got.History))
	}
}

func TestPrintable(t *testing.T) {
	for from, want := range map[string]string{
		" a\tb\nc\x00\x1b[1m ": "a b c[1m", "x\u202ey\u200bz": "xyz", "\xff": "?", "ñandú": "ñandú", "\ufffe": "",
	} {
		if got := printable(from, 100); got != want {
			t.Errorf("%q: got %q, want %q", from, got, want)
		}
	}
	for _, unit := range []string{"x", "&", "ñ", "\U0001F600"} {
		got := printable(strings.Repeat(unit, maxValue), maxValue)
		document := ocs.Inventory{Sections: []ocs.Section{section("BIOS", "SSN", got)}}.Append(nil,
			"pc-2026-11-24-09-30-00")
		if _, err := ocs.ParseRequest(document); err != nil || len(got) < maxValue/maxEscape {
			t.Errorf("%d bytes of %q: %v", len(got), unit, err)
		}
	}
}

// TestBound: whatever the sources say, the message can be read.
func TestBound(t *testing.T) {
	long := strings.Repeat(`"<&`, maxValue)
	var report Report
	for _, name := range []string{"DRIVES", "NETWORKS", softwares} {
		for range MaxItems + 1 {
			report.Sections = append(report.Sections, section(name, "NAME", long, "COMMENTS", long, "TYPE", long))
		}
	}
	report.bound(System{}.complete())
	document := Append(report.Sections, 0, nil, nil).Append(nil, "pc-2026-11-24-09-30-00")
	if _, err := ocs.ParseRequest(document); err != nil || len(document) > ocs.MaxInventory {
		t.Errorf("%d bytes: %v", len(document), err)
	}
	if len(report.Notes) != 4 { // two lists, the fields, the rest
		t.Errorf("notes %v", report.Notes)
	}
}
