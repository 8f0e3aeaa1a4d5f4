package id

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"enjambre/core"
)

// golden is testdata/peers.txt: the key of the libp2p specification's test vector and keys of fixed seeds,
// with the peer IDs that go-libp2p v0.51.0 gives them.
func golden(t testing.TB) (keys []Peer, multihashes [][]byte, texts []string) {
	t.Helper()
	file, err := os.ReadFile("testdata/peers.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 3 {
			t.Fatalf("line %q has %d fields, want 3", line, len(fields))
		}
		key, err := hex.DecodeString(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		multihash, err := hex.DecodeString(fields[1])
		if err != nil {
			t.Fatal(err)
		}
		keys, multihashes = append(keys, Peer(key)), append(multihashes, multihash)
		texts = append(texts, fields[2])
	}
	if len(keys) < 5 {
		t.Fatalf("%d vectors, want at least 5", len(keys))
	}
	return keys, multihashes, texts
}

func TestGolden(t *testing.T) {
	keys, multihashes, texts := golden(t)
	for i, key := range keys {
		fromKey, err := FromKey(key[:])
		if err != nil || fromKey != key {
			t.Errorf("from key: got %v, %v", fromKey, err)
		}
		fromBytes, err := FromBytes(multihashes[i])
		if err != nil || fromBytes != key || !bytes.Equal(key.Bytes(), multihashes[i]) {
			t.Errorf("from bytes: got %v, %v; bytes %x, want %x", fromBytes, err, key.Bytes(), multihashes[i])
		}
		parsed, err := Parse(texts[i])
		if err != nil || parsed != key || key.String() != texts[i] {
			t.Errorf("parse: got %v, %v; text %s, want %s", parsed, err, key, texts[i])
		}
	}
}

// TestSpecification derives the specification's public key from its private key.
func TestSpecification(t *testing.T) {
	seed, err := hex.DecodeString("7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := FromKey(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(peer.Bytes()[2:]); got !=
		"080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e" {
		t.Errorf("protobuf of the public key: got %s", got)
	}
}

func TestRefused(t *testing.T) {
	keys, multihashes, texts := golden(t)
	good := texts[0]
	refused := map[string]string{
		"empty":            "",
		"short":            good[:TextSize-1],
		"long":             good + "1",
		"one more 1":       "1" + good[:TextSize-1],
		"not base58: 0":    good[:TextSize-1] + "0",
		"not base58: O":    "1O" + good[2:],
		"not base58: l":    good[:TextSize-1] + "l",
		"SHA-256 of RSA":   "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
		"secp256k1":        "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
		"CID":              "bafzaajaiaejcahwr5d5ofrfbis4l5d6uwr57hu5tjodrypfm6yaq6dsc2r2pzyt6",
		"all of 1":         strings.Repeat("1", TextSize),
		"all of z":         strings.Repeat("z", TextSize),
		"space":            good[:TextSize-1] + " ",
		"another encoding": strings.ToLower(good),
		"key of zeros":     "12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw",
	}
	for name, text := range refused {
		if peer, err := Parse(text); core.ClassOf(err) != core.ClassIdent || peer != (Peer{}) {
			t.Errorf("%s: got %v, %v, want E_IDENT", name, peer, err)
		}
	}
	for i := range prefix {
		changed := bytes.Clone(multihashes[0])
		changed[i] ^= 1
		if _, err := FromBytes(changed); core.ClassOf(err) != core.ClassIdent {
			t.Errorf("byte %d of the prefix changed: got %v, want E_IDENT", i, err)
		}
	}
	for _, size := range []int{0, 1, BytesSize - 1, BytesSize + 1} {
		data := append(bytes.Clone(multihashes[0]), 0)[:size]
		if _, err := FromBytes(data); core.ClassOf(err) != core.ClassIdent {
			t.Errorf("%d bytes: got %v, want E_IDENT", size, err)
		}
	}
	for _, size := range []int{0, KeySize - 1} {
		if _, err := FromKey(keys[0].Key()[:size]); core.ClassOf(err) != core.ClassIdent {
			t.Errorf("key of %d bytes: got %v, want E_IDENT", size, err)
		}
	}
}

func TestJSON(t *testing.T) {
	keys, _, texts := golden(t)
	data, err := json.Marshal(keys[0])
	if err != nil || string(data) != `"`+texts[0]+`"` {
		t.Fatalf("got %s, %v", data, err)
	}
	var again Peer
	if err := json.Unmarshal(data, &again); err != nil || again != keys[0] {
		t.Errorf("got %v, %v", again, err)
	}
	if err := json.Unmarshal([]byte(`"nobody"`), &again); core.ClassOf(err) != core.ClassIdent {
		t.Errorf("got %v, want E_IDENT", err)
	}
}

func FuzzParse(f *testing.F) {
	_, _, texts := golden(f)
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		peer, err := Parse(text)
		if err != nil {
			return
		}
		if peer.String() != text {
			t.Fatalf("two spellings of one peer: %q and %q", text, peer)
		}
		if again, err := FromBytes(peer.Bytes()); err != nil || again != peer {
			t.Fatalf("round trip by bytes: %v, %v", again, err)
		}
	})
}

// FuzzBase58 holds the coder to its promise for any bytes, not only for peer IDs.
func FuzzBase58(f *testing.F) {
	f.Add([]byte{0, 0, 1})
	f.Add([]byte("Hello World!")) // 2NEpo7TZRRrLZSi2U in the base58 draft of the IETF
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 100 {
			return
		}
		if again, ok := decode58(encode58(data)); !ok || !bytes.Equal(again, data) {
			t.Fatalf("%x is spelled %q, which reads as %x", data, encode58(data), again)
		}
	})
}

func TestBase58(t *testing.T) {
	for data, text := range map[string]string{
		"":             "",
		"\x00":         "1",
		"\x00\x00\x39": "11z",
		"Hello World!": "2NEpo7TZRRrLZSi2U",
	} {
		if got := encode58([]byte(data)); got != text {
			t.Errorf("%q: got %q, want %q", data, got, text)
		}
	}
}
