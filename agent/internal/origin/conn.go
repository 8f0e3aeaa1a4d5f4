package origin

import (
	"context"
	"errors"
	"net"
)

// A trackedConn is known to its Client until it is closed.
type trackedConn struct {
	net.Conn
	of *Client
}

// Close closes it.
func (c *trackedConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// A dialler opens a connection.
type dialler func(ctx context.Context, network, address string) (net.Conn, error)

// track makes a dialler that remembers what it has opened, and where connections to the server, or to its proxy, lead; those
// to hosts of files do not count for that.
func (c *Client) track(dial dialler) dialler {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if gate, _ := c.gate(); address == gate {
			c.keepRoute(conn)
		}
		tracked := &trackedConn{conn, c}
		c.mu.Lock()
		c.conns[tracked] = true
		c.mu.Unlock()
		return tracked, nil
	}
}

// errRenewed is why what was under way is broken off.
var errRenewed = errors.New("the computer has slept, or is elsewhere")

// untilRenewed returns a context that Renew ends, and what is to be called when the work with it is over. A closed
// connection alone would have net/http, or a loop of ours, ask again over another.
func (c *Client) untilRenewed(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	work := &cancel
	c.works[work] = true
	return ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.works, work)
		cancel(nil)
	}
}

// Renew closes all connections, whose other ends may have ended while the computer slept, or lead nowhere since it was
// carried elsewhere: what is under way fails at once instead of waiting for an answer that does not come, and what comes
// next has connections of its own. No body is gone on with by itself: whether that is still wanted is the caller's to say.
func (c *Client) Renew() {
	c.mu.Lock()
	for work := range c.works { // before the connections: whoever sees one closed knows why
		(*work)(errRenewed)
	}
	var open []*trackedConn
	for conn := range c.conns {
		open = append(open, conn)
	}
	c.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close() // whoever uses it is told
	}
	c.Close()
}
