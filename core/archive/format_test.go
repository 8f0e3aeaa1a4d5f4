package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"math"
	"strings"
	"testing"

	"enjambre/core"
)

// zip64Of gives a zip of few entries the end records of a large one.
func zip64Of(data []byte, edit func(record, place, end []byte)) []byte {
	at := len(data) - zipEndBytes
	end := bytes.Clone(data[at:])
	record := numbers.AppendUint64([]byte(zip64EndSignature), zip64EndBytes-12)
	record = append(record, make([]byte, 12)...)
	record = numbers.AppendUint64(record, uint64(numbers.Uint16(end[8:])))
	record = numbers.AppendUint64(record, uint64(numbers.Uint16(end[10:])))
	record = numbers.AppendUint64(record, uint64(numbers.Uint32(end[12:])))
	record = numbers.AppendUint64(record, uint64(numbers.Uint32(end[16:])))
	place := append([]byte(zip64PlaceSignature), 0, 0, 0, 0)
	place = numbers.AppendUint64(place, uint64(at))
	place = append(place, 1, 0, 0, 0)
	for i := 8; i < 20; i++ {
		end[i] = 0xff
	}
	if edit != nil {
		edit(record, place, end)
	}
	return bytes.Join([][]byte{data[:at], record, place, end}, nil)
}

func TestZipRecords(t *testing.T) {
	plain := zipRaw([]byte("hello"), stored("a", []byte("hello")), stored("b", []byte("hello")))
	atEnd := len(plain) - zipEndBytes
	atRecord := bytes.Index(plain, []byte(zipRecordSignature))
	edit := func(at int, with string) []byte {
		data := bytes.Clone(plain)
		copy(data[at:], with)
		return data
	}
	extra := func(central, local []byte) []byte { // an entry with extra fields
		header := stored("a", []byte("hello"))
		header.Extra = central
		data := zipRaw([]byte("hello"), header)
		return bytes.Replace(data, central, local, 1)
	}
	unicodeName := func(name string) []byte {
		field := numbers.AppendUint16(nil, unicodeExtra)
		field = numbers.AppendUint16(field, uint16(5+len(name)))
		return append(append(field, 1, 0, 0, 0, 0), name...)
	}
	longer := func(flags uint16) []byte { // bytes after a deflated content
		header := stored("a", nil)
		header.Method, header.Flags, header.CompressedSize64 = zip.Deflate, flags, 6
		return zipRaw([]byte("\x03\x00junk"), header)
	}
	for _, c := range []struct {
		name  string
		data  []byte
		class core.Class
		text  string
	}{
		{"as it is", plain, "", ""},
		{"zip64 end", zip64Of(plain, nil), "", ""},
		{"zip64 end that repeats the end", zip64Of(plain, func(_, _, end []byte) { copy(end, plain[atEnd:]) }),
			"", ""},
		{"zip64 end of other count", zip64Of(plain, func(r, _, end []byte) { copy(end, plain[atEnd:]); r[32]++ }),
			core.ClassFormat, "end records disagree"},
		{"zip64 end without signature", zip64Of(plain, func(r, _, _ []byte) { r[0]++ }), core.ClassFormat, "zip64"},
		{"zip64 end elsewhere", zip64Of(plain, func(_, place, _ []byte) { place[8]-- }), core.ClassFormat, "zip64"},
		{"zip64 end behind its place", zip64Of(plain, func(_, place, _ []byte) { place[15] = 0xff }),
			core.ClassFormat, "zip64"},
		{"zip64 directory size", zip64Of(plain, func(r, _, _ []byte) { r[47] = 0xff }),
			core.ClassFormat, "directory"},
		{"zip64 count", zip64Of(plain, func(r, _, _ []byte) { r[39] = 0xff }), core.ClassBomb, "entries"},
		{"no end", plain[:len(plain)-1], core.ClassFormat, "end is missing"},
		{"second disk", edit(atEnd+4, "\x01\x00\x01"), core.ClassFormat, "split"},
		{"count too small", edit(atEnd+10, "\x01"), core.ClassFormat, "longer than its end"},
		{"count too large", edit(atEnd+10, "\x03"), core.ClassFormat, "shorter than its end"},
		{"directory elsewhere", edit(atEnd+16, "\x01"), core.ClassFormat, "directory is not where"},
		{"name beyond the directory", edit(atRecord+28, "\xff\xff"), core.ClassFormat, "cut short"},
		{"comment beyond the directory", edit(atRecord+32, "\xff\xff"), core.ClassFormat, "cut short"},
		{"zip64 size is missing", edit(atRecord+24, "\xff\xff\xff\xff"),
			core.ClassFormat, "missing in its directory"},
		{"zip64 offset is missing", edit(atRecord+42, "\xff\xff\xff\xff"),
			core.ClassFormat, "missing in its directory"},
		{"local zip64 size is missing", edit(22, "\xff\xff\xff\xff"), core.ClassFormat, "local header"},
		{"local zip64 size of nothing is missing", changed(zipRaw(nil, stored("a", nil), stored("b", nil)),
			"\x00\x00\x00\x00\x01\x00\x00\x00a", "\xff\xff\xff\xff\x01\x00\x00\x00a", false),
			core.ClassFormat, "local header"},
		{"local name beyond the entry", edit(26, "\xff\xff"), core.ClassBomb, "shares its bytes"},
		{"local extra beyond the entry", edit(28, "\xff\x00"), core.ClassBomb, "shares its bytes"},
		{"first entry is not at 0", edit(atRecord+42, "\x01"), core.ClassFormat, "before its first entry"},
		{"entry in the directory", edit(atRecord+zipRecordBytes+1+42, "\x50"), core.ClassFormat, "no room"},
		{"entry beyond the file", edit(atRecord+zipRecordBytes+1+42, "\x50\xff"), core.ClassFormat, "no room"},
		{"same name in UTF-8", extra(unicodeName("a"), unicodeName("a")), "", ""},
		{"other name in UTF-8", extra(unicodeName("b"), unicodeName("b")), core.ClassFormat, "extra field"},
		{"other local name in UTF-8", extra(unicodeName("a"), unicodeName("b")), core.ClassFormat, "extra field"},
		{"broken extra field", extra([]byte("\x01\x00\xff\xffx"), []byte("\x01\x00\xff\xffx")), "", ""},
		{"bytes after the content", longer(0), core.ClassFormat, "after the end of its content"},
		{"bytes after the content, descriptor", longer(zipDescriptor),
			core.ClassFormat, "after the end of its content"},
		{"folder with content", bytes.ReplaceAll(zipFiles("aX", "f"), []byte("aX"), []byte("a/")),
			core.ClassFormat, "without being a file"},
		{"gap", zipGap(plain, atRecord), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := check(c.data, core.Windows)
			if core.ClassOf(err) != c.class || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q, %q", err, c.class, c.text)
			}
		})
	}
}

// zipGap puts bytes that belong to nothing before the directory.
func zipGap(data []byte, directory int) []byte {
	data = bytes.Join([][]byte{data[:directory], []byte("gap"), data[directory:]}, nil)
	end := data[len(data)-zipEndBytes:]
	numbers.PutUint32(end[16:], numbers.Uint32(end[16:])+3)
	return data
}

func TestTarRecords(t *testing.T) {
	file := tarOf("hello", &tar.Header{Name: "file"})
	eightEiB := "\x80\x00\x00\x00\x7f" + strings.Repeat("\xff", 7)
	folder := func(size string) []byte { return rawTarHeader("d", '5', size, nil) }
	for _, c := range []struct {
		name  string
		data  []byte
		class core.Class
		text  string
	}{
		{"no end", file[:1024], "", ""},
		{"one block of end", file[:1536], "", ""},
		{"cut inside a content", file[:515], core.ClassFormat, "damaged"},
		{"cut inside a header", file[:100], core.ClassFormat, "damaged"},
		{"global comment", append(paxRecords('g', "comment", "x"), file...), "", ""},
		{"global path", append(paxRecords('g', "path", "x"), file...), core.ClassFormat, "global header"},
		{"global sparse file", append(paxRecords('g', "GNU.sparse.size", "9"), file...), core.ClassBomb, "sparse"},
		{"folder with content", append(folder("00000000005\x00"), file...),
			core.ClassFormat, "without being a file"},
		{"folder of negative size", append(folder(strings.Repeat("\xff", 12)), file...),
			core.ClassFormat, "without being a file"},
		{"file in a file", tarOf("x", &tar.Header{Name: "a"}, &tar.Header{Name: "a/b"}),
			core.ClassName, "not a folder"},
		{"folder over a file", tarOf("x", &tar.Header{Name: "a"}, &tar.Header{Name: "a/", Typeflag: tar.TypeDir}),
			core.ClassName, "twice"},
		{"file over a folder", tarOf("x", &tar.Header{Name: "a/b"}, &tar.Header{Name: "a"}),
			core.ClassName, "twice"},
		{"size of 8 EiB", append(rawTarHeader("a", '0', eightEiB, nil), file...),
			core.ClassBomb, "for one file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := check(gzipOf(c.data), core.Linux)
			if core.ClassOf(err) != c.class || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q, %q", err, c.class, c.text)
			}
		})
	}
}

// TestRatioOverflow checks that a large archive and a large ratio do not wrap around.
func TestRatioOverflow(t *testing.T) {
	data := zipFiles("a")
	rules := Rules{OS: core.Windows, Limits: Limits{Ratio: math.MaxInt}}
	if _, err := Check(bytes.NewReader(data), int64(len(data)), rules); err != nil {
		t.Error(err)
	}
}
