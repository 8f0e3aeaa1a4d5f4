package link

import (
	"bufio"
	"context"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"enjambre/peer/id"
	"enjambre/peer/wire"
)

// A Stream is one exchange with a member.
type Stream interface {
	io.ReadWriteCloser
	Peer() id.Peer               // whom it leads to, as the handshake proved
	Ours() bool                  // we have opened it, not the other side
	CloseWrite() error           // tells the other side that nothing more comes
	Reset() error                // ends both directions at once; what is on the way is lost
	SetDeadline(time.Time) error // of reading and writing
	Disconnect() error           // closes the connection that the stream is of, with all its streams
}

// A stream is a Stream of libp2p's swarm.
type stream struct {
	network.Stream
	from   id.Peer
	ours   bool
	peeked *bufio.Reader // with the first byte still in it; nil for streams that we opened
}

func (s *stream) Peer() id.Peer { return s.from }
func (s *stream) Ours() bool    { return s.ours }

func (s *stream) Disconnect() error { return s.Conn().Close() }

func (s *stream) Read(p []byte) (int, error) {
	if s.peeked != nil {
		return s.peeked.Read(p)
	}
	return s.Stream.Read(p)
}

// serve takes a stream that a member has opened: libp2p calls it in a goroutine of its own.
func (h *Host) serve(opened network.Stream) {
	h.streams.Add(1)
	defer h.streams.Done()
	if err := h.take(opened); err != nil {
		h.options.Log.Debug("stream refused", "member", opened.Conn().RemotePeer(), "reason", err)
		_ = opened.Reset()
	}
}

// take reads a stream's first byte and hands it on.
func (h *Host) take(opened network.Stream) error {
	conn := opened.Conn()
	from, err := ours(conn)
	if err == nil {
		err = opened.SetReadDeadline(time.Now().Add(GreetTime))
	}
	if err != nil {
		return err
	}
	taken := &stream{Stream: opened, from: from, peeked: bufio.NewReaderSize(opened, 512)}
	first, err := taken.peeked.Peek(1)
	if err != nil {
		return err
	}
	kind := wire.Kind(first[0])
	if kind == wire.KindHello {
		return h.answer(conn, taken)
	}
	if err := h.admitted(context.Background(), conn); err != nil {
		return err
	}
	if err := opened.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if kind != wire.KindGossip {
		return handOn(h.accepted, Stream(taken))
	}
	if _, err := wire.Read(taken, wire.KindGossip); err != nil {
		return err
	}
	return handOn(h.gossip, newGossipConn(taken, conn))
}

// handOn gives a stream to whoever waits for such, and refuses it if too many wait.
func handOn[T any](to chan T, one T) error {
	select {
	case to <- one:
		return nil
	default:
		return errTooMany
	}
}
