package origin

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
)

// noteLocal makes a dialler that remembers where connections to the server begin; those to hosts of files do not count.
func (c *Client) noteLocal(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string,
	string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil && address == c.serverPort() {
			c.keepLocal(conn.LocalAddr())
		}
		return conn, err
	}
}

// keepLocal remembers our end of a connection.
func (c *Client) keepLocal(at net.Addr) {
	local, err := netip.ParseAddrPort(at.String())
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.local = local.Addr().Unmap().WithZone("")
}

// serverPort returns host:port of the server.
func (c *Client) serverPort() string {
	server, err := url.Parse(c.options.Address)
	if err != nil {
		return "" // ParseServer would have refused it
	}
	port := server.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(server.Hostname(), port)
}

// Local returns the address of this computer that leads to the server: that of the last connection. Before the first,
// and behind a proxy, it is the one that the system would choose, for which no packet needs to leave.
func (c *Client) Local(ctx context.Context) (netip.Addr, error) {
	c.mu.Lock()
	local := c.local
	c.mu.Unlock()
	if local.IsValid() {
		return local, nil
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, "udp", c.serverPort())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("the address that leads to the server: %w", err)
	}
	defer conn.Close()
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return at.Addr().Unmap().WithZone(""), err
}
