package site

import (
	"net/netip"
	"slices"

	"enjambre/core"
)

// A Reason says why a computer was judged to be at its site.
type Reason string

// The reasons, the strongest first.
const (
	ByNetwork Reason = "network" // one of the site's networks has its address
	ByHand    Reason = "hand"    // an administrator said so
	ByToken   Reason = "token"   // it enrolled with the site's token
	Nothing   Reason = ""        // it is at no site
)

// A Judgement says at which site a computer is, and why. The zero Judgement: at none.
type Judgement struct {
	Site    core.SiteName `json:"site"`
	By      Reason        `json:"by,omitempty"`
	Network netip.Prefix  `json:"network,omitzero"` // with ByNetwork
}

// Evidence is what a contact and the record of an enrolled computer say about where it is. Addresses are in
// IPv4 form where they are IPv4, and without zone; zero ones are unknown.
type Evidence struct {
	Egress   netip.Addr    // where its connection comes from, which it cannot choose
	Listen   netip.Addr    // where its neighbours reach it, as it says at this contact
	Also     netip.Addr    // the same of the other family, if it has both
	Own      []netip.Addr  // of its adapters, as its last inventory says
	Assigned core.SiteName // set by hand, or the token's; "" for none
	ByToken  bool          // Assigned is the token's
}

// NeedsOwn reports whether Judge looks at Own, which costs a read.
func (m *Map) NeedsOwn(e Evidence) bool {
	return len(m.lengths) > 0 && (e.Egress != e.Listen && e.Egress != e.Also || !e.Egress.IsValid())
}

// A Map finds the site whose network has an address. It is not changed after NewMap, so it may be shared. The
// zero Map has no networks.
type Map struct {
	sites   map[netip.Prefix]core.SiteName
	lengths []int // of the prefixes there are, the longest first
}

// NewMap returns the map of sites. Where two sites have an equal network, which the store refuses, the later
// one has it.
func NewMap(sites []Site) *Map {
	m := &Map{sites: map[netip.Prefix]core.SiteName{}}
	for _, one := range sites {
		for _, network := range one.Networks {
			m.sites[network] = one.Name
			if !slices.Contains(m.lengths, network.Bits()) {
				m.lengths = append(m.lengths, network.Bits())
			}
		}
	}
	slices.Sort(m.lengths)
	slices.Reverse(m.lengths)
	return m
}

// Has reports whether a network is one of a site's.
func (m *Map) Has(network netip.Prefix) bool {
	_, found := m.sites[network]
	return found
}

// find returns the longest network that has an address, and its site; false when none has.
func (m *Map) find(address netip.Addr) (netip.Prefix, core.SiteName, bool) {
	for _, bits := range m.lengths {
		network, err := address.Prefix(bits) // fails for the zero address, and where an address is shorter
		if err != nil {
			continue
		}
		if name, found := m.sites[network]; found {
			return network, name, true
		}
	}
	return netip.Prefix{}, "", false
}

// Judge returns at which site a computer is. Networks count first, then what was set by hand, then the token.
//
// Networks are the inside of sites, so the computer's own addresses are looked up before the egress address,
// which behind NAT is that of the site's router, or of a whole enterprise's. Of several adapters (bridges of
// containers, VPNs, the LAN) the one by which the computer reaches the server says where it is: that is the
// egress address where it is one of its own, then those of both families that it says its neighbours reach it by; and then
// no other adapter counts. So a site whose networks are of one family has all of its computers, whichever family their
// connections take. Only where neither is known are all of them looked up, and the longest network wins, then
// the lower address. Last comes the egress address, for sites whose networks name their router's outside. A
// gateway is in the network of its adapter and would tell nothing more. A loopback egress address tells only
// that the server is on the same computer.
func (m *Map) Judge(e Evidence) Judgement {
	own := e.Own
	switch {
	case e.Egress.IsValid() && !e.Egress.IsLoopback() &&
		(e.Egress == e.Listen || e.Egress == e.Also || slices.Contains(e.Own, e.Egress)):
		own = []netip.Addr{e.Egress}
	case e.Listen.IsValid():
		own = []netip.Addr{e.Listen, e.Also}
	}
	if judged, found := m.best(own); found {
		return judged
	}
	own = []netip.Addr{e.Listen, e.Also}
	if judged, found := m.best(own); found {
		return judged
	}
	if judged, found := m.best([]netip.Addr{e.Egress}); found {
		return judged
	}
	switch {
	case e.Assigned == "":
		return Judgement{}
	case e.ByToken:
		return Judgement{Site: e.Assigned, By: ByToken}
	}
	return Judgement{Site: e.Assigned, By: ByHand}
}

// best returns the judgement by the longest network that has one of the addresses; of equally long ones, by the
// lowest address.
func (m *Map) best(addresses []netip.Addr) (best Judgement, found bool) {
	var by netip.Addr
	for _, address := range addresses {
		network, name, has := m.find(address)
		if !has {
			continue
		}
		longer := network.Bits() > best.Network.Bits()
		if !found || longer || network.Bits() == best.Network.Bits() && address.Less(by) {
			best, by, found = Judgement{Site: name, By: ByNetwork, Network: network}, address, true
		}
	}
	return best, found
}
