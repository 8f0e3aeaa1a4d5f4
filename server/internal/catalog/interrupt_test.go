package catalog

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/store"
)

// bulky is a form with an archive of 40 fragments.
func bulky(t testing.TB) Form {
	t.Helper()
	data := make([]byte, 40*core.MinFragmentSize-100)
	_, err := rand.NewChaCha8([32]byte{2}).Read(data)
	check(t, err)
	var packed bytes.Buffer
	compressed := gzip.NewWriter(&packed)
	writer := tar.NewWriter(compressed)
	check(t, writer.WriteHeader(&tar.Header{Name: "a", Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}))
	_, err = writer.Write(data)
	check(t, errors.Join(err, writer.Close(), compressed.Close()))
	return Form{Name: "a", OS: "linux", Action: "STORE", Priority: "5", Path: "/x", FragmentSize: "16KiB",
		File: write(t, "p.tar.gz", packed.Bytes())}
}

// folders lists what is in the depot.
func folders(t *testing.T, c *Catalog) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(c.Depot.Folder(1)))
	check(t, err)
	var list []string
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return strings.Join(list, " ")
}

// TestBuildInterrupted: an administrator interrupts builds at any moment. What was built is whole and on
// record; of what was not, nothing is left.
func TestBuildInterrupted(t *testing.T) {
	c := newCatalog(t)
	form := bulky(t)
	random := rand.New(rand.NewPCG(3, 4))
	var want []string
	interrupted := 0
	for range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(60_000))*time.Microsecond)
		built, err := c.Build(ctx, form, now)
		cancel()
		switch {
		case err == nil:
			want = append(want, built.Package.ID.String())
			published(t, c, built.Package.ID)
		case errors.Is(err, context.DeadlineExceeded):
			interrupted++
		default:
			t.Fatalf("got %v", err)
		}
		if got := folders(t, c); got != strings.Join(want, " ") {
			t.Fatalf("got %q, want %q", got, want)
		}
		list, err := c.Store.Packages(t.Context())
		if err != nil || len(list) != len(want) {
			t.Fatalf("%d on record, %v; want %d", len(list), err, len(want))
		}
	}
	t.Logf("%d of 60 builds were interrupted", interrupted)
}

// TestMistakesCostNoID: a form that is wrong is refused before anything is reserved.
func TestMistakesCostNoID(t *testing.T) {
	c := newCatalog(t)
	for _, form := range []Form{{}, {Name: "a", OS: "linux", Action: "EXECUTE", Priority: "1", Command: "a\x01b"}} {
		if _, err := c.Build(t.Context(), form, now); err == nil {
			t.Errorf("%+v is built", form)
		}
	}
	if given, err := c.Store.WasGivenOut(t.Context(), core.PackageID(now.Unix())); given || err != nil {
		t.Errorf("an ID was given out: %v", err)
	}
}

// TestManyUnreached: of a place that lacks everything, some URLs are named and the rest counted.
func TestManyUnreached(t *testing.T) {
	c := newCatalog(t)
	built, err := c.Build(t.Context(), bulky(t), now)
	check(t, err)
	id := built.Package.ID
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	place := strings.TrimPrefix(server.URL, "https://") + "/d"
	err = c.Check(t.Context(), store.Activation{Package: id, InfoURL: place, FragmentsURL: place}, reachOf(server))
	more := fmt.Sprintf("and %d more fragments", built.Package.Fragments-maxUnreached)
	wantMessage(t, err, []string{"/d/" + id.String() + "/info: the server answered 404", depot.FragmentName(id, 0), more})
	if lines := strings.Count(err.Error(), "\n") + 1; lines != maxUnreached+2 {
		t.Errorf("%d lines, want %d", lines, maxUnreached+2)
	}
}

// TestNoAnswer: a place that accepts a connection and says nothing. The message names the URL once.
func TestNoAnswer(t *testing.T) {
	c := newCatalog(t)
	built, err := c.Build(t.Context(), Form{Name: "a", OS: "linux", Action: "EXECUTE", Priority: "1", Command: "true"}, now)
	check(t, err)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = c.Check(ctx, store.Activation{Package: built.Package.ID, InfoURL: silent.Addr().String() + "/d"}, Reach{Own: []string{"127.0.0.1"}})
	wantMessage(t, err, []string{silent.Addr().String(), "no answer in time"})
	redirecting := httptest.NewTLSServer(http.RedirectHandler("https://elsewhere.example/x", http.StatusMovedPermanently))
	defer redirecting.Close()
	place := strings.TrimPrefix(redirecting.URL, "https://")
	err = c.Check(t.Context(), store.Activation{Package: built.Package.ID, InfoURL: place + "/d"}, reachOf(redirecting))
	wantMessage(t, err, []string{place, "redirects to https://elsewhere.example/x"})
	if strings.Contains(err.Error(), "Get ") {
		t.Errorf("got %q: the URL that was not asked for is named as if it were", err)
	}
}
