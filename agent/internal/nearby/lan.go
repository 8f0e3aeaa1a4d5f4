package nearby

import (
	"fmt"
	"net"
	"net/netip"
)

// broadcast is on no network and would reach everyone.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// A lan is the network interface that has the own address, and the networks that are connected there, in its family.
type lan struct {
	nic      net.Interface
	self     netip.AddrPort
	networks []netip.Prefix
}

// lanOf finds the interface that has the address of a place.
func lanOf(self netip.AddrPort) (lan, error) {
	all, err := net.Interfaces()
	if err != nil {
		return lan{}, err
	}
	for _, one := range all {
		addresses, err := one.Addrs()
		if err != nil {
			continue // it has gone meanwhile
		}
		l := lan{nic: one, self: self}
		isOurs := false
		for _, has := range addresses {
			prefix, err := netip.ParsePrefix(has.String())
			if err != nil || prefix.Addr().Is4() != self.Addr().Is4() {
				continue
			}
			isOurs = isOurs || prefix.Addr() == self.Addr()
			l.networks = append(l.networks, prefix.Masked())
		}
		if isOurs {
			return l, nil
		}
	}
	return lan{}, fmt.Errorf("no network interface has address %v", self.Addr())
}

// hears reports whether a sender is on the link and speaks mDNS.
func (l lan) hears(from netip.AddrPort) bool {
	address := from.Addr().Unmap().WithZone("")
	return from.Port() == Port && address.Is4() == l.self.Addr().Is4() &&
		(address.Is6() && address.IsLinkLocalUnicast() || l.connects(address))
}

// admits reports whether a member may be at a place that was announced. An interface with single addresses only, such
// as DHCPv6 gives, does not say what is on the link: there any unicast address may be.
func (l lan) admits(at netip.AddrPort) bool {
	address := at.Addr()
	switch {
	case at.Port() == 0, address.Is4() != l.self.Addr().Is4(), address.Is4In6(), address.Zone() != "":
		return false
	case address.IsUnspecified(), address.IsMulticast(), address.IsLinkLocalUnicast():
		return false
	case at.Compare(l.self) == 0, address.IsLoopback() != l.self.Addr().IsLoopback(), address == broadcast:
		return false
	}
	if l.connects(address) {
		return !l.isEdge(address)
	}
	for _, network := range l.networks {
		if !network.IsSingleIP() && !network.Addr().IsLinkLocalUnicast() {
			return false
		}
	}
	return address.Is6()
}

func (l lan) connects(address netip.Addr) bool {
	for _, network := range l.networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// isEdge reports whether an IPv4 address is the first or the last of a network: no host's, but in the smallest ones.
func (l lan) isEdge(address netip.Addr) bool {
	if address.Is6() {
		return false
	}
	for _, network := range l.networks {
		if network.Bits() > 30 || !network.Contains(address) {
			continue
		}
		last := network.Addr().As4()
		for bit := network.Bits(); bit < 32; bit++ {
			last[bit/8] |= 0x80 >> (bit % 8)
		}
		if address == network.Addr() || address == netip.AddrFrom4(last) {
			return true
		}
	}
	return false
}
