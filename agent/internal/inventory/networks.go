package inventory

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"enjambre/core/ocs"
)

// A traits is what the system knows of an adapter besides its addresses. Texts are "" when unknown.
type traits struct {
	virtual              bool
	kind, driver, duplex string
	speed                int // megabits a second; 0 when unknown
	gateways             []netip.Addr
}

// worthTelling leaves out adapters that come and go with containers: loopback, and virtual ones without an
// address of their own.
func worthTelling(adapter Adapter, t traits) bool {
	if adapter.Loopback {
		return false
	}
	return !t.virtual || slices.ContainsFunc(adapter.Addresses, func(p netip.Prefix) bool {
		return p.Addr().IsGlobalUnicast()
	})
}

// networkSections makes one entry for each address of the adapters, physical ones first, and one for an
// adapter without. A computer without any says so in one entry, so that "none" and "not read" stay apart.
func networkSections(adapters []Adapter, of func(Adapter) traits) []ocs.Section {
	type known struct {
		Adapter
		traits
	}
	var all []known
	for _, adapter := range adapters {
		if t := of(adapter); worthTelling(adapter, t) {
			all = append(all, known{adapter, t})
		}
	}
	slices.SortStableFunc(all, func(a, b known) int {
		if a.virtual != b.virtual {
			if b.virtual {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	var sections []ocs.Section
	for _, one := range all {
		for _, prefix := range one.Addresses {
			sections = append(sections, networkSection(one.Adapter, one.traits, prefix))
		}
		if len(one.Addresses) == 0 {
			sections = append(sections, networkSection(one.Adapter, one.traits, netip.Prefix{}))
		}
	}
	if len(sections) == 0 {
		sections = append(sections, section("NETWORKS", "DESCRIPTION", "none", "STATUS", "Down"))
	}
	return sections
}

func networkSection(adapter Adapter, t traits, prefix netip.Prefix) ocs.Section {
	status, virtual, speed := "Down", "0", ""
	if adapter.Up {
		status = "Up"
	}
	if t.virtual {
		virtual = "1"
	}
	if t.speed > 0 {
		speed = strconv.Itoa(t.speed) + " Mbps"
	}
	address, mask, subnet, gateway := "", "", "", ""
	if prefix.IsValid() {
		address, subnet = prefix.Addr().WithZone("").String(), prefix.Masked().Addr().String()
		mask = net.IP(net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())).String()
		for _, g := range t.gateways {
			reaches := prefix.Contains(g) || prefix.Addr().IsGlobalUnicast()
			if gateway == "" && g.Is4() == prefix.Addr().Is4() && reaches {
				gateway = g.String()
			}
		}
	}
	return section("NETWORKS", "DESCRIPTION", adapter.Name, "DRIVER", t.driver, "DUPLEX", t.duplex,
		"IPADDRESS", address, "IPGATEWAY", gateway, "IPMASK", mask, "IPSUBNET", subnet,
		"MACADDR", adapter.MAC.String(), "MTU", number(adapter.MTU), "SPEED", speed, "STATUS", status,
		"TYPE", t.kind, "VIRTUALDEV", virtual)
}

// mainAddress returns the address that stands for the computer: of the adapter with the default route if it
// has one, IPv4 before IPv6, else the first address that others can reach.
func mainAddress(adapters []Adapter, byDefault string) string {
	best, rank := "", 0
	for _, adapter := range adapters {
		for _, prefix := range adapter.Addresses {
			ip := prefix.Addr()
			if adapter.Loopback || !ip.IsGlobalUnicast() {
				continue
			}
			mark := 1
			if ip.Is4() {
				mark++
			}
			if adapter.Up {
				mark += 2
			}
			if adapter.Name == byDefault && byDefault != "" {
				mark += 4
			}
			if mark > rank {
				best, rank = ip.String(), mark
			}
		}
	}
	return best
}
