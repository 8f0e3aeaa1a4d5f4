package archive

import (
	"bytes"
	"errors"
	"io"

	"enjambre/core"
)

// A source is the archive's bytes. It remembers whether reading them failed, since the decoders above
// report a failing disk and a bad archive alike.
type source struct {
	r    io.ReaderAt
	size int64
	err  error // first error of r, other than the end of the file at its place
}

// ReadAt implements [io.ReaderAt] within the archive's size.
func (s *source) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset >= s.size {
		return 0, io.EOF
	}
	whole := p
	if int64(len(p)) > s.size-offset {
		p = p[:s.size-offset]
	}
	n, err := s.r.ReadAt(p, offset)
	switch {
	case n == len(p) && len(p) == len(whole):
		return n, nil
	case n == len(p):
		return n, io.EOF
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF // the file is shorter than the size that we were told
	}
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// readFull reads exactly len(p) bytes, which the caller knows to lie inside the archive.
func (s *source) readFull(p []byte, offset int64) error {
	n, err := s.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	return err
}

// signatures name kinds of files by how they begin.
var signatures = []struct {
	name   string
	kind   Kind
	offset int
	magic  string
}{
	{"a zip", Zip, 0, "PK\x03\x04"},
	{"an empty zip", Zip, 0, zipEndSignature},
	{"a gzip", TarGz, 0, gzipMagic},
	{"one part of a split zip", "", 0, "PK\x07\x08"},
	{"a RAR archive", "", 0, "Rar!\x1a\x07"},
	{"a 7-Zip archive", "", 0, "7z\xbc\xaf\x27\x1c"},
	{"a cabinet (CAB) file", "", 0, "MSCF"},
	{"compressed by bzip2", "", 0, "BZh"},
	{"compressed by xz", "", 0, "\xfd7zXZ\x00"},
	{"compressed by zstd", "", 0, "\x28\xb5\x2f\xfd"},
	{"a Windows program", "", 0, "MZ"},
	{"a Linux program", "", 0, "\x7fELF"},
	{"a plain tar, without gzip", "", 257, "ustar"},
}

// expectKind refuses an archive of another kind than want, saying what it is. The file's contents
// decide; nobody here knows its name.
func (s *source) expectKind(want Kind) error {
	if s.size <= 0 {
		return core.Refuse(core.ClassFormat, "is an empty file, where a %s is needed", want)
	}
	head := make([]byte, min(512, s.size))
	if err := s.readFull(head, 0); err != nil {
		return err
	}
	for _, known := range signatures {
		if len(head) < known.offset || !bytes.HasPrefix(head[known.offset:], []byte(known.magic)) {
			continue
		}
		if known.kind == want {
			return nil
		}
		return core.Refuse(core.ClassFormat, "is %s, where a %s is needed", known.name, want)
	}
	if want == Zip {
		if _, err := findZipEnd(s); err == nil {
			return core.Refuse(core.ClassFormat, "is a zip with something else before its first entry")
		}
	}
	return core.Refuse(core.ClassFormat, "is of an unknown kind, where a %s is needed", want)
}
