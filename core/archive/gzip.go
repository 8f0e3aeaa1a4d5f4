package archive

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"

	"enjambre/core"
)

// maxMembers bounds the members of one gzip. A blocked gzip such as bgzip's has one for each 64 KiB, so 8 GiB
// take half of it. Each member costs as much as inflating some KiB, however short it is.
const maxMembers = 1 << 18

// gzipMagic begins each member (RFC 1952, 2.3.1).
const gzipMagic = "\x1f\x8b"

// gzipReserved are the flags that must be 0. compress/gzip does not look at them; GNU gzip, zlib and 7-Zip refuse
// a member that has one, so an agent that has tar would fail where we do not.
const gzipReserved = 0xe0

// A gzipStream reads the members of a gzip as one stream, as GNU gzip, zlib, libarchive and 7-Zip do. Where a
// member ends says nothing: pigz, bgzip, eStargz and `cat` put the boundaries anywhere, inside a file too.
//
// Zeros after the last member are padding, which record-oriented writers such as `bsdtar -czf -` add and all those
// tools pass over. Anything else there is refused, also a member after zeros: tools differ in whether they read it.
type gzipStream struct {
	packed  *bufio.Reader
	member  *gzip.Reader
	members int
	ended   error // what every later Read returns
}

// openGzip reads the first member's header.
func openGzip(packed *bufio.Reader) (*gzipStream, error) {
	s := &gzipStream{packed: packed, member: new(gzip.Reader)}
	return s, s.open()
}

// open begins the next member.
func (s *gzipStream) open() error {
	if s.members++; s.members > maxMembers {
		return core.Refuse(core.ClassBomb, "consists of more than %d gzip members: make it in one run of tar", maxMembers)
	}
	const flagsAt = 3
	if head, err := s.packed.Peek(flagsAt + 1); err == nil && head[flagsAt]&gzipReserved != 0 {
		return core.Refuse(core.ClassFormat, "has a gzip member with reserved flags (%#02x), which gzip does not read: "+
			"make it in one run of tar", head[flagsAt])
	}
	err := s.member.Reset(s.packed)
	if errors.Is(err, gzip.ErrHeader) {
		return core.Refuse(core.ClassFormat, "has a gzip header that is damaged, or that holds a name or a comment of "+
			"512 bytes or more: make it in one run of tar")
	}
	if err == nil {
		s.member.Multistream(false)
	}
	return err
}

// Read implements [io.Reader]. At io.EOF nothing but zeros is left of the archive.
func (s *gzipStream) Read(p []byte) (int, error) {
	if s.ended != nil {
		return 0, s.ended
	}
	n, err := s.member.Read(p)
	if errors.Is(err, io.EOF) {
		err = s.next()
	}
	s.ended = err
	return n, err
}

// next goes on to the member that follows. It returns io.EOF when there is none.
func (s *gzipStream) next() error {
	head, err := s.packed.Peek(len(gzipMagic))
	switch {
	case len(head) == 0:
		return err
	case string(head) == gzipMagic:
		return s.open()
	}
	for {
		b, err := s.packed.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return core.Refuse(core.ClassBomb, "goes on after the end of its gzip, with something that is neither gzip nor "+
				"zeros: copy it again in binary form, or make it in one run of tar")
		}
	}
}
