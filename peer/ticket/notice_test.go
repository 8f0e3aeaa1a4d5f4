package ticket

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
)

var notice = Notice{
	Number: 42, Issued: now, Spread: 5 * time.Second, Floor: 3,
	Voids: sorted(Void{HolderOf(peer(8)), 42}, Void{HolderOf(peer(9)), 40}),
}

func sorted(voids ...Void) []Void {
	slices.SortFunc(voids, func(a, b Void) int { return bytes.Compare(a.Holder[:], b.Holder[:]) })
	return voids
}

func mustSignNotice(t testing.TB, notice Notice, number byte, deployment string, site core.SiteName) []byte {
	t.Helper()
	data, err := notice.Sign(key(number), deployment, site)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestNotice(t *testing.T) {
	good := mustSignNotice(t, notice, 1, "acme", "lyon")
	for _, c := range []struct {
		name  string
		data  []byte
		at    time.Time
		class core.Class
	}{
		{"good", good, now, ""},
		{"by the other key", mustSignNotice(t, notice, 2, "acme", "lyon"), now, ""},
		{"old ones are not judged", good, now.AddDate(1, 0, 0), ""},
		{"from the future", good, now.Add(-Skew - time.Second), core.ClassIdent},
		{"of another site", mustSignNotice(t, notice, 1, "acme", "lima"), now, core.ClassSig},
		{"of another deployment", mustSignNotice(t, notice, 1, "emca", "lyon"), now, core.ClassSig},
		{"of an unknown key", mustSignNotice(t, notice, 3, "acme", "lyon"), now, core.ClassIdent},
		{"an epoch", mustSignEpoch(t, epoch, 1, "acme", "lyon"), now, core.ClassFormat},
		{"newer format", append([]byte{2}, good[1:]...), now, core.ClassVersion},
		{"a byte more", append(bytes.Clone(good), 0), now, core.ClassFormat},
		{"empty", nil, now, core.ClassFormat},
	} {
		got, err := verifier.Notice(c.data, c.at)
		if core.ClassOf(err) != c.class || (c.class == "") != (err == nil) {
			t.Errorf("%s: %v, want class %q", c.name, err, c.class)
		}
		if err == nil && (!got.Equal(notice) || !got.Issued.Equal(notice.Issued)) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, notice)
		}
	}
	for i := range good {
		data := bytes.Clone(good)
		data[i] ^= 1
		if _, err := verifier.Notice(data, now); err == nil {
			t.Fatalf("bit flipped in byte %d of %d: taken", i, len(good))
		}
		if _, err := verifier.Notice(good[:i], now); core.ClassOf(err) == "" {
			t.Fatalf("%d of %d bytes: %v", i, len(good), err)
		}
	}
	if _, err := verifier.Epoch(good, now); err == nil {
		t.Error("a notice passes for an epoch")
	}
}

// TestNoticeRefused: what no member would take is not signed.
func TestNoticeRefused(t *testing.T) {
	many := make([]Void, MaxVoid+1)
	for i := range many {
		many[i] = Void{Holder{byte(i)}, 1}
	}
	full := notice
	full.Voids = many[:MaxVoid]
	if data := mustSignNotice(t, full, 1, "acme", "lyon"); len(data) != MaxNotice {
		t.Errorf("the longest has %d bytes, want %d", len(data), MaxNotice)
	}
	for name, change := range map[string]func(*Notice){
		"no spread":      func(n *Notice) { n.Spread = 0 },
		"a part of 1 s":  func(n *Notice) { n.Spread = 1500 * time.Millisecond },
		"long spread":    func(n *Notice) { n.Spread = MaxSpread + time.Second },
		"too many":       func(n *Notice) { n.Voids = many },
		"not in order":   func(n *Notice) { n.Voids = []Void{many[1], many[0]} },
		"twice":          func(n *Notice) { n.Voids = []Void{many[1], many[1]} },
		"of no epoch":    func(n *Notice) { n.Voids = []Void{{}} },
		"number 0":       func(n *Notice) { n.Number = 0 },
		"time before it": func(n *Notice) { n.Issued = time.Unix(0, 0) },
	} {
		other := notice
		change(&other)
		if _, err := other.Sign(key(1), "acme", "lyon"); core.ClassOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := notice.Sign(key(1), "acme", ""); core.ClassOf(err) != core.ClassField {
		t.Errorf("no site: %v", err)
	}
}

// TestCovers: whatever is taken back, a ticket is void just if it is of an epoch before that; whoever comes again with a
// newer one counts.
func TestCovers(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	for range 2000 {
		n := Notice{Floor: random.Uint64N(6)}
		before := map[id.Peer]uint64{}
		for range random.IntN(8) {
			before[peer(byte(random.IntN(12)))] = 1 + random.Uint64N(9)
		}
		for member, epoch := range before {
			n.Voids = append(n.Voids, Void{HolderOf(member), epoch})
		}
		n.Voids = sorted(n.Voids...)
		for number := range 12 {
			member, epoch := peer(byte(number)), 1+random.Uint64N(9)
			if want := epoch < max(before[member], n.Floor); n.Covers(member, epoch) != want {
				t.Fatalf("%+v: ticket of member %d, epoch %d: void %v, want %v", n, number, epoch, !want, want)
			}
			if n.Names(member) != (before[member] > 0) {
				t.Fatalf("%+v: member %d is named: %v", n, number, !(before[member] > 0))
			}
		}
	}
}
