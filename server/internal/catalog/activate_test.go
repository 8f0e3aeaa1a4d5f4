package catalog

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/server/internal/store"
)

// TestCheck changes one thing in what a web server has, and reads what the check says.
func TestCheck(t *testing.T) {
	c := newCatalog(t)
	archive := write(t, "p.tar.gz", tarGz(t, "a", "b"))
	built, err := c.Build(t.Context(),
		Form{Name: "a", OS: "linux", Action: "STORE", Priority: "1", Path: "/x", File: archive}, now)
	check(t, err)
	id := built.Package.ID
	folder := c.Depot.Folder(id)
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(folder, name))
		check(t, err)
		return data
	}
	document, fragment := read("info"), read(id.String()+"-1")
	infoPath, fragmentPath := "/d/"+id.String()+"/info", "/d/"+id.String()+"/"+id.String()+"-1"
	cases := []struct {
		name   string
		change func(map[string][]byte, *http.Handler)
		want   []string // all in the message; none = all is well
	}{
		{"good", func(map[string][]byte, *http.Handler) {}, nil},
		{
			"info missing",
			func(files map[string][]byte, _ *http.Handler) { delete(files, infoPath) },
			[]string{infoPath, "404"},
		},
		{
			"both missing",
			func(files map[string][]byte, _ *http.Handler) { clear(files) },
			[]string{infoPath, fragmentPath},
		},
		{
			"another info",
			func(files map[string][]byte, _ *http.Handler) { files[infoPath] = append(document, ' ') },
			[]string{infoPath, "not the info file"},
		},
		{"wrong bytes", func(files map[string][]byte, _ *http.Handler) {
			files[fragmentPath] = append([]byte{fragment[0] ^ 1}, fragment[1:]...)
		}, []string{fragmentPath, "wrong bytes"}},
		{
			"longer",
			func(files map[string][]byte, _ *http.Handler) { files[fragmentPath] = append(fragment, 0) },
			[]string{fragmentPath, "bytes or more"},
		},
		{
			"shorter",
			func(files map[string][]byte, _ *http.Handler) { files[fragmentPath] = fragment[:10] },
			[]string{fragmentPath, "10 bytes"},
		},
		{"redirect", func(_ map[string][]byte, handler *http.Handler) {
			*handler = http.RedirectHandler("http://127.0.0.1/elsewhere", http.StatusFound)
		}, []string{infoPath, "redirects to http://127.0.0.1/elsewhere"}},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			files := map[string][]byte{
				infoPath:     append([]byte{}, document...),
				fragmentPath: append([]byte{}, fragment...),
			}
			var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if data, found := files[r.URL.Path]; found {
					_, _ = w.Write(data)
					return
				}
				http.NotFound(w, r)
			})
			one.change(files, &handler)
			server := httptest.NewTLSServer(handler)
			defer server.Close()
			place := strings.TrimPrefix(server.URL, "https://") + "/d"
			err := c.Check(t.Context(), store.Activation{Package: id, InfoURL: place, FragmentsURL: place},
				reachOf(server))
			wantMessage(t, err, one.want)
		})
	}
}

func reachOf(server *httptest.Server) Reach {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return Reach{Roots: roots, Own: []string{"127.0.0.1", "other.example"}}
}

func wantMessage(t *testing.T, err error, want []string) {
	t.Helper()
	if (err == nil) != (len(want) == 0) {
		t.Fatalf("got %v, want %v", err, want)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in %v", text, err)
		}
	}
}

// TestCheckConnection: why a place cannot be reached at all.
func TestCheckConnection(t *testing.T) {
	c := newCatalog(t)
	built, err := c.Build(t.Context(),
		Form{Name: "a", OS: "linux", Action: "EXECUTE", Priority: "1", Command: "true"}, now)
	check(t, err)
	handler := http.NotFoundHandler()
	secure, plain := httptest.NewTLSServer(handler), httptest.NewServer(handler)
	defer secure.Close()
	defer plain.Close()
	good := reachOf(secure)
	elsewhere := httptest.NewUnstartedServer(handler)
	elsewhere.TLS = &tls.Config{Certificates: secure.TLS.Certificates}
	elsewhere.StartTLS()
	defer elsewhere.Close()
	_, port, err := net.SplitHostPort(elsewhere.Listener.Addr().String())
	check(t, err)
	cases := []struct {
		name, place string
		reach       Reach
		want        string
	}{
		{"refused", "127.0.0.1:1", good, "connection refused: no server listens there"},
		{"no TLS", strings.TrimPrefix(plain.URL, "http://"), good, "no TLS is spoken there"},
		{
			"unknown authority",
			strings.TrimPrefix(secure.URL, "https://"),
			Reach{Roots: x509.NewCertPool(), Own: good.Own},
			"not signed by the authority in cacert.pem",
		},
		{
			"another host's certificate",
			"localhost:" + port,
			Reach{Roots: good.Roots, Own: []string{"localhost"}},
			"for another host",
		},
		{
			"loopback that is not ours",
			strings.TrimPrefix(secure.URL, "https://"),
			Reach{Roots: good.Roots},
			"on its own computer",
		},
		{"metadata", "169.254.169.254", good, "cannot be a distribution server"},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			err := c.Check(t.Context(), store.Activation{Package: built.Package.ID, InfoURL: one.place + "/d"},
				one.reach)
			wantMessage(t, err, []string{one.want, one.place})
		})
	}
}

// TestNameThatLeadsElsewhere: a name is judged by what it resolves to, when it is dialled.
func TestNameThatLeadsElsewhere(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	check(t, err)
	client := Reach{Roots: x509.NewCertPool()}.client()
	defer client.CloseIdleConnections()
	response, err := client.Get("http://localhost:" + port + "/")
	if err == nil {
		_ = response.Body.Close()
	}
	wantMessage(t, err, []string{"on its own computer"})
}
