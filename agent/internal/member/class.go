package member

import (
	"net/netip"

	"enjambre/peer/owner"
)

// classOf returns how much the agent fetches for others, by the interface that has its address.
func classOf(address netip.Addr) owner.Weight {
	at, found := cardOf(address, readCards())
	if !found {
		return owner.Medium
	}
	return classOfInterface(at.name)
}

// classOf returns the same as the settings have it: a tunnel that is as good as a LAN takes part, and fetches little.
func (m *Member) classOf(address netip.Addr) owner.Weight {
	class := classOf(address)
	if class == owner.Never && m.options.Tunnels {
		return owner.Light
	}
	return class
}

// networkOf returns the network that an address of this computer is in; the zero Prefix if it has no such address.
func networkOf(address netip.Addr) netip.Prefix { return networkIn(address, readCards(), onLink) }
