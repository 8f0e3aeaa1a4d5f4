package cases

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
)

// writeArchive writes a tar.gz that holds a script run.sh and data, the same for the same size, that does not
// shrink. It returns the file's size, which is a little less than asked for.
func writeArchive(path string, bytes int64) (size int64, err error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffered := bufio.NewWriterSize(file, 1<<20)
	compressed, err := gzip.NewWriterLevel(buffered, gzip.NoCompression)
	if err != nil {
		return 0, err
	}
	archive := tar.NewWriter(compressed)
	script := "#!/bin/sh\nexit 0\n"
	data := max(bytes-bytes/10_000-4096, 1) // less what tar and gzip add
	for _, entry := range []struct {
		header  tar.Header
		content io.Reader
	}{
		{tar.Header{Name: "run.sh", Mode: 0o755, Size: int64(len(script))}, strings.NewReader(script)},
		{tar.Header{Name: "data.bin", Mode: 0o644, Size: data}, io.LimitReader(rand.NewChaCha8(seed(bytes)), data)},
	} {
		entry.header.Typeflag = tar.TypeReg
		if err := archive.WriteHeader(&entry.header); err != nil {
			return 0, err
		}
		if _, err := io.CopyBuffer(archive, entry.content, make([]byte, 1<<20)); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(archive.Close(), compressed.Close(), buffered.Flush()); err != nil {
		return 0, err
	}
	stat, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return stat.Size(), nil
}

// seed makes data of different sizes differ.
func seed(bytes int64) (seed [32]byte) {
	binary.BigEndian.PutUint64(seed[:], uint64(bytes))
	return seed
}
