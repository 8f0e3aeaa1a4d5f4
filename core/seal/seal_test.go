package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"enjambre/core"
)

// testKey returns the same key for the same number, always.
func testKey(number byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))
}

func public(number byte) ed25519.PublicKey { return testKey(number).Public().(ed25519.PublicKey) }

var (
	payload = []byte("<DOWNLOAD ID=\"1\" />\n")
	one     = Policy{Keys: []Key{{public(1), "ana"}}, Threshold: 1}
	two     = Policy{Keys: []Key{{public(1), "ana"}, {public(2), "ana"}, {public(3), "bea"}}, Threshold: 2}
)

func sealed(t testing.TB, numbers ...byte) []byte {
	t.Helper()
	var keys []ed25519.PrivateKey
	for _, number := range numbers {
		keys = append(keys, testKey(number))
	}
	data, err := Sign(InfoType, payload, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestPreAuthentication uses the example of the DSSE specification.
func TestPreAuthentication(t *testing.T) {
	got := string(preAuthentication("http://example.com/HelloWorld", []byte("hello world")))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name    string
		policy  Policy
		numbers []byte
		class   core.Class
	}{
		{"one key", one, []byte{1}, ""},
		{"trusted and unknown key", one, []byte{1, 9}, ""},
		{"two owners", two, []byte{1, 3}, ""},
		{"all keys", two, []byte{3, 2, 1}, ""},
		{"M02 one of two", two, []byte{1}, core.ClassKeys},
		{"M05 two keys, one owner", two, []byte{1, 2}, core.ClassKeys},
		{"M06 key of another role", one, []byte{9}, core.ClassKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.policy.Verify(sealed(t, c.numbers...), InfoType)
			if core.ClassOf(err) != c.class || (err == nil) != bytes.Equal(got, payload) {
				t.Errorf("got %q, %v, want class %q", got, err, c.class)
			}
		})
	}
}

// TestCorpusM is group M of the bad-input corpus, as far as it concerns the envelope.
func TestCorpusM(t *testing.T) {
	good := string(sealed(t, 1))
	var parts envelope
	if err := json.Unmarshal([]byte(good), &parts); err != nil {
		t.Fatal(err)
	}
	sig := parts.Signatures[0]
	rebuilt := func(change func(*envelope)) string {
		changed := parts
		changed.Signatures = slices.Clone(parts.Signatures)
		change(&changed)
		data, err := encode(changed)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	junk := func(n int) string {
		return rebuilt(func(e *envelope) {
			for i := range n {
				e.Signatures = append(e.Signatures, signature{KeyID: fmt.Sprintf("%064x", i), Sig: sig.Sig})
			}
		})
	}
	cases := []struct {
		name, data string
		class      core.Class
	}{
		{"M01 no signatures", rebuilt(func(e *envelope) { e.Signatures = nil }), core.ClassKeys},
		{
			"M03 same signature twice",
			rebuilt(func(e *envelope) { e.Signatures = append(e.Signatures, sig) }),
			core.ClassCanon,
		},
		{
			"M04 key ID of another key",
			rebuilt(func(e *envelope) { e.Signatures[0].KeyID = KeyIDOf(public(2)).String() }),
			core.ClassKeys,
		},
		{"M08 17 signatures", junk(16), core.ClassLimit},
		{"M09 100000 signatures", junk(100_000), core.ClassLimit},
		{"M10 flip in payload", rebuilt(func(e *envelope) { e.Payload = "Q" + e.Payload[1:] }), core.ClassSig},
		{"M11 flip in type", rebuilt(func(e *envelope) { e.PayloadType += "x" }), core.ClassType},
		{
			"M12 another role's type",
			rebuilt(func(e *envelope) { e.PayloadType = "application/vnd.enjambre.timestamp.v1+json" }),
			core.ClassType,
		},
		{
			"M13 padding missing",
			rebuilt(func(e *envelope) { e.Payload = strings.TrimRight(e.Payload, "=") }),
			core.ClassCanon,
		},
		{
			"M13 line end in base64",
			rebuilt(func(e *envelope) { e.Payload = e.Payload[:4] + "\n" + e.Payload[4:] }),
			core.ClassCanon,
		},
		{
			"M13 signature with line end",
			rebuilt(func(e *envelope) { e.Signatures[0].Sig = sig.Sig[:4] + "\n" + sig.Sig[4:] }),
			core.ClassCanon,
		},
		{"M14 duplicate key", `{"payloadType":"x",` + good[1:], core.ClassCanon},
		{"M15 another case", strings.Replace(good, "payloadType", "PayloadType", 1), core.ClassCanon},
		{"M16 second object", good + good, core.ClassFormat},
		{"M17 unknown field", `{"extra":1,` + good[1:], core.ClassCanon},
		{
			"M18 number as text",
			strings.Replace(good, `"payloadType":"`+InfoType+`"`, `"payloadType":1`, 1),
			core.ClassFormat,
		},
		{"white space", " " + good, core.ClassCanon},
		{"empty", "", core.ClassFormat},
		{"not JSON", "<DOWNLOAD/>", core.ClassFormat},
		{"too long", good + strings.Repeat(" ", MaxEnvelope), core.ClassLimit},
		{"deep", strings.Repeat("[", 100_000), core.ClassFormat},
		{
			"wrong signature",
			rebuilt(func(e *envelope) { e.Signatures[0].Sig = base64.StdEncoding.EncodeToString(make([]byte, 64)) }),
			core.ClassSig,
		},
		{"short signature", rebuilt(func(e *envelope) { e.Signatures[0].Sig = "AAAA" }), core.ClassSig},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := one.Verify([]byte(c.data), InfoType); core.ClassOf(err) != c.class {
				t.Errorf("got %v, want %s", err, c.class)
			}
		})
	}
}

// TestEveryFlippedByte: no single changed byte of an envelope is accepted.
func TestEveryFlippedByte(t *testing.T) {
	good := sealed(t, 1, 3)
	for i := range good {
		for _, bit := range []byte{1, 0x20, 0x80} {
			bad := slices.Clone(good)
			bad[i] ^= bit
			if _, err := two.Verify(bad, InfoType); err == nil {
				t.Fatalf("byte %d changed from %q to %q is accepted", i, good[i], bad[i])
			}
		}
	}
}

func TestPolicyCheck(t *testing.T) {
	ana, bea := Key{public(1), "ana"}, Key{public(2), "bea"}
	for name, policy := range map[string]Policy{
		"no keys":                  {Threshold: 1},
		"M30 threshold 0":          {Keys: []Key{ana}, Threshold: 0},
		"M30 above owners":         {Keys: []Key{ana, bea}, Threshold: 3},
		"one key under two owners": {Keys: []Key{ana, {public(1), "bea"}}, Threshold: 2},
		"key of 31 bytes":          {Keys: []Key{{public(1)[:31], "ana"}}, Threshold: 1},
	} {
		if err := policy.Check(); core.ClassOf(err) != core.ClassKeys {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := policy.Verify(sealed(t, 1, 2), InfoType); err == nil {
			t.Errorf("%s: such a policy verified something", name)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	if _, err := Sign(InfoType, payload, testKey(1), testKey(1)); core.ClassOf(err) != core.ClassKeys {
		t.Errorf("same key twice: got %v", err)
	}
	if _, err := Sign(InfoType, payload); core.ClassOf(err) != core.ClassLimit {
		t.Errorf("no key: got %v", err)
	}
	if _, err := Sign(InfoType, make([]byte, MaxPayload+1), testKey(1)); core.ClassOf(err) != core.ClassLimit {
		t.Errorf("too long: got %v", err)
	}
	if _, err := Sign(InfoType, make([]byte, MaxPayload), testKey(1)); err != nil {
		t.Errorf("longest: got %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(sealed(f, 1))
	f.Add(sealed(f, 1, 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := one.Verify(data, InfoType)
		if err == nil && !bytes.Equal(got, payload) {
			t.Fatalf("accepted a payload that was never signed: %q", got)
		}
		if err != nil && core.ClassOf(err) == "" {
			t.Fatalf("error without class: %v", err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	data := sealed(b, 1)
	for b.Loop() {
		if _, err := one.Verify(data, InfoType); err != nil {
			b.Fatal(err)
		}
	}
}
