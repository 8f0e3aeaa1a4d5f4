package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"enjambre/core"
)

// must ends the test's program on errors that only a mistake in the test can cause.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func check(data []byte, os core.OS) (Report, error) {
	return Check(bytes.NewReader(data), int64(len(data)), Rules{OS: os})
}

func walkOver(data []byte, os core.OS, visit func(Entry, io.Reader) error) error {
	_, err := Walk(bytes.NewReader(data), int64(len(data)), Rules{OS: os}, visit)
	return err
}

// gzipOf compresses data to one gzip member.
func gzipOf(data ...[]byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for _, part := range data {
		must(w.Write(part))
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return packed.Bytes()
}

// tarOf writes a tar of headers; each file gets content, or Size zero bytes if content is "".
func tarOf(content string, headers ...*tar.Header) []byte {
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	for _, header := range headers {
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Mode == 0 {
			header.Mode = 0o644
		}
		if header.Typeflag == tar.TypeReg && content != "" {
			header.Size = int64(len(content))
		}
		if err := w.WriteHeader(header); err != nil {
			panic(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if content != "" {
			must(io.WriteString(w, content))
		} else {
			must(io.CopyN(w, zeros{}, header.Size))
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return data.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// tarGz makes a tar.gz of headers, whose files hold "hello".
func tarGz(headers ...*tar.Header) []byte { return gzipOf(tarOf("hello", headers...)) }

// tarFiles makes a tar.gz of files with these names.
func tarFiles(names ...string) []byte {
	var headers []*tar.Header
	for _, name := range names {
		headers = append(headers, &tar.Header{Name: name})
	}
	return tarGz(headers...)
}

// links returns the headers of links; each is given as "name -> target".
func links(texts ...string) []*tar.Header {
	var headers []*tar.Header
	for _, text := range texts {
		name, target, _ := strings.Cut(text, " -> ")
		headers = append(headers, &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777})
	}
	return headers
}

func withFile(headers ...*tar.Header) []*tar.Header {
	return append([]*tar.Header{{Name: "file"}}, headers...)
}

// rawTarHeader makes a GNU header that archive/tar would not write.
func rawTarHeader(name string, typ byte, size string, edit func(block []byte)) []byte {
	block := make([]byte, 512)
	copy(block, name)
	copy(block[100:], "0000644\x000000000\x000000000\x00")
	copy(block[124:], size)
	copy(block[136:], "00000000000\x00        ")
	block[156] = typ
	copy(block[257:], "ustar  \x00")
	if edit != nil {
		edit(block)
	}
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return block
}

// tarBlocks pads data to whole blocks.
func tarBlocks(data string) []byte {
	return []byte(data + strings.Repeat("\x00", (512-len(data)%512)%512))
}

// paxRecords makes the header and the body of a PAX header.
func paxRecords(typ byte, keyValues ...string) []byte {
	var body strings.Builder
	for i := 0; i < len(keyValues); i += 2 {
		record := " " + keyValues[i] + "=" + keyValues[i+1] + "\n"
		length := len(record)
		for length != len(record)+len(fmt.Sprint(length)) {
			length = len(record) + len(fmt.Sprint(length))
		}
		fmt.Fprintf(&body, "%d%s", length, record)
	}
	header := rawTarHeader("pax", typ, fmt.Sprintf("%011o\x00", body.Len()), nil)
	return append(header, tarBlocks(body.String())...)
}

// tarEnd is two blocks of zeros.
var tarEnd = make([]byte, 1024)

// zipFiles makes a zip of files with these names, which hold "hello".
func zipFiles(names ...string) []byte {
	var headers []*zip.FileHeader
	for _, name := range names {
		headers = append(headers, &zip.FileHeader{Name: name, Method: zip.Deflate})
	}
	return zipOf([]byte("hello"), headers...)
}

// zipOf makes a zip of headers; those that are no folders get content.
func zipOf(content []byte, headers ...*zip.FileHeader) []byte {
	var data bytes.Buffer
	w := zip.NewWriter(&data)
	for _, header := range headers {
		entry := must(w.CreateHeader(header))
		if !strings.HasSuffix(header.Name, "/") {
			must(entry.Write(content))
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return data.Bytes()
}

// zipRaw makes a zip whose entries are written as the headers say, true or not.
func zipRaw(packed []byte, headers ...*zip.FileHeader) []byte {
	var data bytes.Buffer
	w := zip.NewWriter(&data)
	for _, header := range headers {
		must(must(w.CreateRaw(header)).Write(packed))
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return data.Bytes()
}

// stored returns the header of content stored without compression.
func stored(name string, content []byte) *zip.FileHeader {
	size := uint64(len(content))
	return &zip.FileHeader{
		Name: name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(content),
		CompressedSize64: size, UncompressedSize64: size,
	}
}

// changed returns a copy of data with one occurrence of old replaced: the first, or the last.
func changed(data []byte, old, new string, last bool) []byte {
	at := bytes.Index(data, []byte(old))
	if last {
		at = bytes.LastIndex(data, []byte(old))
	}
	if at < 0 || len(old) != len(new) {
		panic(fmt.Sprintf("cannot replace %q by %q", old, new))
	}
	data = bytes.Clone(data)
	copy(data[at:], new)
	return data
}

// noise returns n bytes that do not compress, always the same.
func noise(n int) []byte {
	data := make([]byte, n)
	must(rand.NewChaCha8([32]byte{1}).Read(data))
	return data
}

// entriesOf walks an archive and returns its entries, each as "type name size mode target".
func entriesOf(t *testing.T, data []byte, os core.OS) ([]string, error) {
	t.Helper()
	var lines []string
	err := walkOver(data, os, func(entry Entry, content io.Reader) error {
		line := fmt.Sprintf("%c %s", " fdl"[entry.Type], entry.Name)
		switch entry.Type {
		case File:
			line += fmt.Sprintf(" %d %o", entry.Size, entry.Mode)
			if n, err := io.Copy(io.Discard, content); err != nil || n != entry.Size {
				t.Errorf("%s: read %d of %d bytes: %v", entry.Name, n, entry.Size, err)
			}
		case Dir:
			line += fmt.Sprintf(" %o", entry.Mode)
		case Symlink:
			line += " " + entry.Target
		}
		lines = append(lines, line)
		return nil
	})
	return lines, err
}
