package origin

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"enjambre/core"
)

var content = bytes.Repeat([]byte("0123456789abcdef"), 4<<10)

// cut answers with the whole content's length and only some of it, then breaks the connection.
func cut(w http.ResponseWriter, from, to int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(content[from:to])
	_ = http.NewResponseController(w).Flush()
	if to < len(content) {
		panic(http.ErrAbortHandler)
	}
}

// TestFragment: what comes of a fragment's body, as servers and what stands before them may send it.
func TestFragment(t *testing.T) {
	cases := []struct {
		name  string
		serve func(w http.ResponseWriter, attempt int, ranged string)
		want  string // "" = the content
		class core.Class
		asks  int32
	}{
		{"whole", func(w http.ResponseWriter, _ int, _ string) { cut(w, 0, len(content)) }, "", "", 1},
		{"resumed twice", func(w http.ResponseWriter, attempt int, ranged string) {
			at := []int{0, 10_000, 50_000, len(content)}
			if attempt > 1 && ranged != fmt.Sprintf("bytes=%d-", at[attempt-1]) {
				panic("asked for " + ranged)
			}
			cut(w, at[attempt-1], at[attempt])
		}, "", "", 3},
		{"range not known", func(w http.ResponseWriter, attempt int, _ string) {
			cut(w, 0, []int{0, 5000, len(content)}[attempt])
		}, "", "", 2},
		{"breaks off for ever", func(w http.ResponseWriter, attempt int, _ string) {
			cut(w, (attempt-1)*100, attempt*100)
		}, "unexpected EOF", "", 3},
		{"breaks off at once", func(w http.ResponseWriter, _ int, _ string) { cut(w, 0, 0) }, "unexpected EOF", "", 1},
		{"other range", func(w http.ResponseWriter, attempt int, _ string) {
			if attempt == 1 {
				cut(w, 0, 500)
			}
			cut(w, 499, len(content))
		}, "answers with the part", core.ClassField, 2},
		{"range unasked", func(w http.ResponseWriter, _ int, _ string) { cut(w, 5, len(content)) },
			"answers with the part", core.ClassField, 1},
		{"too long", func(w http.ResponseWriter, _ int, _ string) {
			_ = http.NewResponseController(w).Flush() // so that no length is said
			_, _ = w.Write(append(bytes.Clone(content), 'x'))
		}, "longer than", core.ClassLimit, 1},
		{"says it is longer", func(w http.ResponseWriter, _ int, _ string) {
			_, _ = w.Write(append(bytes.Clone(content[:1]), "x"...))
		}, "want 65536", core.ClassHash, 1},
		{"empty", func(http.ResponseWriter, int, string) {}, "want 65536", core.ClassHash, 1},
		{"encoded", func(w http.ResponseWriter, _ int, _ string) {
			w.Header().Set("Content-Encoding", "gzip")
			cut(w, 0, len(content))
		}, "which nobody asked for", core.ClassField, 1},
		{"not there", func(w http.ResponseWriter, _ int, _ string) { w.WriteHeader(http.StatusNotFound) },
			"it answered 404", "", 1},
		{"withdrawn", func(w http.ResponseWriter, _ int, _ string) { w.WriteHeader(http.StatusGone) },
			"it answered 410", "", 1},
		{"trouble", func(w http.ResponseWriter, _ int, _ string) { w.WriteHeader(http.StatusBadGateway) },
			"it answered 502", "", 1},
		{"elsewhere", func(w http.ResponseWriter, _ int, _ string) {
			w.Header().Set("Location", "/other")
			w.WriteHeader(http.StatusFound)
		}, "follow no redirect", "", 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var asks atomic.Int32
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c.serve(w, int(asks.Add(1)), r.Header.Get("Range"))
			}))
			defer server.Close()
			server.Config.ErrorLog = nil
			data, err := client(t, server, time.Now).Fragment(t.Context(), server.URL+"/1/1-1", int64(len(content)))
			switch {
			case c.want == "" && (err != nil || !bytes.Equal(data, content)):
				t.Errorf("%d bytes, %v", len(data), err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), server.URL+"/1/1-1") || core.ClassOf(err) != c.class || data != nil):
				t.Errorf("%d bytes, %v (%s), want %q (%s)", len(data), err, core.ClassOf(err), c.want, c.class)
			case asks.Load() != c.asks:
				t.Errorf("asked %d times, want %d", asks.Load(), c.asks)
			case errors.Is(err, ErrNotThere) != (c.name == "not there" || c.name == "withdrawn"):
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestTrickle: what makes no progress is given up, also when it never ends and never quite stops.
func TestTrickle(t *testing.T) {
	for _, sends := range []bool{false, true} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			for i := 0; r.Context().Err() == nil; i++ {
				if sends {
					_, _ = w.Write(content[i : i+1])
					_ = http.NewResponseController(w).Flush()
				}
				select {
				case <-r.Context().Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		}))
		c := client(t, server, time.Now)
		c.patience = 200 * time.Millisecond
		if _, err := c.Fragment(t.Context(), server.URL, int64(len(content))); !errors.Is(err, errSlow) {
			t.Errorf("sends %v: got %v", sends, err)
		}
		server.Close()
	}
}

func TestGet(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(content)
	}))
	defer server.Close()
	c := client(t, server, time.Now)
	if data, err := c.Get(t.Context(), server.URL, len(content)); err != nil || !bytes.Equal(data, content) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if _, err := c.Get(t.Context(), server.URL, len(content)-1); core.ClassOf(err) != core.ClassLimit {
		t.Errorf("got %v", err)
	}
}

// TestProxy: requests go through a proxy that is given, and directly without one.
func TestProxy(t *testing.T) {
	var through atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through.Add(1)
		if user, _, _ := parseBasic(r.Header.Get("Proxy-Authorization")); user != "agent" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		_, _ = w.Write([]byte(r.URL.String()))
	}))
	defer proxy.Close()
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	defer tlsServer.Close()
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("agent", "secret")
	chosen, err := ParseProxy(address.String())
	if err != nil {
		t.Fatal(err)
	}
	direct := client(t, tlsServer, time.Now)
	made, err := New(Options{Address: tlsServer.URL, CAFile: direct.options.CAFile, Proxy: chosen})
	if err != nil {
		t.Fatal(err)
	}
	const want = "http://fragments.example.net/1/1-1"
	if got, err := made.Get(t.Context(), want, 100); err != nil || string(got) != want || through.Load() != 1 {
		t.Errorf("got %q, %v, %d through the proxy", got, err, through.Load())
	}
	for _, text := range []string{"ftp://a", "proxy:3128", "http://", "http://a/path", "%"} {
		if _, err := ParseProxy(text); core.ClassOf(err) != core.ClassField {
			t.Errorf("%q: got %v", text, err)
		}
	}
	for _, text := range []string{"", "none", "system", "socks5://a:1080", "https://a"} {
		if _, err := ParseProxy(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// parseBasic reads a header of HTTP's Basic scheme.
func parseBasic(header string) (user, password string, ok bool) {
	request := http.Request{Header: http.Header{"Authorization": {header}}}
	return request.BasicAuth()
}
