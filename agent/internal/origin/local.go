package origin

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
)

// A route is where the last connection to the server began, and where the server was found last.
type route struct{ local, server netip.AddrPort }

// keepRoute remembers a connection's ends.
func (c *Client) keepRoute(conn net.Conn) {
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return
	}
	server, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.route = route{local, server}
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

// Local returns the address of this computer that leads to the server now, as the system would choose it, for which no
// packet needs to leave. It is asked for the address where the server was found last, so that no name must be looked
// up; when no way leads there any more, as while a cable is out, it is that connection's.
func (c *Client) Local(ctx context.Context) (netip.Addr, error) {
	c.mu.Lock()
	last := c.route
	c.mu.Unlock()
	server := c.serverPort()
	if last.server.IsValid() {
		server = last.server.String()
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, "udp", server)
	switch {
	case err != nil && last.local.IsValid():
		return plain(last.local), nil
	case err != nil:
		return netip.Addr{}, fmt.Errorf("the address that leads to the server: %w", err)
	}
	defer conn.Close()
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if to, parseErr := netip.ParseAddrPort(conn.RemoteAddr().String()); parseErr == nil {
		c.mu.Lock()
		c.route.server = to // behind a proxy, no connection leads there
		c.mu.Unlock()
	}
	return plain(at), err
}

// plain returns an address as members are told it.
func plain(at netip.AddrPort) netip.Addr { return at.Addr().Unmap().WithZone("") }
