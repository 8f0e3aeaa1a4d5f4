package archive

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"enjambre/core"
)

// Methods and flags of a zip's entries.
const (
	zipStore   = 0
	zipDeflate = 8

	zipEncrypted  = 1 << 0
	zipDescriptor = 1 << 3 // checksum and sizes follow the content
	zipPatch      = 1 << 5
	zipStrong     = 1 << 6 // strong encryption
	zipUTF8       = 1 << 11
	zipMasked     = 1 << 13 // local headers hidden by encryption

	zipUnreadable = zipEncrypted | zipPatch | zipStrong | zipMasked
	zipMeaningful = zipUnreadable | zipDescriptor // the others are hints, but for zipUTF8
)

// zipVersion is the last version of the format that Info-ZIP's unzip 6.0 reads. Stored and deflated entries need 4.5
// at most; what needs more is compressed or encrypted otherwise.
const zipVersion = 46

// packAgain is what to do about an archive that programs read differently.
const packAgain = "pack it again with another tool, such as zip -r or 7-Zip"

// A zipFile reads the entries of one zip.
type zipFile struct {
	from   *source
	end    zipEnd
	starts []int64 // of the local headers, in order
	header []byte  // buffer for one
	body   zipBody // reused, since an inflater is 40 KiB
}

// readZip calls judge for each entry of a zip, in the order of the directory.
//
// The first local header must be the first thing in the file. Gaps further on are allowed: some
// tools leave them when they replace an entry, and nothing that goes by the directory looks there.
func readZip(from *source, limits Limits, judge func(item) error) error {
	end, err := findZipEnd(from)
	if err != nil {
		return err
	}
	if end.offset > uint64(end.at) || end.size != uint64(end.at)-end.offset {
		return damaged("its directory is not where its end record says; is there something before its first entry?")
	}
	if end.count > uint64(limits.Entries)+1 { // one more, for a root folder
		return core.Refuse(core.ClassBomb, "has %d entries; at most %d are allowed", end.count, limits.Entries)
	}
	z := &zipFile{from: from, end: end}
	if err := z.findStarts(); err != nil {
		return err
	}
	directory := end.open(from)
	for {
		record, err := directory.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := judge(z.item(record)); err != nil {
			return err
		}
	}
}

// findStarts reads the directory once to learn where entries begin: none may reach into the next.
func (z *zipFile) findStarts() error {
	directory := z.end.open(z.from)
	for {
		record, err := directory.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		z.starts = append(z.starts, record.offset)
	}
	slices.Sort(z.starts)
	if len(z.starts) > 0 && z.starts[0] != 0 {
		return damaged("there is something before its first entry")
	}
	return nil
}

// item describes an entry.
func (z *zipFile) item(record zipRecord) item {
	it := item{name: record.name, size: record.size, warning: zipNameWarning(record)}
	it.typ, it.refusal = zipType(record)
	it.mode = zipMode(record, it.typ)
	if it.refusal == nil {
		it.content, it.refusal = z.open(record)
	}
	return it
}

// open compares an entry's local header with its record and returns its content.
func (z *zipFile) open(record zipRecord) (io.Reader, error) {
	if record.flags&zipUnreadable != 0 {
		return nil, core.Refuse(core.ClassFormat, "is encrypted: make the archive without a password")
	}
	if record.method != zipStore && record.method != zipDeflate {
		return nil, core.Refuse(core.ClassFormat,
			"is compressed by method %d: use deflate, the usual method of zip", record.method)
	}
	if record.needed > zipVersion {
		return nil, core.Refuse(core.ClassFormat, "needs version %d.%d of the format; unzip reads up to %d.%d: %s",
			record.needed/10, record.needed%10, zipVersion/10, zipVersion%10, packAgain)
	}
	next, shared := z.room(record.offset)
	if shared {
		return nil, overlap()
	}
	if record.offset > next-zipLocalBytes {
		return nil, core.Refuse(core.ClassFormat, "has no room for its local header")
	}
	start, err := z.checkLocal(record, next)
	if err != nil {
		return nil, err
	}
	if record.packed > next-start {
		return nil, overlap()
	}
	if record.flags&zipDescriptor != 0 {
		if err := z.checkDescriptor(record, start+record.packed, next); err != nil {
			return nil, err
		}
	}
	z.body.reset(io.NewSectionReader(z.from, start, record.packed), record)
	return &z.body, nil
}

func overlap() error {
	return core.Refuse(core.ClassBomb, "shares its bytes with another entry or with the directory")
}

// room returns where an entry at offset must end at the latest, and whether another begins with it.
func (z *zipFile) room(offset int64) (next int64, shared bool) {
	at, _ := slices.BinarySearch(z.starts, offset)
	next = int64(z.end.offset)
	if at+1 < len(z.starts) {
		next = min(next, z.starts[at+1])
	}
	return next, next == offset && at+1 < len(z.starts)
}

// checkLocal refuses an entry whose local header says something else than its record. It returns
// where the content starts.
func (z *zipFile) checkLocal(record zipRecord, next int64) (int64, error) {
	z.header = slices.Grow(z.header[:0], zipLocalBytes)[:zipLocalBytes]
	if err := z.from.readFull(z.header, record.offset); err != nil {
		return 0, err
	}
	fixed := [zipLocalBytes]byte(z.header)
	if string(fixed[:4]) != zipLocalSignature {
		return 0, core.Refuse(core.ClassFormat, "has no local header where the directory says")
	}
	nameLen, extraLen := int(numbers.Uint16(fixed[26:])), int(numbers.Uint16(fixed[28:]))
	start := record.offset + zipLocalBytes + int64(nameLen+extraLen)
	if start > next {
		return 0, overlap()
	}
	z.header = slices.Grow(z.header[:0], nameLen+extraLen)[:nameLen+extraLen]
	if err := z.from.readFull(z.header, record.offset+zipLocalBytes); err != nil {
		return 0, err
	}
	name, extra := z.header[:nameLen], z.header[nameLen:]
	switch {
	case string(name) != record.name:
		return 0, core.Refuse(core.ClassFormat, "has the name %s in its local header", showable(string(name)))
	case !sameName(extra, record.name) || !sameName(record.extra, record.name):
		return 0, core.Refuse(core.ClassFormat,
			"has another name in an extra field: make the archive with UTF-8 names")
	}
	if err := checkFlags(numbers.Uint16(fixed[6:]), numbers.Uint16(fixed[8:]), record); err != nil {
		return 0, err
	}
	wide := wideNumbers{extraField(extra, zip64Extra), true}
	size, packed := wide.of(numbers.Uint32(fixed[22:])), wide.of(numbers.Uint32(fixed[18:]))
	crc := numbers.Uint32(fixed[14:])
	// With a descriptor, 0 says that a number was not known yet.
	isLater := func(number int64) bool { return record.flags&zipDescriptor != 0 && number == 0 }
	if size != record.size && !isLater(size) || packed != record.packed && !isLater(packed) ||
		crc != record.crc && !isLater(int64(crc)) || !wide.ok {
		if strings.HasSuffix(record.name, "/") {
			return 0, core.Refuse(core.ClassFormat, "is a folder that has a size in one of its two headers: "+packAgain)
		}
		return 0, core.Refuse(core.ClassFormat, "has another size or checksum in its local header")
	}
	return start, nil
}

// checkFlags refuses an entry whose local header has another method than its record, or flags that programs read
// differently. The flag for UTF-8 means nothing for an ASCII name; for another, programs go by one or the other.
func checkFlags(flags, method uint16, record zipRecord) error {
	differ := flags ^ record.flags
	switch {
	case method != record.method:
		return core.Refuse(core.ClassFormat, "is compressed by method %d by its local header, by %d by the directory: %s",
			method, record.method, packAgain)
	case differ&zipDescriptor != 0:
		return core.Refuse(core.ClassFormat, "has a size that follows its content by only one of its two headers "+
			"(flag bit 3): %s", packAgain)
	case differ&zipMeaningful != 0:
		return core.Refuse(core.ClassFormat, "is encrypted by only one of its two headers: %s", packAgain)
	case differ&zipUTF8 != 0 && !isASCII(record.name):
		return core.Refuse(core.ClassFormat, "has its name marked as UTF-8 in only one of its two headers (flag bit 11): %s",
			packAgain)
	}
	return nil
}

// sameName reports whether an extra field with the name in UTF-8, if there is one, agrees.
func sameName(extra []byte, name string) bool {
	const head = 5 // version and checksum of the header's name
	field := extraField(extra, unicodeExtra)
	return field == nil || len(field) >= head && string(field[head:]) == name
}

// checkDescriptor refuses an entry without a right descriptor after its content. A descriptor may
// lack its signature, and its sizes have 32 or 64 bits; nothing says which.
func (z *zipFile) checkDescriptor(record zipRecord, at, next int64) error {
	found := make([]byte, min(24, next-at))
	if err := z.from.readFull(found, at); err != nil {
		return err
	}
	for _, signature := range []string{"PK\x07\x08", ""} {
		narrow := numbers.AppendUint32([]byte(signature), record.crc)
		wide := numbers.AppendUint64(bytes.Clone(narrow), uint64(record.packed))
		wide = numbers.AppendUint64(wide, uint64(record.size))
		narrow = numbers.AppendUint32(narrow, uint32(record.packed))
		narrow = numbers.AppendUint32(narrow, uint32(record.size))
		if bytes.HasPrefix(found, narrow) || bytes.HasPrefix(found, wide) {
			return nil
		}
	}
	return core.Refuse(core.ClassFormat, "announces a size and a checksum after its content (flag bit 3) that are not "+
		"there or differ: "+packAgain)
}

// A zipBody reads an entry's content and holds it to its record.
type zipBody struct {
	record zipRecord
	packed *bufio.Reader
	flate  io.ReadCloser // nil until one is needed
	plain  io.Reader     // what Read reads from
	left   int64         // bytes that should still come
	sum    hash.Hash32
}

// reset starts a new entry whose packed content is in section.
func (b *zipBody) reset(section *io.SectionReader, record zipRecord) {
	record.extra = nil
	b.record, b.left = record, record.size
	if b.packed == nil {
		b.packed, b.sum = bufio.NewReaderSize(nil, streamBuffer), crc32.NewIEEE()
	}
	b.packed.Reset(section)
	b.sum.Reset()
	switch {
	case record.method == zipStore:
		b.plain = b.packed
		return
	case b.flate == nil:
		b.flate = flate.NewReader(b.packed)
	default:
		_ = b.flate.(flate.Resetter).Reset(b.packed, nil) // flate promises both, and no error
	}
	b.plain = b.flate
}

// Read implements [io.Reader]. At the end it checks size and checksum.
func (b *zipBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left+1] // one more, to notice content that goes on
	}
	n, err := b.plain.Read(p)
	_, _ = b.sum.Write(p[:n])
	b.left -= int64(n)
	if b.left < 0 {
		return n, core.Refuse(core.ClassBomb, "unpacks to more than the %d bytes that it announces", b.record.size)
	}
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if b.left > 0 {
		return n, core.Refuse(core.ClassBomb, "announces %d bytes and unpacks to %d",
			b.record.size, b.record.size-b.left)
	}
	if _, peek := b.packed.Peek(1); peek == nil {
		return n, core.Refuse(core.ClassFormat, "has bytes after the end of its content")
	}
	if b.sum.Sum32() != b.record.crc {
		return n, core.Refuse(core.ClassFormat, "is damaged: its checksum does not fit")
	}
	return n, err
}
