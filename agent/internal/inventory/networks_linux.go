package inventory

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"enjambre/core/ocs"
)

func readNetworks(_ context.Context, s System) ([]ocs.Section, error) {
	adapters, err := s.Adapters()
	if err != nil {
		return nil, err
	}
	routes := s.routes()
	return networkSections(adapters, func(a Adapter) traits { return s.traits(a, routes) }), nil
}

// traits reads what /sys knows of an adapter.
func (s System) traits(adapter Adapter, routes []route) traits {
	folder := "/sys/class/net/" + filepath.Base(adapter.Name)
	t := traits{virtual: !s.exists(folder + "/device"), driver: s.link(folder + "/device/driver"),
		duplex: title(s.text(folder + "/duplex"))}
	if t.duplex == "Unknown" {
		t.duplex = ""
	}
	if speed, err := strconv.Atoi(s.text(folder + "/speed")); err == nil && speed > 0 {
		t.speed = speed
	}
	switch {
	case s.exists(folder + "/wireless"), s.exists(folder + "/phy80211"):
		t.kind = "wifi"
	case s.exists(folder + "/bridge"):
		t.kind = "bridge"
	case s.exists(folder + "/bonding"):
		t.kind = "bond"
	case s.exists(folder + "/tun_flags"):
		t.kind = "tunnel"
	case s.text(folder+"/type") == "1": // ARPHRD_ETHER
		t.kind = "ethernet"
	case s.text(folder+"/type") == "32": // ARPHRD_INFINIBAND
		t.kind = "infiniband"
	default:
		t.kind = "other"
	}
	for _, r := range routes {
		if r.adapter == adapter.Name {
			t.gateways = append(t.gateways, r.gateway)
		}
	}
	return t
}

// title begins a word with a capital.
func title(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

// A route is a default route.
type route struct {
	adapter string
	gateway netip.Addr
	metric  uint64
}

// maxRoutes bounds what is read of a routing table, in bytes. A router may have a million routes; the default
// route is among the first.
const maxRoutes = 1 << 20

// routes lists the default routes, IPv4 first, each kind by its metric.
func (s System) routes() []route {
	return append(s.table("/proc/net/route", parseRoute4), s.table("/proc/net/ipv6_route", parseRoute6)...)
}

func (s System) table(path string, parse func(fields []string) (route, bool)) []route {
	file, err := os.Open(s.path(path))
	if err != nil {
		return nil // a kernel without that protocol
	}
	defer file.Close()
	var found []route
	lines := bufio.NewScanner(io.LimitReader(file, maxRoutes))
	for lines.Scan() && len(found) < MaxItems {
		one, valid := parse(strings.Fields(lines.Text()))
		if !valid {
			continue
		}
		at := len(found)
		for at > 0 && found[at-1].metric > one.metric {
			at--
		}
		found = append(found[:at], append([]route{one}, found[at:]...)...)
	}
	return found
}

// parseRoute4 reads a line of /proc/net/route: adapter, destination, gateway, flags, two counts, metric,
// mask. The addresses are hexadecimal numbers in the processor's order.
func parseRoute4(fields []string) (route, bool) {
	if len(fields) < 8 || fields[1] != "00000000" || fields[7] != "00000000" {
		return route{}, false
	}
	gateway, err := strconv.ParseUint(fields[2], 16, 32)
	metric, err2 := strconv.ParseUint(fields[6], 10, 32)
	if err != nil || err2 != nil || gateway == 0 {
		return route{}, false
	}
	var address [4]byte
	binary.NativeEndian.PutUint32(address[:], uint32(gateway))
	return route{adapter: fields[0], gateway: netip.AddrFrom4(address), metric: metric}, true
}

// parseRoute6 reads a line of /proc/net/ipv6_route: destination and its length, source and its length, next
// hop, metric, two counts, flags, adapter; all hexadecimal, addresses in network order.
func parseRoute6(fields []string) (route, bool) {
	if len(fields) < 10 || fields[1] != "00" || strings.Trim(fields[0], "0") != "" {
		return route{}, false
	}
	gateway, err := hex.DecodeString(fields[4])
	metric, err2 := strconv.ParseUint(fields[5], 16, 32)
	address, fits := netip.AddrFromSlice(gateway)
	if err != nil || err2 != nil || !fits || address.IsUnspecified() || metric == math.MaxUint32 {
		return route{}, false // with the highest metric the kernel means "unreachable"
	}
	return route{adapter: fields[9], gateway: address, metric: metric}, true
}
