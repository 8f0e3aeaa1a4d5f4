//go:build !linux

package nearby

import (
	"context"
	"net"
	"net/netip"
)

// listenGroup opens a socket for a group beside those that other programs have for it. Here it is bound to all
// addresses, as Go binds those of groups.
func listenGroup(group netip.Addr, _ int) (*net.UDPConn, error) {
	network := "udp4"
	if group.Is6() {
		network = "udp6"
	}
	address := netip.AddrPortFrom(group, Port).String()
	conn, err := new(net.ListenConfig).ListenPacket(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// sendFrom leaves the choice among the interface's addresses to the system.
func sendFrom(*net.UDPConn, lan) error { return nil }
