package e2e

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"enjambre/e2e/stage"
)

// TestMemberIPv6: an agent and a server that have nothing else.
func TestMemberIPv6(t *testing.T) {
	if listener, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip(err)
	} else if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	folder := t.TempDir()
	server := &stage.Server{Binary: binary, Daemon: daemon, Data: filepath.Join(folder, "data")}
	b := base{T: t, folder: folder, server: server}
	b.must("init", "--host", "::1")
	if err := server.StartAt(t.Context(), "[::1]:0", "[::1]:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	member, err := stage.NewMember(t.Context(), server, agentBinary, folder, "state", "lyon")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := member.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &site{base: b, member: member}
	if s.device, err = member.Device(); err != nil {
		t.Fatal(err)
	}
	id := s.deploy("--action", "STORE", "--path", filepath.Join(folder, "stored"), "--file", s.script("true", 100<<10),
		"--protocol", "http")
	s.once()
	s.want(id, "SUCCESS", "SUCCESS")
}

// A tunnel is a proxy that only passes connections through.
type tunnel struct{ passed atomic.Int32 }

func (p *tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	there, err := net.DialTimeout("tcp", r.Host, 10*time.Second)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	p.passed.Add(1)
	_, _ = here.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n"))
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(there, buffered); done <- struct{}{} }()
	go func() { _, _ = io.Copy(here, there); done <- struct{}{} }()
	<-done
}

// TestMemberProxy: everything goes through the proxy that is given; that nothing comes of one that is silent is said, and a
// proxy that is not there is named.
func TestMemberProxy(t *testing.T) {
	s := newSite(t)
	through := new(tunnel)
	proxy := httptest.NewServer(through)
	id := s.deploy("--action", "STORE", "--path", filepath.Join(s.folder, "stored"), "--file", s.script("true", 100<<10))
	once := func() (string, error) {
		return s.member.Run(t.Context(), "once", "--state", s.member.State, "--max-time", "30s", "--proxy", proxy.URL)
	}
	if _, err := once(); err != nil {
		t.Fatal(err)
	}
	s.want(id, "SUCCESS", "SUCCESS")
	if through.passed.Load() == 0 {
		t.Error("nothing went through the proxy")
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // which connects, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	output, err := s.member.Run(t.Context(), "once", "--state", s.member.State, "--max-time", "1s",
		"--proxy", "http://"+silent.Addr().String())
	if err == nil {
		t.Error("a contact that is not over is none")
	}
	wantText(t, output, "the contact with the server is not over after 1s")

	proxy.Close()
	output, err = once()
	if err == nil {
		t.Error("it went elsewhere")
	}
	wantText(t, output, "proxy", "connection refused")
}
