package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"enjambre/peer/wire"
)

// errTooMany is why a stream is reset.
var errTooMany = errors.New("too many streams wait already")

// A greeting is that of a connection, which there is once: its dialler makes it, and everybody else waits for its end.
type greeting struct {
	isBegun, isGood bool          // good: both have been judged well
	ended           chan struct{} // closed when it is good, or its connection has ended
}

// greetingOf returns a connection's greeting; the mutex is held. That of a connection that has ended has ended.
func (h *Host) greetingOf(conn network.Conn) *greeting {
	g := h.greetings[conn.ID()]
	if g == nil {
		g = &greeting{ended: make(chan struct{})}
		if conn.IsClosed() {
			g.isBegun = true
			close(g.ended)
			return g
		}
		h.greetings[conn.ID()] = g
	}
	return g
}

// begin reports whether the caller is the one who is to make a connection's greeting.
func (h *Host) begin(conn network.Conn) (*greeting, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.greetingOf(conn)
	isFirst := !g.isBegun
	g.isBegun = true
	return g, isFirst
}

// disconnected forgets a connection.
func (h *Host) disconnected(_ network.Network, conn network.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g := h.greetings[conn.ID()]; g != nil && !g.isGood {
		close(g.ended)
	}
	delete(h.greetings, conn.ID())
}

// greet makes the greeting of a connection that we dialled, once, or waits for its end.
func (h *Host) greet(ctx context.Context, conn network.Conn) error {
	if conn.Stat().Direction == network.DirOutbound {
		if _, isFirst := h.begin(conn); isFirst {
			return h.greetNow(ctx, conn)
		}
	}
	return h.awaitGreeting(ctx, conn)
}

// awaitGreeting waits until a connection has been greeted. One that its dialler does not greet in time is closed, so
// that another can be made.
func (h *Host) awaitGreeting(ctx context.Context, conn network.Conn) error {
	h.mu.Lock()
	g := h.greetingOf(conn)
	h.mu.Unlock()
	late := time.NewTimer(GreetTime)
	defer late.Stop()
	select {
	case <-g.ended:
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return errors.Join(fmt.Errorf("%w: nothing came for %v", ErrNotGreeted, GreetTime), conn.Close())
	}
	if !h.isGreeted(conn) {
		return ErrNotGreeted
	}
	return nil
}

func (h *Host) isGreeted(conn network.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.greetingOf(conn).isGood
}

// admitted returns nil if a stream that a member has opened may be taken. On a connection that we dialled, it may be
// here before the hello that admits us is; on another, its dialler has heard ours.
func (h *Host) admitted(ctx context.Context, conn network.Conn) error {
	if conn.Stat().Direction == network.DirOutbound {
		return h.awaitGreeting(ctx, conn)
	}
	if !h.isGreeted(conn) {
		return ErrNotGreeted
	}
	return nil
}

// greetNow says hello and judges the answer. A connection that fails is closed.
func (h *Host) greetNow(ctx context.Context, conn network.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, GreetTime)
	defer cancel()
	control, err := h.greetOn(ctx, conn)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrNotGreeted, err), conn.Close())
	}
	h.admit(conn)
	return handOn(h.controls, Stream(control))
}

func (h *Host) greetOn(ctx context.Context, conn network.Conn) (*stream, error) {
	from, err := ours(conn)
	if err != nil {
		return nil, err
	}
	opened, err := conn.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = opened.Reset() })
	defer stop()
	control := &stream{Stream: opened, from: from, ours: true, peeked: bufio.NewReaderSize(opened, 512)}
	if err := h.sayHello(control); err != nil {
		return nil, err
	}
	return control, h.hearHello(control)
}

// errTwice is why a hello is out of place.
var errTwice = errors.New("a hello that is not the first, or not the dialler's")

// answer answers a member that greets us. What it is not admitted for, it is told.
func (h *Host) answer(conn network.Conn, control *stream) error {
	if conn.Stat().Direction != network.DirInbound {
		return errTwice
	}
	if _, isFirst := h.begin(conn); !isFirst {
		return errTwice
	}
	err := control.SetDeadline(time.Now().Add(GreetTime))
	if err == nil {
		err = h.hearHello(control)
	}
	if err == nil {
		h.admit(conn) // before it knows: its next stream may be here before our next line
		err = h.sayHello(control)
	}
	if err == nil {
		err = control.SetDeadline(time.Time{})
	}
	if err != nil {
		h.options.Log.Warn("member not admitted", "member", control.from, "address", conn.RemoteMultiaddr().String(),
			"reason", err)
		return errors.Join(err, conn.Close())
	}
	return handOn(h.controls, Stream(control))
}

func (h *Host) admit(conn network.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g := h.greetingOf(conn); !conn.IsClosed() {
		g.isGood = true
		close(g.ended)
	}
}

// sayHello writes our hello.
func (h *Host) sayHello(to io.Writer) error {
	hello, err := h.options.Hello()
	if err != nil {
		return err
	}
	return write(to, hello)
}

func write(to io.Writer, frame wire.Frame) error {
	data, err := wire.Append(nil, frame)
	if err == nil {
		_, err = to.Write(data)
	}
	return err
}

// partingTime is how long a member that is refused may take to hear why.
const partingTime = time.Second

// hearHello reads and judges the other side's hello.
func (h *Host) hearHello(control *stream) error {
	frame, err := wire.Read(control, wire.KindHello, wire.KindRefusal)
	if err != nil {
		return fmt.Errorf("no hello: %w", err)
	}
	switch frame := frame.(type) {
	case wire.Hello:
		code, err := h.options.Judge(control.from, frame)
		if err != nil {
			h.part(control, wire.NewRefusal(code, err.Error()))
		}
		return err
	case wire.Refusal:
		return frame
	}
	panic(fmt.Sprintf("link: wire.Read gives a %T that nobody wanted", frame))
}

// part says a last word, and waits a moment until it has been heard.
func (h *Host) part(control *stream, refusal wire.Refusal) {
	err := control.SetDeadline(time.Now().Add(partingTime))
	if err == nil {
		err = write(control, refusal)
	}
	if err == nil {
		err = control.CloseWrite()
	}
	if err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(control, 1<<10)) // until it closes, having read
	}
}
