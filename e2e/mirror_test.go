package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A mirror is a web server of a site that has copies of package folders. It counts what it is asked for.
type mirror struct {
	place  string // host:port/folder
	folder string

	mu    sync.Mutex
	asked map[string]int // by path
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{place: listener.Addr().String() + "/mirror", folder: t.TempDir(), asked: map[string]int{}}
	files := http.StripPrefix("/mirror", http.FileServer(http.Dir(m.folder)))
	web := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.asked[r.URL.Path]++
		m.mu.Unlock()
		files.ServeHTTP(w, r)
	})}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(listener) }()
	t.Cleanup(func() {
		_ = web.Close()
		<-ended
	})
	return m
}

// take copies a package's folder of the server.
func (m *mirror) take(b *base, id string) {
	b.Helper()
	if err := os.CopyFS(filepath.Join(m.folder, id), os.DirFS(filepath.Join(b.server.Data, "packages", id))); err != nil {
		b.Fatal(err)
	}
}

// fragments returns how often each fragment of a package was asked for since the last call.
func (m *mirror) fragments(id string, count int) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	times := make([]int, count)
	for n := range times {
		times[n] = m.asked[fmt.Sprintf("/mirror/%s/%s-%d", id, id, n+1)]
	}
	clear(m.asked)
	return times
}

// TestMirror: at a site with a web server of its own, whose swarm is on, enrolled agents have the fragments from there and
// from each other, and none from the central server.
func TestMirror(t *testing.T) {
	const agents, count = 3, 12
	s := newSwarm(t, agents, slowRate)
	m := newMirror(t)
	file := s.script("true", 64<<10*(count-1)+1000)
	id := s.build("--action", "LAUNCH", "--command", "run.sh", "--file", file, "--fragment-size", "64KiB", "--protocol", "http")
	m.take(&s.base, id)
	s.must("activation", "create", "--package", id, "--site", "lyon", "--fragments-url", m.place)
	m.fragments(id, count) // the check has asked for each
	for _, device := range s.devices {
		s.must("affect", "--package", id, "--computer", device)
	}
	s.waitFor("the results", func() bool {
		return strings.Contains(s.must("rollout", "status", "--package", id, "--json"), fmt.Sprintf(`"SUCCESS":%d`, agents))
	})
	for n, times := range m.fragments(id, count) {
		if times == 0 || times > agents { // it lends nothing, so several may ask for one; but nobody asks twice
			t.Errorf("fragment %d was had %d times from the site's web server by %d agents", n+1, times, agents)
		}
	}
	if sent, _ := s.sent("lyon"); len(sent) != 0 {
		t.Errorf("over the WAN went %v", sent)
	}
	if asked := s.requests("agent=enjambre-agent", "/download/"+id+"/"+id+"-"); asked > 0 {
		t.Errorf("%d fragments came from the central server", asked)
	}
}
