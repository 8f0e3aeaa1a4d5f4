// Package lab makes small multi-site networks on one Linux machine, so that tests run the real programs as several
// computers with their real ports: one server, and sites of several hosts, each behind a WAN link of its own with a
// rate, a queue and a delay.
//
// Each host is a network namespace. The namespaces have no names: they are held open by the process that made the
// lab, the links' delay is a part of that process, and programs that were started by [Lab.Command] end with it. So
// nothing of a lab outlives its maker, however that ends; [Lab.Down] is for those that go on. Nothing is put into
// the caller's own namespace, no host has a default route, and no packet of a lab leaves it.
//
//	server --- core ---[ WAN: rate, queue, delay ]--- gateway of a site ---[ bridge ]--- hosts
//
// The server is 10.86.0.2; site i, from 1, is 10.86.i.0/24 with its gateway at .1 and its hosts from .11 on. Labs at
// the same time have the same addresses and do not meet. Never send to these addresses but by [Lab.Command]: in the
// caller's own namespace they belong to whatever its routes lead to.
//
// Bounds: [MaxSites] sites, [MaxHosts] hosts at each. All WANs together should carry less than 200 Mbit/s, since each
// of their packets passes through user space. Linux with root only; [Check] says what is missing.
package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"enjambre/core"
	"enjambre/core/wanrate"
)

// Bounds of a topology.
const (
	MaxSites = 50
	MaxHosts = 60 // of one site
)

// ServerHost names the server's host.
const ServerHost = "server"

// A Topology is what a lab consists of, besides its server.
type Topology struct{ Sites []Site }

// A Site is a place with hosts behind one WAN link.
type Site struct {
	Name  core.SiteName
	Hosts int // 1 to MaxHosts; they are called NAME-1, NAME-2 and so on

	// Down and Up are how fast the WAN carries towards the site and from it, as Ethernet frames of 1514 bytes, as
	// providers count: 10 Mbit/s carry 9.56 Mbit/s of TCP payload. At least 100 kbit/s.
	Down, Up wanrate.Rate

	RTT   time.Duration // that the WAN adds to each round trip, at most 2 s
	Queue time.Duration // what the WAN holds back before it drops, as time at its rate; default 100 ms, at most 5 s
}

// defaultQueue is the queue of a site that says nothing: what routers of small lines have, and not yet bufferbloat.
const defaultQueue = 100 * time.Millisecond

// Validate reports every mistake of a topology.
func (t Topology) Validate() error {
	var mistakes []error
	if len(t.Sites) < 1 || len(t.Sites) > MaxSites {
		mistakes = append(mistakes, fmt.Errorf("topology: %d sites; there must be 1 to %d", len(t.Sites), MaxSites))
	}
	seen := map[core.SiteName]bool{}
	for _, site := range t.Sites {
		wrong := func(format string, args ...any) {
			mistakes = append(mistakes, fmt.Errorf("site %q: "+format, append([]any{site.Name}, args...)...))
		}
		if _, err := core.ParseSiteName(string(site.Name)); err != nil || site.Name == ServerHost {
			wrong("it needs another name")
		}
		if seen[site.Name] {
			wrong("it is there twice")
		}
		seen[site.Name] = true
		if site.Hosts < 1 || site.Hosts > MaxHosts {
			wrong("%d hosts; there must be 1 to %d", site.Hosts, MaxHosts)
		}
		for _, rate := range []wanrate.Rate{site.Down, site.Up} {
			if rate < 100_000 || rate > 1_000_000_000 {
				wrong("a rate of %s; it must be 100kbit to 1gbit", rate)
			}
		}
		if site.RTT < 0 || site.RTT > 2*time.Second {
			wrong("a round trip of %v; it may be at most 2s", site.RTT)
		}
		if site.Queue < 0 || site.Queue > 5*time.Second {
			wrong("a queue of %v; it may be at most 5s", site.Queue)
		}
	}
	return errors.Join(mistakes...)
}

// Host names the host with a number, from 1.
func (s Site) Host(number int) string { return fmt.Sprintf("%s-%d", s.Name, number) }

// Network returns the addresses of a site's LAN; index is its place in the topology, from 0.
func Network(index int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 86, byte(index + 1), 0}), 24)
}

// HostAddress returns the address of a host by its number, from 1, and its site's place in the topology, from 0.
func HostAddress(index, number int) netip.Addr {
	address := Network(index).Addr().As4()
	address[3] = byte(10 + number)
	return netip.AddrFrom4(address)
}

// ServerAddress is the server's address in every lab.
var ServerAddress = netip.AddrFrom4([4]byte{10, 86, 0, 2})

// A Traffic is what has crossed a WAN link in one direction.
type Traffic struct{ Bytes, Packets uint64 } // of IP, headers included

// A Counter is what has arrived at the two ends of a site's WAN link since the lab is up, as the kernel counts it.
type Counter struct {
	Site core.SiteName
	Down Traffic // at the site
	Up   Traffic // from the site

	// Sideways is the part of Up that is for other sites, and not for the server. Here it is the line that counts.
	Sideways Traffic
}
