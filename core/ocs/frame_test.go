package ocs

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"runtime"
	"testing"

	"enjambre/core"
)

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var body bytes.Buffer
	writer := gzip.NewWriter(&body)
	if _, err := writer.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return body.Bytes()
}

func TestDecode(t *testing.T) {
	document := []byte("<?xml version='1.0'?><REQUEST/>")
	bomb := Encode(make([]byte, 32<<20)) // 32 MiB of zeros in 32 KiB
	cases := []struct {
		name  string
		body  []byte
		class core.Class
	}{
		{"zlib", Encode(document), ""},
		{"gzip", gzipped(t, document), ""},
		{"plain", document, ""},
		{"plain without declaration", []byte("<REQUEST/>"), ""},
		{"X01 empty", nil, core.ClassXML},
		{"X02 only BOM", []byte("\xEF\xBB\xBF"), core.ClassXML},
		{"X23 zlib bomb", bomb, core.ClassLimit},
		{"X23 gzip bomb", gzipped(t, make([]byte, 32<<20)), core.ClassLimit},
		{"zlib cut short", Encode(document)[:10], core.ClassXML},
		{"zlib with a wrong checksum", append(Encode(document)[:len(Encode(document))-1], 0), core.ClassXML},
		{"plain, longer than the limit", bytes.Repeat([]byte("<aaaaaaa/>"), 2<<20), core.ClassLimit},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := Decode(c.body, MaxInventory)
			runtime.ReadMemStats(&after)
			if core.ClassOf(err) != c.class || (err != nil) != (c.class != "") {
				t.Errorf("got %v, want class %q", err, c.class)
			}
			if c.class == "" && !bytes.Equal(got, c.body) && !bytes.Equal(got, document) {
				t.Errorf("got %q", got)
			}
			// A buffer that doubles has allocated four times the limit in all, and the race detector has it do so twice.
			if used := after.TotalAlloc - before.TotalAlloc; used > 8*MaxInventory {
				t.Errorf("allocated %d MiB", used>>20)
			}
		})
	}
}

// TestDecoderIsReused: whatever came before, good or bad, the next body is read as by a new Decoder.
func TestDecoderIsReused(t *testing.T) {
	var d Decoder
	good := []byte("<REQUEST/>")
	bodies := [][]byte{Encode(good), Encode(bytes.Repeat(good, 1000)), Encode(good)[:8], {0x78, 0x9c}, {0x78, 0x9c, 0xff},
		gzipped(t, good), good, Encode(make([]byte, 1<<20+1)), Encode(good), nil, Encode(good)}
	for i, body := range bodies {
		got, gotErr := d.Decode(body, MaxInventory)
		want, wantErr := Decode(body, MaxInventory)
		if !bytes.Equal(got, want) || core.ClassOf(gotErr) != core.ClassOf(wantErr) {
			t.Errorf("body %d: got %q, %v, want %q, %v", i, got, gotErr, want, wantErr)
		}
	}
}

// TestDoubleCompression is X24: what is inside must be a document, not another frame.
func TestDoubleCompression(t *testing.T) {
	inner, err := Decode(Encode(Encode([]byte("<REQUEST/>"))), MaxMessage)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRequest(inner); core.ClassOf(err) != core.ClassXML {
		t.Errorf("got %v, want E_XML", err)
	}
}

func TestEncodeIsZlib(t *testing.T) {
	body := Encode([]byte("<REPLY/>"))
	if _, err := zlib.NewReader(bytes.NewReader(body)); err != nil || body[0] != 0x78 || body[1] != 0x9c {
		t.Errorf("got % x, %v; stock agents expect 78 9c", body[:2], err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode([]byte("<REQUEST/>")))
	f.Add(gzipped(f, []byte("<REQUEST/>")))
	f.Add([]byte("<REQUEST/>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		document, err := Decode(body, MaxMessage)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Fatalf("error without class: %v", err)
			}
			return
		}
		if again, err := Decode(Encode(document), MaxMessage); len(document) < 3000 &&
			(err != nil || !bytes.Equal(again, document)) {
			t.Fatalf("round trip: %v", err)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, name := range []string{"01-prolog-request.xml", "03-inventory-request.xml", "06-download-result-SUCCESS_3.xml",
		"windows-download.xml", "windows-notify.xml", "golden-enroll.xml", "golden-progress.xml",
		"golden-progress-members.xml", "golden-result.xml",
		"golden-prolog.xml", "golden-prolog-member.xml"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		request, err := ParseRequest(document)
		if err != nil {
			return
		}
		request.OldDevice()
		if result, err := request.Result(); err == nil {
			roundTrip(t, result.Append(nil, request.Device), func(r *Request) (any, error) { return r.Result() },
				result)
		}
		if progress, err := request.Progress(); err == nil && len(document) < MaxMessage/8 { // else problems are left out
			roundTrip(t, progress.Append(nil, request.Device), func(r *Request) (any, error) { return r.Progress() },
				progress)
		}
		if prolog, err := request.Prolog(); err == nil {
			roundTrip(t, prolog.Append(nil, request.Device), func(r *Request) (any, error) { return r.Prolog() }, prolog)
		}
		if enrolment, err := request.Enrolment(); err == nil {
			roundTrip(t, enrolment.Append(nil, request.Device),
				func(r *Request) (any, error) { return r.Enrolment() }, enrolment)
		}
		if inventory, err := request.Inventory(); err == nil {
			if _, err := mustInventory(inventory.Append(nil, request.Device)); err != nil {
				t.Fatalf("inventory refused when written again: %v", err)
			}
		}
	})
}

func mustInventory(document []byte) (Inventory, error) {
	request, err := ParseRequest(document)
	if err != nil {
		return Inventory{}, err
	}
	return request.Inventory()
}
