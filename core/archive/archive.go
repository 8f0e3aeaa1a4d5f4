// Package archive judges what a package's archive may hold.
//
// The server asks it before a package is published, and lists every bad entry; the agent asks it again
// before it unpacks. Both get the same answer, because [Check] is [Walk] without a visitor. The
// package reads what it is given and never writes.
//
// # What it promises
//
//   - Nothing that an archive says about itself is trusted: contents are read to their end, counted,
//     and compared with their checksums.
//   - Whatever the archive, a walk holds less than 32 MiB of memory, and reads no more output than the
//     [Limits] allow.
//   - An entry that a visitor receives has a name that stays inside the folder it is unpacked to, on
//     the operating system of the [Rules]; its folders come before it, and no link is on its way.
//   - An entry of a zip reads the same whether a program goes by the directory or by its local header.
//
// Archives inside an archive are files like any other; they are not opened.
//
// # Why a zip reader of its own
//
// archive/zip keeps every directory record in memory (a hostile directory costs as much as it is
// long), accepts bytes before the first entry, does not compare local headers with the directory and
// skips a checksum of 0. Judging these needs the raw records, so this package reads those records
// itself and inflates with compress/flate. For tar, archive/tar is enough.
package archive

import (
	"io"
	"io/fs"

	"enjambre/core"
)

// A Kind is a kind of archive that packages can have.
type Kind string

// The two kinds. A package for Windows has the first, one for Linux the second.
const (
	Zip   Kind = "zip"
	TarGz Kind = "tar.gz"
)

// KindFor returns the kind that a package for os must have.
func KindFor(os core.OS) Kind {
	if os == core.Windows {
		return Zip
	}
	return TarGz
}

// Limits bound what an archive may unpack to. A field that is not above 0 means its default; above
// 16 million entries or 1 PiB it means those.
type Limits struct {
	Entries    int   // files, links and folders, those folders included that only names imply; default 100 000
	TotalBytes int64 // of all files together; default 8 GiB
	FileBytes  int64 // of one file; default 4 GiB

	// Ratio bounds the unpacked bytes: this many times the archive's own size. It applies above 10 MiB
	// of output, since a small file of zeros is no attack. Default 200; deflate can reach 1032.
	Ratio int
}

// ratioFreeBytes of output are allowed whatever the ratio.
const ratioFreeBytes = 10 << 20

// withDefaults returns l with its unset fields filled in.
func (l Limits) withDefaults() Limits {
	if l.Entries <= 0 {
		l.Entries = 100_000
	}
	if l.TotalBytes <= 0 {
		l.TotalBytes = 8 << 30
	}
	if l.FileBytes <= 0 {
		l.FileBytes = 4 << 30
	}
	if l.Ratio <= 0 {
		l.Ratio = 200
	}
	l.Entries = min(l.Entries, 1<<24)
	l.TotalBytes = min(l.TotalBytes, 1<<50) // so that sums stay far inside an int64
	l.FileBytes = min(l.FileBytes, 1<<50)
	return l
}

// Rules say what an archive is judged by.
type Rules struct {
	OS     core.OS  // decides the kind of archive and the rules for names and links; required
	Limits Limits   // the zero value means the defaults
	Find   []string // names of files that the caller wants to know about, see Report.Found
}

// A Type says what an entry is.
type Type uint8

// The types of entries that can be unpacked.
const (
	File    Type = iota + 1 // a regular file
	Dir                     // a folder
	Symlink                 // a symbolic link; in packages for Linux only
)

// An Entry is one thing to unpack.
type Entry struct {
	Name   string      // clean: slash-separated, relative, without "." and ".." parts
	Type   Type        // what it is
	Size   int64       // bytes of a file's content, else 0
	Mode   fs.FileMode // permission bits within 0755; 0 for a link. Folders always have 0700
	Target string      // of a link: relative, inside the archive; else ""
}

// A Report is what [Check] found out about an archive.
type Report struct {
	Kind     Kind      // what the archive must be, and is if it was accepted
	Entries  int       // entries read, without the archive's root
	Unpacked int64     // bytes of the contents read
	Bad      int       // number of problems; all are counted
	Problems []Problem // the first 100 problems, in the archive's order
	Warnings []Problem // the first 100 things that are changed in unpacking, such as a set-uid bit

	// Found says for each of Rules.Find whether the archive has a regular file of that name; case counts
	// in Linux only. It is nil if the archive could not be read to its end.
	Found map[string]bool
}

// Check reads the archive of size bytes in r to its end and judges it.
//
// The error is nil when there is no problem. It is a [*RefusedError] when there is any; [core.ClassOf]
// then gives the class of the first. Any other error comes from r and says nothing about the archive.
// The report is filled in unless r failed. Check may be called concurrently if r.ReadAt may.
func Check(r io.ReaderAt, size int64, rules Rules) (Report, error) {
	return run(r, size, rules, nil)
}

// Walk judges the archive as [Check] does and calls visit for each entry that can be unpacked, in the
// archive's order, but with links after all else. A folder is visited once, before what it holds, also
// when only the names of its contents imply it; it then has mode 0755.
//
// The reader is non-nil for files only and valid until visit returns; visit need not read all of it.
// If visit returns an error, Walk ends and returns that error. From the first problem on visit is no
// longer called, and Walk returns what Check would: the visitor must then throw away all it has kept,
// including a file whose reader failed. The report is empty if the visitor ended the walk.
func Walk(r io.ReaderAt, size int64, rules Rules, visit func(Entry, io.Reader) error) (Report, error) {
	return run(r, size, rules, visit)
}
