package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
)

func TestKindFor(t *testing.T) {
	if KindFor(core.Windows) != Zip || KindFor(core.Linux) != TarGz {
		t.Errorf("got %s for Windows, %s for Linux", KindFor(core.Windows), KindFor(core.Linux))
	}
	if _, err := Check(strings.NewReader(""), 0, Rules{}); core.ClassOf(err) != core.ClassField {
		t.Errorf("without a system: got %v, want %s", err, core.ClassField)
	}
}

func TestWrongKind(t *testing.T) {
	for _, c := range []struct{ data, inWindows, inLinux string }{
		{"", "an empty file", "an empty file"},
		{"hello", "an unknown kind", "an unknown kind"},
		{string(zipFiles("a")), "", "is a zip"},
		{string(zipFiles()), "holds no file", "is an empty zip"},
		{string(tarFiles("a")), "is a gzip", ""},
		{string(gzipOf()), "is a gzip", "holds no file"},
		{string(gzipOf([]byte("hello"))), "is a gzip", "damaged"},
		{string(gzipOf(noise(512))), "is a gzip", "not of a well-formed tar"},
		{"\x1f\x8b\x08", "is a gzip", "damaged"},
		{string(tarOf("x", &tar.Header{Name: "a"})), "a plain tar", "a plain tar"},
		{"Rar!\x1a\x07\x00", "a RAR", "a RAR"},
		{"7z\xbc\xaf\x27\x1c\x00", "a 7-Zip", "a 7-Zip"},
		{"MSCF\x00\x00", "a cabinet", "a cabinet"},
		{"BZh91AY&SY", "bzip2", "bzip2"},
		{"\xfd7zXZ\x00\x00", "xz", "xz"},
		{"\x28\xb5\x2f\xfd\x24", "zstd", "zstd"},
		{"MZ" + string(zipFiles("a")), "a Windows program", "a Windows program"},
		{"junk" + string(zipFiles("a")), "before its first entry", "an unknown kind"},
		{"PK\x03\x04", "end is missing", "is a zip"},
		{"PK\x07\x08", "split zip", "split zip"},
		{string(zipOf(nil, &zip.FileHeader{Name: "a/"})), "holds no file", "is a zip"},
		{string(tarGz(links("l -> x")...)), "is a gzip", "holds no file"},
	} {
		for os, want := range map[core.OS]string{core.Windows: c.inWindows, core.Linux: c.inLinux} {
			_, err := check([]byte(c.data), os)
			if want == "" && err == nil {
				continue
			}
			if core.ClassOf(err) != core.ClassFormat || !strings.Contains(err.Error(), want) {
				t.Errorf("%.10q for %s: got %v, want %q", c.data, os, err, want)
			}
		}
	}
}

func TestWalkOrder(t *testing.T) {
	data := tarGz(
		&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		&tar.Header{Name: "./l", Linkname: "a/b/c", Typeflag: tar.TypeSymlink},
		&tar.Header{Name: "./a/b/c", Mode: 0o6777},
		&tar.Header{Name: "./a/b/", Typeflag: tar.TypeDir, Mode: 0o500},
		&tar.Header{Name: "./d/", Typeflag: tar.TypeDir, Mode: 0o1577},
		&tar.Header{Name: "./d/", Typeflag: tar.TypeDir, Mode: 0o500},
		&tar.Header{Name: "./d/e", Mode: 0o600})
	got, err := entriesOf(t, data, core.Linux)
	want := []string{"d a 755", "d a/b 755", "f a/b/c 5 755", "d d 755", "f d/e 5 600", "l l a/b/c"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	report, err := Check(bytes.NewReader(data), int64(len(data)),
		Rules{OS: core.Linux, Find: []string{"a/b/c", "./d/e", "l", "a", "A/b/c", "../x", "missing"}})
	wantFound := map[string]bool{
		"a/b/c": true, "./d/e": true, "l": false, "a": false, "A/b/c": false, "../x": false, "missing": false,
	}
	if diff := cmp.Diff(wantFound, report.Found); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if len(report.Warnings) != 2 || report.Warnings[0].Entry != "./a/b/c" || report.Warnings[1].Entry != "./d/" {
		t.Errorf("warnings: %v", report.Warnings)
	}
	if report.Entries != 6 || report.Unpacked != 10 || report.Kind != TarGz {
		t.Errorf("report: %+v", report)
	}
	data = zipFiles("Bin/Setup.exe")
	report, err = Check(bytes.NewReader(data), int64(len(data)),
		Rules{OS: core.Windows, Find: []string{"bin/SETUP.EXE"}})
	if err != nil || !report.Found["bin/SETUP.EXE"] {
		t.Errorf("case counts in Windows: %v, %v", report.Found, err)
	}
}

func TestReport(t *testing.T) {
	data := tarGz(&tar.Header{Name: "good"}, &tar.Header{Name: "../x"}, links("l -> /etc")[0],
		&tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}, &tar.Header{Name: "a\x1b[2Jb"},
		&tar.Header{Name: "good"})
	report, err := check(data, core.Linux)
	want := `archive refused, 5 problems:
  ../x: has a part ".." in its name [E_PATH]
  l: is a link to /etc, an absolute path: make it relative [E_LINK]
  pipe: is a named pipe [E_TYPE]
  a\x1b[2Jb: has the control character U+001B in its name [E_NAME]
  good: is in the archive twice [E_NAME]`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Report.Bad != 5 || report.Bad != 5 ||
		core.ClassOf(err) != core.ClassPath {
		t.Errorf("report %+v, error %v", report, err)
	}
	var names []string
	for i := range 150 {
		names = append(names, fmt.Sprintf("%d/../x", i))
	}
	report, err = check(tarGz(append(links("l -> /"), headersOf(names)...)...), core.Linux)
	if report.Bad != 151 || len(report.Problems) != maxKept || report.Problems[0].Entry != "l" {
		t.Errorf("%d problems, %d kept, first %v", report.Bad, len(report.Problems), report.Problems[0])
	}
	if text := err.Error(); !strings.HasSuffix(text, "\n  and 51 more") {
		t.Errorf("message ends %q", text[len(text)-40:])
	}
	_, err = check(tarFiles("a"+strings.Repeat("é", 600)), core.Linux)
	if errors.As(err, &refused); len(refused.Report.Problems[0].Entry) != 202 {
		t.Errorf("long name is shown in %d bytes", len(refused.Report.Problems[0].Entry))
	}
}

func headersOf(names []string) (headers []*tar.Header) {
	for _, name := range names {
		headers = append(headers, &tar.Header{Name: name})
	}
	return headers
}

// TestVisitorStops checks what becomes of the visitor's errors and of problems that come while it reads.
func TestVisitorStops(t *testing.T) {
	full := errors.New("disk full")
	for os, data := range map[core.OS][]byte{core.Linux: tarFiles("a", "b"), core.Windows: zipFiles("a", "b")} {
		visited := 0
		err := walkOver(data, os, func(Entry, io.Reader) error {
			visited++
			return full
		})
		if err != full || visited != 1 { // as it is, not wrapped
			t.Errorf("%s: got %v after %d visits", os, err, visited)
		}
	}
	// The visitor's wrapping of a content's error is not what a caller wants to see.
	header := stored("a", []byte("hello"))
	header.CRC32++
	data := zipRaw([]byte("hello"), header, stored("b", []byte("hello")))
	var visited []string
	err := walkOver(data, core.Windows, func(entry Entry, r io.Reader) error {
		visited = append(visited, entry.Name)
		if _, err := io.Copy(io.Discard, r); err != nil {
			return fmt.Errorf("write %s: %w", entry.Name, err)
		}
		return nil
	})
	if core.ClassOf(err) != core.ClassFormat || len(visited) != 1 || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("got %v after %v", err, visited)
	}
}

// failingReader fails to read what lies beyond good.
type failingReader struct {
	data []byte
	good int64
}

func (r failingReader) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > r.good {
		return 0, iotest.ErrTimeout
	}
	return bytes.NewReader(r.data).ReadAt(p, offset)
}

func TestReaderErrors(t *testing.T) {
	content := noise(1 << 20)
	archives := map[core.OS][]byte{
		core.Linux:   gzipOf(tarOf(string(content), &tar.Header{Name: "a"})),
		core.Windows: zipOf(content, &zip.FileHeader{Name: "a", Method: zip.Deflate}),
	}
	for os, data := range archives {
		size := int64(len(data))
		for _, good := range []int64{0, 1000, 500_000, size - 1} {
			_, err := Check(failingReader{data, good}, size, Rules{OS: os})
			if !errors.Is(err, iotest.ErrTimeout) || core.ClassOf(err) != "" {
				t.Errorf("%s, failing at %d: got %v", os, good, err)
			}
		}
		_, err := Check(bytes.NewReader(data), size+1000, Rules{OS: os})
		if !errors.Is(err, io.ErrUnexpectedEOF) || core.ClassOf(err) != "" {
			t.Errorf("%s, shorter than its size: got %v", os, err)
		}
	}
}

// TestLimits checks each limit on its own.
func TestLimits(t *testing.T) {
	content := noise(100_000)
	archives := map[core.OS][]byte{
		core.Linux:   gzipOf(tarOf(string(content), &tar.Header{Name: "d/a"}, &tar.Header{Name: "d/b"})),
		core.Windows: zipOf(content, &zip.FileHeader{Name: "d/a"}, &zip.FileHeader{Name: "d/b"}),
	}
	for os, data := range archives {
		for _, c := range []struct {
			limits Limits
			bad    int
		}{
			{Limits{}, 0},
			{Limits{Entries: 3, TotalBytes: 200_000, FileBytes: 100_000, Ratio: 1}, 0},
			{Limits{Entries: 1 << 62, TotalBytes: 1<<63 - 1, FileBytes: 1<<63 - 1, Ratio: 1<<63 - 1}, 0},
			{Limits{Entries: 2}, 1}, // d is implied, and counts
			{Limits{TotalBytes: 199_999}, 1},
			{Limits{FileBytes: 99_999}, 2},
		} {
			report, err := Check(bytes.NewReader(data), int64(len(data)), Rules{OS: os, Limits: c.limits})
			if report.Bad != c.bad || c.bad > 0 && core.ClassOf(err) != core.ClassBomb {
				t.Errorf("%s, %+v: %d problems, want %d; %v", os, c.limits, report.Bad, c.bad, err)
			}
		}
	}
	// What is skipped counts, too.
	data := gzipOf(rawTarHeader("z", 'Z', "00140000000\x00", nil), make([]byte, 24<<20))
	if report, err := check(data, core.Linux); report.Bad != 2 || report.Problems[1].Class != core.ClassBomb {
		t.Errorf("got %v", err)
	}
}

// TestMemory measures what a walk holds while it reads much data, and as many entries as are allowed.
func TestMemory(t *testing.T) {
	content := noise(64 << 20)
	var tarred bytes.Buffer
	w := must(gzip.NewWriterLevel(&tarred, gzip.NoCompression))
	must(w.Write(tarOf(string(content), &tar.Header{Name: "a"})))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		os   core.OS
		data []byte
	}{
		{"64 MiB in a zip", core.Windows, zipOf(content, &zip.FileHeader{Name: "a"})},
		{"64 MiB in a tar", core.Linux, tarred.Bytes()},
		{"100 000 entries in a tar", core.Linux, tarMany(100_000)},
		{"100 000 entries in a zip", core.Windows, zipMany(100_000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stats runtime.MemStats
			live := func() uint64 {
				runtime.GC()
				runtime.ReadMemStats(&stats)
				return stats.HeapAlloc
			}
			before, highest, visits := live(), uint64(0), 0
			allocated := stats.TotalAlloc
			err := walkOver(c.data, c.os, func(_ Entry, r io.Reader) error {
				if visits++; visits%10_000 == 1 || visits == 99_999 {
					_, _ = io.Copy(io.Discard, r)
					highest = max(highest, live())
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&stats)
			t.Logf("live %d KiB, allocated %d KiB",
				(int64(highest)-int64(before))>>10, (stats.TotalAlloc-allocated)>>10)
			if highest > before+32<<20 {
				t.Errorf("holds %d bytes", highest-before)
			}
			if visits == 1 && stats.TotalAlloc-allocated > 2<<20 {
				t.Errorf("allocates %d bytes", stats.TotalAlloc-allocated)
			}
		})
	}
	runtime.KeepAlive(content)
}

// TestNamesTogether checks the bound of the memory that names take.
func TestNamesTogether(t *testing.T) {
	var headers []*tar.Header
	for i := range maxTreeBytes/1000 + 1 {
		headers = append(headers, &tar.Header{Name: strings.Repeat(fmt.Sprintf("/%0250d", i), 4)[1:]})
	}
	if _, err := check(gzipOf(tarOf("", headers...)), core.Linux); core.ClassOf(err) != core.ClassBomb {
		t.Errorf("got %v, want %s", err, core.ClassBomb)
	}
}

// TestUnpack writes accepted archives below a folder, in the simple way that Walk's promises allow.
func TestUnpack(t *testing.T) {
	data := tarGz(append([]*tar.Header{{Name: "a/b/c"}, {Name: "./x"}}, links("a/l -> ../x", "m -> a/b/")...)...)
	folder := t.TempDir()
	err := walkOver(data, core.Linux, func(entry Entry, r io.Reader) error {
		path := filepath.Join(folder, filepath.FromSlash(entry.Name))
		switch entry.Type {
		case Dir:
			return os.Mkdir(path, entry.Mode)
		case Symlink:
			return os.Symlink(entry.Target, path)
		}
		return os.WriteFile(path, must(io.ReadAll(r)), entry.Mode)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b/c", "a/l", "m/c"} {
		if content, err := os.ReadFile(filepath.Join(folder, name)); string(content) != "hello" {
			t.Errorf("%s holds %q, %v", name, content, err)
		}
	}
}
