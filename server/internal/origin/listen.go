package origin

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// sendBuffer is what the system may hold of a body that the network has not taken, in bytes. With more, a body
// would count as sent long before it is.
const sendBuffer = 32 << 10

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

type connKey struct{}

// ConnContext is for http.Server: a request then knows its connection.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// connOf returns a request's connection. A server without ConnContext is a mistake in the program.
func connOf(ctx context.Context) net.Conn { return ctx.Value(connKey{}).(net.Conn) }

// shrinkBuffer makes a connection's send buffer small, as far as it can be reached. It stays so: who asks for
// the next fragment fetches nothing large besides.
func shrinkBuffer(conn net.Conn) error {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if socket, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		return socket.SetWriteBuffer(sendBuffer)
	}
	return nil
}
