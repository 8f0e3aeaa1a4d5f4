package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"enjambre/core"
	"enjambre/server/internal/depot"
)

// A cut connection takes so many bytes.
type cut struct {
	*httptest.ResponseRecorder
	left int
}

func (c *cut) Write(data []byte) (int, error) {
	n := min(len(data), c.left)
	c.left -= n
	_, _ = c.ResponseRecorder.Write(data[:n])
	if n < len(data) {
		return n, errors.New("cut")
	}
	return n, nil
}

// TestSent: of whom, and how much of what, is told.
func TestSent(t *testing.T) {
	files, err := depot.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(files.Folder(7), 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(files.Folder(7), depot.FragmentName(7, 0))
	if err := os.WriteFile(name, []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	told := ""
	mux := http.NewServeMux()
	New(files, func(_ context.Context, id core.PackageID) (bool, error) { return id == 7, nil },
		func(_ *http.Request, id core.PackageID, name string, from, bytes int64) {
			told += fmt.Sprint(id, " ", name, " ", from, " ", bytes)
		}, slog.New(slog.DiscardHandler)).Register(mux)
	shown := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
	for _, c := range []struct {
		name, method, path, ranges string
		tls                        *tls.ConnectionState
		room, status               int
		want                       string
	}{
		{"whole", "GET", "/download/7/7-1", "", shown, 99, 200, "7 7-1 0 10"},
		{"a range", "GET", "/download/7/7-1", "bytes=3-5", shown, 99, 206, "7 7-1 3 3"},
		{"the end", "GET", "/download/7/7-1", "bytes=8-", shown, 99, 206, "7 7-1 8 2"},
		{"the last two", "GET", "/download/7/7-1", "bytes=-2", shown, 99, 206, "7 7-1 8 2"},
		{"two ranges", "GET", "/download/7/7-1", "bytes=0-1,4-5", shown, 99, 200, "7 7-1 0 10"},
		{"cut", "GET", "/download/7/7-1", "bytes=3-", shown, 4, 206, "7 7-1 3 4"},
		{"cut at once", "GET", "/download/7/7-1", "", shown, 0, 200, ""},
		{"an impossible range", "GET", "/download/7/7-1", "bytes=99-", shown, 99, 416, ""},
		{"head", "HEAD", "/download/7/7-1", "", shown, 99, 200, ""},
		{"no such file", "GET", "/download/7/7-2", "", shown, 99, 404, ""},
		{"no certificate", "GET", "/download/7/7-1", "", &tls.ConnectionState{}, 99, 200, ""},
		{"plain HTTP", "GET", "/download/7/7-1", "", nil, 99, 200, ""},
	} {
		told = ""
		request := httptest.NewRequest(c.method, c.path, nil)
		request.TLS = c.tls
		if c.ranges != "" {
			request.Header.Set("Range", c.ranges)
		}
		answer := &cut{httptest.NewRecorder(), c.room}
		mux.ServeHTTP(answer, request)
		if answer.Code != c.status || told != c.want {
			t.Errorf("%s: status %d, told %q, want %d, %q", c.name, answer.Code, told, c.status, c.want)
		}
	}
}
