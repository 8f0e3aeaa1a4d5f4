package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/next"
)

// A lender is an origin whose answers a test writes. It keeps what it was asked.
type lender struct {
	*testing.T
	server *httptest.Server
	client *Client

	mu    sync.Mutex
	asked []next.Request
}

func newLender(t *testing.T, http2 bool, serve func(w http.ResponseWriter, attempt int)) *lender {
	t.Helper()
	l := &lender{T: t}
	l.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := next.ParseRequest(next.Header(r.Header))
		if err != nil || r.URL.Path != "/download/7/next" {
			t.Errorf("%s: %v", r.URL, err)
		}
		l.mu.Lock()
		l.asked = append(l.asked, request)
		attempt := len(l.asked)
		l.mu.Unlock()
		serve(w, attempt)
	}))
	l.server.EnableHTTP2 = http2
	l.server.StartTLS()
	t.Cleanup(l.server.Close)
	l.client = client(t, l.server, time.Now)
	return l
}

// next asks for fragments 3 and 5, each of which is the content.
func (l *lender) next(begun *Begun) (next.Answer, []byte, error) {
	return l.client.Next(l.Context(), l.server.URL+"/download/7/next", Wish{
		Request: next.Request{
			Weight: 2, Want: []core.FragmentIndex{3, 5}, Acknowledged: []core.FragmentIndex{1},
			Failed: []next.Complaint{{Fragment: 3, Corrupt: true}},
		},
		Have: []byte{2}, Begun: begun, Size: func(core.FragmentIndex) int64 { return int64(len(content)) },
	})
}

func (l *lender) requests() []next.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

// grant sends the content from one byte to another as a fragment, and breaks off if that is not its end.
func grant(w http.ResponseWriter, index core.FragmentIndex, from, to int) {
	next.Answer{
		Status: next.StatusFragment, Fragment: index, From: int64(from), Length: int64(len(content) - from),
	}.Put(next.Header(w.Header()))
	w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
	_, _ = w.Write(content[from:to])
	_ = http.NewResponseController(w).Flush()
	if to < len(content) {
		panic(http.ErrAbortHandler)
	}
}

func refuse(w http.ResponseWriter, answer next.Answer) {
	answer.Put(next.Header(w.Header()))
	w.WriteHeader(answer.Status)
}

// TestNext: what comes of a request, as origins and what stands before them may answer it.
func TestNext(t *testing.T) {
	size := len(content)
	held := next.Answer{
		Status: 409, Reason: "held", Fragment: 5, Holder: id.Peer{1}, RetryAfter: 1500 * time.Millisecond,
	}
	bridge := next.Introduction{To: id.Peer{2}, At: netip.MustParseAddrPort("192.0.2.7:4901")}
	introduced := held
	introduced.Introduce = bridge
	busy := next.Answer{Status: 503, Reason: "busy", RetryAfter: 5 * time.Second}
	silent := func(status int) func(http.ResponseWriter, int) {
		return func(w http.ResponseWriter, _ int) { w.WriteHeader(status) }
	}
	cases := []struct {
		name  string
		serve func(w http.ResponseWriter, attempt int)
		want  next.Answer
		err   string // "" = none
		class core.Class
		asks  int
		begun int // bytes of fragment 3 or 5 that are kept
	}{
		{"whole", func(w http.ResponseWriter, _ int) { grant(w, 5, 0, size) },
			next.Answer{Status: 200, Fragment: 5, Length: int64(size)}, "", "", 1, 0},
		{"resumed twice", func(w http.ResponseWriter, attempt int) {
			at := []int{0, 10_000, 50_000, size}
			grant(w, 5, at[attempt-1], at[attempt])
		}, next.Answer{Status: 200, Fragment: 5, From: 50_000, Length: int64(size - 50_000)}, "", "", 3, 0},
		{"begun anew", func(w http.ResponseWriter, attempt int) { grant(w, 3, 0, []int{0, 5000, size}[attempt]) },
			next.Answer{Status: 200, Fragment: 3, Length: int64(size)}, "", "", 2, 0},
		{"then another", func(w http.ResponseWriter, attempt int) {
			grant(w, []core.FragmentIndex{3, 5}[attempt-1], 0, []int{0, 5000, size}[attempt])
		}, next.Answer{Status: 200, Fragment: 5, Length: int64(size)}, "", "", 2, 5000},
		{"then refused", func(w http.ResponseWriter, attempt int) {
			if attempt == 1 {
				grant(w, 3, 0, 5000)
			}
			refuse(w, held)
		}, held, "", "", 2, 5000},
		{"breaks off for ever", func(w http.ResponseWriter, attempt int) {
			grant(w, 3, (attempt-1)*100, attempt*100)
		}, next.Answer{Status: 200, Fragment: 3, From: 300, Length: int64(size - 300)}, "EOF", "", nextAttempts, 400},
		{"breaks off at once", func(w http.ResponseWriter, _ int) { grant(w, 3, 0, 0) },
			next.Answer{Status: 200, Fragment: 3, Length: int64(size)}, "EOF", "", 1, 0},
		{"held", func(w http.ResponseWriter, _ int) { refuse(w, held) }, held, "", "", 1, 0},
		{"busy", func(w http.ResponseWriter, _ int) { refuse(w, busy) }, busy, "", "", 1, 0},
		{"introduced", func(w http.ResponseWriter, _ int) { refuse(w, introduced) }, introduced, "", "", 1, 0},
		{"introduced by what broke off", func(w http.ResponseWriter, attempt int) {
			if attempt == 1 {
				w.Header().Set("Enjambre-Introduce", bridge.To.String()+"@192.0.2.7:4901")
			}
			grant(w, 5, []int{0, 5000}[attempt-1], []int{0, 5000, size}[attempt])
		}, next.Answer{Status: 200, Fragment: 5, From: 5000, Length: int64(size - 5000), Introduce: bridge}, "", "", 2, 0},
		{"introduced to a word", func(w http.ResponseWriter, _ int) {
			w.Header().Set("Enjambre-Introduce", "anybody")
			w.WriteHeader(http.StatusNoContent)
		}, next.Answer{}, "no leases: it answered 204", "", 1, 0},
		{"complete", silent(204), next.Answer{Status: 204}, "", "", 1, 0},
		{"withdrawn", silent(410), next.Answer{Status: 410}, "", "", 1, 0},
		{"trouble", silent(503), next.Answer{}, "it answered 503", "", 1, 0},
		{"gateway", silent(502), next.Answer{}, "it answered 502", "", 1, 0},
		{"not known", silent(404), next.Answer{}, "no leases: it answered 404", "", 1, 0},
		{"not allowed", silent(405), next.Answer{}, "no leases: it answered 405", "", 1, 0},
		{"a page", func(w http.ResponseWriter, _ int) { _, _ = w.Write([]byte("<html>")) },
			next.Answer{}, "no leases: it answered 200", "", 1, 0},
		{"elsewhere", func(w http.ResponseWriter, _ int) {
			w.Header().Set("Location", "/other")
			w.WriteHeader(http.StatusFound)
		}, next.Answer{}, "follow no redirect", "", 1, 0},
		{"unasked", func(w http.ResponseWriter, _ int) { grant(w, 4, 0, size) }, next.Answer{}, "nobody asked for", "", 1, 0},
		{"from the middle", func(w http.ResponseWriter, _ int) { grant(w, 3, 5, size) },
			next.Answer{Status: 200, Fragment: 3, From: 5, Length: int64(size - 5)},
			"0 bytes are here", core.ClassField, 1, 0},
		{"wrong length", func(w http.ResponseWriter, _ int) {
			next.Answer{Status: 200, Fragment: 3, Length: 7}.Put(next.Header(w.Header()))
			_, _ = w.Write(content[:7])
		}, next.Answer{Status: 200, Fragment: 3, Length: 7}, "want 65536", core.ClassHash, 1, 0},
		{"two lengths", func(w http.ResponseWriter, _ int) {
			next.Answer{Status: 200, Fragment: 3, Length: int64(size)}.Put(next.Header(w.Header()))
			_, _ = w.Write(content[:7])
		}, next.Answer{Status: 200, Fragment: 3, Length: int64(size)}, "and says 65536", core.ClassHash, 1, 0},
		{"too long", func(w http.ResponseWriter, _ int) {
			next.Answer{Status: 200, Fragment: 3, Length: int64(size)}.Put(next.Header(w.Header()))
			_ = http.NewResponseController(w).Flush() // so that no length is said
			_, _ = w.Write(append(bytes.Clone(content), 'x'))
		}, next.Answer{Status: 200, Fragment: 3, Length: int64(size)}, "longer than", core.ClassLimit, 1, 0},
		{"encoded", func(w http.ResponseWriter, _ int) {
			w.Header().Set("Content-Encoding", "gzip")
			grant(w, 3, 0, size)
		}, next.Answer{Status: 200, Fragment: 3, Length: int64(size)}, "which nobody asked for", core.ClassField, 1, 0},
	}
	for _, http2 := range []bool{false, true} {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%s/%v", c.name, http2), func(t *testing.T) {
				l := newLender(t, http2, c.serve)
				var begun Begun
				answer, data, err := l.next(&begun)
				wantErr := c.err
				if http2 && wantErr == "EOF" {
					wantErr = "INTERNAL_ERROR" // how a stream is reset
				}
				switch {
				case answer != c.want:
					t.Errorf("got %+v, %v, want %+v", answer, err, c.want)
				case c.err == "" && (err != nil || !bytes.Equal(data, content) != (c.want.Status != 200)):
					t.Errorf("%d bytes, %v", len(data), err)
				case c.err != "" && (err == nil || !strings.Contains(err.Error(), wantErr) || data != nil ||
					!strings.Contains(err.Error(), l.server.URL) || core.ClassOf(err) != c.class):
					t.Errorf("%d bytes, %v (%s), want %q (%s)", len(data), err, core.ClassOf(err), wantErr, c.class)
				case errors.Is(err, ErrNoLeases) != strings.HasPrefix(c.err, "no leases"):
					t.Errorf("got %v", err)
				case !bytes.Equal(begun.Bytes, content[:c.begun]):
					t.Errorf("%d bytes are kept, want %d", len(begun.Bytes), c.begun)
				}
				if requests := l.requests(); len(requests) != c.asks {
					t.Errorf("asked %d times, want %d: %+v", len(requests), c.asks, requests)
				}
			})
		}
	}
}

// TestNextSaysOnce: a request that goes on says what it has, wants that first, and repeats nothing that was heard.
func TestNextSaysOnce(t *testing.T) {
	l := newLender(t, true, func(w http.ResponseWriter, attempt int) {
		grant(w, 5, []int{0, 20_000}[attempt-1], []int{0, 20_000, len(content)}[attempt])
	})
	if _, _, err := l.next(&Begun{Fragment: 9, Bytes: []byte("not wanted any more")}); err != nil {
		t.Fatal(err)
	}
	requests := l.requests()
	first, second := requests[len(requests)-2], requests[len(requests)-1]
	if first.Have == nil || first.Acknowledged != nil || len(first.Failed) != 1 || first.Resume != (next.Resume{}) {
		t.Errorf("over a new connection: %+v", first)
	}
	if second.Have != nil || second.Acknowledged != nil || second.Failed != nil ||
		second.Resume != (next.Resume{Fragment: 5, From: 20_000}) || !slices.Equal(second.Want, []core.FragmentIndex{5, 3}) {
		t.Errorf("going on: %+v", second)
	}
}

// TestNextFresh: all that is held is said over each new connection, and only there.
func TestNextFresh(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		l := newLender(t, http2, func(w http.ResponseWriter, _ int) { grant(w, 5, 0, len(content)) })
		for i, fresh := range []bool{true, false, true, false} {
			if i == 2 {
				l.server.CloseClientConnections()
			}
			begun := &Begun{}
			if i == 1 { // from a body that broke off in an earlier life
				begun = &Begun{Fragment: 3, Bytes: content[:10]}
			}
			if _, _, err := l.next(begun); err != nil {
				t.Fatal(err)
			}
			requests := l.requests()
			if last := requests[len(requests)-1]; (last.Have != nil) != fresh || (last.Acknowledged == nil) != fresh ||
				(last.Resume.From == 10) != (i == 1) {
				t.Errorf("HTTP/2 %v, request %d: %+v", http2, i, last)
			}
		}
	}
}

// TestNextStill: what stops moving is given up, before an answer as in a body, and what came of it is kept.
func TestNextStill(t *testing.T) {
	for _, answers := range []bool{false, true} {
		for _, http2 := range []bool{false, true} {
			end := make(chan struct{})
			l := newLender(t, http2, func(w http.ResponseWriter, _ int) {
				if answers {
					next.Answer{Status: 200, Fragment: 3, Length: int64(len(content))}.Put(next.Header(w.Header()))
					_, _ = w.Write(content[:7])
					_ = http.NewResponseController(w).Flush()
				}
				<-end
			})
			l.client.answerTime, l.client.stillTime = 300*time.Millisecond, 50*time.Millisecond
			want, kept := "no answer in time", 0
			if answers {
				l.client.answerTime, want, kept = time.Minute, "not a byte", 7
			}
			var begun Begun
			_, _, err := l.next(&begun)
			if err == nil || !strings.Contains(err.Error(), want) || len(begun.Bytes) != kept {
				t.Errorf("answers %v: %v, %d bytes kept", answers, err, len(begun.Bytes))
			}
			close(end)
		}
	}
}

// TestNextAlone: a request that waits holds up neither messages nor other requests, and ends with its context.
func TestNextAlone(t *testing.T) {
	arrived, end := make(chan struct{}, 9), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Enjambre-Want") != "" {
			arrived <- struct{}{}
			<-end
			return
		}
		w.WriteHeader(map[bool]int{true: 204, false: 404}[strings.HasSuffix(r.URL.Path, "/next")])
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	defer close(end)
	l := &lender{T: t, server: server, client: client(t, server, time.Now)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := l.client.Next(ctx, server.URL+"/download/7/next", Wish{
			Request: next.Request{Want: []core.FragmentIndex{1}}, Begun: &Begun{},
		})
		done <- err
	}()
	<-arrived
	if _, err := l.client.Get(t.Context(), server.URL+"/file", 10); !errors.Is(err, ErrNotThere) {
		t.Errorf("got %v", err)
	}
	answer, _, err := l.client.Next(t.Context(), server.URL+"/download/7/next", Wish{
		Request: next.Request{Acknowledged: []core.FragmentIndex{1}}, Have: []byte{2},
	})
	if err != nil || answer.Status != next.StatusComplete {
		t.Errorf("an acknowledgement: %+v, %v", answer, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestNextRenewed: what Renew breaks off is not asked for again: neither a body that had begun, what came of which is kept,
// nor a request that waited.
func TestNextRenewed(t *testing.T) {
	for _, begins := range []bool{false, true} {
		for _, http2 := range []bool{false, true} {
			arrived, end := make(chan struct{}, 9), make(chan struct{})
			l := newLender(t, http2, func(w http.ResponseWriter, attempt int) {
				if attempt == 1 { // so that the connection is one that has been used
					grant(w, 3, 0, len(content))
					return
				}
				if begins {
					next.Answer{Status: 200, Fragment: 3, Length: int64(len(content))}.Put(next.Header(w.Header()))
					_, _ = w.Write(content[:7])
					_ = http.NewResponseController(w).Flush()
				}
				arrived <- struct{}{}
				<-end
			})
			if _, _, err := l.next(&Begun{}); err != nil {
				t.Fatal(err)
			}
			began := make(chan struct{}, 9)
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotFirstResponseByte: func() { began <- struct{}{} },
			})
			var begun Begun
			failed := make(chan error, 1)
			go func() {
				_, _, err := l.client.Next(ctx, l.server.URL+"/download/7/next", Wish{
					Request: next.Request{Want: []core.FragmentIndex{3}}, Begun: &begun,
					Size: func(core.FragmentIndex) int64 { return int64(len(content)) },
				})
				failed <- err
			}()
			if <-arrived; begins {
				<-began
			}
			l.client.Renew()
			if err := <-failed; err == nil {
				t.Errorf("begins %v, HTTP/2 %v: no error", begins, http2)
			}
			if asked := len(l.requests()); asked != 2 {
				t.Errorf("begins %v, HTTP/2 %v: asked %d times, want 2", begins, http2, asked)
			}
			if kept := len(begun.Bytes); kept != 0 && kept != 7 || !begins && kept != 0 {
				t.Errorf("begins %v, HTTP/2 %v: %d bytes are kept", begins, http2, kept)
			}
			close(end)
		}
	}
}
