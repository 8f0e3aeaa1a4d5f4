package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"enjambre/core"
)

// maxAddresses bounds the hosts that a site has addresses for.
const maxAddresses = 240

// Move carries a host to another site, as a laptop is carried: its cable is pulled, it loses its address, and is plugged
// in there with a new one, which is returned when the cable carries. What runs on it runs on, and nobody is told. The
// host keeps its name.
func (l *Lab) Move(host string, to core.SiteName) (netip.Addr, error) {
	index := slices.IndexFunc(l.sites, func(site siteLinks) bool { return site.Name == to })
	if index < 0 {
		return netip.Addr{}, fmt.Errorf("lab: there is no site %q", to)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before, found := l.cables[host]
	if !found {
		return netip.Addr{}, fmt.Errorf("lab: no site has a host %q", host)
	}
	gateway := l.sites[index].gateway
	number := l.sites[index].Hosts + 1
	for slices.Contains(l.plugged(), outlet{gateway, port(number)}) {
		number++
	}
	if number > maxAddresses {
		return netip.Addr{}, fmt.Errorf("lab: site %s has no address left", to)
	}
	address, after := HostAddress(index, number), outlet{gateway, port(number)}
	if err := l.replug(host, before, after, address); err != nil {
		return netip.Addr{}, fmt.Errorf("move host %s to site %s: %w", host, to, err)
	}
	l.cables[host] = after
	return address, nil
}

// plugged returns all ends of cables at gateways.
func (l *Lab) plugged() (all []outlet) {
	for _, one := range l.cables {
		all = append(all, one)
	}
	return all
}

// replug takes a host's cable from one gateway to another.
func (l *Lab) replug(name string, before, after outlet, address netip.Addr) error {
	host := l.spaces[name]
	end, err := before.gateway.link(before.device)
	if err != nil {
		return err
	}
	device, err := host.link("eth0")
	if err != nil {
		return err
	}
	known, err := host.net.AddrList(device, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	// With its network, the device loses its routes.
	err = errors.Join(before.gateway.down(before.device), before.gateway.net.LinkSetName(end, "moving"))
	for _, old := range known {
		err = errors.Join(err, host.net.AddrDel(device, &old))
	}
	if err != nil {
		return err
	}
	if err := before.gateway.net.LinkSetNsFd(end, int(after.gateway.handle)); err != nil {
		return err
	}
	if end, err = after.gateway.link("moving"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), linkTimeout)
	defer cancel()
	return errors.Join(
		after.gateway.net.LinkSetName(end, after.device), after.gateway.join(after.device, "br0"), after.gateway.up(after.device),
		host.settle(address), after.gateway.await(ctx, after.device), host.await(ctx, "eth0"))
}
