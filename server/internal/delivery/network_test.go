package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"enjambre/core"
	"enjambre/server/internal/depot"
)

// newServer serves package 7, whose first fragment has the content, and fails to look up package 9.
func newServer(t *testing.T, content []byte) *httptest.Server {
	t.Helper()
	files, err := depot.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(files.Folder(7), 0o755); err != nil {
		t.Fatal(err)
	}
	names := []string{depot.InfoFile, depot.SealedFile, depot.DigestsFile, depot.FragmentName(7, 0)}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(files.Folder(7), name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	New(files, func(_ context.Context, id core.PackageID) (bool, error) {
		if id == 9 {
			return false, errors.New("the database is away")
		}
		return id == 7, nil
	}, nil, slog.New(slog.DiscardHandler)).Register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, method, url string, header map[string]string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// TestConditions: an agent or a proxy on its way may ask for whatever it has; it gets the whole file, in one
// piece of the length that is announced, and never a 304.
func TestConditions(t *testing.T) {
	random := make([]byte, 600<<10)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(random); err != nil {
		t.Fatal(err)
	}
	server := newServer(t, random)
	first, _ := get(t, http.MethodHead, server.URL+"/download/7/7-1", nil)
	modified := first.Header.Get("Last-Modified")
	for name, header := range map[string]map[string]string{
		"not modified since":      {"If-Modified-Since": modified},
		"modified in the future":  {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
		"unmodified since 1980":   {"If-Unmodified-Since": "Tue, 01 Jan 1980 00:00:00 GMT"},
		"none of any":             {"If-None-Match": "*"},
		"match of nothing":        {"If-Match": `"x"`},
		"all at once":             {"If-Modified-Since": modified, "If-None-Match": `W/"x", *`, "If-Match": `"x"`},
		"compressed":              {"Accept-Encoding": "gzip, deflate, br"},
		"range of another unit":   {"Range": "lines=1-2", "If-Modified-Since": modified},
		"stock Unix agent":        {"User-Agent": "OCS-NG_unified_unix_agent_v2.10.0", "TE": "deflate,gzip;q=0.3"},
		"cache that asks for new": {"Cache-Control": "max-age=0", "Pragma": "no-cache"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			answer, body := get(t, method, server.URL+"/download/7/7-1", header)
			if strings.Contains(header["Range"], "lines") {
				if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusRequestedRangeNotSatisfiable {
					t.Errorf("%s, %s: got %s", name, method, answer.Status)
				}
				continue
			}
			if answer.StatusCode != http.StatusOK || answer.ContentLength != int64(len(random)) ||
				len(answer.TransferEncoding) != 0 || answer.Header.Get("Content-Encoding") != "" {
				t.Errorf("%s, %s: got %s, length %d", name, method, answer.Status, answer.ContentLength)
			}
			if method == http.MethodGet && body != string(random) {
				t.Errorf("%s: %d other bytes", name, len(body))
			}
		}
	}
}

// TestRanges: who asks for a range gets it, whatever condition it depends on: files never change.
func TestRanges(t *testing.T) {
	server := newServer(t, []byte("0123456789"))
	for text, want := range map[string]string{
		"bytes=0-0": "0", "bytes=9-": "9", "bytes=-3": "789", "bytes=3-99": "3456789", "bytes=0-": "0123456789",
	} {
		header := map[string]string{"Range": text, "If-Range": "Tue, 01 Jan 1980 00:00:00 GMT"}
		answer, body := get(t, http.MethodGet, server.URL+"/download/7/7-1", header)
		if answer.StatusCode != http.StatusPartialContent || body != want {
			t.Errorf("%s: got %s with %q, want %q", text, answer.Status, body, want)
		}
	}
}

// TestTypes: stock agents do not care; ours and proxies do.
func TestTypes(t *testing.T) {
	server := newServer(t, []byte("<!DOCTYPE html><script>"))
	for name, want := range map[string]string{
		depot.InfoFile:    "text/xml; charset=utf-8",
		depot.SealedFile:  "application/vnd.dsse+json",
		depot.DigestsFile: "application/octet-stream",
		"7-1":             "application/octet-stream",
	} {
		answer, _ := get(t, http.MethodGet, server.URL+"/download/7/"+name, nil)
		if got := answer.Header.Get("Content-Type"); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestNotThere: names that no package has, in every disguise.
func TestNotThere(t *testing.T) {
	server := newServer(t, []byte("x"))
	var names []string
	for _, path := range []string{"", "0/info", "-7/info", "+7/info", "07/info", "7%20/info", "%37x/info",
		"7/7-0", "7/7-01", "7/7-65537", "7/7-", "7/8-1", "7/INFO", "7/info%00", "7/info/", "7/7-1/x",
		"7/..%2f..%2fdeployment.json", "7/%2e%2e", "7/..%5c7%5cinfo", "..%2f7/info",
		"99999999999999999999/info", "7/.7-1.tmp", "7/info~", "8/info"} {
		answer, body := get(t, http.MethodGet, server.URL+"/download/"+path, nil)
		if answer.StatusCode != http.StatusNotFound || strings.Contains(body, os.TempDir()) {
			names = append(names, fmt.Sprintf("%s: %s %q", path, answer.Status, body))
		}
	}
	if len(names) != 0 {
		t.Errorf("got %s", strings.Join(names, "\n"))
	}
	escaped, _ := get(t, http.MethodGet, server.URL+"/download/%37/%69nfo", nil)
	if escaped.StatusCode != http.StatusOK {
		t.Errorf("escaped letters of a good name: got %s", escaped.Status)
	}
	answer, body := get(t, http.MethodGet, server.URL+"/download/9/info", nil)
	if answer.StatusCode != http.StatusInternalServerError || strings.Contains(body, "database") {
		t.Errorf("a package that cannot be looked up: got %s with %q", answer.Status, body)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, "PROPFIND"} {
		answer, _ := get(t, method, server.URL+"/download/7/info", nil)
		if answer.StatusCode != http.StatusMethodNotAllowed ||
			!slices.Contains(strings.Split(answer.Header.Get("Allow"), ", "), "GET") {
			t.Errorf("%s: got %s, allowed %q", method, answer.Status, answer.Header.Get("Allow"))
		}
	}
}
