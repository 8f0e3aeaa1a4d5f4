package delivery

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/core"
	"enjambre/server/internal/depot"
)

func TestServe(t *testing.T) {
	files, err := depot.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []core.PackageID{7, 8} {
		if err := os.Mkdir(files.Folder(id), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"info", depot.FragmentName(id, 0), "secret"} {
			if err := os.WriteFile(filepath.Join(files.Folder(id), name), []byte("0123456789"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	mux := http.NewServeMux()
	New(files, func(_ context.Context, id core.PackageID) (bool, error) { return id == 7, nil },
		nil, slog.New(slog.DiscardHandler)).Register(mux)
	cases := []struct {
		name, method, path, header, value string
		status                            int
		body                              string
	}{
		{"info", "GET", "/download/7/info", "", "", 200, "0123456789"},
		{"fragment", "GET", "/download/7/7-1", "", "", 200, "0123456789"},
		{"head", "HEAD", "/download/7/7-1", "", "", 200, ""},
		{
			"unchanged",
			"GET",
			"/download/7/7-1",
			"If-Modified-Since",
			"Fri, 01 Jan 2100 00:00:00 GMT",
			200,
			"0123456789",
		},
		{"any tag", "GET", "/download/7/7-1", "If-None-Match", "*", 200, "0123456789"},
		{"no tag", "GET", "/download/7/7-1", "If-Match", `"x"`, 200, "0123456789"},
		{"range", "GET", "/download/7/7-1", "Range", "bytes=3-5", 206, "345"},
		{"impossible range", "GET", "/download/7/7-1", "Range", "bytes=99-", 416, ""},
		{"not on record", "GET", "/download/8/info", "", "", 404, ""},
		{"no package", "GET", "/download/9/info", "", "", 404, ""},
		{"no such fragment", "GET", "/download/7/7-2", "", "", 404, ""},
		{"another file", "GET", "/download/7/secret", "", "", 404, ""},
		{"folder", "GET", "/download/7/", "", "", 404, ""},
		{"no ID", "GET", "/download/07/info", "", "", 404, ""},
		{"traversal", "GET", "/download/7/..%2f7%2finfo", "", "", 404, ""},
		{"post", "POST", "/download/7/info", "", "", 405, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			request := httptest.NewRequest(c.method, c.path, nil)
			if c.header != "" {
				request.Header.Set(c.header, c.value)
			}
			recorder := httptest.NewRecorder()
			mux.ServeHTTP(recorder, request)
			if recorder.Code != c.status || c.status < 400 && recorder.Body.String() != c.body {
				t.Errorf("got %d with %q, want %d with %q", recorder.Code, recorder.Body, c.status, c.body)
			}
			if c.status == 200 && recorder.Header().Get("Content-Length") != "10" {
				t.Errorf("Content-Length: got %q", recorder.Header().Get("Content-Length"))
			}
			if c.status == 404 && strings.Contains(recorder.Body.String(), files.Folder(7)) {
				t.Error("the answer shows the server's folders")
			}
		})
	}
}
