package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/core"
)

// moved moves archive over the loopback to a file of as many bytes, of which digests are those, and returns the file's
// bytes.
func moved(t *testing.T, archive, digests []byte) ([]byte, error) {
	t.Helper()
	folder := t.TempDir()
	path := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	from, to, list := path("from", archive), path("to", make([]byte, len(archive))), path("digests", digests)
	ctx, cancel := context.WithCancel(t.Context())
	said, says := io.Pipe()
	given := make(chan error, 1)
	go func() { given <- run(ctx, []string{"give", "127.0.0.1:0", from}, nil, says) }()
	line, err := bufio.NewReader(said).ReadString('\n')
	address, isReady := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !isReady {
		t.Fatalf("got %q, %v", line, err)
	}
	var out bytes.Buffer
	failed := run(ctx, []string{"fetch", address, to, list}, strings.NewReader("go\n"), &out)
	cancel() // a connection that broke is missed only after half a minute
	if err := <-given; err != nil {
		t.Errorf("who gives: %v", err)
	}
	if isDone := strings.HasSuffix(out.String(), "\ndone\n"); isDone != (failed == nil) {
		t.Errorf("it said %q and ended with %v", out.String(), failed)
	}
	data, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return data, failed
}

// TestMove: an archive comes whole, its last fragment shorter than the others; another one is refused.
func TestMove(t *testing.T) {
	archive := make([]byte, 5*fragmentSize/2)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(archive)
	var digests []byte
	for at := 0; at < len(archive); at += fragmentSize {
		sum := core.DigestOf(archive[at:min(at+fragmentSize, len(archive))])
		digests = append(digests, sum[:]...)
	}
	if got, err := moved(t, archive, digests); err != nil || !bytes.Equal(got, archive) {
		t.Errorf("got %d bytes, the same: %v, %v", len(got), bytes.Equal(got, archive), err)
	}
	archive[fragmentSize]++
	if _, err := moved(t, archive, digests); core.ClassOf(err) != core.ClassHash {
		t.Errorf("with a wrong byte: got %v", err)
	}
}
