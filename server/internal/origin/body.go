package origin

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// How a body is written.
const (
	pieceSize   = 16 << 10               // bytes, at most
	minPiece    = 1 << 10                // bytes, however slow
	smooth      = 100 * time.Millisecond // a piece takes no longer at its rate, unless it is minPiece
	pieceWindow = time.Minute            // that a piece may take; its lease is overdue long before
	resetWait   = 5 * time.Second        // from a reset to the end of the whole connection, if the body is stuck
)

// A body is one that runs. The site's goroutine orders, the request's carries out.
type body struct {
	rate  atomic.Int64  // bytes a second; 0 without limit
	reset chan struct{} // closed by the site's goroutine to break it off

	isReset bool // of the site's goroutine
}

func newBody() *body { return &body{reset: make(chan struct{})} }

// breakOff makes the writer stop.
func (b *body) breakOff() {
	if !b.isReset {
		b.isReset = true
		close(b.reset)
	}
}

// A stream writes one body. Make it with newStream and end it.
type stream struct {
	*body
	control *http.ResponseController
	next    time.Time // when the next piece may begin, so as not to exceed the rate

	ended  chan struct{}
	helper sync.WaitGroup

	mu     sync.Mutex // guards what follows
	broken bool
}

// newStream returns a stream over a connection, whose writes end at once when the body is reset. In HTTP/2 they
// do not if the line is dead: then the connection is closed.
func newStream(b *body, control *http.ResponseController, conn io.Closer) *stream {
	s := &stream{body: b, control: control, ended: make(chan struct{})}
	s.helper.Go(func() {
		select {
		case <-b.reset:
			s.interrupt()
			timer := time.NewTimer(resetWait)
			defer timer.Stop()
			select {
			case <-timer.C:
				_ = conn.Close() // what it would say is that the line is dead
			case <-s.ended:
			}
		case <-s.ended:
		}
	})
	return s
}

// interrupt ends the write that is under way, and forbids others.
func (s *stream) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = true
	_ = s.control.SetWriteDeadline(time.Unix(1, 0)) // net/http can always
}

// end waits for the stream's helper, after which a reset does nothing, and lifts the deadline of the last
// piece.
func (s *stream) end() {
	close(s.ended)
	s.helper.Wait()
	if !s.broken {
		_ = s.control.SetWriteDeadline(time.Time{})
	}
}

// arm allows the next piece its time; false after a reset.
func (s *stream) arm() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.broken {
		_ = s.control.SetWriteDeadline(time.Now().Add(pieceWindow))
	}
	return !s.broken
}

// copy writes size bytes of from, and reports each piece that the network took. It returns false if they are
// not all sent.
func (s *stream) copy(ctx context.Context, w io.Writer, from io.Reader, size int64, sent func(int64)) bool {
	buffer := make([]byte, pieceSize)
	for size > 0 {
		piece := buffer[:min(size, pieceOf(s.rate.Load()))]
		if !s.pace(ctx, int64(len(piece))) || !s.arm() {
			return false
		}
		if _, err := io.ReadFull(from, piece); err != nil {
			return false
		}
		if _, err := w.Write(piece); err != nil {
			return false
		}
		if err := s.control.Flush(); err != nil {
			return false
		}
		sent(int64(len(piece)))
		size -= int64(len(piece))
	}
	return true
}

// pieceOf returns how large a piece is at a rate, in bytes.
func pieceOf(rate int64) int64 {
	if rate == 0 {
		return pieceSize
	}
	return max(minPiece, min(rate/int64(time.Second/smooth), pieceSize))
}

// pace waits until a piece may be sent; false if the body is not wanted any more.
func (s *stream) pace(ctx context.Context, bytes int64) bool {
	now := time.Now()
	if s.next.After(now) {
		timer := time.NewTimer(s.next.Sub(now))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.reset:
			return false
		case <-ctx.Done():
			return false
		}
	} else {
		s.next = now
	}
	if rate := s.rate.Load(); rate > 0 {
		s.next = s.next.Add(time.Duration(float64(bytes) / float64(rate) * float64(time.Second)))
	}
	return true
}
