package unpack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"enjambre/core"
	"enjambre/core/archive"
)

// tarGz makes a tar.gz of headers; files hold "hello" unless their size is set, else zeros.
func tarGz(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var data bytes.Buffer
	packer := gzip.NewWriter(&data)
	w := tar.NewWriter(packer)
	for _, header := range headers {
		content := make([]byte, header.Size)
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Typeflag == tar.TypeReg && header.Size == 0 {
			content = []byte("hello")
			header.Size = 5
		}
		if header.Mode == 0 {
			header.Mode = 0o644
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), packer.Close()); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

func file(name string) *tar.Header { return &tar.Header{Name: name} }

func link(name, target string) *tar.Header {
	return &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777}
}

// snapshot lists a folder: each path with its type, mode and content.
func snapshot(t testing.TB, folder string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(folder, path)
		line := fmt.Sprintf("%s %v", filepath.ToSlash(name), info.Mode())
		switch info.Mode().Type() {
		case 0:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %.20q", content)
		case fs.ModeSymlink:
			target, _ := os.Readlink(path)
			line += " " + target
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func sameLines(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

var linuxRules = archive.Rules{OS: core.Linux}

func unpackLinux(ctx context.Context, data []byte, want Contents, folder string, executable string) error {
	return Unpack(ctx, bytes.NewReader(data), int64(len(data)), linuxRules, want, folder,
		Options{Executable: executable})
}

func TestUnpack(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and links are those of Unix")
	}
	data := tarGz(t, &tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o700},
		&tar.Header{Name: "bin/run", Mode: 0o600}, &tar.Header{Name: "bin/other", Mode: 0o4755},
		&tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o777}, file(".dot"), link("a", "bin/run"))
	folder := filepath.Join(t.TempDir(), "stage")
	if err := unpackLinux(t.Context(), data, Contents{Entries: 5, Bytes: 15}, folder, "bin/run"); err != nil {
		t.Fatal(err)
	}
	sameLines(t, snapshot(t, folder), []string{
		". drwx------", `.dot -rw-r--r-- "hello"`, "a Lrwxrwxrwx bin/run", "bin drwxr-xr-x",
		`bin/other -rwxr-xr-x "hello"`, `bin/run -rwxr-xr-x "hello"`, "etc drwxr-xr-x",
	})
	if err := unpackLinux(t.Context(), data, Contents{5, 15}, folder, ""); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second time: %v, want %v", err, fs.ErrExist)
	}
	if _, err := os.Stat(filepath.Join(folder, "a")); err != nil {
		t.Errorf("the first stage suffered from the second: %v", err)
	}
}

// TestUnpackRefuses: whatever is wrong has a class, the stage is gone and nothing else has changed.
func TestUnpackRefuses(t *testing.T) {
	cut := tarGz(t, file("a"), file("b"))
	var wrongSum bytes.Buffer
	z := zip.NewWriter(&wrongSum)
	raw, err := z.CreateRaw(&zip.FileHeader{Name: "a", CRC32: 1, CompressedSize64: 5, UncompressedSize64: 5})
	if err == nil {
		_, err = io.WriteString(raw, "hello")
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		data  []byte
		want  Contents
		os    core.OS
		class core.Class
	}{
		{"A01 out", tarGz(t, file("ok"), file("../canary")), Contents{2, 10}, "", core.ClassPath},
		{"A02 absolute", tarGz(t, file("/canary")), Contents{1, 5}, "", core.ClassPath},
		{"A03 up inside", tarGz(t, file("a/../../canary")), Contents{1, 5}, "", core.ClassPath},
		{"A04 backslash", tarGz(t, file(`..\canary`)), Contents{1, 5}, "", core.ClassPath},
		{"A13 link out", tarGz(t, file("f"), link("l", "../canary")), Contents{2, 5}, "", core.ClassLink},
		{"A14 through a link", tarGz(t, link("l", "."), file("l/canary")), Contents{2, 5}, "", core.ClassLink},
		{"A15 chain", tarGz(t, file("d/f"), link("x", "d"), link("y", "x/../..")), Contents{3, 5}, "",
			core.ClassLink},
		{"A16 hard link", tarGz(t, file("f"), &tar.Header{Name: "h", Linkname: "../canary",
			Typeflag: tar.TypeLink}), Contents{2, 5}, "", core.ClassLink},
		{"A18 link and folder", tarGz(t, link("l", "d"), &tar.Header{Name: "l/", Typeflag: tar.TypeDir},
			file("f")), Contents{3, 5}, "", core.ClassLink},
		{"A19 zeros", tarGz(t, &tar.Header{Name: "z", Size: 64 << 20}), Contents{1, 64 << 20}, "",
			core.ClassBomb},
		{"A26 device", tarGz(t, &tar.Header{Name: "c", Typeflag: tar.TypeChar}), Contents{1, 0}, "",
			core.ClassType},
		{"A28 FIFO", tarGz(t, &tar.Header{Name: "p", Typeflag: tar.TypeFifo}), Contents{1, 0}, "",
			core.ClassType},
		{"A35 twice", tarGz(t, file("a"), file("a")), Contents{2, 10}, "", core.ClassName},
		{"A38 bidi", tarGz(t, file("a\u202eb")), Contents{1, 5}, "", core.ClassName},
		{"A41 checksum", wrongSum.Bytes(), Contents{1, 5}, core.Windows, core.ClassFormat},
		{"cut", cut[:len(cut)-9], Contents{2, 10}, "", core.ClassFormat},
		{"zip for Linux", wrongSum.Bytes(), Contents{1, 5}, "", core.ClassFormat},
		{"more bytes", tarGz(t, file("a"), file("b")), Contents{2, 9}, "", core.ClassBomb},
		{"fewer bytes", tarGz(t, file("a"), file("b")), Contents{2, 11}, "", core.ClassLimit},
		{"more entries", tarGz(t, file("a"), file("b")), Contents{1, 10}, "", core.ClassLimit},
		{"fewer entries", tarGz(t, file("a"), file("d/b")), Contents{3, 10}, "", core.ClassLimit},
	} {
		t.Run(test.name, func(t *testing.T) {
			outside := t.TempDir()
			if err := os.WriteFile(filepath.Join(outside, "canary"), []byte("alive"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, outside)
			rules := archive.Rules{OS: core.Linux}
			if test.os != "" {
				rules.OS = test.os
			}
			err := Unpack(t.Context(), bytes.NewReader(test.data), int64(len(test.data)), rules, test.want,
				filepath.Join(outside, "stage"), Options{})
			if core.ClassOf(err) != test.class {
				t.Errorf("got class %q (%v), want %q", core.ClassOf(err), err, test.class)
			}
			sameLines(t, snapshot(t, outside), before)
		})
	}
}

// An endingReader ends a context at its n-th read.
type endingReader struct {
	io.ReaderAt
	after int
	end   context.CancelFunc
}

func (r *endingReader) ReadAt(p []byte, offset int64) (int, error) {
	if r.after--; r.after == 0 {
		r.end()
	}
	return r.ReaderAt.ReadAt(p, offset)
}

// TestUnpackEnds: a stage is gone soon after the context ends, in the middle of a file too.
func TestUnpackEnds(t *testing.T) {
	data := tarGz(t, &tar.Header{Name: "zeros", Size: 9 << 20})
	for after := 1; ; after++ {
		ctx, cancel := context.WithCancel(t.Context())
		folder := filepath.Join(t.TempDir(), "stage")
		source := &endingReader{bytes.NewReader(data), after, cancel}
		err := Unpack(ctx, source, int64(len(data)), linuxRules, Contents{1, 9 << 20}, folder, Options{})
		cancel()
		if source.after > 0 { // never came so far
			if err != nil || after < 3 {
				t.Errorf("after %d reads: %v", after, err)
			}
			return
		}
		if _, missing := os.Stat(folder); !errors.Is(err, context.Canceled) || !os.IsNotExist(missing) {
			t.Errorf("ended at read %d: got %v, folder %v", after, err, missing)
		}
	}
}

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("needs root on Linux, to mount a small file system")
	}
	folder := t.TempDir()
	if err := mount(folder, "size="+size); err != nil {
		t.Skip("cannot mount a tmpfs here: ", err)
	}
	t.Cleanup(func() {
		if err := unmount(folder); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func TestUnpackFullDisk(t *testing.T) {
	disk := smallDisk(t, "2m")
	data := tarGz(t, file("a"), &tar.Header{Name: "zeros", Size: 4 << 20})
	err := unpackLinux(t.Context(), data, Contents{2, 5 + 4<<20}, filepath.Join(disk, "stage"), "")
	if !errors.Is(err, ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want %v", err, ErrNoSpace)
	}
	sameLines(t, snapshot(t, disk)[1:], nil)

	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "zeros"), make([]byte, 4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	err = Place(t.Context(), source, filepath.Join(disk, "to"), PlaceOptions{})
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("place: got %v, want %v", err, ErrNoSpace)
	}
	if left, err := os.ReadDir(filepath.Join(disk, "to")); err != nil || len(left) > 0 {
		t.Errorf("place left %v, %v", left, err)
	}
}

func BenchmarkUnpack(b *testing.B) {
	const size, files = 64 << 10, 256
	var packed bytes.Buffer
	packer := gzip.NewWriter(&packed)
	w := tar.NewWriter(packer)
	noise := rand.NewChaCha8([32]byte{1})
	content := make([]byte, size)
	for i := range files {
		_, _ = noise.Read(content[:size/2]) // the other half compresses
		header := &tar.Header{Name: fmt.Sprintf("folder-%d/file-%d", i%16, i), Size: size, Mode: 0o644}
		if err := w.WriteHeader(header); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), packer.Close()); err != nil {
		b.Fatal(err)
	}
	parent := b.TempDir()
	b.SetBytes(size * files)
	for b.Loop() {
		folder := filepath.Join(parent, "stage")
		if err := unpackLinux(b.Context(), packed.Bytes(), Contents{files, size * files}, folder, ""); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := os.RemoveAll(folder); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
