package wire

import (
	"bytes"
	"testing"

	"enjambre/core"
)

// fuzzKind holds one kind to its promise: what is accepted is written again byte by byte, and what is refused
// has a class.
func fuzzKind(f *testing.F, kind Kind) {
	for _, folder := range []string{"accepted", "refused"} {
		for _, data := range vectors(f, folder) {
			if Kind(data[0]) == kind {
				f.Add(data[HeaderSize:])
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > kind.MaxBody() {
			return
		}
		frame, err := Parse(kind, body)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Fatalf("refused without a class: %v", err)
			}
			return
		}
		again, err := Append(nil, frame)
		if err != nil {
			t.Fatalf("%+v is read and not written: %v", frame, err)
		}
		if _, err := ParseMessage(again, kind); err != nil {
			t.Fatalf("%+v is no message: %v", frame, err)
		}
		if frame.Kind() != kind || !bytes.Equal(again[HeaderSize:], body) {
			t.Fatalf("two spellings of one %s: %x and %x", frame.Kind(), body, again[HeaderSize:])
		}
	})
}

func FuzzHello(f *testing.F)    { fuzzKind(f, KindHello) }
func FuzzRefusal(f *testing.F)  { fuzzKind(f, KindRefusal) }
func FuzzAsk(f *testing.F)      { fuzzKind(f, KindAsk) }
func FuzzFragment(f *testing.F) { fuzzKind(f, KindFragment) }
func FuzzBusy(f *testing.F)     { fuzzKind(f, KindBusy) }
func FuzzHave(f *testing.F)     { fuzzKind(f, KindHave) }
func FuzzBitmap(f *testing.F)   { fuzzKind(f, KindBitmap) }
func FuzzDrop(f *testing.F)     { fuzzKind(f, KindDrop) }
func FuzzDigests(f *testing.F)  { fuzzKind(f, KindDigests) }
func FuzzKeys(f *testing.F)     { fuzzKind(f, KindKeys) }
func FuzzProgress(f *testing.F) { fuzzKind(f, KindProgress) }

// FuzzRead reads whole streams, frame after frame, of any kind: also those whose body is one run of bytes.
// What was read, written again, is the stream's beginning.
func FuzzRead(f *testing.F) {
	var all []byte
	for _, folder := range []string{"accepted", "refused"} {
		for _, data := range vectors(f, folder) {
			f.Add(data)
			if folder == "accepted" {
				all = append(all, data...)
			}
		}
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader := bytes.NewReader(stream)
		var again []byte
		for {
			frame, err := Read(reader, allKinds...)
			if err != nil {
				break
			}
			if again, err = Append(again, frame); err != nil {
				t.Fatalf("%+v is read and not written: %v", frame, err)
			}
			if consumed := len(stream) - reader.Len(); !bytes.Equal(again, stream[:consumed]) {
				t.Fatalf("two spellings of one stream: %x and %x", stream[:consumed], again)
			}
		}
	})
}
