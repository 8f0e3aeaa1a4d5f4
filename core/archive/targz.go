package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"strings"

	"enjambre/core"
)

// streamBuffer is how much of the archive is read at once.
const streamBuffer = 64 << 10

// readTarGz calls judge for each entry of a tar.gz. The tar may be at most limit bytes long.
//
// One gzip member holds one tar, and nothing comes after either: programs differ in whether they read
// a second member or what follows the end of the tar, so neither may hold anything.
func readTarGz(from *source, limit int64, judge func(item) error) error {
	packed := bufio.NewReaderSize(io.NewSectionReader(from, 0, from.size), streamBuffer)
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	unpacked.Multistream(false)
	stream := &meter{r: unpacked, left: limit}
	if err := readTar(stream, judge); err != nil {
		return err
	}
	if err := expectZeros(stream); err != nil {
		return err
	}
	if _, err := packed.Peek(1); err == nil {
		return core.Refuse(core.ClassBomb, "goes on after the end of its gzip stream: make it in one run of tar")
	}
	return nil
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
		if err := judge(tarItem(header, entries)); err != nil {
			return err
		}
		if stream.err != nil {
			return nil // judge has seen and noted it as the content's
		}
	}
}

// tarItem describes an entry.
func tarItem(header *tar.Header, content io.Reader) item {
	it := item{
		name: header.Name, size: header.Size, mode: uint32(header.Mode & 0o7777),
		target: header.Linkname, content: content,
	}
	switch header.Typeflag {
	case tar.TypeReg: // its size is not negative: archive/tar refuses that
		it.typ = File
	case tar.TypeDir:
		it.typ = Dir
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
	default:
		it.refusal = core.Refuse(core.ClassType, "is of the unknown type %q", header.Typeflag)
	}
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			it.refusal = sparseRefusal()
		}
	}
	return it
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
				return core.Refuse(core.ClassBomb, "goes on after the end of its tar: make it in one run of tar")
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
