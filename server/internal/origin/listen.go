package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// sendBuffer is what the system may hold of a body that the network has not taken, in bytes. With more, a body
// would count as sent long before it is.
const sendBuffer = 32 << 10

// longTrip is the round trip from which on a buffer of that size would be what limits a body: 64 KiB, as the system
// counts it, in 60 ms are 8 Mbit/s.
const longTrip = 60 * time.Millisecond

// Limit returns a listener with at most so many connections at once; further ones wait. Under TLS too, the
// bodies of a Handler find the sockets of its connections.
func Limit(inner net.Listener, connections int) net.Listener {
	return &limited{Listener: inner, places: make(chan struct{}, connections), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a place and then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close ends Accept.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A placed connection gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// SetWriteBuffer sets the socket's send buffer, in bytes.
func (c *placed) SetWriteBuffer(bytes int) error {
	if socket, ok := c.Conn.(interface{ SetWriteBuffer(int) error }); ok {
		return socket.SetWriteBuffer(bytes)
	}
	return nil
}

// SyscallConn returns the socket itself.
func (c *placed) SyscallConn() (syscall.RawConn, error) {
	if socket, ok := c.Conn.(syscall.Conn); ok {
		return socket.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

type connKey struct{}

// ConnContext is for http.Server: a request then knows its connection.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// connOf returns a request's connection. A server without ConnContext is a mistake in the program.
func connOf(ctx context.Context) net.Conn { return ctx.Value(connKey{}).(net.Conn) }

// shrinkBuffer makes a connection's send buffer small, as far as it can be reached. It stays so: who asks for
// the next fragment fetches nothing large besides.
//
// A send buffer holds what is under way too, so a small one carries little behind a long line: 64 KiB in a round trip
// of 600 ms are less than 1 Mbit/s. There only what has not left yet is kept small, where the system can do that.
func shrinkBuffer(conn net.Conn) error {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if socket, ok := conn.(syscall.Conn); ok && limitUnsent(socket, longTrip, sendBuffer) {
		return nil
	}
	if socket, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		return socket.SetWriteBuffer(sendBuffer)
	}
	return nil
}
