package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"

	"enjambre/core"
)

// The records of a zip, and how long they are without their variable parts.
const (
	zipLocalSignature   = "PK\x03\x04"
	zipRecordSignature  = "PK\x01\x02"
	zipEndSignature     = "PK\x05\x06"
	zip64EndSignature   = "PK\x06\x06"
	zip64PlaceSignature = "PK\x06\x07"

	zipLocalBytes   = 30
	zipRecordBytes  = 46
	zipEndBytes     = 22
	zip64EndBytes   = 56
	zip64PlaceBytes = 20

	zipMaxComment = math.MaxUint16
)

// Extra fields of a zip's headers.
const (
	zip64Extra   = 0x0001 // sizes and offsets that need 64 bits
	unicodeExtra = 0x7075 // Info-ZIP: the name in UTF-8, if the header's is in another encoding
)

// in64 stands for a number that is in the zip64 extra field.
const in64 = math.MaxUint32

// numbers are little-endian in a zip.
var numbers = binary.LittleEndian

// A zipEnd is what the end record says about the directory.
type zipEnd struct {
	at           int64 // where the directory must end
	count        uint64
	offset, size uint64 // of the directory
}

// damaged refuses a zip whose records do not fit together.
func damaged(format string, args ...any) error {
	return core.Refuse(core.ClassFormat, "is a damaged zip: "+format, args...)
}

// findZipEnd reads the end record: the last one in the file, whose comment must end with the file, or be followed by
// zeros alone, as `bsdtar --format zip -cf -` and other record-oriented writers pad. It is looked for where all
// programs do, as far from the file's end as a comment can be long.
func findZipEnd(from *source) (zipEnd, error) {
	tail := make([]byte, min(from.size, zipEndBytes+zipMaxComment))
	start := from.size - int64(len(tail))
	if err := from.readFull(tail, start); err != nil {
		return zipEnd{}, err
	}
	at := -1
	if last := len(tail) - zipEndBytes; last >= 0 {
		at = bytes.LastIndex(tail[:last+len(zipEndSignature)], []byte(zipEndSignature))
	}
	if at < 0 {
		return zipEnd{}, damaged("its end is missing, or more than %d bytes come after it: copy it again in binary form",
			zipMaxComment)
	}
	record := tail[at:]
	if err := checkZipTail(tail, at); err != nil {
		return zipEnd{}, err
	}
	end := zipEnd{
		at:     start + int64(at),
		count:  uint64(numbers.Uint16(record[10:])),
		size:   uint64(numbers.Uint32(record[12:])),
		offset: uint64(numbers.Uint32(record[16:])),
	}
	disk, first := numbers.Uint16(record[4:]), numbers.Uint16(record[6:])
	if disk != first || disk != 0 && disk != math.MaxUint16 {
		return zipEnd{}, damaged("it is one part of a split zip")
	}
	return widen(from, end)
}

// checkZipTail refuses what comes after the comment of the end record at a place of the tail, unless it is zeros. Then
// no other record may claim to end later: a program that wants the comment to end with the file would take that one.
func checkZipTail(tail []byte, at int) error {
	end := at + zipEndBytes + int(numbers.Uint16(tail[at+20:]))
	switch {
	case end == len(tail):
		return nil
	case end > len(tail):
		return damaged("its end is cut short: copy it again in binary form")
	case len(bytes.Trim(tail[end:], "\x00")) > 0:
		return damaged("something else than zeros comes after its end: copy it again in binary form, or pack it again")
	}
	for before := tail[:at]; ; {
		other := bytes.LastIndex(before, []byte(zipEndSignature))
		if other < 0 {
			return nil
		}
		if other+zipEndBytes+int(numbers.Uint16(tail[other+20:])) > at {
			return damaged("it has two ends, of which programs take one or the other: pack it again")
		}
		before = tail[:other]
	}
}

// widen applies the zip64 end record, if there is one. It must stand right before the end record and
// agree with it: two records that differ would be two directories.
func widen(from *source, end zipEnd) (zipEnd, error) {
	placeAt := end.at - zip64PlaceBytes
	var place [zip64PlaceBytes]byte
	if placeAt < 0 {
		return end, nil
	}
	if err := from.readFull(place[:], placeAt); err != nil {
		return zipEnd{}, err
	}
	if string(place[:4]) != zip64PlaceSignature {
		return end, nil
	}
	at := numbers.Uint64(place[8:])
	if placeAt < zip64EndBytes || at > uint64(placeAt-zip64EndBytes) {
		return zipEnd{}, damaged("its zip64 end record is missing")
	}
	var record [zip64EndBytes]byte
	if err := from.readFull(record[:], int64(at)); err != nil {
		return zipEnd{}, err
	}
	if string(record[:4]) != zip64EndSignature || numbers.Uint64(record[4:]) != uint64(placeAt)-at-12 {
		return zipEnd{}, damaged("its zip64 end record is missing")
	}
	wide := zipEnd{
		at:     int64(at),
		count:  numbers.Uint64(record[32:]),
		size:   numbers.Uint64(record[40:]),
		offset: numbers.Uint64(record[48:]),
	}
	agrees := func(narrow, wide, limit uint64) bool { return narrow == wide || narrow == limit }
	if !agrees(end.count, wide.count, math.MaxUint16) || !agrees(end.size, wide.size, in64) ||
		!agrees(end.offset, wide.offset, in64) {
		return zipEnd{}, damaged("its two end records disagree")
	}
	return wide, nil
}

// A zipRecord is one entry of the directory.
type zipRecord struct {
	name         string
	flags        uint16
	method       uint16
	crc          uint32
	packed, size int64  // of the content; clamped to the largest int64
	offset       int64  // of the local header; clamped, too
	host         uint8  // the system that it was made on
	needed       uint8  // version of the format, times ten
	attributes   uint16 // of that system
	mode         uint32 // of Unix, with its type, if the system is one
	extra        []byte // valid until the next record
}

// A zipDirectory reads the records one after the other, holding one at a time.
type zipDirectory struct {
	from   *bufio.Reader
	left   uint64 // records
	buffer []byte
}

func (end zipEnd) open(from *source) *zipDirectory {
	section := io.NewSectionReader(from, int64(end.offset), int64(end.size))
	return &zipDirectory{from: bufio.NewReaderSize(section, streamBuffer), left: end.count}
}

// next reads a record; io.EOF is the end of a directory that holds as many as it should.
func (d *zipDirectory) next() (zipRecord, error) {
	if d.left == 0 {
		if _, err := d.from.Peek(1); !errors.Is(err, io.EOF) {
			return zipRecord{}, damaged("its directory is longer than its end record says")
		}
		return zipRecord{}, io.EOF
	}
	d.left--
	var fixed [zipRecordBytes]byte
	if _, err := io.ReadFull(d.from, fixed[:]); err != nil || string(fixed[:4]) != zipRecordSignature {
		return zipRecord{}, damaged("its directory is shorter than its end record says")
	}
	nameLen, extraLen := int(numbers.Uint16(fixed[28:])), int(numbers.Uint16(fixed[30:]))
	d.buffer = slices.Grow(d.buffer[:0], nameLen+extraLen)[:nameLen+extraLen]
	_, err := io.ReadFull(d.from, d.buffer)
	if err == nil {
		_, err = d.from.Discard(int(numbers.Uint16(fixed[32:]))) // the comment
	}
	if err != nil {
		return zipRecord{}, damaged("its directory is cut short")
	}
	record := zipRecord{
		name:   string(d.buffer[:nameLen]),
		flags:  numbers.Uint16(fixed[8:]),
		method: numbers.Uint16(fixed[10:]),
		crc:    numbers.Uint32(fixed[16:]),
		host:   fixed[5],
		needed: fixed[6],
		extra:  d.buffer[nameLen:],

		attributes: numbers.Uint16(fixed[38:]),
		mode:       uint32(numbers.Uint16(fixed[40:])),
	}
	packed, size, offset := numbers.Uint32(fixed[20:]), numbers.Uint32(fixed[24:]), numbers.Uint32(fixed[42:])
	wide := wideNumbers{extraField(record.extra, zip64Extra), true}
	record.size, record.packed, record.offset = wide.of(size), wide.of(packed), wide.of(offset)
	if !wide.ok {
		return zipRecord{}, damaged("a size or an offset is missing in its directory")
	}
	return record, nil
}

// wideNumbers are the contents of a zip64 extra field: 64 bits for each number that is in64 in the
// header, in the order size, packed size, offset.
type wideNumbers struct {
	field []byte
	ok    bool // false after a number was missing
}

// of returns the number that the header gives as narrow.
func (w *wideNumbers) of(narrow uint32) int64 {
	if narrow != in64 {
		return int64(narrow)
	}
	if len(w.field) < 8 {
		w.ok = false
		return 0
	}
	number := numbers.Uint64(w.field)
	w.field = w.field[8:]
	return int64(min(number, math.MaxInt64))
}

// extraField returns the contents of the first extra field with that ID, or nil.
func extraField(extra []byte, id uint16) []byte {
	for len(extra) >= 4 {
		size := int(numbers.Uint16(extra[2:]))
		if size > len(extra)-4 {
			return nil
		}
		if numbers.Uint16(extra) == id {
			return extra[4 : 4+size]
		}
		extra = extra[4+size:]
	}
	return nil
}
