package accesslog

import (
	"bytes"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// served answers one request over a real connection and returns the line in the log.
func served(t *testing.T, handler http.HandlerFunc) (line string, answer *http.Response) {
	t.Helper()
	var lines bytes.Buffer
	server := httptest.NewUnstartedServer(
		Wrap(handler, slog.New(slog.NewTextHandler(&lines, nil)), time.Now))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	address := server.URL + "/a%0Ab?token=secret"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err = http.DefaultTransport.RoundTrip(request)
	if err == nil {
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	server.Close() // waits for the handler, so the line is there
	return lines.String(), answer
}

// TestStatus: the line has the status that the client was sent, and none when it was sent none.
func TestStatus(t *testing.T) {
	cases := []struct {
		name    string
		handler http.HandlerFunc
		want    []string
		status  int // 0: no answer
	}{
		{"nothing written", func(http.ResponseWriter, *http.Request) {}, []string{"status=200", "bytes=0"}, 200},
		{"body only", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
		}, []string{"status=200", "bytes=5"}, 200},
		{"error after the body", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			http.Error(w, "late", http.StatusInternalServerError)
		}, []string{"status=200", "bytes=10"}, 200},
		{"two statuses", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			w.WriteHeader(http.StatusInternalServerError)
		}, []string{"status=404"}, 404},
		{"hint, then the answer", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
		}, []string{"status=202"}, 202},
		{"aborted before anything was sent", func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, []string{"status=0", "bytes=0"}, 0},
		{"a bug before anything was sent", func(http.ResponseWriter, *http.Request) {
			panic(errors.New("a bug"))
		}, []string{"status=0", "bytes=0"}, 0},
		{"aborted in the body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "hello")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, []string{"status=200", "bytes=5"}, 200},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			line, answer := served(t, c.handler)
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("%q is not in %q", want, line)
				}
			}
			switch {
			case c.status == 0 && answer != nil:
				t.Errorf("answered %s", answer.Status)
			case c.status != 0 && (answer == nil || answer.StatusCode != c.status):
				t.Errorf("answered %v, want %d", answer, c.status)
			}
			if strings.Count(line, "\n") != 1 || strings.Contains(line, "secret") {
				t.Errorf("got %q: want one line without the query", line)
			}
		})
	}
}

// TestPanicGoesOn: the log does not swallow a panic, which ends the connection.
func TestPanicGoesOn(t *testing.T) {
	defer func() {
		if reason := recover(); reason != http.ErrAbortHandler { //nolint:errorlint // as net/http compares
			t.Errorf("recovered %v", reason)
		}
	}()
	handler := Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		slog.New(slog.DiscardHandler), time.Now)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

// TestNameOutside: a handler that is used without a log may name computers all the same.
func TestNameOutside(t *testing.T) { Name(t.Context(), "pc7") }

// TestDeadlines: handlers reach the connection through the log.
func TestDeadlines(t *testing.T) {
	_, answer := served(t, func(w http.ResponseWriter, _ *http.Request) {
		control := http.NewResponseController(w)
		if err := errors.Join(control.SetReadDeadline(time.Now().Add(time.Minute)),
			control.SetWriteDeadline(time.Now().Add(time.Minute)), control.Flush()); err != nil {
			t.Error(err)
		}
	})
	if answer == nil {
		t.Error("no answer")
	}
}
