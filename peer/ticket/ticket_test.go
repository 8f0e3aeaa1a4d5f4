package ticket

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
	"enjambre/peer/id"
)

var update = flag.Bool("update", false, "write testdata/*.hex; older members refuse others")

var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func key(number byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))
}

func public(number byte) ed25519.PublicKey { return key(number).Public().(ed25519.PublicKey) }

func peer(number byte) id.Peer { return id.Peer(public(number)) }

var (
	verifier = Verifier{Deployment: "acme", Site: "lyon", Keys: []ed25519.PublicKey{public(1), public(2)}}
	ticket   = Ticket{Deployment: "acme", Site: "lyon", Peer: peer(7), Epoch: 42, Issued: now}
	epoch    = Epoch{Number: 42, Issued: now}
)

func mustSign(t testing.TB, ticket Ticket, number byte) []byte {
	t.Helper()
	data, err := ticket.Sign(key(number))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustSignEpoch(t testing.TB, epoch Epoch, number byte, deployment string, site core.SiteName) []byte {
	t.Helper()
	data, err := epoch.Sign(key(number), deployment, site)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestGolden: the bytes of the first version. Ed25519 signs the same bytes alike.
func TestGolden(t *testing.T) {
	for file, data := range map[string][]byte{
		"testdata/ticket.hex": mustSign(t, ticket, 1),
		"testdata/epoch.hex":  mustSignEpoch(t, epoch, 1, "acme", "lyon"),
		"testdata/notice.hex": mustSignNotice(t, notice, 1, "acme", "lyon"),
	} {
		if *update {
			if err := os.WriteFile(file, []byte(hex.EncodeToString(data)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(data); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s: got %s, want %s", file, got, want)
		}
	}
}

func TestTicket(t *testing.T) {
	good := mustSign(t, ticket, 1)
	changed := func(change func(*Ticket)) []byte {
		other := ticket
		change(&other)
		return mustSign(t, other, 1)
	}
	const ms = time.Millisecond
	long := strings.Repeat("x", MaxName)
	cases := []struct {
		name  string
		data  []byte
		at    time.Time
		grace time.Duration
		class core.Class
	}{
		{"good", good, now, 0, ""},
		{"by the other key", mustSign(t, ticket, 2), now, 0, ""},
		{"a fraction is dropped", changed(func(t *Ticket) { t.Issued = now.Add(999 * ms) }), now, 0, ""},
		{"the member's clock lags", good, now.Add(-Skew), 0, ""},
		{"from the future", good, now.Add(-Skew - time.Second), 0, core.ClassIdent},
		{"last moment", good, now.Add(Lifetime), 0, ""},
		{"expired", good, now.Add(Lifetime + time.Second), 0, core.ClassIdent},
		{"with grace", good, now.Add(Lifetime + time.Hour), time.Hour, ""},
		{"grace is over", good, now.Add(Lifetime + time.Hour + time.Second), time.Hour, core.ClassIdent},
		{"P03 of another site", changed(func(t *Ticket) { t.Site = "lima" }), now, 0, core.ClassIdent},
		{"of another deployment", changed(func(t *Ticket) { t.Deployment = "emca" }), now, 0, core.ClassIdent},
		{"P14 of another member", changed(func(t *Ticket) { t.Peer = peer(8) }), now, 0, core.ClassIdent},
		{"P01 of an unknown key", mustSign(t, ticket, 3), now, 0, core.ClassIdent},
		{"P15 signed by its holder", mustSign(t, ticket, 7), now, 0, core.ClassIdent},
		{"longest names", changed(func(t *Ticket) { t.Deployment, t.Site = long, core.SiteName(long) }), now, 0,
			core.ClassIdent},
		{"empty", nil, now, 0, core.ClassFormat},
		{"an epoch", mustSignEpoch(t, epoch, 1, "acme", "lyon"), now, 0, core.ClassFormat},
		{"newer format", append([]byte{2}, good[1:]...), now, 0, core.ClassVersion},
		{"too long", make([]byte, MaxSize+1), now, 0, core.ClassLimit},
		{"a byte more", append(bytes.Clone(good), 0), now, 0, core.ClassFormat},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := verifier.Ticket(c.data, ticket.Peer, c.at, c.grace)
			if core.ClassOf(err) != c.class || (c.class == "") != (err == nil) {
				t.Fatalf("got %v, want class %q", err, c.class)
			}
			if want := ticket; err == nil && got != want || err != nil && got != (Ticket{}) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestEpoch(t *testing.T) {
	good := mustSignEpoch(t, epoch, 1, "acme", "lyon")
	if len(good) != EpochSize || EpochSize > 150 {
		t.Fatalf("epoch of %d bytes, EpochSize %d, want at most 150", len(good), EpochSize)
	}
	cases := []struct {
		name  string
		data  []byte
		at    time.Time
		class core.Class
	}{
		{"good", good, now, ""},
		{"by the other key", mustSignEpoch(t, epoch, 2, "acme", "lyon"), now, ""},
		{"old, which is for the caller to judge", good, now.AddDate(1, 0, 0), ""},
		{"the member's clock lags", good, now.Add(-Skew), ""},
		{"from the future", good, now.Add(-Skew - time.Second), core.ClassIdent},
		{"of another site", mustSignEpoch(t, epoch, 1, "acme", "lima"), now, core.ClassSig},
		{"of another deployment", mustSignEpoch(t, epoch, 1, "acm", "elyon"), now, core.ClassSig},
		{"of an unknown key", mustSignEpoch(t, epoch, 3, "acme", "lyon"), now, core.ClassIdent},
		{"a ticket", mustSign(t, ticket, 1), now, core.ClassFormat},
		{"newer format", append([]byte{2}, good[1:]...), now, core.ClassVersion},
		{"empty", nil, now, core.ClassFormat},
		{"a byte more", append(bytes.Clone(good), 0), now, core.ClassFormat},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := verifier.Epoch(c.data, c.at)
			if core.ClassOf(err) != c.class || (c.class == "") != (err == nil) {
				t.Fatalf("got %v, want class %q", err, c.class)
			}
			if err == nil && got != epoch || err != nil && got != (Epoch{}) {
				t.Errorf("got %+v, want %+v", got, epoch)
			}
		})
	}
}

// TestEveryByteCounts: no bit of a ticket or an epoch can be changed, no byte left out at the end.
func TestEveryByteCounts(t *testing.T) {
	goodTicket, goodEpoch := mustSign(t, ticket, 1), mustSignEpoch(t, epoch, 1, "acme", "lyon")
	documents := map[string]struct {
		data   []byte
		verify func([]byte) error
	}{
		"ticket": {goodTicket, func(data []byte) error {
			_, err := verifier.Ticket(data, ticket.Peer, now, 0)
			return err
		}},
		"epoch": {goodEpoch, func(data []byte) error {
			_, err := verifier.Epoch(data, now)
			return err
		}},
	}
	for name, document := range documents {
		if err := document.verify(document.data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range document.data {
			for bit := range 8 {
				changed := bytes.Clone(document.data)
				changed[i] ^= 1 << bit
				if err := document.verify(changed); core.ClassOf(err) == "" {
					t.Errorf("%s with bit %d of byte %d flipped: got %v", name, bit, i, err)
				}
			}
			if err := document.verify(document.data[:i]); core.ClassOf(err) != core.ClassFormat {
				t.Errorf("the first %d bytes of the %s: got %v, want E_FORMAT", i, name, err)
			}
		}
	}
}

// TestKeysAreApart: what one key signed for one purpose is worth nothing for another.
func TestKeysAreApart(t *testing.T) {
	data := mustSignEpoch(t, epoch, 1, "acme", "lyon")
	text := data[:len(data)-ed25519.SignatureSize]
	forged := append(bytes.Clone(text), ed25519.Sign(key(1), text)...) // signed without saying what it is
	if _, err := verifier.Epoch(forged, now); core.ClassOf(err) != core.ClassSig {
		t.Errorf("got %v, want E_SIG", err)
	}
	sealed, err := seal.Sign(seal.InfoType, text, key(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Epoch(sealed, now); core.ClassOf(err) == "" {
		t.Error("a sealed document passes for an epoch")
	}
	tooMany := make([]ed25519.PublicKey, MaxKeys)
	for name, v := range map[string]Verifier{
		"no keys":        {Deployment: "acme", Site: "lyon"},
		"a broken key":   {Deployment: "acme", Site: "lyon", Keys: []ed25519.PublicKey{{1}, nil}},
		"beyond MaxKeys": {Deployment: "acme", Site: "lyon", Keys: append(tooMany, public(1))},
	} {
		if _, err := v.Epoch(data, now); core.ClassOf(err) != core.ClassIdent {
			t.Errorf("%s: got %v, want E_IDENT", name, err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	for name, change := range map[string]func(*Ticket){
		"no deployment":   func(t *Ticket) { t.Deployment = "" },
		"long deployment": func(t *Ticket) { t.Deployment = long },
		"no site":         func(t *Ticket) { t.Site = "" },
		"long site":       func(t *Ticket) { t.Site = core.SiteName(long) },
		"nobody":          func(t *Ticket) { t.Peer = id.Peer{} },
		"no epoch":        func(t *Ticket) { t.Epoch = 0 },
		"no time":         func(t *Ticket) { t.Issued = time.Time{} },
		"before 1970":     func(t *Ticket) { t.Issued = time.Unix(0, 0) },
		"year 10000":      func(t *Ticket) { t.Issued = time.Unix(maxUnix+1, 0) },
	} {
		other := ticket
		change(&other)
		if _, err := other.Sign(key(1)); core.ClassOf(err) != core.ClassField {
			t.Errorf("%s: got %v, want E_FIELD", name, err)
		}
	}
	if _, err := ticket.Sign(nil); core.ClassOf(err) != core.ClassField {
		t.Errorf("no key: got %v, want E_FIELD", err)
	}
	for name, sign := range map[string]func() ([]byte, error){
		"no number":  func() ([]byte, error) { return Epoch{Issued: now}.Sign(key(1), "acme", "lyon") },
		"no time":    func() ([]byte, error) { return Epoch{Number: 1}.Sign(key(1), "acme", "lyon") },
		"no site":    func() ([]byte, error) { return epoch.Sign(key(1), "acme", "") },
		"long names": func() ([]byte, error) { return epoch.Sign(key(1), long, "lyon") },
		"no key":     func() ([]byte, error) { return epoch.Sign(nil, "acme", "lyon") },
	} {
		if _, err := sign(); core.ClassOf(err) != core.ClassField {
			t.Errorf("epoch, %s: got %v, want E_FIELD", name, err)
		}
	}
}

func TestEpochOrder(t *testing.T) {
	later := Epoch{42, now.Add(time.Second)}
	for _, c := range []struct {
		a, b Epoch
		want bool
	}{
		{epoch, Epoch{}, true}, {epoch, epoch, false}, {later, epoch, true}, {epoch, later, false},
		{Epoch{43, now.Add(-time.Hour)}, later, true}, {later, Epoch{43, now.Add(-time.Hour)}, false},
	} {
		if got := c.a.After(c.b); got != c.want {
			t.Errorf("%v after %v: got %v", c.a, c.b, got)
		}
	}
	if got := epoch.Age(now.Add(time.Minute)); got != time.Minute {
		t.Errorf("age: got %v, want 1m", got)
	}
	if got := epoch.Age(now.Add(-time.Minute)); got != 0 {
		t.Errorf("age of one from the future: got %v, want 0", got)
	}
}

func FuzzTicket(f *testing.F) {
	f.Add(mustSign(f, ticket, 1))
	f.Add(mustSign(f, Ticket{"d", "s", peer(9), 1, time.Unix(1, 0)}, 2))
	f.Fuzz(func(t *testing.T, data []byte) {
		ticket, document, err := parseTicket(data)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Fatalf("refused without a class: %v", err)
			}
			return
		}
		if again := append(ticket.append(nil, document.keyID), document.signature...); !bytes.Equal(again, data) {
			t.Fatalf("two spellings of one ticket: %x and %x", data, again)
		}
	})
}

func FuzzEpoch(f *testing.F) {
	f.Add(mustSignEpoch(f, epoch, 1, "acme", "lyon"))
	f.Fuzz(func(t *testing.T, data []byte) {
		epoch, document, err := parseEpoch(data)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Fatalf("refused without a class: %v", err)
			}
			return
		}
		if again := append(epoch.append(nil, document.keyID), document.signature...); !bytes.Equal(again, data) {
			t.Fatalf("two spellings of one epoch: %x and %x", data, again)
		}
	})
}

func FuzzNotice(f *testing.F) {
	f.Add(mustSignNotice(f, notice, 1, "acme", "lyon"))
	f.Fuzz(func(t *testing.T, data []byte) {
		notice, document, err := parseNotice(data)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Fatalf("refused without a class: %v", err)
			}
			return
		}
		if again := append(notice.append(nil, document.keyID), document.signature...); !bytes.Equal(again, data) {
			t.Fatalf("two spellings of one notice: %x and %x", data, again)
		}
	})
}

func BenchmarkVerifyEpoch(b *testing.B) {
	data := mustSignEpoch(b, epoch, 1, "acme", "lyon")
	for b.Loop() {
		if _, err := verifier.Epoch(data, now); err != nil {
			b.Fatal(err)
		}
	}
}
