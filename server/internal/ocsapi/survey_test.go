package ocsapi

import (
	"net/http"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/query"
	"enjambre/server/internal/store"
)

// TestFactsOfOurAgent: what our agent sends is understood, as the golden file has it that its own tests make
// (agent/internal/inventory/testdata/inventory.xml, of which this is a copy).
func TestFactsOfOurAgent(t *testing.T) {
	document, err := os.ReadFile("testdata/agent-inventory.xml")
	check(t, err)
	request, err := ocs.ParseRequest(document)
	check(t, err)
	inventory, err := request.Inventory()
	check(t, err)
	const card = "00:1a:2b:3c:4d:5e"
	want := store.Facts{
		Computer: store.Computer{
			Name:         "pc-042",
			OS:           "Debian GNU/Linux 12",
			Family:       core.Linux,
			Agent:        "enjambre-agent",
			User:         "ana",
			Serial:       "5CG9123ABC",
			UUID:         "11223344-5566-7788-0102-030405060708",
			Manufacturer: "Maker & Sons",
			Model:        "Desk 800 G4",
			Memory:       15835 << 20,
			Disk:         61440 << 20,
		},
		Addresses: []store.Address{{IP: "10.1.2.3", MAC: card}, {IP: "fe80::21a:2bff:fe3c:4d5e", MAC: card},
			{IP: "2001:db8:1::23", MAC: card}, {MAC: "00:1a:2b:3c:4d:60"}, {IP: "172.17.0.1", MAC: "02:42:00:00:00:01"}},
		Programs: []store.Program{{Name: "bash", Version: "5.2.15-2+b8"}, {Name: "libc6", Version: "2.36-9+deb12u10"}},
		History:  []core.PackageID{1_760_000_000},
		Reported: true,
		Account:  []ocs.AccountField{{Key: ocs.TagKey, Value: "lyon"}},
	}
	if diff := cmp.Diff(want, factsOf(inventory, "enjambre-agent"), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSearchOurAgent: the computer of the golden inventory is found by what it said, and by nothing else.
func TestSearchOurAgent(t *testing.T) {
	l := newLab(t)
	document, err := os.ReadFile("testdata/agent-inventory.xml")
	check(t, err)
	if recorder := l.post(ocs.Encode(document), "enjambre-agent"); recorder.Code != http.StatusOK {
		t.Fatalf("status %d", recorder.Code)
	}
	for text, want := range map[string]int{
		`os = linux`: 1, `os = windows`: 0, `os ~ "debian gnu/linux"`: 1, `name = pc-042`: 1, `user = ana`: 1,
		`serial = 5CG9123ABC`: 1, `memory >= 15GiB`: 1, `memory > 16GiB`: 0, `disk > 59GiB`: 1, `disk > 61GiB`: 0,
		`ip in 10.1.0.0/22`: 1, `ip in 2001:db8:1::/48`: 1, `ip in 192.0.2.0/24`: 0, `mac = 00-1a-2b-3c-4d-5e`: 1,
		`tag = lyon`: 1, `software("bash", >= 5.2)`: 1, `software("bash", >= 6)`: 0, `software("dash")`: 0,
	} {
		parsed, err := query.Parse(text)
		check(t, err)
		found, err := l.store.Search(t.Context(), store.Selection{Query: parsed}, now)
		check(t, err)
		if len(found) != want {
			t.Errorf("%s: found %d computers, want %d", text, len(found), want)
		}
	}
}
