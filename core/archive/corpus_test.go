package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"enjambre/core"
)

// A corpusCase is one archive of the bad-input corpus. The class is "" for those to accept.
type corpusCase struct {
	name  string
	os    core.OS
	data  func() []byte
	class core.Class
}

// zipCase is a zip of files with these names, for Windows.
func zipCase(name string, class core.Class, files ...string) corpusCase {
	return corpusCase{name, core.Windows, func() []byte { return zipFiles(files...) }, class}
}

// tarCase is a tar.gz of files with these names, for Linux.
func tarCase(name string, class core.Class, files ...string) corpusCase {
	return corpusCase{name, core.Linux, func() []byte { return tarFiles(files...) }, class}
}

// linkCase is a tar.gz of a file and these entries, for Linux.
func linkCase(name string, class core.Class, headers ...*tar.Header) corpusCase {
	return corpusCase{name, core.Linux, func() []byte { return tarGz(withFile(headers...)...) }, class}
}

func TestCorpus(t *testing.T) {
	var cases []corpusCase
	for _, group := range []func() []corpusCase{
		pathCases, linkCases, bombCases, typeCases, nameCases, formatCases,
	} {
		cases = append(cases, group()...)
	}
	named := map[string]bool{}
	for _, c := range cases {
		named[c.name[:3]] = true
		t.Run(c.name, func(t *testing.T) {
			data := c.data()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			report, err := check(data, c.os)
			runtime.ReadMemStats(&after)
			if class := core.ClassOf(err); class != c.class || (err == nil) != (c.class == "") {
				t.Errorf("class %q, want %q; %v", class, c.class, err)
			}
			if (report.Bad > 0) != (c.class != "") {
				t.Errorf("%d problems in the report", report.Bad)
			}
			allocated := after.TotalAlloc - before.TotalAlloc
			if allocated > 32<<20 && !strings.HasPrefix(c.name, "A23") { // there, TestMemory measures what is live
				t.Errorf("allocated %d bytes", allocated)
			}
		})
	}
	for i := 1; i <= 42; i++ {
		if id := fmt.Sprintf("A%02d", i); !named[id] {
			t.Errorf("no case is named %s", id)
		}
	}
}

func pathCases() []corpusCase {
	const path = core.ClassPath
	return []corpusCase{
		zipCase("A01 parent, zip", path, "../x"),
		tarCase("A01 parent, tar", path, "../x"),
		tarCase("A01 parent behind a dot", path, "./../x"),
		zipCase("A02 absolute, zip", path, "/abs"),
		tarCase("A02 absolute, tar", path, "/abs"),
		tarCase("A02 absolute behind a dot", path, ".//abs"),
		zipCase("A03 through a folder, zip", path, "a/../../b"),
		tarCase("A03 through a folder, tar", path, "a/../../b"),
		zipCase("A04 backslash, zip", path, `..\x`),
		tarCase("A04 backslash, tar", path, `..\x`),
		zipCase("A05 drive, zip", path, `C:\x`),
		zipCase("A05 drive-relative, zip", path, `C:x`),
		tarCase("A05 drive-relative, tar", path, `C:x`),
		zipCase("A05 drive behind a dot", path, `./C:x`),
		zipCase("A06 share, zip", path, `\\srv\share`),
		zipCase("A06 share with slashes", path, `//srv/share`),
		zipCase("A07 verbatim path", path, `\\?\C:\x`),
		tarCase("A07 verbatim path, tar", path, `\\?\C:\x`),
		zipCase("A08 empty name, zip", path, ""),
		tarCase("A08 empty name, tar", path, ""),
		zipCase("A09 dot, zip", path, "."),
		tarCase("A09 dot, tar", path, "."),
		tarCase("A09 dot inside hides nothing", "", "a/./b"),
		tarCase("A09 dot inside is no other name", core.ClassName, "a/./b", "a//b"),
		zipCase("A10 part of 256 bytes, zip", path, strings.Repeat("p", 256)),
		tarCase("A10 part of 256 bytes, tar", path, strings.Repeat("p", 256)),
		zipCase("A11 33 levels, zip", path, strings.Repeat("a/", 32)+"a"),
		tarCase("A11 33 levels, tar", path, strings.Repeat("a/", 32)+"a"),
		tarCase("A11 1025 bytes", path, strings.Repeat(strings.Repeat("a", 204)+"/", 5)+"a"),
		zipCase("A12 invalid UTF-8, zip", path, "a\xff"),
		tarCase("A12 invalid UTF-8, tar", path, "a\xff"),
		tarCase("A12 overlong", path, "\xc0\xae\xc0\xae/x"),
	}
}

func linkCases() []corpusCase {
	const link = core.ClassLink
	hard := func(target string) *tar.Header {
		return &tar.Header{Name: "hard", Linkname: target, Typeflag: tar.TypeLink}
	}
	return []corpusCase{
		linkCase("A13 link out", link, links("l -> ../x")...),
		linkCase("A13 absolute link", link, links("l -> /etc/passwd")...),
		linkCase("A13 link out of a folder", link, links("a/b/l -> ../../../x")...),
		linkCase("A13 link out and in again", link, links("l -> ../folder/file")...),
		linkCase("A13 link of a drive", link, links(`l -> C:\x`)...),
		linkCase("A13 link to nothing", link, links("l -> ")...),
		{"A13 link in a zip", core.Windows, func() []byte {
			header := &zip.FileHeader{Name: "l"}
			header.SetMode(0o777 | (1 << 27)) // fs.ModeSymlink
			return zipOf([]byte("file"), &zip.FileHeader{Name: "file"}, header)
		}, link},
		linkCase("A14 file through a link", link, append(links("l -> folder"), &tar.Header{Name: "l/x"})...),
		linkCase("A14 folder through a link", link,
			append(links("l -> file"), &tar.Header{Name: "l/", Typeflag: tar.TypeDir})...),
		linkCase("A15 chain out", link, links("d/up -> ..", "l -> d/up/../x")...),
		linkCase("A15 chain through a folder link", link, links("a/b/c -> ../..", "l -> a/b/c/../etc")...),
		linkCase("A15 chain of libraries", "",
			links("lib.so -> lib.so.1", "lib.so.1 -> ./file", "a/l -> ../lib.so")...),
		linkCase("A16 hard link out", link, hard("/etc/shadow")),
		linkCase("A16 hard link in", link, hard("file")),
		linkCase("A17 hard link to set-uid", link, &tar.Header{Name: "su", Mode: 0o4755}, hard("su")),
		linkCase("A18 link, then folder", link,
			append(links("l -> x"), &tar.Header{Name: "l", Typeflag: tar.TypeDir})...),
		linkCase("A18 folder, then link", link, append([]*tar.Header{{Name: "l/x"}}, links("l -> x")...)...),
		linkCase("A18 link, then file", link, append(links("l -> x"), &tar.Header{Name: "l"})...),
		linkCase("A18 link twice", link, links("l -> file", "l -> file")...),
	}
}

func bombCases() []corpusCase {
	const bomb = core.ClassBomb
	hello := tarOf("hello", &tar.Header{Name: "file"})
	linuxCase := func(name string, class core.Class, data func() []byte) corpusCase {
		return corpusCase{name, core.Linux, data, class}
	}
	windowsCase := func(name string, class core.Class, data func() []byte) corpusCase {
		return corpusCase{name, core.Windows, data, class}
	}
	return []corpusCase{
		linuxCase("A19 zeros, tar", bomb, func() []byte {
			return gzipOf(tarOf("", &tar.Header{Name: "z", Size: 12 << 20}))
		}),
		linuxCase("A19 zeros after the tar", bomb, func() []byte { return gzipOf(hello, make([]byte, 12<<20)) }),
		linuxCase("A19 zeros within 10 MiB", "", func() []byte {
			return gzipOf(tarOf("", &tar.Header{Name: "z", Size: 9 << 20}))
		}),
		windowsCase("A19 zeros, zip", bomb, func() []byte {
			return zipOf(make([]byte, 12<<20), &zip.FileHeader{Name: "z", Method: zip.Deflate})
		}),
		linuxCase("A20 sparse file of 1 GiB, GNU 1.0", bomb, func() []byte { return sparse10(1<<30, 1) }),
		linuxCase("A20 sparse file of 1 GiB, old GNU", bomb, func() []byte {
			return gzipOf(rawTarHeader("s", 'S', "00000000000\x00", func(block []byte) {
				copy(block[386:], "10000000000\x0000000000000\x00") // one empty region at the end
				copy(block[483:], "10000000000\x00")                // 1 GiB
			}), tarEnd)
		}),
		windowsCase("A21 overlapping entries", bomb, func() []byte {
			data := zipFiles("a", "b")
			at := bytes.LastIndex(data, []byte(zipRecordSignature))
			return changed(data, string(data[at+42:at+47]), "\x00\x00\x00\x00b", true) // b's offset becomes a's
		}),
		windowsCase("A21 entry around another", bomb, func() []byte {
			inner := zipRaw([]byte("hello"), stored("b", []byte("hello")))
			data := zipRaw(inner, stored("a", inner), stored("c", inner))
			at := bytes.LastIndex(data, []byte(zipRecordSignature))
			return changed(data, string(data[at+42:at+47]), "\x1f\x00\x00\x00c", true) // c is inside a
		}),
		windowsCase("A22 nested archives", "", func() []byte {
			return zipOf(zipOf(zipFiles("x"), &zip.FileHeader{Name: "x.zip"}), &zip.FileHeader{Name: "x.zip"})
		}),
		linuxCase("A23 100 001 entries, tar", bomb, func() []byte { return tarMany(100_001) }),
		windowsCase("A23 100 001 entries, zip", bomb, func() []byte { return zipMany(100_001) }),
		windowsCase("A24 zip64 size too large", bomb, func() []byte { return zipLie(1 << 40) }),
		windowsCase("A24 zip64 size of 3 GiB", bomb, func() []byte { return zipLie(3 << 30) }),
		windowsCase("A24 zip64 size beyond int64", bomb, func() []byte { return zipLie(1<<64 - 1) }),
		windowsCase("A24 size too small", bomb, func() []byte { return zipLie(3) }),
		windowsCase("A24 size too large", bomb, func() []byte { return zipLie(1 << 20) }),
		windowsCase("A24 zip64 packed size", bomb, func() []byte {
			header := stored("a", []byte("hello"))
			header.Flags, header.CompressedSize64 = zipDescriptor, 1<<40
			return zipRaw([]byte("hello"), header)
		}),
		linuxCase("A25 second member", bomb, func() []byte { return append(gzipOf(hello), gzipOf(hello)...) }),
		linuxCase("A25 member of nothing hides nothing", "", func() []byte { return append(gzipOf(hello), gzipOf()...) }),
		linuxCase("A25 bytes after the gzip", bomb, func() []byte { return append(gzipOf(hello), "hidden"...) }),
		linuxCase("A25 member after zeros", bomb, func() []byte {
			return slices.Concat(gzipOf(hello), make([]byte, 100), gzipOf())
		}),
		linuxCase("A25 too many members", bomb, func() []byte {
			return slices.Concat(gzipOf(hello), bytes.Repeat(gzipOf(), maxMembers))
		}),
		linuxCase("A25 second tar", bomb, func() []byte { return gzipOf(hello, hello) }),
		linuxCase("A25 padding is no data", "", func() []byte { return gzipOf(hello, make([]byte, 10<<10)) }),
	}
}

// sparse10 makes a tar.gz of one sparse file in GNU's format 1.0.
func sparse10(size int64, regions int) []byte {
	var table strings.Builder
	fmt.Fprintf(&table, "%d\n", regions)
	table.WriteString(strings.Repeat("0\n0\n", regions))
	body := tarBlocks(table.String())
	return gzipOf(
		paxRecords('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "s",
			"GNU.sparse.realsize", fmt.Sprint(size)),
		rawTarHeader("s", '0', fmt.Sprintf("%011o\x00", len(body)), nil), body, tarEnd)
}

// tarMany makes a tar.gz of n empty files with names of 80 bytes.
func tarMany(n int) []byte {
	var packed bytes.Buffer
	w := must(gzip.NewWriterLevel(&packed, gzip.BestSpeed))
	for i := range n {
		must(w.Write(rawTarHeader(fmt.Sprintf("%080x", uint32(i)*2654435761), '0', "00000000000\x00", nil)))
	}
	must(w.Write(tarEnd))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return packed.Bytes()
}

// zipMany makes a zip of n empty files.
func zipMany(n int) []byte {
	headers := make([]*zip.FileHeader, n)
	for i := range headers {
		headers[i] = &zip.FileHeader{Name: fmt.Sprint(i)}
	}
	return zipRaw(nil, headers...)
}

// zipLie makes a zip of one file that claims to unpack to size bytes.
func zipLie(size uint64) []byte {
	var packed bytes.Buffer
	w := must(flate.NewWriter(&packed, 9))
	must(w.Write(bytes.Repeat([]byte("hello"), 1000)))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return zipRaw(packed.Bytes(), &zip.FileHeader{
		Name: "a", Method: zip.Deflate, Flags: zipDescriptor,
		CompressedSize64: uint64(packed.Len()), UncompressedSize64: size,
	})
}

func typeCases() []corpusCase {
	special := func(typ byte) *tar.Header { return &tar.Header{Name: "special", Typeflag: typ} }
	return []corpusCase{
		linkCase("A26 character device", core.ClassType, special(tar.TypeChar)),
		linkCase("A27 block device", core.ClassType, special(tar.TypeBlock)),
		linkCase("A28 FIFO", core.ClassType, special(tar.TypeFifo)),
		linkCase("A28 unknown type", core.ClassType, special('Z')),
		{"A28 FIFO in a zip", core.Windows, func() []byte {
			return zipOf(nil, &zip.FileHeader{Name: "p", CreatorVersion: 3 << 8, ExternalAttrs: 0o010644 << 16})
		}, core.ClassType},
		linkCase("A29 set-uid", "", &tar.Header{Name: "su", Mode: 0o6755}),
		linkCase("A30 extended attributes", "", &tar.Header{Name: "x", PAXRecords: map[string]string{
			"SCHILY.xattr.security.capability": "\x01", "SCHILY.acl.access": "user::rwx",
		}}),
	}
}

func nameCases() []corpusCase {
	const name = core.ClassName
	return []corpusCase{
		zipCase("A31 NUL", name, "NUL"),
		zipCase("A31 NUL.txt", name, "NUL.txt"),
		zipCase("A31 con.", name, "con."),
		zipCase("A31 folder", name, "a/aux/b"),
		tarCase("A31 is legal in Linux", "", "NUL", "con.", "aux/b"),
		zipCase("A32 COM1", name, "COM1"),
		zipCase("A32 superscript", name, "LPT².log"),
		zipCase("A33 stream", name, "a:ads"),
		zipCase("A33 data stream", name, "a::$DATA"),
		tarCase("A33 is legal in Linux", "", "a:ads", "man3/Foo::Bar.3pm"),
		zipCase("A34 trailing dot", name, "a./b"),
		zipCase("A34 trailing space", name, "a "),
		zipCase("A35 case", name, "A", "a"),
		zipCase("A35 case of folders", name, "Docs/a", "docs/b"),
		zipCase("A35 case of other scripts", name, "ÉTÉ", "été"),
		tarCase("A35 is legal in Linux", "", "A", "a", "Docs/a", "docs/b"),
		zipCase("A36 normalization, zip", name, "\u00e9", "e\u0301"),
		tarCase("A36 normalization, tar", name, "\u00e9", "e\u0301"),
		tarCase("A36 one of them alone", "", "e\u0301"),
		zipCase("A37 short name", name, "PROGRA~1"),
		zipCase("A38 bidi override, zip", name, "a\u202egpj.exe"),
		tarCase("A38 bidi override, tar", name, "a\u202egpj.sh"),
		tarCase("A38 zero width", name, "a\u200bb"),
		tarCase("A38 control character", name, "a\nb"),
	}
}

func formatCases() []corpusCase {
	const format = core.ClassFormat
	file := zipFiles("file")
	windowsCase := func(name string, data func() []byte) corpusCase {
		return corpusCase{name, core.Windows, data, format}
	}
	bytesCase := func(name string, os core.OS, data string) corpusCase {
		return corpusCase{name, os, func() []byte { return []byte(data) }, format}
	}
	method := func(method uint16) func() []byte {
		header := stored("a", []byte("hello"))
		header.Method = method
		return func() []byte { return zipRaw([]byte("hello"), header) }
	}
	checksum := func() []byte {
		header := stored("a", []byte("hello"))
		header.CRC32 = 0 // archive/zip would not look
		return zipRaw([]byte("hello"), header)
	}
	encrypted := func() []byte {
		header := stored("a", []byte("hello"))
		header.Flags = zipEncrypted
		return zipRaw([]byte("hello"), header)
	}
	negative := rawTarHeader("a", '0', "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0", nil)
	return []corpusCase{
		windowsCase("A39 junk before", func() []byte { return append([]byte("#!/bin/sh\n"), file...) }),
		windowsCase("A39 zip before", func() []byte { return append(zipFiles("other"), file...) }),
		windowsCase("A39 junk after", func() []byte { return append(bytes.Clone(file), "junk"...) }),
		windowsCase("A40 name", func() []byte { return changed(file, "file", "evil", false) }),
		windowsCase("A40 method", func() []byte {
			return changed(file, "\x08\x00\x08\x00", "\x08\x00\x00\x00", false)
		}),
		windowsCase("A40 checksum", func() []byte {
			data := zipRaw([]byte("hello"), stored("a", []byte("hello")))
			return changed(data, "\x86\xa6\x10\x36", "\x86\xa6\x10\x37", false)
		}),
		windowsCase("A40 descriptor", func() []byte {
			return changed(file, "PK\x07\x08\x86", "PK\x07\x08\x87", false)
		}),
		windowsCase("A40 no local header", func() []byte {
			data := zipFiles("a", "b")
			data[bytes.LastIndex(data, []byte(zipLocalSignature))+2]++
			return data
		}),
		windowsCase("A41 checksum, zip", checksum),
		{"A41 checksum, gzip", core.Linux, func() []byte {
			data := tarFiles("a")
			data[len(data)-8] ^= 1
			return data
		}, format},
		{"A41 cut short", core.Linux, func() []byte { data := tarFiles("a"); return data[:len(data)-9] }, format},
		windowsCase("A42 encrypted", encrypted),
		windowsCase("A42 bzip2 method", method(12)),
		windowsCase("A42 xz method", method(95)),
		windowsCase("A42 zstd method", method(93)),
		bytesCase("A42 rar", core.Windows, "Rar!\x1a\x07\x01\x00..."),
		bytesCase("A42 7z", core.Windows, "7z\xbc\xaf\x27\x1c..."),
		bytesCase("A42 cab", core.Windows, "MSCF\x00\x00\x00\x00"),
		{"A42 negative size", core.Linux, func() []byte { return gzipOf(negative, tarEnd) }, format},
		{"A42 negative PAX size", core.Linux, func() []byte {
			return gzipOf(paxRecords('x', "size", "-1"), rawTarHeader("a", '0', "00000000000\x00", nil), tarEnd)
		}, format},
		{"A42 sparse file of a million regions", core.Linux, func() []byte {
			return sparse10(1<<30, 1_000_000)
		}, format},
	}
}
