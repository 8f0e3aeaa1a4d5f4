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

func (h *Host) isGreeted(conn network.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.greeted[conn.ID()]
}

// disconnected forgets a connection.
func (h *Host) disconnected(_ network.Network, conn network.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.greeted, conn.ID())
}

// greet greets the other side of a connection, once; whoever comes while that is under way waits for its end.
func (h *Host) greet(ctx context.Context, conn network.Conn) error {
	for {
		h.mu.Lock()
		if h.greeted[conn.ID()] {
			h.mu.Unlock()
			return nil
		}
		underWay, others := h.greets[conn.ID()]
		if !others {
			done := make(chan struct{})
			h.greets[conn.ID()] = done
			h.mu.Unlock()
			err := h.greetNow(ctx, conn)
			h.mu.Lock()
			delete(h.greets, conn.ID())
			h.mu.Unlock()
			close(done)
			return err
		}
		h.mu.Unlock()
		select {
		case <-underWay:
		case <-ctx.Done():
			return ctx.Err()
		}
		if conn.IsClosed() {
			return ErrNotGreeted
		}
	}
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

// greeting answers a member that greets us. What it is not admitted for, it is told.
func (h *Host) greeting(conn network.Conn, control *stream) error {
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
	if !conn.IsClosed() {
		h.greeted[conn.ID()] = true
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
