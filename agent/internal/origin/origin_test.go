package origin

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{
		"https://deploy.example.net": "https://deploy.example.net/ocsinventory", "https://a:8443/": "https://a:8443/ocsinventory",
		"https://[2001:db8::1]/ocsinventory": "https://[2001:db8::1]/ocsinventory",
	} {
		if got, err := ParseServer(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "deploy.example.net", "http://a", "https://", "https://a/x", "https://u:p@a", "https://a?x=1", "ftp://a"} {
		if got, err := ParseServer(text); err == nil {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

// client returns a client of a server, and the file of its authority.
func client(t *testing.T, server *httptest.Server, now func() time.Time) *Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cacert.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	made, err := New(Options{Address: server.URL + "/ocsinventory", CAFile: file, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	return made
}

// TestBadAnswers: whatever a server sends, the agent says what is wrong with it.
func TestBadAnswers(t *testing.T) {
	write := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	}
	cases := []struct {
		name    string
		handler http.HandlerFunc
		want    string // "" = fine
	}{
		{"good", write(string(ocs.Encode([]byte("<REPLY/>")))), ""},
		{"empty", write(""), ""},
		{"garbage", write("\x78\x9cgarbage"), "no answer of a deployment server"},
		{"too long", write(strings.Repeat("x", maxAnswer+1)), "longer than"},
		{"bomb", write(string(ocs.Encode(make([]byte, 16<<20)))), "no answer of a deployment server"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		},
			"redirects to https://elsewhere.example/"},
		{
			"503",
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
			"answered 503",
		},
		{"half a body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
		}, "broke off"},
		{"clock", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(-25*time.Hour).UTC().Format(http.TimeFormat))
		}, "the clock of this computer is wrong"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewTLSServer(c.handler)
			defer server.Close()
			_, err := client(t, server, time.Now).Exchange(t.Context(), []byte("<REQUEST/>"))
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestNoServer: why no answer comes at all.
func TestNoServer(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	good := client(t, server, time.Now)
	old := client(t, server, func() time.Time { return time.Now().AddDate(-100, 0, 0) })
	stranger := filepath.Join(t.TempDir(), "other.pem")
	ca, err := os.ReadFile(good.options.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stranger, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	named := client(t, server, time.Now)
	named.options.Address = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	insecure := client(t, server, time.Now)
	insecure.options.Address = strings.Replace(plain.URL, "http", "https", 1)
	want := map[string]*Client{
		"it has expired, or the clock of this computer is wrong": old,
		"certificate is for another name":                        named,
		"no TLS is spoken there":                                 insecure,
	}
	for text, one := range want {
		if _, err := one.Exchange(t.Context(), nil); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
	server.Close()
	if _, err := good.Exchange(t.Context(), nil); err == nil ||
		!strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Options{Address: "https://a", CAFile: filepath.Join(t.TempDir(), "missing")}); err == nil {
		t.Error("a missing authority is accepted")
	}
	if err := os.WriteFile(stranger, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Address: "https://a", CAFile: stranger}); err == nil ||
		!strings.Contains(err.Error(), "cacert.pem") {
		t.Errorf("got %v", err)
	}
}

// TestServerTime: the server's time goes on while the computer sleeps, which timers and Go's own clock do not count,
// and is said once.
func TestServerTime(t *testing.T) {
	theirs := time.Now().Truncate(time.Second).Add(5 * time.Minute)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", theirs.UTC().Format(http.TimeFormat))
	}))
	defer server.Close()
	now := time.Now()
	c := client(t, server, func() time.Time { return now })
	passed := time.Hour
	c.options.Steady = func() time.Duration { return passed }
	if got, said := c.ServerTime(); said {
		t.Errorf("before any answer: %v", got)
	}
	if _, err := c.Exchange(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(40, 0, 0) // it is set: that is not the time that has passed
	passed += 14 * time.Hour
	if got, said := c.ServerTime(); !said || !got.Equal(theirs.Add(14*time.Hour)) {
		t.Errorf("got %v, %v, want %v", got, said, theirs.Add(14*time.Hour))
	}
	if got, said := c.ServerTime(); said {
		t.Errorf("the same answer is believed again: %v", got)
	}
}

// TestServerClockWrong: a server whose clock says a time at which its own certificate is not valid is not believed, or
// nobody could call it any more once its clock is right.
func TestServerClockWrong(t *testing.T) {
	for _, wrong := range []int{-200, 200} { // years: the certificate of httptest is valid from 1970 to 2084
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().AddDate(wrong, 0, 0).UTC().Format(http.TimeFormat))
		}))
		defer server.Close()
		c := client(t, server, time.Now)
		if _, err := c.Exchange(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "set the clock of the server") {
			t.Errorf("%d years: got %v", wrong, err)
		}
		if got, said := c.ServerTime(); said {
			t.Errorf("%d years: believed: %v", wrong, got)
		}
	}
}

// TestForeignStatus: what stands in an answer's status line reaches no terminal and no record as it is.
func TestForeignStatus(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buffer.WriteString("HTTP/1.1 404 \x1b[31m\xff\u202e" + strings.Repeat("\u00e9", 100) + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_ = errors.Join(buffer.Flush(), connection.Close())
	}))
	defer server.Close()
	c := client(t, server, time.Now)
	_, getErr := c.Get(t.Context(), server.URL+"/1/info.dsse", 1)
	_, exchangeErr := c.Exchange(t.Context(), nil)
	for _, err := range []error{getErr, exchangeErr} {
		if err == nil || !core.Printable(err.Error()) || !strings.Contains(err.Error(), "404 ?[31m") || len(err.Error()) > 300 {
			t.Errorf("got %q", err)
		}
	}
}

// TestForeignProxy: neither what a proxy answers nor a password on the way to it reaches a log.
func TestForeignProxy(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buffer.WriteString("HTTP/1.1 407 no\x1b[2J\xff\r\nContent-Length: 0\r\n\r\n")
		_ = errors.Join(buffer.Flush(), connection.Close())
	}))
	defer proxy.Close()
	c := client(t, server, time.Now)
	through, err := ParseProxy(strings.Replace(proxy.URL, "http://", "http://user:secret@", 1))
	if err != nil {
		t.Fatal(err)
	}
	c, err = New(Options{Address: server.URL + "/ocsinventory", CAFile: c.options.CAFile, Proxy: through})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Exchange(t.Context(), nil)
	if err == nil || !core.Printable(err.Error()) || !strings.Contains(err.Error(), "no?[2J") ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("got %q", err)
	}
	choose := withoutPassword(func(*http.Request) (*url.URL, error) {
		return nil, errors.New("invalid proxy address \"http://user:secret@a b\"") // as net/http says it
	})
	if _, err := choose(nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
