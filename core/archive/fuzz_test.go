package archive

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"enjambre/core"
)

// fuzzLimits keep one input short.
var fuzzLimits = Limits{Entries: 1000, TotalBytes: 1 << 20, FileBytes: 1 << 18}

// checkAccepted holds every entry that a visitor receives to what Walk promises, and the walk to its
// answers: Check says the same, twice the same.
func checkAccepted(t *testing.T, data []byte, os core.OS) {
	rules := Rules{OS: os, Limits: fuzzLimits}
	seen := map[string]Type{"": Dir}
	var total int64
	_, walkErr := Walk(bytes.NewReader(data), int64(len(data)), rules, func(entry Entry, r io.Reader) error {
		checkName(t, entry.Name, os)
		parent, _ := path.Split(entry.Name)
		if seen[strings.TrimSuffix(parent, "/")] != Dir {
			t.Errorf("%q comes before its folder", entry.Name)
		}
		if seen[entry.Name] != 0 {
			t.Errorf("%q comes twice", entry.Name)
		}
		seen[entry.Name] = entry.Type
		if entry.Mode&^0o755 != 0 {
			t.Errorf("%q has mode %o", entry.Name, entry.Mode)
		}
		if entry.Type == Symlink {
			if target := path.Join(path.Dir(entry.Name), entry.Target); os != core.Linux || !filepath.IsLocal(target) {
				t.Errorf("%q links to %q", entry.Name, entry.Target)
			}
		}
		if entry.Type == File {
			n, err := io.Copy(io.Discard, r)
			total += n
			if err == nil && n != entry.Size {
				t.Errorf("%q has %d bytes of %d", entry.Name, n, entry.Size)
			}
		}
		return nil
	})
	report, err := Check(bytes.NewReader(data), int64(len(data)), rules)
	if (err == nil) != (walkErr == nil) || err != nil && err.Error() != walkErr.Error() {
		t.Errorf("Check says %v, Walk %v", err, walkErr)
	}
	if err != nil && core.ClassOf(err) == "" {
		t.Errorf("%v is no refusal", err)
	}
	if err == nil && (report.Unpacked != total || total > fuzzLimits.TotalBytes) {
		t.Errorf("%d bytes unpacked, %d reported", total, report.Unpacked)
	}
	if err == nil && os == core.Windows {
		checkSameZip(t, data, seen)
	}
}

// checkSameZip holds accepted zips to what archive/zip finds in them.
func checkSameZip(t *testing.T, data []byte, seen map[string]Type) {
	other, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("archive/zip does not read what we accepted: %v", err)
	}
	for _, file := range other.File {
		name := path.Clean(file.Name)
		if name != "." && seen[name] == 0 {
			t.Errorf("archive/zip sees %q, we do not", file.Name)
		}
		if seen[name] != File {
			continue
		}
		r, err := file.Open()
		if err != nil {
			t.Fatalf("archive/zip: %q: %v", file.Name, err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("archive/zip: %q: %v", file.Name, err)
		}
	}
}

// checkName holds an accepted name to what filepath thinks of it.
func checkName(t *testing.T, name string, os core.OS) {
	parts := strings.Split(name, "/")
	if !filepath.IsLocal(name) || path.Clean(name) != name || path.Clean("/root/"+name) != "/root/"+name ||
		path.Join(parts...) != name || !utf8.ValidString(name) || strings.ContainsAny(name, "\\\x00") {
		t.Errorf("accepted the name %q", name)
	}
	if again, err := CleanName(name, os); again != name || err != nil {
		t.Errorf("%q becomes %q, %v when cleaned twice", name, again, err)
	}
	for _, part := range parts {
		upper := strings.ToUpper(part)
		if os == core.Windows && (strings.ContainsAny(part, `<>:"|?*`) || strings.HasPrefix(upper, "NUL.") ||
			upper == "NUL" || strings.TrimRight(part, ". ") != part) {
			t.Errorf("accepted the name %q for Windows", name)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, seed := range []string{
		"a", "./a/b", "../x", "a/../../b", `C:\x`, "C:x", "NUL.txt", "a:b", "a. ", "é", "~1", "a\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, os := range []core.OS{core.Linux, core.Windows} {
			clean, err := CleanName(name, os)
			if err == nil {
				checkName(t, clean, os)
			} else if core.ClassOf(err) == "" {
				t.Errorf("%v is no refusal", err)
			}
		}
	})
}

func FuzzZip(f *testing.F) {
	for _, c := range append(bombCases(), formatCases()...) {
		if c.os != core.Windows || c.name < "A20" || strings.HasPrefix(c.name, "A23") {
			continue // for Linux, or too much work
		}
		if data := c.data(); len(data) < 2000 {
			f.Add(data)
		}
	}
	f.Add(zipFiles("a/", "a/b", "c"))
	f.Add(zipRaw([]byte("hello"), stored("a", []byte("hello")), stored("b", []byte("hello"))))
	f.Fuzz(func(t *testing.T, data []byte) { checkAccepted(t, data, core.Windows) })
}

// FuzzTarGz changes the tar, or else the gzip's checksum would refuse nearly all changes.
func FuzzTarGz(f *testing.F) {
	for _, c := range append(linkCases(), typeCases()...) {
		if data := c.data(); c.os == core.Linux && len(data) < 2000 {
			f.Add(must(io.ReadAll(must(gzip.NewReader(bytes.NewReader(data))))))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkAccepted(t, data, core.Linux)
		checkAccepted(t, gzipOf(fixSums(data)), core.Linux)
	})
}

// fixSums makes the checksums of what may be headers right.
func fixSums(data []byte) []byte {
	data = bytes.Clone(data)
	for at := 0; at+512 <= len(data); at += 512 {
		if block := data[at : at+512]; string(block[257:262]) == "ustar" {
			copy(block[148:], "        ")
			copy(block, rawTarHeader("", block[156], "", func(fresh []byte) { copy(fresh, block) }))
		}
	}
	return data
}
