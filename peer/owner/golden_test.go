package owner

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
)

var update = flag.Bool("update", false, "write testdata/ranks.txt; a change breaks every swarm that runs")

// TestGolden: the ranks are the ones that members and origins of the first version compute. The file's
// members and its line format are those of goldenText.
func TestGolden(t *testing.T) {
	got := goldenText()
	if *update {
		if err := os.WriteFile("testdata/ranks.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/ranks.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("ranks differ from testdata/ranks.txt: a swarm of two versions would disagree\n%s", got)
	}
}

func goldenText() string {
	var text strings.Builder
	members := someMembers(8)
	text.WriteString("# members, by number, peer and weight\n")
	for i, member := range members {
		fmt.Fprintf(&text, "member %d %s %d\n", i, member.Peer, member.Weight)
	}
	numbers := func(order []id.Peer) string {
		var list []string
		for _, peer := range order {
			at := slices.IndexFunc(members, func(m Member) bool { return m.Peer == peer })
			list = append(list, fmt.Sprint(at))
		}
		return strings.Join(list, ",")
	}
	text.WriteString("# fragment, info digest, secret in hex or -, index, rank\n")
	for _, secret := range []string{"", "\x00secret"} {
		shown := fmt.Sprintf("%x", secret)
		if shown == "" {
			shown = "-"
		}
		for _, info := range []core.Digest{{}, core.DigestOf([]byte("info"))} {
			table := NewTable(info, []byte(secret), members)
			for _, index := range []core.FragmentIndex{0, 1, 2, 255, 256, 7999, 65535} {
				fmt.Fprintf(&text, "fragment %s %s %d %s\n", info, shown, index, numbers(table.Rank(index)))
			}
			fmt.Fprintf(&text, "askers %s %s 29700000 %s\n", info, shown, numbers(table.Askers(29700000)))
			want := table.Share(members[3].Peer, 40).Want(fragment.NewSet(40).Missing())
			fmt.Fprintf(&text, "want-of-3-of-40 %s %s %s\n", info, shown, strings.Trim(fmt.Sprint(want), "[]"))
		}
		fmt.Fprintf(&text, "reporters lyon %s %s\n", shown, numbers(Reporters("lyon", []byte(secret), members)))
	}
	text.WriteString("# score, h, weight, high and low word\n")
	for _, h := range []uint64{0, 1, 1 << 32, 0x9e3779b97f4a7c15, math.MaxUint64} {
		for _, weight := range weights[1:] {
			s := scoreOf(h, weight)
			fmt.Fprintf(&text, "score %016x %d %016x %016x\n", h, weight, s.high, s.low)
		}
	}
	return text.String()
}
