package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/ocs"
)

var update = flag.Bool("update", false, "write the vectors that testdata lacks; it changes none")

var (
	info     = core.DigestOf([]byte("info"))
	now      = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	allKinds = func() (kinds []Kind) {
		for kind := KindHello; kind <= KindNotice; kind++ {
			kinds = append(kinds, kind)
		}
		return kinds
	}()
)

func key(number byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))
}

func someSet(size int, held ...core.FragmentIndex) *fragment.Set {
	set := fragment.NewSet(size)
	for _, index := range held {
		set.Add(index)
	}
	return set
}

func someProgress() Progress {
	progress := Progress{Issued: now, Packages: []PackageProgress{
		{1790000000, ocs.Downloading, 17, 2000},
		{1790000001, ocs.Delayed, 3, 3},
		{1790000002, ocs.Installing, 0, 0},
	}}
	if err := progress.Sign(key(7)); err != nil {
		panic(err)
	}
	return progress
}

// accepted are frames that have a file in testdata/accepted: at least one of every kind.
func accepted() map[string]Frame {
	idle := Progress{Issued: now}
	if err := idle.Sign(key(7)); err != nil {
		panic(err)
	}
	return map[string]Frame{
		"hello":             Hello{1, 4, 0, []byte{0x30, 0x01, 0x00}, []byte("ticket")},
		"hello-newer":       Hello{9, 0, 0x80000001, []byte{0x30}, []byte{1}},
		"refusal":           Refusal{CodeTicket, "the ticket is for site \"lima\", this is \"lyón\""},
		"refusal-bare":      Refusal{CodeCrowded, ""},
		"refusal-newer":     Refusal{255, "later"},
		"ask":               Ask{info, 0, 0},
		"ask-last":          Ask{info, core.MaxFragments - 1, core.MaxFragmentSize - 1},
		"fragment":          Fragment{512 << 10},
		"fragment-longest":  Fragment{core.MaxFragmentSize},
		"busy":              Busy{250 * time.Millisecond},
		"busy-longest":      Busy{10 * time.Minute},
		"missing":           Missing{},
		"have":              Have{info, []Range{{0, 0}, {2, 7}, {65535, 65535}}},
		"have-all":          Have{info, []Range{{0, 65535}}},
		"bitmap-none":       Bitmap{info, someSet(9)},
		"bitmap":            Bitmap{info, someSet(9, 0, 3, 8)},
		"drop":              Drop{info, []Range{{4, 5}}},
		"drop-all":          Drop{info, nil},
		"ask-info":          AskInfo{info},
		"info":              Info{[]byte("{\"payloadType\":\"...\"}\n")},
		"ask-digests":       AskDigests{info},
		"digests":           Digests{fragment.Digests{core.DigestOf([]byte("1")), core.DigestOf([]byte("2"))}},
		"keys":              Keys{[]GossipKey{{8, bytes.Repeat([]byte{8}, 32)}}},
		"keys-in-rotation":  Keys{[]GossipKey{{8, make([]byte, 32)}, {9, make([]byte, 16)}, {7, make([]byte, 24)}}},
		"epoch":             Epoch{[]byte("signed")},
		"notice":            Notice{[]byte("signed")},
		"progress":          someProgress(),
		"progress-of-none":  idle,
		"gossip":            Gossip{},
		"bitmap-eight-full": Bitmap{info, someSet(8, 0, 1, 2, 3, 4, 5, 6, 7)},
	}
}

// frame spells a frame without asking whether it may be.
func frame(kind Kind, parts ...any) []byte {
	var body []byte
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			body = append(body, part...)
		case []byte:
			body = append(body, part...)
		case core.Digest:
			body = append(body, part[:]...)
		default:
			var err error
			if body, err = binary.Append(body, binary.BigEndian, part); err != nil {
				panic(err)
			}
		}
	}
	return append(header(kind, uint32(len(body))), body...)
}

func header(kind Kind, length uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(kind)}, length)
}

type (
	u8  = uint8
	u16 = uint16
	u32 = uint32
	u64 = uint64
)

// refused are streams that have a file in testdata/refused, named by the class of the refusal.
func refused() map[string][]byte {
	zeros := func(count int) []byte { return make([]byte, count) }
	peer, signature := []byte(key(7).Public().(ed25519.PublicKey)), zeros(ed25519.SignatureSize)
	newest, one, z15, z16 := u16(1), u16(1), zeros(15), zeros(16)
	progress := func(parts ...any) []byte { return frame(KindProgress, append(parts, signature)...) }
	streams := map[string][]byte{
		"E_TYPE-kind-0":                  header(0, 0),
		"E_TYPE-kind-20":                 header(20, 0),
		"E_FORMAT-notice-of-nothing":     header(KindNotice, 0),
		"E_TYPE-kind-255":                header(255, 1<<32-1),
		"E_TYPE-multistream":             []byte("\x13/multistream/1.0.0\n"),
		"E_LIMIT-P12-ask":                header(KindAsk, 1<<32-1),
		"E_LIMIT-P12-info":               header(KindInfo, 1<<32-1),
		"E_VERSION-hello-0":              frame(KindHello, u16(0), u8(1), u32(0), u16(1), "c", u16(1), "t"),
		"E_FIELD-hello-weight-3":         frame(KindHello, u16(1), u8(3), u32(0), u16(1), "c", u16(1), "t"),
		"E_FIELD-hello-no-certificate":   frame(KindHello, u16(1), u8(1), u32(0), u16(0), u16(2), "tt"),
		"E_FIELD-hello-no-ticket":        frame(KindHello, u16(1), u8(1), u32(0), u16(2), "cc", u16(0)),
		"E_LIMIT-hello-certificate":      frame(KindHello, newest, u8(1), u32(0), u16(8193), zeros(8193), one, "t"),
		"E_LIMIT-hello-ticket":           frame(KindHello, newest, u8(1), u32(0), one, "c", u16(1025), zeros(1025)),
		"E_FORMAT-hello-cut":             frame(KindHello, u16(1), u8(1), u32(0), u16(1), "c", u16(2), "t"),
		"E_FORMAT-hello-more":            frame(KindHello, u16(1), u8(1), u32(0), u16(1), "c", u16(1), "tt"),
		"E_FIELD-refusal-code-0":         frame(KindRefusal, u8(0), "text"),
		"E_FIELD-refusal-control":        frame(KindRefusal, u8(1), "\x1b[2J"),
		"E_FIELD-refusal-bidi":           frame(KindRefusal, u8(1), "a\u202eb"),
		"E_FIELD-refusal-not-utf8":       frame(KindRefusal, u8(1), "\xff"),
		"E_LIMIT-ask-index":              frame(KindAsk, info, u32(65536), u32(0)),
		"E_LIMIT-ask-offset":             frame(KindAsk, info, u32(0), u32(16<<20)),
		"E_LIMIT-fragment-empty":         frame(KindFragment, u32(0)),
		"E_LIMIT-fragment-longer":        frame(KindFragment, u32(16<<20+1)),
		"E_LIMIT-busy-now":               frame(KindBusy, u32(0)),
		"E_LIMIT-busy-for-ever":          frame(KindBusy, u32(600_001)),
		"E_CANON-have-backwards":         frame(KindHave, info, u32(3), u32(2)),
		"E_CANON-have-overlap":           frame(KindHave, info, u32(1), u32(3), u32(3), u32(4)),
		"E_CANON-have-adjacent":          frame(KindHave, info, u32(1), u32(3), u32(4), u32(4)),
		"E_CANON-have-descending":        frame(KindHave, info, u32(5), u32(5), u32(1), u32(1)),
		"E_LIMIT-have-index":             frame(KindHave, info, u32(65535), u32(65536)),
		"E_LIMIT-have-overflow":          frame(KindHave, info, u32(0), u32(1<<32-1), u32(0), u32(1)),
		"E_FORMAT-have-half-a-range":     frame(KindHave, info, u32(1), u32(3), u32(5)),
		"E_CANON-drop-adjacent":          frame(KindDrop, info, u32(1), u32(3), u32(4), u32(4)),
		"E_FORMAT-drop-half-a-range":     frame(KindDrop, info, u32(1)),
		"E_FORMAT-P06-bitmap-long":       frame(KindBitmap, info, u32(8), zeros(2)),
		"E_FORMAT-bitmap-cut":            frame(KindBitmap, info, u32(17), zeros(2)),
		"E_FORMAT-bitmap-bits-beyond":    frame(KindBitmap, info, u32(7), u8(0x80)),
		"E_FORMAT-bitmap-of-none":        frame(KindBitmap, info, u32(0), u8(0)),
		"E_LIMIT-bitmap-count":           frame(KindBitmap, info, u32(65537), zeros(8192)),
		"E_FORMAT-digests-odd":           frame(KindDigests, info, u8(0)),
		"E_FORMAT-keys-none":             frame(KindKeys, u8(0), zeros(21)),
		"E_LIMIT-keys-nine":              frame(KindKeys, append([]any{u8(9)}, nineKeys()...)...),
		"E_LIMIT-keys-ten":               frame(KindKeys, append([]any{u8(10)}, nineKeys()...)...),
		"E_FORMAT-keys-cut":              frame(KindKeys, u8(1), u32(1), u8(32), zeros(31)),
		"E_FIELD-keys-15-bytes":          frame(KindKeys, u8(2), u32(2), u8(15), z15, u32(1), u8(15), z15),
		"E_FIELD-keys-33-bytes":          frame(KindKeys, u8(1), u32(1), u8(33), zeros(33)),
		"E_LIMIT-keys-epoch":             frame(KindKeys, u8(1), u32(1<<31), u8(16), z16),
		"E_CANON-keys-twice":             frame(KindKeys, u8(2), u32(1), u8(16), z16, u32(1), u8(16), z16),
		"E_FIELD-progress-of-nobody":     progress(zeros(32), u64(1), u8(0)),
		"E_FIELD-progress-at-no-time":    progress(peer, u64(0), u8(0)),
		"E_FIELD-progress-year-10000":    progress(peer, u64(maxUnix+1), u8(0)),
		"E_FIELD-progress-of-package-0":  progress(peer, u64(1), u8(1), u64(0), u8(1), u32(0), u32(0)),
		"E_FIELD-progress-19-digits":     progress(peer, u64(1), u8(1), u64(1e18), u8(1), u32(0), u32(0)),
		"E_FIELD-progress-phase-0":       progress(peer, u64(1), u8(1), u64(9), u8(0), u32(0), u32(0)),
		"E_FIELD-progress-phase-4":       progress(peer, u64(1), u8(1), u64(9), u8(4), u32(0), u32(0)),
		"E_LIMIT-progress-more-than-all": progress(peer, u64(1), u8(1), u64(9), u8(1), u32(2), u32(1)),
		"E_LIMIT-progress-of-65537":      progress(peer, u64(1), u8(1), u64(9), u8(1), u32(0), u32(65537)),
		"E_CANON-keys-ascending": frame(KindKeys, u8(3), u32(1), u8(16), z16, u32(2), u8(16), z16, u32(3), u8(16),
			z16),
		"E_CANON-progress-twice": progress(peer, u64(1), u8(2), u64(9), u8(1), u32(0), u32(0), u64(9), u8(1),
			u32(0), u32(0)),
		"E_FORMAT-progress-count": progress(peer, u64(1), u8(2), u64(9), u8(1), u32(0), u32(0)),
	}
	for _, kind := range allKinds {
		form, _ := kind.form()
		streams["E_LIMIT-"+form.name+"-long"] = header(kind, uint32(form.max)+1)
		if form.min > 0 {
			streams["E_FORMAT-"+form.name+"-short"] = append(header(kind, uint32(form.min)-1), zeros(form.min-1)...)
		}
	}
	return streams
}

func nineKeys() (parts []any) {
	for i := range 9 {
		parts = append(parts, u32(100-i), u8(16), make([]byte, 16))
	}
	return parts
}

// vectors reads a folder of testdata: hexadecimal text, any white space.
func vectors(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.hex"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found[strings.TrimSuffix(filepath.Base(file), ".hex")] = data
	}
	return found
}

// compareVectors holds a folder to what the code says it holds, name by name.
func compareVectors(t *testing.T, folder string, want map[string][]byte) {
	t.Helper()
	found := vectors(t, folder)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, have := found[name]; !have && *update {
			text := hex.EncodeToString(want[name])
			var lines []string
			for ; len(text) > 64; text = text[64:] {
				lines = append(lines, text[:64])
			}
			lines = append(lines, text)
			file := filepath.Join("testdata", folder, name+".hex")
			if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			found[name] = want[name]
		}
		if !bytes.Equal(found[name], want[name]) {
			t.Errorf("%s/%s: the file says %x, this program %x", folder, name, found[name], want[name])
		}
		delete(found, name)
	}
	for name := range found {
		t.Errorf("%s/%s: no test knows this vector", folder, name)
	}
}

func TestAccepted(t *testing.T) {
	want := map[string][]byte{}
	kinds := map[Kind]bool{}
	for name, frame := range accepted() {
		data, err := Append(nil, frame)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want[name], kinds[frame.Kind()] = data, true
	}
	if len(kinds) != len(allKinds) {
		t.Errorf("vectors of %d kinds, want %d", len(kinds), len(allKinds))
	}
	compareVectors(t, "accepted", want)
	for name, data := range vectors(t, "accepted") {
		frame, err := Read(bytes.NewReader(data), allKinds...)
		if err != nil || !reflect.DeepEqual(frame, accepted()[name]) {
			t.Errorf("%s: got %+v, %v, want %+v", name, frame, err, accepted()[name])
			continue
		}
		if again, err := Append([]byte("before"), frame); err != nil || string(again) != "before"+string(data) {
			t.Errorf("%s: written again: %x, %v, want %x", name, again, err, data)
		}
	}
}

func TestRefused(t *testing.T) {
	compareVectors(t, "refused", refused())
	for name, data := range vectors(t, "refused") {
		class, _, _ := strings.Cut(name, "-")
		frame, err := Read(bytes.NewReader(data), allKinds...)
		if frame != nil || core.ClassOf(err) != core.Class(class) {
			t.Errorf("%s: got %+v, %v of class %q", name, frame, err, core.ClassOf(err))
		}
	}
}
