package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"enjambre/core/wanrate"
)

// congestion is how TCP behaves in a lab, whatever the machine's own default is: as on most Linux servers.
const congestion = "cubic"

// frame and payload are the bytes of a full frame, as rates count them, and of the IP packet in it, as a TUN device
// does.
const frame, payload = 1514, 1500

// A Lab is a network of namespaces. Its methods may be called concurrently.
type Lab struct {
	spaces map[string]*space // by host; "core" and "gw-SITE" are the routers
	sites  []siteLinks

	mu     sync.Mutex
	cables map[string]outlet // by host, where its cable is plugged in
}

// An outlet is a gateway's end of a host's cable.
type outlet struct {
	gateway *space
	device  string
}

// siteLinks is a site of a running lab.
type siteLinks struct {
	Site
	gateway *space
	wire    *wire
}

// Up makes a lab. When it fails it has removed what it made.
func Up(ctx context.Context, topology Topology) (_ *Lab, err error) {
	if err := topology.Validate(); err != nil {
		return nil, err
	}
	if err := Check(); err != nil {
		return nil, err
	}
	lab := &Lab{spaces: map[string]*space{}, cables: map[string]outlet{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, lab.Down())
		}
	}()
	if err := lab.addServer(); err != nil {
		return nil, err
	}
	for i, site := range topology.Sites {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := lab.addSite(i, site); err != nil {
			return nil, fmt.Errorf("site %s: %w", site.Name, err)
		}
	}
	return lab, lab.awaitLinks(ctx)
}

// linkTimeout is how long devices may take to come up: the kernel tells of carriers within a second or so.
const linkTimeout = 10 * time.Second

// awaitLinks waits until every cable carries: before that, first packets are lost.
func (l *Lab) awaitLinks(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	for _, site := range l.sites {
		for number := 1; number <= site.Hosts; number++ {
			err := errors.Join(site.gateway.await(ctx, port(number)), l.spaces[site.Host(number)].await(ctx, "eth0"))
			if err != nil {
				return err
			}
		}
		if err := site.gateway.await(ctx, "br0"); err != nil {
			return err
		}
	}
	return l.spaces[ServerHost].await(ctx, "eth0")
}

// await waits until a device carries.
func (s *space) await(ctx context.Context, device string) error {
	for {
		link, err := s.link(device)
		if err != nil || link.Attrs().OperState == netlink.OperUp {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("host %s: device %s does not come up: %w", s.name, device, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// port names the gateway's device for a host's cable.
func port(number int) string { return fmt.Sprint("p", number) }

// add makes a host, or a router.
func (l *Lab) add(name string, forward bool) (*space, error) {
	s, err := newSpace(name, forward)
	if err == nil {
		l.spaces[name] = s
	}
	return s, err
}

var (
	everything = netip.MustParsePrefix("10.86.0.0/16") // of a lab
	multicast  = netip.MustParsePrefix("224.0.0.0/4")
	coreSide   = netip.MustParsePrefix("10.86.0.1/24") // the core's address at the server
)

func (l *Lab) addServer() error {
	router, err := l.add("core", true)
	if err != nil {
		return err
	}
	server, err := l.add(ServerHost, false)
	if err != nil {
		return err
	}
	return errors.Join(
		cable(router, "srv0", server),
		router.address("srv0", coreSide), router.up("srv0"),
		server.address("eth0", netip.PrefixFrom(ServerAddress, 24)), server.up("eth0"),
		server.route(everything, coreSide.Addr(), "eth0"))
}

// wanAddresses are the two ends of a site's WAN.
func wanAddresses(index int) (atCore, atSite netip.Addr) {
	return netip.AddrFrom4([4]byte{10, 86, 255, byte(2 * index)}), netip.AddrFrom4([4]byte{10, 86, 255, byte(2*index + 1)})
}

func (l *Lab) addSite(index int, site Site) error {
	gateway, err := l.add("gw-"+string(site.Name), true)
	if err != nil {
		return err
	}
	router, wan := l.spaces["core"], fmt.Sprint("wan", index)
	line, err := openWire(router, wan, gateway, "wan0", site.RTT/2)
	if err != nil {
		return err
	}
	l.sites = append(l.sites, siteLinks{site, gateway, line})
	queue := site.Queue
	if queue == 0 {
		queue = defaultQueue
	}
	lan, inner := Network(index), netip.PrefixFrom(Network(index).Addr().Next(), 24)
	atCore, atSite := wanAddresses(index)
	err = errors.Join(
		router.address(wan, netip.PrefixFrom(atCore, 31)), router.up(wan), router.shape(wan, site.Down, queue),
		gateway.address("wan0", netip.PrefixFrom(atSite, 31)), gateway.up("wan0"), gateway.shape("wan0", site.Up, queue),
		router.route(lan, atSite, wan), gateway.route(everything, atCore, "wan0"),
		gateway.bridge("br0"), gateway.address("br0", inner), gateway.up("br0"))
	for number := 1; number <= site.Hosts && err == nil; number++ {
		err = l.addHost(gateway, site.Host(number), HostAddress(index, number), number)
	}
	return err
}

// addHost connects a new host to a gateway's bridge.
func (l *Lab) addHost(gateway *space, name string, address netip.Addr, number int) error {
	host, err := l.add(name, false)
	if err != nil {
		return err
	}
	l.cables[name] = outlet{gateway, port(number)}
	return errors.Join(
		cable(gateway, port(number), host), gateway.join(port(number), "br0"), gateway.up(port(number)), host.settle(address))
}

// settle gives a host its address in a LAN, and the routes that follow from it.
func (s *space) settle(address netip.Addr) error {
	lan := netip.PrefixFrom(address, 24)
	return errors.Join(
		s.address("eth0", lan), s.up("eth0"),
		s.route(everything, lan.Masked().Addr().Next(), "eth0"), s.route(multicast, netip.Addr{}, "eth0"))
}

// cable joins a device of one namespace with eth0 in another.
func cable(a *space, name string, b *space) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = name
	pair := netlink.NewVeth(attributes)
	pair.PeerName, pair.PeerNamespace = "eth0", netlink.NsFd(b.handle)
	if err := a.net.LinkAdd(pair); err != nil {
		return fmt.Errorf("cable from %s to %s: %w", a.name, b.name, err)
	}
	return nil
}

func (s *space) bridge(name string) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = name
	off := false // else a bridge without a querier forgets groups
	if err := s.net.LinkAdd(&netlink.Bridge{LinkAttrs: attributes, MulticastSnooping: &off}); err != nil {
		return fmt.Errorf("host %s: make bridge %s: %w", s.name, name, err)
	}
	return nil
}

// join makes a device a port of a bridge.
func (s *space) join(port, bridge string) error {
	link, err := s.link(port)
	if err != nil {
		return err
	}
	master, err := s.link(bridge)
	if err != nil {
		return err
	}
	return s.net.LinkSetMaster(link, master)
}

// address gives a device an address and, by its prefix, a network.
func (s *space) address(device string, address netip.Prefix) error {
	link, err := s.link(device)
	if err != nil {
		return err
	}
	if err := s.net.AddrAdd(link, &netlink.Addr{IPNet: ipNet(address)}); err != nil {
		return fmt.Errorf("host %s: give %s address %v: %w", s.name, device, address, err)
	}
	return nil
}

// route sends what is for a network to a neighbour, or, without one, out of the device.
func (s *space) route(to netip.Prefix, via netip.Addr, device string) error {
	link, err := s.link(device)
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(to), Congctl: congestion}
	if via.IsValid() {
		route.Gw = via.AsSlice()
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	if err := s.net.RouteReplace(route); err != nil {
		return fmt.Errorf("host %s: route to %v: %w", s.name, to, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// shape lets a device send at a rate, and gives it a queue.
func (s *space) shape(device string, rate wanrate.Rate, queue time.Duration) error {
	link, err := s.link(device)
	if err != nil {
		return err
	}
	bytes := float64(rate) / 8 * payload / frame // a second, of IP
	burst := max(bytes/500, 2*payload)           // two milliseconds of the line, two packets at least
	held := max(bytes*queue.Seconds(), 10*payload)
	shaper := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT,
		},
		Rate: uint64(bytes), Limit: uint32(burst + held), Buffer: netlink.Xmittime(uint64(bytes), uint32(burst)),
	}
	if err := s.net.QdiscReplace(shaper); err != nil {
		return fmt.Errorf("host %s: limit %s to %v: %w", s.name, device, rate, err)
	}
	return nil
}

// Down ends every process in the lab and removes it. Only the caller's own commands can be there.
func (l *Lab) Down() error {
	failed := l.endProcesses()
	for _, site := range l.sites {
		failed = errors.Join(failed, site.wire.close())
	}
	names := make([]string, 0, len(l.spaces))
	for name := range l.spaces {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		failed = errors.Join(failed, l.spaces[name].close())
	}
	l.spaces, l.sites = nil, nil
	return failed
}
