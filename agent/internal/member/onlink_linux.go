package member

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// maxRoutes bounds what is read of the kernel's routes, in bytes of each family.
const maxRoutes = 1 << 20

// onLink returns the networks that an interface reaches without a gateway, as far as the kernel's tables say.
func onLink(name string) []netip.Prefix {
	var all []netip.Prefix
	for _, one := range []struct {
		file string
		read func(fields []string) (string, netip.Prefix, bool)
	}{{"/proc/net/ipv6_route", route6}, {"/proc/net/route", route4}} {
		data, err := os.ReadFile(one.file)
		if err != nil {
			continue // no such family here
		}
		lines := bufio.NewScanner(bytes.NewReader(data[:min(len(data), maxRoutes)]))
		for lines.Scan() {
			if at, network, is := one.read(strings.Fields(lines.Text())); is && at == name {
				all = append(all, network)
			}
		}
	}
	return all
}

// route6 reads a line of /proc/net/ipv6_route: destination, its length, source, its length, gateway, five numbers, and the
// interface.
func route6(fields []string) (string, netip.Prefix, bool) {
	if len(fields) < 10 || strings.Trim(fields[4], "0") != "" {
		return "", netip.Prefix{}, false
	}
	address, err := hex.DecodeString(fields[0])
	length, lengthErr := strconv.ParseUint(fields[1], 16, 8)
	to, valid := netip.AddrFromSlice(address)
	if err != nil || lengthErr != nil || !valid || !to.Is6() || length > 128 {
		return "", netip.Prefix{}, false
	}
	return fields[len(fields)-1], netip.PrefixFrom(to, int(length)), true
}

// route4 reads a line of /proc/net/route: the interface, destination and gateway in the machine's order, four numbers, and
// the mask.
func route4(fields []string) (string, netip.Prefix, bool) {
	if len(fields) < 8 || fields[2] != "00000000" {
		return "", netip.Prefix{}, false
	}
	to, err := strconv.ParseUint(fields[1], 16, 32)
	mask, maskErr := strconv.ParseUint(fields[7], 16, 32)
	if err != nil || maskErr != nil {
		return "", netip.Prefix{}, false
	}
	var address [4]byte
	binary.NativeEndian.PutUint32(address[:], uint32(to))
	return fields[0], netip.PrefixFrom(netip.AddrFrom4(address), bits.OnesCount32(uint32(mask))), true
}
