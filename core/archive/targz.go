package archive

import (
	"archive/tar"
	"bufio"
	"errors"
	"io"
	"strings"

	"enjambre/core"
)

// streamBuffer is how much of the archive is read at once.
const streamBuffer = 64 << 10

// readTarGz calls judge for each entry of a tar.gz. The tar may be at most limit bytes long.
//
// One gzip holds one tar, and nothing but zeros comes after either: programs differ in whether they read what
// follows the end of the tar, so that may not hold anything.
func readTarGz(from *source, limit int64, judge func(item) error) error {
	unpacked, err := openGzip(bufio.NewReaderSize(io.NewSectionReader(from, 0, from.size), streamBuffer))
	if err != nil {
		return err
	}
	stream := &meter{r: unpacked, left: limit}
	if err := readTar(stream, judge); err != nil {
		return err
	}
	return expectZeros(stream)
}

// readTar calls judge for each entry, until the end that the tar marks or that the stream has.
func readTar(stream *meter, judge func(item) error) error {
	entries := tar.NewReader(stream)
	for isFirst := true; ; isFirst = false {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, tar.ErrHeader) && isFirst {
			return core.Refuse(core.ClassFormat, "is a gzip, but not of a well-formed tar")
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			if err := checkGlobal(header); err != nil {
				return err
			}
			continue
		}
		if header.Typeflag == gnuLabel && header.Size == 0 && !strings.Contains(header.Name, "..") {
			continue // the archive's label; no program makes anything of it
		}
		if err := judge(tarItem(header, entries)); err != nil {
			return err
		}
		if stream.err != nil {
			return nil // judge has seen and noted it as the content's
		}
	}
}

// Types of entries that archive/tar has no name for, or that it does not explain.
const (
	gnuLabel   = 'V' // tar --label: the name of the archive, not of a file
	gnuDumpDir = 'D' // tar --listed-incremental: a folder whose content lists its files
	gnuVolume  = 'M' // the rest of a file that began on another volume
)

// tarItem describes an entry.
func tarItem(header *tar.Header, content io.Reader) item {
	it := item{
		name: header.Name, size: header.Size, mode: uint32(header.Mode & 0o7777),
		target: header.Linkname, content: content,
	}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont: // a size is not negative: archive/tar refuses that
		it.typ = File // contiguous files are regular ones (POSIX ustar, 7)
	case tar.TypeDir:
		it.typ = Dir
	case gnuDumpDir:
		it.typ, it.size = Dir, 0 // the list is for restoring backups only, and is skipped by others
	case tar.TypeSymlink:
		it.typ = Symlink
	case tar.TypeLink:
		it.refusal = core.Refuse(core.ClassLink, "is a hard link to %s: use tar's option --hard-dereference",
			showable(header.Linkname))
	case tar.TypeChar, tar.TypeBlock:
		it.refusal = core.Refuse(core.ClassType, "is a device")
	case tar.TypeFifo:
		it.refusal = core.Refuse(core.ClassType, "is a named pipe")
	case tar.TypeGNUSparse:
		it.refusal = sparseRefusal()
	case gnuVolume:
		it.refusal = core.Refuse(core.ClassType, "is the rest of a file on another volume: use tar without --multi-volume")
	case gnuLabel:
		it.refusal = core.Refuse(core.ClassType, "is a label that has content: use tar without --label")
	default:
		it.refusal = core.Refuse(core.ClassType, "is of the unknown type %q: use tar with --format=gnu or --format=pax",
			header.Typeflag)
	}
	if refusal := checkRecords(header); refusal != nil {
		it.refusal = refusal
	}
	return it
}

// checkRecords refuses PAX records that programs read differently.
func checkRecords(header *tar.Header) error {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return sparseRefusal()
		}
	}
	for key, taken := range map[string]string{"path": header.Name, "linkpath": header.Linkname} {
		if record, present := header.PAXRecords[key]; present && record != taken {
			return core.Refuse(core.ClassFormat,
				"has two names, of which programs take one or the other: use tar with --format=gnu or --format=pax")
		}
	}
	if record, present := header.PAXRecords["size"]; present && record == "" {
		return core.Refuse(core.ClassFormat, "has an empty size in its PAX header: use tar with --format=gnu")
	}
	return nil
}

// sparseRefusal is for files whose zeros are not stored. They are refused, small or not: a header of
// 512 bytes can stand for any number of bytes, and no limit on ratios would see it.
func sparseRefusal() error {
	return core.Refuse(core.ClassBomb,
		"is stored as a sparse file: use tar without --sparse (bsdtar: with --no-read-sparse)")
}

// checkGlobal refuses global headers that change entries: archive/tar does not apply them, other
// programs do. `git archive` writes one that holds a comment only.
func checkGlobal(header *tar.Header) error {
	for _, key := range []string{"path", "linkpath", "size"} {
		if _, present := header.PAXRecords[key]; present {
			return core.Refuse(core.ClassFormat, "sets %q for all entries in a global header", key)
		}
	}
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return sparseRefusal()
		}
	}
	return nil
}

// A meter passes on at most left bytes and keeps the error that ended the stream.
type meter struct {
	r    io.Reader
	left int64
	err  error // other than io.EOF
}

// Read implements [io.Reader].
func (m *meter) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if int64(len(p)) > m.left {
		p = p[:m.left+1] // one more, to tell a stream that ends here from one that goes on
	}
	n, err := m.r.Read(p)
	m.left -= int64(n)
	if m.left < 0 {
		err = core.Refuse(core.ClassBomb, "unpacks to more than its size and the limits allow")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// expectZeros reads a tar's padding: tar fills its last record of 10 KiB with zeros.
func expectZeros(stream io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := stream.Read(buffer)
		for _, b := range buffer[:n] {
			if b != 0 {
				return core.Refuse(core.ClassBomb, "goes on after the end of its tar, as two archives in one file do: "+
					"unpack them into one folder, and make the archive in one run of tar")
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
