package origin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// A route is where the last connection to the gate began, and where the gate was found last: the server itself, or the
// proxy that leads to it.
type route struct{ local, gate netip.AddrPort }

// keepRoute remembers a connection's ends. Of a gate with addresses of both families connections take one or the other,
// whichever answers first: that is no other way, so the one that was taken first counts as long as there is a way to it.
func (c *Client) keepRoute(conn net.Conn) {
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return
	}
	gate, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	former := c.route
	if former.gate.IsValid() && former.local.IsValid() && plain(former.gate).Is4() != plain(gate).Is4() {
		if _, _, err := toward(context.Background(), former.gate.String()); err == nil { // of an address: nothing waits
			return
		}
	}
	c.route = route{local, gate}
}

// gatePorts are the ports of proxies whose URL names none, as net/http has them, and the server's.
var gatePorts = map[string]string{"http": "80", "https": "443", "socks5": "1080"}

// gate returns host:port of what connections to the server lead to first: the proxy if there is one for it, and whether it
// is one.
func (c *Client) gate() (hostPort string, isProxy bool) {
	server, err := url.Parse(c.options.Address)
	if err != nil {
		return "", false // ParseServer would have refused it
	}
	if choose := c.options.Proxy.choose(); choose != nil {
		if proxy, err := choose(&http.Request{URL: server}); err == nil && proxy != nil {
			return portOf(proxy), true
		}
	}
	return portOf(server), false
}

// portOf returns host:port of an address.
func portOf(address *url.URL) string {
	port := address.Port()
	if port == "" {
		port = gatePorts[address.Scheme]
	}
	return net.JoinHostPort(address.Hostname(), port)
}

// Local returns the address of this computer that leads to the server now, as the system would choose it, for which no
// packet needs to leave; behind a proxy, the one that leads to that. It is asked for the address where that was found
// last, so that no name must be looked up; when no way leads there any more, as while a cable is out, it is that
// connection's. A proxy on this computer itself tells nothing: then it is what leads to the server past the proxy, if
// its name is known here. An error says that nothing tells.
func (c *Client) Local(ctx context.Context) (netip.Addr, error) {
	c.mu.Lock()
	last := c.route
	c.mu.Unlock()
	gate, isProxy := c.gate()
	if last.gate.IsValid() {
		gate = last.gate.String()
	}
	local, remote, err := toward(ctx, gate)
	switch {
	case err != nil && last.local.IsValid():
		local = last.local
	case err != nil:
		return netip.Addr{}, fmt.Errorf("the address that leads to the server: %w", err)
	default:
		c.mu.Lock()
		c.route.gate = remote
		c.mu.Unlock()
	}
	if isProxy && plain(local).IsLoopback() {
		return c.past(ctx)
	}
	return plain(local), nil
}

// past returns the address that leads to the server itself, of a computer whose proxy is on it.
func (c *Client) past(ctx context.Context) (netip.Addr, error) {
	server, err := url.Parse(c.options.Address)
	if err != nil {
		return netip.Addr{}, err
	}
	c.mu.Lock()
	known, asked := c.server, c.asked
	c.mu.Unlock()
	place := portOf(server)
	switch now := time.Now(); {
	case known.IsValid():
		place = known.String()
	case !asked.IsZero() && now.Sub(asked) < askAgain:
		return netip.Addr{}, errOwnProxy
	default:
		c.mu.Lock()
		c.asked = now
		c.mu.Unlock()
	}
	local, remote, err := toward(ctx, place)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %w", errOwnProxy, err)
	}
	c.mu.Lock()
	c.server = remote
	c.mu.Unlock()
	return plain(local), nil
}

// askAgain is how often at most the server's name is looked up that a proxy may know alone: Local is called twice a second.
const askAgain = time.Minute

// errOwnProxy says that a proxy does not tell where the computer is.
var errOwnProxy = errors.New("the proxy is on this computer, and nothing else leads to the server")

// toward returns the ends that a connection to a place would have. Only a name is asked for.
func toward(ctx context.Context, place string) (local, remote netip.AddrPort, err error) {
	conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "udp", place)
	if err != nil {
		return netip.AddrPort{}, netip.AddrPort{}, err
	}
	defer conn.Close()
	if local, err = netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
		remote, err = netip.ParseAddrPort(conn.RemoteAddr().String())
	}
	return local, remote, err
}

// plain returns an address as members are told it.
func plain(at netip.AddrPort) netip.Addr { return at.Addr().Unmap().WithZone("") }
