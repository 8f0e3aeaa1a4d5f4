package link

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"enjambre/core"
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
	opened, err := conn.NewStream(ctx)
	if err == nil {
		deadline, _ := ctx.Deadline()
		err = opened.SetDeadline(deadline)
	}
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = opened.Reset() })
		defer stop()
		_, err = opened.Write([]byte{greetingStream})
	}
	if err == nil {
		err = h.sayHello(opened)
	}
	if err == nil {
		err = h.hearHello(conn, bufio.NewReaderSize(opened, 512))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrNotGreeted, err), conn.Close())
	}
	_ = opened.Close() // all has been read
	h.admit(conn)
	return nil
}

// greeting answers a member that greets us.
func (h *Host) greeting(conn network.Conn, opened network.Stream, reader *bufio.Reader) error {
	err := opened.SetDeadline(time.Now().Add(GreetTime))
	if err == nil {
		_, err = reader.Discard(1)
	}
	if err == nil {
		err = h.hearHello(conn, reader)
	}
	if err == nil {
		h.admit(conn) // before it knows: its next stream may be here before our next line
		err = h.sayHello(opened)
	}
	if err != nil {
		h.options.Log.Warn("member not admitted", "member", conn.RemotePeer(), "address", conn.RemoteMultiaddr(),
			"reason", err)
		return errors.Join(err, conn.Close())
	}
	return opened.Close()
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
	if len(hello) > MaxHello {
		return core.Refuse(core.ClassLimit, "our hello has %d bytes: at most %d are allowed", len(hello), MaxHello)
	}
	_, err = to.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(hello))), hello...))
	return err
}

// hearHello reads and judges the other side's hello.
func (h *Host) hearHello(conn network.Conn, from io.Reader) error {
	var length [2]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return fmt.Errorf("no hello: %w", err)
	}
	size := int(binary.BigEndian.Uint16(length[:]))
	if size > MaxHello {
		return core.Refuse(core.ClassLimit, "a hello of %d bytes: at most %d are allowed", size, MaxHello)
	}
	hello := make([]byte, size)
	if _, err := io.ReadFull(from, hello); err != nil {
		return fmt.Errorf("half a hello: %w", err)
	}
	member, err := ours(conn)
	if err != nil {
		return err
	}
	return h.options.Judge(member, hello)
}
