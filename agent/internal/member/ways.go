package member

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"enjambre/core"
	"enjambre/peer/owner"
)

// A card is an interface of this computer, as far as it says where the computer is.
type card struct {
	name      string
	addresses []netip.Prefix // with the length of the network that each is in, IPv4 in IPv4 form, without zone
}

// ways are where members reach this computer: its first address, and the one of the other family if it has both. The zero
// ways are nowhere.
type ways struct{ first, also netip.Addr }

// reach reports whether an address is of a family that is there.
func (w ways) reach(address netip.Addr) bool {
	return address.IsValid() && (address.Is4() == w.first.Is4() || w.also.IsValid())
}

// alsoAt returns the other address with a port; the zero AddrPort if there is none.
func (w ways) alsoAt(port uint16) netip.AddrPort {
	if !w.also.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(w.also, port)
}

// waysOf decides where members reach a computer whose address lead leads to the server. Both families of the interface
// that has it are told, IPv4 as the first, so that it does not matter which family a connection to the server took, and
// members of whichever family meet. The addresses that were told before are kept while the interface has them: privacy
// addresses of IPv6 come and go. Loopback interfaces have one family, since nobody but this computer is there.
func waysOf(lead netip.Addr, cards []card, before ways) (ways, error) {
	if !lead.IsValid() || lead.IsUnspecified() || lead.IsMulticast() || lead.IsLinkLocalUnicast() {
		return ways{}, core.Refuse(core.ClassField, "address %v leads to the server: no member can reach it", lead)
	}
	at, found := cardOf(lead, cards)
	if !found || lead.IsLoopback() {
		return ways{first: lead}, nil
	}
	has := func(address netip.Addr) bool {
		return address.IsValid() && slices.ContainsFunc(at.addresses, isAt(address))
	}
	if before.first.Is4() == lead.Is4() && has(before.first) {
		lead = before.first
	} else if before.also.Is4() == lead.Is4() && has(before.also) {
		lead = before.also
	}
	other := netip.Addr{}
	for _, one := range at.addresses {
		address := one.Addr()
		if address.Is4() == lead.Is4() || !address.IsGlobalUnicast() {
			continue
		}
		if !other.IsValid() || address == before.first || address == before.also {
			other = address
		}
	}
	if !other.IsValid() {
		return ways{first: lead}, nil
	}
	if other.Is4() {
		return ways{first: other, also: lead}, nil
	}
	return ways{first: lead, also: other}, nil
}

// aside chooses the address that says where a computer is when neither its server nor a member tells, as behind a proxy on
// the computer itself: one of an interface that is no tunnel, IPv4 if there is; of several interfaces, of the first by
// name. The zero Addr: there is none.
func aside(cards []card, isTunnel func(name string) bool) netip.Addr {
	cards = slices.SortedFunc(slices.Values(cards), func(a, b card) int { return strings.Compare(a.name, b.name) })
	var six netip.Addr
	for _, one := range cards {
		for _, has := range one.addresses {
			switch address := has.Addr(); {
			case !address.IsGlobalUnicast() || isTunnel(one.name):
			case address.Is4():
				return address
			case !six.IsValid():
				six = address
			}
		}
	}
	return six
}

// cardOf returns the interface that has an address.
func cardOf(address netip.Addr, cards []card) (card, bool) {
	for _, one := range cards {
		if slices.ContainsFunc(one.addresses, isAt(address)) {
			return one, true
		}
	}
	return card{}, false
}

func isAt(address netip.Addr) func(netip.Prefix) bool {
	return func(one netip.Prefix) bool { return one.Addr() == address }
}

// networkIn returns the network that an address is in: by its own length, else, where that names the computer alone, as
// DHCPv6 and clouds give it, by the longest network that the interface reaches without a gateway. Zero: nothing tells.
func networkIn(address netip.Addr, cards []card, onLink func(name string) []netip.Prefix) netip.Prefix {
	at, found := cardOf(address, cards)
	if !found {
		return netip.Prefix{}
	}
	own := at.addresses[slices.IndexFunc(at.addresses, isAt(address))]
	if !own.IsSingleIP() {
		return own.Masked()
	}
	best := netip.Prefix{}
	for _, one := range onLink(at.name) {
		if one.Contains(address) && !one.IsSingleIP() && one.Bits() > 0 && one.Bits() > best.Bits() {
			best = one.Masked()
		}
	}
	if best.IsValid() {
		return best
	}
	return own.Masked() // it says nothing but which computer this is: each change counts as a move
}

// readCards returns the interfaces of this computer that are up.
func readCards() []card {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var cards []card
	for _, one := range all {
		addresses, err := one.Addrs()
		if err != nil || one.Flags&net.FlagUp == 0 {
			continue
		}
		this := card{name: one.Name}
		for _, has := range addresses {
			if prefix, err := netip.ParsePrefix(has.String()); err == nil {
				this.addresses = append(this.addresses, plain(prefix))
			}
		}
		cards = append(cards, this)
	}
	return cards
}

// plain returns an address as members are told it.
func plain(prefix netip.Prefix) netip.Prefix {
	address, bits := prefix.Addr().WithZone(""), prefix.Bits()
	if address.Is4In6() {
		return netip.PrefixFrom(address.Unmap(), max(bits-96, 0))
	}
	return netip.PrefixFrom(address, bits)
}

// isTunnel reports whether an interface is a tunnel or a metered line.
func isTunnel(name string) bool { return classOfInterface(name) == owner.Never }
