package nearby

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// listenGroup opens a socket for a group beside those that other programs have for it. It is bound to the group and
// not to all addresses: else the kernel would give it unicast answers that are for another program, such as avahi. And
// it hears only what comes from interfaces where it joins, not where others have.
func listenGroup(group netip.Addr, nic int) (*net.UDPConn, error) {
	family, level, all := unix.AF_INET, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL
	var bound unix.Sockaddr = &unix.SockaddrInet4{Port: Port, Addr: [4]byte(group.AsSlice()[:4])}
	if group.Is6() {
		family, level, all = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL
		bound = &unix.SockaddrInet6{Port: Port, Addr: group.As16(), ZoneId: uint32(nic)}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "mdns")
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil && family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, level, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		_ = unix.SetsockoptInt(fd, level, all, 0) // kernels before 4.20 do not have it for IPv6: senders are judged besides
		err = unix.Bind(fd, bound)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bind to %v: %w", group, err), file.Close())
	}
	conn, err := net.FilePacketConn(file) // has its own copy
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// sendFrom makes the own address the sender's. Else the kernel may take another one of the computer, in a network that
// whoever hears it does not know: so it does on the loopback.
func sendFrom(conn *net.UDPConn, l lan) error {
	if l.self.Addr().Is6() {
		return nil // its link-local one, which all know
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	from := &unix.IPMreqn{Address: l.self.Addr().As4(), Ifindex: int32(l.nic.Index)}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, from)
	})
	return errors.Join(err, failed)
}
