package cases

import (
	"bufio"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"enjambre/core"
)

// A traffic is what the origin's ledger says of a package and a site.
type traffic struct {
	Site        core.SiteName
	Package     core.PackageID
	OriginBytes int64
	Extra       map[string]int64 // bytes beyond the first copy, by cause
}

// ledger returns what the server says it has sent of a package into a site; zero if nothing.
func (f *fleet) ledger(p payload, site core.SiteName) traffic {
	f.Helper()
	var shown struct{ Traffic []traffic }
	if err := f.server.JSON(f.Context(), &shown, "site", "traffic", string(site)); err != nil {
		f.Fatal(err)
	}
	for _, one := range shown.Traffic {
		if one.Package == p.id {
			return one
		}
	}
	return traffic{Site: site, Package: p.id}
}

// extra is the sum of all causes.
func (t traffic) extra() (sum int64) {
	for _, bytes := range t.Extra {
		sum += bytes
	}
	return sum
}

// String tells the causes, in order.
func (t traffic) String() string {
	if len(t.Extra) == 0 {
		return "no byte twice"
	}
	var causes []string
	for _, cause := range slices.Sorted(maps.Keys(t.Extra)) {
		causes = append(causes, fmt.Sprintf("%s %d bytes", cause, t.Extra[cause]))
	}
	return "twice: " + strings.Join(causes, ", ")
}

// receiving returns the addresses that the server is sending something large to, as its kernel tells: of a
// connection, what is sent and not acknowledged.
func (f *fleet) receiving() (to []netip.Addr) {
	f.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/net/tcp", f.server.PID()))
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	const established, much = "01", 4096
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // number, local, remote, state, sending:receiving, ...
		if len(fields) < 5 || fields[3] != established || !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", httpsPort)) {
			continue
		}
		queue, _, _ := strings.Cut(fields[4], ":")
		waiting, err := strconv.ParseInt(queue, 16, 64)
		if err == nil && waiting >= much {
			to = append(to, hexAddress(fields[2]))
		}
	}
	return to
}

// hexAddress reads an IPv4 address as the kernel writes it on machines with the least byte first.
func hexAddress(text string) netip.Addr {
	address, _, _ := strings.Cut(text, ":")
	number, err := strconv.ParseUint(address, 16, 32)
	if err != nil {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte{byte(number), byte(number >> 8), byte(number >> 16), byte(number >> 24)})
}

// receiver finds an agent that is being sent a fragment, and is not excluded; nil if there is none.
func (f *fleet) receiver(excluded []*member) *member {
	f.Helper()
	for _, address := range f.receiving() {
		for _, m := range f.members {
			if m.address == address && !slices.Contains(excluded, m) {
				return m
			}
		}
	}
	return nil
}
