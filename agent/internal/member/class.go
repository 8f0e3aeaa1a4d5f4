package member

import (
	"net"
	"net/netip"

	"enjambre/peer/owner"
)

// classOf returns how much the agent fetches for others, by the interface that has its address.
func classOf(address netip.Addr) owner.Weight {
	name, found := interfaceOf(address)
	if !found {
		return owner.Medium
	}
	return classOfInterface(name)
}

// interfaceOf returns the name of the interface that has an address.
func interfaceOf(address netip.Addr) (string, bool) {
	all, err := net.Interfaces()
	if err != nil {
		return "", false
	}
	for _, one := range all {
		addresses, err := one.Addrs()
		if err != nil {
			continue
		}
		for _, has := range addresses {
			prefix, err := netip.ParsePrefix(has.String())
			if err == nil && prefix.Addr().Unmap() == address {
				return one.Name, true
			}
		}
	}
	return "", false
}
