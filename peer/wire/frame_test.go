package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/ocs"
	"enjambre/core/seal"
	"enjambre/peer/ticket"
)

// TestStream: frames follow each other, byte by byte, and what follows the last is left on the stream.
func TestStream(t *testing.T) {
	var stream []byte
	var want []Frame
	for _, name := range slices.Sorted(maps.Keys(accepted())) {
		frame := accepted()[name]
		var err error
		if stream, err = Append(stream, frame); err != nil {
			t.Fatal(err)
		}
		want = append(want, frame)
	}
	reader := bytes.NewReader(append(stream, "the fragment's bytes"...))
	for _, frame := range want {
		got, err := Read(iotest.OneByteReader(reader), allKinds...)
		if err != nil || !reflect.DeepEqual(got, frame) {
			t.Fatalf("got %+v, %v, want %+v", got, err, frame)
		}
	}
	if rest, _ := io.ReadAll(reader); string(rest) != "the fragment's bytes" {
		t.Errorf("left on the stream: %q", rest)
	}
}

func TestLargest(t *testing.T) {
	largest := []Frame{
		Info{make([]byte, seal.MaxEnvelope)},
		Digests{make(fragment.Digests, core.MaxFragments)},
		Hello{1, 0, 0, make([]byte, MaxCertificate), make([]byte, MaxTicket)},
		Bitmap{info, fragment.NewSet(core.MaxFragments)},
		Refusal{CodeInternal, strings.Repeat("x", MaxText)},
		Epoch{make([]byte, MaxEpoch)},
		Notice{make([]byte, MaxNotice)},
	}
	ranges, ok := Ranges(func(yield func(core.FragmentIndex) bool) {
		for index := range core.FragmentIndex(MaxRanges) {
			if !yield(2 * index) {
				return
			}
		}
	})
	if !ok {
		t.Fatal("MaxRanges ranges are too many")
	}
	largest = append(largest, Have{info, ranges}, Drop{info, ranges})
	keys, progress := Keys{}, Progress{Issued: now}
	for i := range MaxKeys {
		keys.List = append(keys.List, GossipKey{uint32(MaxKeys - i), make([]byte, 32)})
	}
	for i := range MaxProgress {
		progress.Packages = append(progress.Packages, PackageProgress{core.PackageID(i + 1), ocs.Delayed, 1, 1})
	}
	if err := progress.Sign(key(1)); err != nil {
		t.Fatal(err)
	}
	for _, frame := range append(largest, keys, progress) {
		data, err := Append(nil, frame)
		if err != nil {
			t.Fatalf("%s: %v", frame.Kind(), err)
		}
		if len(data) != HeaderSize+frame.Kind().MaxBody() {
			t.Errorf("the largest %s has a body of %d bytes, MaxBody is %d", frame.Kind(), len(data)-HeaderSize,
				frame.Kind().MaxBody())
		}
		if again, err := Read(bytes.NewReader(data), frame.Kind()); err != nil || !reflect.DeepEqual(again, frame) {
			t.Errorf("the largest %s: %v", frame.Kind(), err)
		}
	}
	for _, kind := range allKinds {
		if kind != KindInfo && kind != KindDigests && kind.MaxBody() > MaxFrame {
			t.Errorf("%s: bodies of %d bytes, more than MaxFrame", kind, kind.MaxBody())
		}
	}
}

// TestBoundsAgree: what other packages make fits in the frames that carry it.
func TestBoundsAgree(t *testing.T) {
	if MaxEpoch < ticket.EpochSize || MaxNotice < ticket.MaxNotice || MaxTicket < ticket.MaxSize || MaxKeys < ocs.MaxKeys {
		t.Error("an epoch, a ticket or the site's keys do not fit in their frames")
	}
	if MaxRanges*rangeSize < core.MaxFragments/8 {
		t.Error("a list of ranges gives up where a bitmap would be longer")
	}
}

// TestAppendRefuses: nobody can send what nobody would accept.
func TestAppendRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		frame Frame
		class core.Class
	}{
		"hello of version 0":    {Hello{0, 1, 0, []byte{1}, []byte{1}}, core.ClassVersion},
		"hello of weight 3":     {Hello{1, 3, 0, []byte{1}, []byte{1}}, core.ClassField},
		"hello, certificate":    {Hello{1, 1, 0, make([]byte, MaxCertificate+1), []byte{1}}, core.ClassLimit},
		"hello without ticket":  {Hello{1, 1, 0, []byte{1}, nil}, core.ClassField},
		"refusal without code":  {Refusal{0, "text"}, core.ClassField},
		"refusal, long":         {Refusal{1, strings.Repeat("x", MaxText+1)}, core.ClassLimit},
		"ask":                   {Ask{info, core.MaxFragments, 0}, core.ClassLimit},
		"busy, below 1 ms":      {Busy{999 * time.Microsecond}, core.ClassLimit},
		"busy, long":            {Busy{24 * time.Hour}, core.ClassLimit},
		"have nothing":          {Have{info, nil}, core.ClassField},
		"have, many":            {Have{info, make([]Range, MaxRanges+1)}, core.ClassLimit},
		"drop, many":            {Drop{info, make([]Range, MaxRanges+1)}, core.ClassLimit},
		"bitmap of nothing":     {Bitmap{info, nil}, core.ClassLimit},
		"bitmap of none":        {Bitmap{info, fragment.NewSet(0)}, core.ClassLimit},
		"bitmap, many":          {Bitmap{info, fragment.NewSet(core.MaxFragments + 1)}, core.ClassLimit},
		"info, empty":           {Info{nil}, core.ClassField},
		"info, long":            {Info{make([]byte, seal.MaxEnvelope+1)}, core.ClassLimit},
		"digests, none":         {Digests{nil}, core.ClassLimit},
		"digests, many":         {Digests{make(fragment.Digests, core.MaxFragments+1)}, core.ClassLimit},
		"keys, none":            {Keys{nil}, core.ClassLimit},
		"keys, many":            {Keys{make([]GossipKey, MaxKeys+1)}, core.ClassLimit},
		"notice, long":          {Notice{make([]byte, MaxNotice+1)}, core.ClassLimit},
		"epoch, long":           {Epoch{make([]byte, MaxEpoch+1)}, core.ClassLimit},
		"progress of nobody":    {Progress{Issued: now}, core.ClassField},
		"progress, many":        {Progress{Packages: make([]PackageProgress, MaxProgress+1)}, core.ClassLimit},
		"progress at no time":   {Progress{Peer: someProgress().Peer}, core.ClassField},
		"fragment of nothing":   {Fragment{0}, core.ClassLimit},
		"keys, twice one epoch": {Keys{[]GossipKey{{1, make([]byte, 16)}, {1, make([]byte, 16)}}}, core.ClassCanon},
	} {
		if to, err := Append([]byte("before"), c.frame); core.ClassOf(err) != c.class || string(to) != "before" {
			t.Errorf("%s: got %q, %v, want %s", name, to, err, c.class)
		}
	}
}

// TestReadKinds: what is not wanted is refused by its header, whatever its length.
func TestReadKinds(t *testing.T) {
	unwanted := append(header(KindDigests, 2<<20), 1, 2, 3)
	reader := bytes.NewReader(unwanted)
	if _, err := Read(reader, KindAsk.Answers()...); core.ClassOf(err) != core.ClassType || reader.Len() != 3 {
		t.Errorf("got %v with %d bytes left, want E_TYPE and 3", err, reader.Len())
	}
	if _, err := Read(bytes.NewReader(header(KindMissing, 0))); core.ClassOf(err) != core.ClassType {
		t.Errorf("no kind wanted: got %v, want E_TYPE", err)
	}
	for _, kind := range allKinds {
		if kind.Opens() != (kind.Answers() != nil || kind == KindGossip) {
			t.Errorf("%s opens a stream: %v, and is answered by %v", kind, kind.Opens(), kind.Answers())
		}
		if slices.Contains(ControlKinds(), kind) && kind.Opens() {
			t.Errorf("%s both opens a stream and comes on the control stream", kind)
		}
		if name := kind.String(); name == "" || strings.HasPrefix(name, "kind ") {
			t.Errorf("kind %d has the name %q", uint8(kind), name)
		}
	}
	for _, kind := range []Kind{0, 19, 20, 255} {
		if kind.MaxBody() != 0 || kind.Opens() || kind.String() != fmt.Sprintf("kind %d", uint8(kind)) {
			t.Errorf("%d is a kind: %s", uint8(kind), kind)
		}
		if _, err := Parse(kind, nil); core.ClassOf(err) != core.ClassType {
			t.Errorf("parse of kind %d: got %v, want E_TYPE", uint8(kind), err)
		}
	}
	if _, err := Parse(KindMissing, []byte{0}); core.ClassOf(err) != core.ClassLimit {
		t.Errorf("a body longer than its kind's: got %v, want E_LIMIT", err)
	}
}

// TestParseMessage: a message is a frame that is wanted, and nothing else.
func TestParseMessage(t *testing.T) {
	want := someProgress()
	good, err := Append(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseMessage(good, KindEpoch, KindProgress); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	zeros := make([]byte, progressFixed)
	for name, c := range map[string]struct {
		message []byte
		wanted  Kind
		class   core.Class
	}{
		"nothing":        {nil, KindProgress, core.ClassFormat},
		"half a header":  {good[:HeaderSize-1], KindProgress, core.ClassFormat},
		"half a body":    {good[:len(good)-1], KindProgress, core.ClassFormat},
		"more":           {append(bytes.Clone(good), 0), KindProgress, core.ClassFormat},
		"another kind":   {good, KindEpoch, core.ClassType},
		"an unknown one": {header(99, 0), KindProgress, core.ClassType},
		"too long":       {append(header(KindProgress, 1<<30), good...), KindProgress, core.ClassLimit},
		"no progress":    {append(header(KindProgress, progressFixed), zeros...), KindProgress, core.ClassField},
	} {
		if got, err := ParseMessage(c.message, c.wanted); core.ClassOf(err) != c.class {
			t.Errorf("%s: got %+v, %v, want %s", name, got, err, c.class)
		}
	}
}

func TestReadEnds(t *testing.T) {
	good, err := Append(nil, someProgress())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(bytes.NewReader(nil), allKinds...); err != io.EOF {
		t.Errorf("an ended stream: got %v, want io.EOF itself", err)
	}
	for cut := 1; cut < len(good); cut++ {
		_, err := Read(bytes.NewReader(good[:cut]), allKinds...)
		if !errors.Is(err, io.ErrUnexpectedEOF) || core.ClassOf(err) != "" {
			t.Fatalf("the first %d bytes: got %v, want io.ErrUnexpectedEOF", cut, err)
		}
	}
	broken := errors.New("the cable was pulled")
	for cut := range good {
		_, err := Read(io.MultiReader(bytes.NewReader(good[:cut]), iotest.ErrReader(broken)), allKinds...)
		if !errors.Is(err, broken) {
			t.Fatalf("broken after %d bytes: got %v", cut, err)
		}
	}
}

// TestReadMemory: who claims 2 MiB and sends little makes us take little.
func TestReadMemory(t *testing.T) {
	taken := func(sent int) uint64 {
		stream := append(header(KindDigests, 2<<20), make([]byte, sent)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Read(bytes.NewReader(stream), KindDigests)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("got %v, want io.ErrUnexpectedEOF", err)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	if got := taken(10); got > 2*pieceSize {
		t.Errorf("10 bytes of 2 MiB cost %d bytes of memory, want at most %d", got, 2*pieceSize)
	}
	if got := taken(1 << 20); got > 7<<20 {
		t.Errorf("half of 2 MiB costs %d bytes of memory in all, want at most 7 MiB", got)
	}
}

func TestRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 300).Draw(t, "size")
		held := fragment.NewSet(size)
		for index := range core.FragmentIndex(size) {
			if rapid.IntRange(0, 2).Draw(t, "held") > 0 {
				held.Add(index)
			}
		}
		missing := slices.Collect(held.Missing())
		list, ok := Ranges(held.Missing())
		if !ok || checkRanges(list) != nil {
			t.Fatalf("%v: got %v, %v, %v", missing, list, ok, checkRanges(list))
		}
		if again := slices.Collect(Indexes(list)); !slices.Equal(again, missing) {
			t.Fatalf("got %v, want %v", again, missing)
		}
		for index := range Indexes(list) {
			if index != missing[0] {
				t.Fatal("the sequence goes on after it was stopped")
			}
			break
		}
	})
	for name, list := range map[string][]core.FragmentIndex{"descending": {2, 1}, "twice": {1, 1}} {
		if got, ok := Ranges(slices.Values(list)); ok {
			t.Errorf("%s: got %v", name, got)
		}
	}
	var many []core.FragmentIndex
	for i := range MaxRanges + 1 {
		many = append(many, core.FragmentIndex(2*i))
	}
	if got, ok := Ranges(slices.Values(many)); ok {
		t.Errorf("one range too many: got %d", len(got))
	}
}

func TestNewRefusal(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                        "plain",
		"a\x1b[2Jb":                    "a?[2Jb",
		"a\u202eb":                     "a?b",
		"a\xffb":                       "a?b",
		strings.Repeat("x", 300):       strings.Repeat("x", 200),
		"x" + strings.Repeat("ñ", 300): "x" + strings.Repeat("ñ", 99),
		strings.Repeat("\u202e", 300):  strings.Repeat("?", 200),
		strings.Repeat("x", 798) + "\u202e" + "y": strings.Repeat("x", 200),
	} {
		got := NewRefusal(CodeProtocol, text)
		if got.Text != want || !utf8.ValidString(got.Text) || got.check() != nil {
			t.Errorf("%q: got %q, want %q", text, got.Text, want)
		}
	}
	var refusal Refusal
	err := fmt.Errorf("ask a member: %w", Refusal{CodeWithdrawn, "package 17 was withdrawn"})
	if !errors.As(err, &refusal) || err.Error() !=
		"ask a member: refused by the other member (withdrawn): package 17 was withdrawn" {
		t.Errorf("got %v", err)
	}
	if got := (Refusal{Code: 77}).Error(); got != "refused by the other member (code 77)" {
		t.Errorf("got %q", got)
	}
}

func TestCodeOf(t *testing.T) {
	for class, want := range map[core.Class]Code{
		core.ClassIdent: CodeIdentity, core.ClassSig: CodeIdentity, core.ClassVersion: CodeVersion,
		core.ClassLimit: CodeProtocol, core.ClassType: CodeProtocol, core.ClassCanon: CodeProtocol,
	} {
		if got := CodeOf(fmt.Errorf("read: %w", core.Refuse(class, "why"))); got != want {
			t.Errorf("%s: got %v, want %v", class, got, want)
		}
	}
	if got := CodeOf(io.ErrUnexpectedEOF); got != CodeInternal {
		t.Errorf("no class: got %v, want internal", got)
	}
	names := map[string]bool{}
	for code := CodeInternal; code <= CodeLeaving; code++ {
		names[code.String()] = !strings.HasPrefix(code.String(), "code ")
	}
	if len(names) != 10 || slices.Contains(slices.Collect(maps.Values(names)), false) {
		t.Errorf("names of codes: %v", names)
	}
}

func TestHelloSpeaks(t *testing.T) {
	if a, b := (Hello{Version: 1}).Speaks(), (Hello{Version: 9}).Speaks(); a != 1 || b != Version {
		t.Errorf("got %d and %d", a, b)
	}
}

// TestKeysDoNotShow: a key in a log would be a key for whoever reads the log.
func TestKeysDoNotShow(t *testing.T) {
	secret := strings.Repeat("s3cret!!", 4)
	keys := Keys{[]GossipKey{{7, []byte(secret)}}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		got := fmt.Sprintf(format, keys)
		for _, shown := range []string{"s3c", "115 51 99", "0x73, 0x33"} {
			if strings.Contains(got, shown) {
				t.Errorf("%s shows the key: %s", format, got)
			}
		}
	}
}

func TestProgressSignature(t *testing.T) {
	good := someProgress()
	if err := good.Verify(); err != nil {
		t.Fatal(err)
	}
	data, err := Append(nil, good)
	if err != nil {
		t.Fatal(err)
	}
	for i := HeaderSize; i < len(data); i++ {
		changed := bytes.Clone(data)
		changed[i] ^= 1
		frame, err := Read(bytes.NewReader(changed), KindProgress)
		if err != nil {
			continue // refused before its signature
		}
		if err := frame.(Progress).Verify(); core.ClassOf(err) != core.ClassSig {
			t.Errorf("byte %d changed: got %v, want E_SIG", i, err)
		}
	}
	for name, progress := range map[string]Progress{
		"no time":  {},
		"no phase": {Issued: now, Packages: []PackageProgress{{Package: 1}}},
	} {
		if err := progress.Sign(key(1)); core.ClassOf(err) != core.ClassField {
			t.Errorf("%s: got %v, want E_FIELD", name, err)
		}
	}
	if err := (&Progress{Issued: now}).Sign(nil); core.ClassOf(err) != core.ClassField {
		t.Errorf("no key: got %v, want E_FIELD", err)
	}
}
