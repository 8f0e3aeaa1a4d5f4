package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/e2e/stage"
)

// A base is a running server and one computer that it deploys to.
type base struct {
	*testing.T
	server *stage.Server
	device string
	folder string
}

// patience bounds every wait of these tests: only what hangs comes to it, however busy the computer is.
const patience = 5 * time.Minute

// await looks until a condition holds, and reports whether it came to that in time. It leaves most of the computer to
// those whom it waits for: a look may start a program.
func await(holds func() bool) bool {
	for deadline := time.Now().Add(patience); ; {
		began := time.Now()
		if holds() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(max(4*time.Since(began), 20*time.Millisecond)) // another process's doing: there is nothing to wait on
	}
}

// must runs a command of the server.
func (b *base) must(args ...string) string {
	b.Helper()
	output, err := b.server.Run(b.Context(), args...)
	if err != nil {
		b.Fatal(err)
	}
	return output
}

// build builds a package for Linux and returns its ID.
func (b *base) build(args ...string) string {
	b.Helper()
	var built struct{ ID string }
	full := []string{"package", "build", "--name", "test", "--os", "linux"}
	if !slices.Contains(args, "--priority") {
		full = append(full, "--priority", "1")
	}
	if err := b.server.JSON(b.Context(), &built, append(full, args...)...); err != nil {
		b.Fatal(err)
	}
	return built.ID
}

// deploy builds, activates and affects a package.
func (b *base) deploy(args ...string) string {
	b.Helper()
	id := b.build(args...)
	b.must("activation", "create", "--package", id)
	b.affect(id)
	return id
}

func (b *base) affect(id string, flags ...string) {
	b.Helper()
	b.must(append([]string{"affect", "--package", id, "--computer", b.device}, flags...)...)
}

// published returns the path of a package's file in the server's data folder, for tampering.
func (b *base) published(id, name string) string {
	return filepath.Join(b.server.Data, "packages", id, name)
}

// withhold takes a package's file out of the server's data folder, so that what needs it cannot come to its end however
// fast or slow the computer is, and returns what puts it back.
func (b *base) withhold(id, name string) (giveBack func()) {
	b.Helper()
	move := func(from, to string) {
		b.Helper()
		if err := os.Rename(b.published(id, from), b.published(id, to)); err != nil {
			b.Fatal(err)
		}
	}
	move(name, name+".away")
	return func() { b.Helper(); move(name+".away", name) }
}

// untilThere is a command that runs until a file is there; or until its folder is gone, so that a test that fails
// leaves nothing that runs.
func untilThere(file string) string {
	return fmt.Sprintf("while test -d %s && ! test -e %s; do sleep 0.05; done", filepath.Dir(file), file)
}

// requests counts the lines of the access log that hold all words.
func (b *base) requests(words ...string) int {
	n := 0
	for line := range strings.SplitSeq(b.server.Log("access.log"), "\n") {
		if line != "" && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			n++
		}
	}
	return n
}

// archive writes a tar.gz that holds the given scripts and dataBytes of data that does not shrink.
func (b *base) archive(scripts map[string]string, dataBytes int) string {
	b.Helper()
	var file bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&file, gzip.NoCompression) // which takes the race detector seconds
	if err != nil {
		b.Fatal(err)
	}
	writer := tar.NewWriter(compressed)
	add := func(name string, mode int64, content []byte) {
		header := &tar.Header{Name: name, Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := writer.WriteHeader(header); err != nil {
			b.Fatal(err)
		}
		if _, err := writer.Write(content); err != nil {
			b.Fatal(err)
		}
	}
	for name, script := range scripts {
		add(name, 0o755, []byte("#!/bin/sh\n"+script+"\n"))
	}
	data := make([]byte, dataBytes)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data) // never fails
	add("data/random.bin", 0o644, data)
	if err := writer.Close(); err != nil {
		b.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "package.tar.gz")
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	return path
}
