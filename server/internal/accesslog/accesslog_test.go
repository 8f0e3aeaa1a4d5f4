package accesslog

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	var log bytes.Buffer
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	handler := Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Name(r.Context(), "pc7")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "hello")
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
	}), slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { now = now.Add(5 * time.Millisecond); return now })
	request := httptest.NewRequest(http.MethodGet, "/download/7/7-1", nil)
	request.Header.Set("User-Agent", "evil\n\x1b[31mname")
	request.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
	handler.ServeHTTP(httptest.NewRecorder(), request)
	for _, want := range []string{"computer=pc7", "path=/download/7/7-1", "status=418", "bytes=5", "ms=5", `tls="TLS 1.3"`,
		"cipher=TLS_AES_128_GCM_SHA256", `agent="evil\n\x1b[31mname"`, "remote=192.0.2.1:1234"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in %q", want, log.String())
		}
	}
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("more than one line: %q", log.String())
	}
	log.Reset()
	func() {
		defer func() { _ = recover() }()
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/abort", nil))
	}()
	if !strings.Contains(log.String(), "path=/abort") || !strings.Contains(log.String(), "tls=-") {
		t.Errorf("an aborted answer is not logged: %q", log.String())
	}
}
