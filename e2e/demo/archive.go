package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"math/rand/v2"
	"os"
)

// writeArchive makes a package's archive: a script, and size bytes that do not shrink, so that there are fragments.
func writeArchive(path string, size int) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	compressed := gzip.NewWriter(file)
	archive := tar.NewWriter(compressed)
	data := make([]byte, size)
	random := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	script := []byte("#!/bin/sh\necho \"hello, $1\"\n")
	for _, entry := range []struct {
		name string
		mode int64
		data []byte
	}{{"hello.sh", 0o755, script}, {"data/random.bin", 0o644, data}} {
		header := &tar.Header{
			Name:     entry.name,
			Mode:     entry.mode,
			Size:     int64(len(entry.data)),
			Typeflag: tar.TypeReg,
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(entry.data); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}
