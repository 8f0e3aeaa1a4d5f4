package member

import (
	"net"
	"net/netip"

	"enjambre/peer/owner"
)

// classOf returns how much the agent fetches for others, by the interface that has its address.
func classOf(address netip.Addr) owner.Weight {
	name, _, found := interfaceOf(address)
	if !found {
		return owner.Medium
	}
	return classOfInterface(name)
}

// networkOf returns the network that an address of this computer is in; the zero Prefix if it has no such address.
func networkOf(address netip.Addr) netip.Prefix {
	_, network, _ := interfaceOf(address)
	return network
}

// interfaceOf returns the name of the interface that has an address, and the network that it is in by that.
func interfaceOf(address netip.Addr) (name string, network netip.Prefix, found bool) {
	all, err := net.Interfaces()
	if err != nil {
		return "", netip.Prefix{}, false
	}
	for _, one := range all {
		addresses, err := one.Addrs()
		if err != nil {
			continue
		}
		for _, has := range addresses {
			prefix, err := netip.ParsePrefix(has.String())
			if err == nil && prefix.Addr().Unmap() == address {
				return one.Name, netip.PrefixFrom(address, prefix.Bits()).Masked(), true
			}
		}
	}
	return "", netip.Prefix{}, false
}
