package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
)

// A tool unpacks archives as other programs do. Those that stock agents start are marked: they must be able to unpack
// what we accept.
type tool struct {
	name  string
	os    core.OS
	stock bool
	args  func(archive, folder string) []string
}

var tools = []tool{
	{"tar", core.Linux, true, func(archive, folder string) []string {
		return []string{"-xmzf", archive, "-C", folder, "--no-same-owner"}
	}},
	{"bsdtar", core.Linux, false, func(archive, folder string) []string {
		return []string{"-xmzf", archive, "-C", folder, "--no-same-owner"}
	}},
	{"unzip", core.Windows, true, func(archive, folder string) []string {
		return []string{"-qo", archive, "-d", folder}
	}},
	{"7zz", core.Windows, false, func(archive, folder string) []string {
		return []string{"x", "-y", "-o" + folder, archive}
	}},
	{"bsdtar", core.Windows, false, func(archive, folder string) []string {
		return []string{"-xmf", archive, "-C", folder}
	}},
}

// contentsOf returns what we unpack of an archive, a line for each thing; the error is Walk's.
func contentsOf(data []byte, os core.OS) ([]string, error) {
	var lines []string
	err := walkOver(data, os, func(entry Entry, content io.Reader) error {
		switch entry.Type {
		case Dir:
			lines = append(lines, "folder "+entry.Name)
		case Symlink:
			lines = append(lines, "link "+entry.Name+" -> "+entry.Target)
		default:
			all, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			lines = append(lines, fmt.Sprintf("file %s %d %08x", entry.Name, len(all), crc32.ChecksumIEEE(all)))
		}
		return nil
	})
	slices.Sort(lines)
	return lines, err
}

// contentsOfFolder returns the same of a folder.
func contentsOfFolder(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name := filepath.ToSlash(must(filepath.Rel(root, path)))
		switch entry.Type() {
		case fs.ModeDir:
			lines = append(lines, "folder "+name)
		case fs.ModeSymlink:
			lines = append(lines, "link "+name+" -> "+must(os.Readlink(path)))
		case 0:
			all := must(os.ReadFile(path))
			lines = append(lines, fmt.Sprintf("file %s %d %08x", name, len(all), crc32.ChecksumIEEE(all)))
		default:
			lines = append(lines, "special "+name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// agree holds the law: what we accept, the tools of stock agents unpack to the same files, and no tool that unpacks it
// without an error finds others. It reports whether the archive was accepted and some tool was there to compare with.
func agree(t *testing.T, data []byte, system core.OS) bool {
	t.Helper()
	want, err := contentsOf(data, system)
	report, _ := check(data, system)
	if err != nil || slices.ContainsFunc(report.Warnings, func(p Problem) bool { return p.Class == core.ClassName }) {
		return false // refused, or warned of names that others take to be different
	}
	compared := false
	for _, tool := range tools {
		program, err := exec.LookPath(tool.name)
		if err != nil || tool.os != system || tool.name == "bsdtar" && !isPlain(want) {
			continue
		}
		compared = true
		folder := t.TempDir()
		archive := filepath.Join(folder, "archive")
		if err := errors.Join(os.WriteFile(archive, data, 0o600), os.Mkdir(folder+"/to", 0o700)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), program, tool.args(archive, folder+"/to")...)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		output, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		isWarning := errors.As(err, &exit) && tool.name == "unzip" && exit.ExitCode() == 1
		switch {
		case err == nil || isWarning:
			if diff := cmp.Diff(want, contentsOfFolder(t, folder+"/to")); diff != "" {
				t.Errorf("%s unpacks something else than we do (-we +%s):\n%s", tool.name, tool.name, diff)
			}
		case tool.stock:
			t.Errorf("%s does not unpack what we accept: %v\n%s\n%q", tool.name, err, output, want)
		}
	}
	return compared
}

// isPlain reports whether bsdtar leaves the names as they are: it takes "a:" away, and composes accents.
func isPlain(lines []string) bool {
	return !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, ":") || !isASCII(line) })
}

// TestFieldArchives holds the judgement of archives that ordinary programs made.
func TestFieldArchives(t *testing.T) {
	for _, c := range []struct {
		file    string
		os      core.OS
		want    []string // accepted
		refused string   // else: part of the reason, with the way out
	}{
		{"zeros-after-gzip.tar.gz", core.Linux, []string{"file setup.sh"}, ""},
		{"bsdtar-to-stdout.tar.gz", core.Linux, []string{"file setup.sh"}, ""},
		{"labelled.tar.gz", core.Linux, []string{"file setup.sh", "file sub/deep", "folder sub"}, ""},
		{"incremental.tar.gz", core.Linux, []string{"file setup.sh", "file sub/deep", "folder sub"}, ""},
		{"slashes.tar.gz", core.Linux, []string{"file setup.sh", "file sub/deep", "folder sub"}, ""},
		{"7z-from-stdin.zip", core.Windows, []string{"file setup.sh"}, ""},
		{"infozip-from-stdin.zip", core.Windows, []string{"file -"}, ""},
		{"bsdtar-to-stdout.zip", core.Windows, []string{"file setup.sh", "file sub/deep", "folder sub"}, ""},
		{"utf8-flag-in-directory-only.zip", core.Windows, nil, "(flag bit 11): pack it again with another tool"},
		{"folder-with-size.zip", core.Windows, nil, "has a size in one of its two headers: pack it again with another tool"},
	} {
		t.Run(c.file, func(t *testing.T) {
			data := must(os.ReadFile(filepath.Join("testdata", c.file)))
			report, err := check(data, c.os)
			if c.refused != "" {
				if core.ClassOf(err) != core.ClassFormat || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %v, want a refusal with %q", err, c.refused)
				}
				return
			}
			got, err := contentsOf(data, c.os)
			for i := range got { // without size and checksum
				words := strings.Fields(got[i])
				got[i] = words[0] + " " + words[1]
			}
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil || len(report.Warnings) > 0 {
				t.Errorf("%v, warnings %v\n%s", err, report.Warnings, diff)
			}
			agree(t, data, c.os)
		})
	}
}

// zipAs is a zip of one file whose directory says that it was made on host, with these attributes.
func zipAs(name string, host byte, attributes uint32, content string) []byte {
	header := stored(name, []byte(content))
	header.CreatorVersion, header.ExternalAttrs = uint16(host)<<8|20, attributes
	return zipRaw([]byte(content), header, stored("other", []byte(content)))
}

// setFlags gives the first entry of a zip other flags, in its local header and in the directory.
func setFlags(data []byte, local, central uint16) []byte {
	data = bytes.Clone(data)
	numbers.PutUint16(data[6:], local)
	numbers.PutUint16(data[bytes.Index(data, []byte(zipRecordSignature))+8:], central)
	return data
}

// TestAttributesAndFlags holds what becomes of entries about whose type or flags programs have opinions.
func TestAttributesAndFlags(t *testing.T) {
	plain := zipRaw([]byte("hello"), stored("a", []byte("hello")))
	accented := zipRaw([]byte("hello"), &zip.FileHeader{Name: "é", CRC32: crc32.ChecksumIEEE([]byte("hello")),
		CompressedSize64: 5, UncompressedSize64: 5, NonUTF8: true})
	streamed := setFlags(plain, zipDescriptor, zipDescriptor) // which has no descriptor
	padded := slices.Concat(plain, make([]byte, zipMaxComment))
	commented := bytes.Clone(plain) // an end record whose comment holds another
	commented[len(commented)-2] = zipEndBytes + 10
	commented = slices.Concat(commented, plain[len(plain)-zipEndBytes:], make([]byte, 10))
	for _, c := range []struct {
		name    string
		data    []byte
		class   core.Class
		text    string // of the refusal or of the only warning
		warning bool
	}{
		{"regular", zipAs("a", madeOnUnix, 0o100644<<16, "hello"), "", "", false},
		{"pipe with content", zipAs("a", madeOnUnix, 0o010644<<16, "hello"), "", "", false},
		{"pipe", zipAs("a", madeOnUnix, 0o010644<<16, ""), core.ClassType, "without content", false},
		{"socket with content", zipAs("a", madeOnUnix, 0o140644<<16, "x"), core.ClassType, "standard input", false},
		{"terminal", zipAs("a", madeOnUnix, 0o020644<<16, "hello"), core.ClassType, "standard input", false},
		{"no type of Unix", zipAs("a", madeOnUnix, 0o170644<<16, "hello"), core.ClassType, "neither", false},
		{"anything from DOS", zipAs("a", madeOnDOS, 0xffff<<16, "hello"), "", "", false},
		{"archive bit of DOS", zipAs("a", madeOnDOS, 0x20, "hello"), "", "", false},
		{"link from VMS, as unzip says", zipAs("a", 2, 0o120755<<16, "b"), core.ClassLink, "without -y", false},
		{"link from DOS, as 7-Zip says", zipAs("a", madeOnDOS, 0o120755<<16, "b"), core.ClassLink, "", false},
		{"folder of Unix without slash", zipAs("a", madeOnUnix, 0o040755<<16, ""),
			core.ClassFormat, "one or the other", false},
		{"folder of DOS without slash", zipAs("a", madeOnDOS, dosFolder, ""), core.ClassFormat, "one or the other", false},
		{"label of DOS", zipAs("a", madeOnDOS, dosLabel, "x"), core.ClassType, "label", false},
		{"link of DOS", zipAs("a", madeOnVFAT, dosLink, "x"), core.ClassLink, "is a link", false},
		{"bit of DOS from Unix", zipAs("a", madeOnUnix, 0o100644<<16|dosFolder|dosLabel|dosLink, "x"), "", "", false},
		{"folder with slash", zipAs("a/", madeOnUnix, 0o040755<<16, ""), "", "", false},

		{"hints differ", setFlags(plain, 0, 2), "", "", false},
		{"UTF-8 flag of an ASCII name in one place", setFlags(plain, zipUTF8, 0), "", "", false},
		{"UTF-8 flag of an ASCII name in the other", setFlags(plain, 0, zipUTF8), "", "", false},
		{"no UTF-8 flag", setFlags(accented, 0, 0), "", "not marked as UTF-8", true},
		{"UTF-8 flag in the directory only", setFlags(accented, 0, zipUTF8), core.ClassFormat, "bit 11", false},
		{"UTF-8 flag in the local header only", setFlags(accented, zipUTF8, 0), core.ClassFormat, "bit 11", false},
		{"no descriptor", streamed, core.ClassFormat, "not there or differ: pack it again", false},
		{"descriptor by the directory", setFlags(plain, 0, zipDescriptor), core.ClassFormat, "bit 3", false},
		{"descriptor by the local header", setFlags(plain, zipDescriptor, 0), core.ClassFormat, "bit 3", false},
		{"encrypted by the local header", setFlags(plain, zipEncrypted, 0), core.ClassFormat, "encrypted", false},

		{"zeros after the end", padded, "", "", false},
		{"more zeros than a comment can have", append(padded, 0), core.ClassFormat, "its end is missing, or more", false},
		{"zeros and something", append(slices.Clone(padded[:len(plain)+10]), 'x'), core.ClassFormat, "than zeros", false},
		{"two ends", commented, core.ClassFormat, "two ends", false},
		{"cut end", plain[:len(plain)-1], core.ClassFormat, "end is missing", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := check(c.data, core.Windows)
			if core.ClassOf(err) != c.class || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q, %q", err, c.class, c.text)
			}
			if (len(report.Warnings) == 1) != c.warning ||
				c.warning && !strings.Contains(report.Warnings[0].String(), c.text) {
				t.Errorf("warnings %v", report.Warnings)
			}
			agree(t, c.data, core.Windows)
		})
	}
}

// TestMembersAndTypes holds the same of a tar.gz.
func TestMembersAndTypes(t *testing.T) {
	const size = "00000000005\x00"
	content := tarBlocks("hello")
	hello := tarOf("hello", &tar.Header{Name: "a"}, &tar.Header{Name: "b"})
	withFlags := func(flags byte) []byte {
		data := gzipOf(hello)
		data[3] |= flags
		return data
	}
	entry := func(name string, typ byte) []byte { return append(rawTarHeader(name, typ, size, nil), content...) }
	empty := func(name string, typ byte) []byte { return rawTarHeader(name, typ, "00000000000\x00", nil) }
	tarred := func(parts ...[]byte) []byte { return gzipOf(append(parts, hello)...) }
	longName := slices.Concat(rawTarHeader("././@LongLink", 'L', "00000000006\x00", nil), tarBlocks("other\x00"))
	for _, c := range []struct {
		name  string
		data  []byte
		class core.Class
		text  string
	}{
		{"a zero", append(gzipOf(hello), 0), "", ""},
		{"members inside a file", slices.Concat(gzipOf(hello[:515]), gzipOf(hello[515:600]), gzipOf(hello[600:])), "", ""},
		{"a member for each byte", bytesApart(hello[:600], hello[600:]), "", ""},
		{"a line feed", append(gzipOf(hello), '\n'), core.ClassBomb, "neither gzip nor zeros"},
		{"half a member", append(gzipOf(hello), gzipMagic...), core.ClassFormat, "damaged"},
		{"reserved flag", withFlags(0x20), core.ClassFormat, "reserved flags"},
		{"reserved flag of the second", append(gzipOf(), withFlags(0x80)...), core.ClassFormat, "reserved flags"},
		{"two archives", append(gzipOf(hello), gzipOf(hello)...), core.ClassBomb, "two archives in one file"},
		{"contiguous file", tarred(entry("c", '7')), "", ""},
		{"label", tarred(empty("label", 'V')), "", ""},
		{"label with content", tarred(entry("label", 'V')), core.ClassType, "without --label"},
		{"label that leads out", tarred(empty("../label", 'V')), core.ClassPath, ""},
		{"incremental", tarred(entry("d/", 'D'), empty("d/e", '0')), "", ""},
		{"incremental root", tarred(entry("./", 'D')), "", ""},
		{"incremental, outside", tarred(entry("../d/", 'D')), core.ClassPath, ""},
		{"rest of a volume", tarred(entry("c", 'M')), core.ClassType, "without --multi-volume"},
		{"Solaris header", tarred(entry("c", 'X')), core.ClassType, "--format=gnu"},
		{"file with a folder's name", tarred(entry("c/", '0')), core.ClassPath, "name of a folder"},
		{"empty parts", tarred(entry("c//d/./e", '0')), "", ""},
		{"empty parts, same name", tarred(entry("c/d", '0'), entry("c//d", '0')), core.ClassName, "twice"},
		{"absolute behind empty parts", tarred(entry(".//c", '0')), core.ClassPath, "absolute"},
		{"long name and PAX name", tarred(paxRecords('x', "path", "c"), longName, entry("d", '0')),
			core.ClassFormat, "two names"},
		{"empty PAX name", tarred(paxRecords('x', "path", ""), entry("d", '0')), core.ClassFormat, "two names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := check(c.data, core.Linux)
			if core.ClassOf(err) != c.class || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q, %q", err, c.class, c.text)
			}
			agree(t, c.data, core.Linux)
		})
	}
}

// bytesApart is a gzip that has a member for each byte of apart, and one for the rest.
func bytesApart(apart, rest []byte) []byte {
	var data []byte
	for i := range apart {
		data = append(data, gzipOf(apart[i:i+1])...)
	}
	return append(data, gzipOf(rest)...)
}

// TestToolsAgree compares all accepted archives of the corpus, and ones that differ from good ones in a byte or two,
// with what other programs unpack. Which bytes is chosen anew by each seed, the same for the same.
func TestToolsAgree(t *testing.T) {
	compared := map[core.OS]int{}
	for _, group := range []func() []corpusCase{pathCases, linkCases, bombCases, typeCases, nameCases, formatCases} {
		for _, c := range group() {
			if data := c.data(); len(data) < 1<<20 && agree(t, data, c.os) {
				compared[c.os]++
			}
		}
	}
	random := rand.New(rand.NewPCG(9, 25))
	goodTar := tarOf("hello", append(links("l -> d/a"), &tar.Header{Name: "d/", Typeflag: tar.TypeDir},
		&tar.Header{Name: "d/a"}, &tar.Header{Name: strings.Repeat("long", 40), Format: tar.FormatGNU},
		&tar.Header{Name: strings.Repeat("long", 39), Format: tar.FormatPAX}, &tar.Header{Name: "z"})...)
	longName := bytes.Index(goodTar, []byte("long"))
	unix := stored("d/u", []byte("hello"))
	unix.CreatorVersion, unix.ExternalAttrs = madeOnUnix<<8|20, 0o100644<<16
	goodZip := zipRaw([]byte("hello"), stored("a", []byte("hello")), unix, stored("e", []byte("hello")))
	for range 150 {
		mutant := bytes.Clone(goodTar)
		for range 1 + random.IntN(2) {
			at := random.IntN(len(mutant)/512)*512 + random.IntN(512)
			if at%512 < 100 || at%512 >= 124 { // modes and owners say nothing, and could hide files from the test
				mutant[at] = tarBytes[random.IntN(len(tarBytes))]
			}
		}
		if mutant = fixSums(mutant); mutant[longName] == 0 {
			continue // archive/tar takes an empty long name for none, and GNU tar ends with an error
		}
		if agree(t, gzipOf(mutant), core.Linux) {
			compared[core.Linux]++
		}
		if t.Failed() {
			for i := range mutant {
				if mutant[i] != goodTar[i] {
					t.Logf("tar: %q at %d, was %q", mutant[i], i, goodTar[i])
				}
			}
			break
		}
		mutant = bytes.Clone(goodZip)
		at, value := random.IntN(len(mutant)), byte(random.Uint32()>>random.IntN(24))
		mutant[at] = value
		if agree(t, mutant, core.Windows) {
			compared[core.Windows]++
		}
		if t.Failed() {
			t.Logf("zip: %#x at %d, was %#x", value, at, goodZip[at])
			break
		}
	}
	t.Logf("compared: %v", compared)
}

// tarBytes are those that mean something in a tar.
const tarBytes = "\x00\x00 0123456789/.a\x80\xffVDSMLKxgX7"
