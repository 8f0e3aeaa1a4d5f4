package nearby

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Group is that of IPv4: the address that leads there leads to the own network.
var Group = netip.AddrPortFrom(group4, Port)

// The groups of mDNS: no router passes them on.
var (
	group4 = netip.MustParseAddr("224.0.0.251")
	group6 = netip.MustParseAddr("ff02::fb")
)

// hops is what mDNS messages are sent with: others take it as a proof that they crossed no router.
const hops = 255

// openGroup opens the port and joins the group at an interface. It returns where to send to.
func openGroup(l lan) (*net.UDPConn, netip.AddrPort, error) {
	group := group4
	if l.self.Addr().Is6() {
		group = group6.WithZone(l.nic.Name)
	}
	conn, err := listenGroup(group, l.nic.Index)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	to := netip.AddrPortFrom(group, Port)
	if err = join(conn, &l.nic, to); err == nil {
		err = sendFrom(conn, l)
	}
	if err != nil {
		return nil, netip.AddrPort{}, errors.Join(err, conn.Close())
	}
	return conn, to, nil
}

// join joins the group, and sends there and nowhere else. Agents of the same computer hear each other.
func join(conn *net.UDPConn, nic *net.Interface, group netip.AddrPort) error {
	to := net.UDPAddrFromAddrPort(group)
	if group.Addr().Is4() {
		c := ipv4.NewPacketConn(conn)
		return errors.Join(
			c.JoinGroup(nic, to), c.SetMulticastInterface(nic), c.SetMulticastTTL(hops), c.SetMulticastLoopback(true))
	}
	c := ipv6.NewPacketConn(conn)
	return errors.Join(
		c.JoinGroup(nic, to), c.SetMulticastInterface(nic), c.SetMulticastHopLimit(hops), c.SetMulticastLoopback(true))
}
