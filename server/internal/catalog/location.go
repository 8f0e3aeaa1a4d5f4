package catalog

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"enjambre/core"
)

// A Location is where agents find a package's folder: host[:port]/folder, without scheme and without
// slash at the end, as the protocol carries it. IPv6 addresses stand in brackets.
type Location string

// ParseLocation reads a location. The scheme, if somebody wrote it, must be the one that will be used.
func ParseLocation(text, scheme string) (Location, error) {
	rest := text
	if written, after, found := strings.Cut(text, "://"); found {
		if !strings.EqualFold(written, scheme) {
			return "", core.Refuse(
				core.ClassField,
				"%q: agents will use %s://; give host[:port]/folder without scheme",
				text,
				scheme,
			)
		}
		rest = after
	}
	parsed, err := url.Parse(scheme + "://" + rest)
	if err != nil || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" ||
		parsed.Fragment != "" ||
		parsed.Hostname() == "" {
		return "", core.Refuse(core.ClassField,
			"%q is not host[:port]/folder, such as deploy.example.net:8443/download", text)
	}
	if port := parsed.Port(); strings.HasSuffix(parsed.Host, ":") || port != "" && !validPort(port) {
		return "", core.Refuse(core.ClassField, "%q: the port is not 1 to 65535", text)
	}
	if !validHost(parsed) {
		return "", core.Refuse(core.ClassField, "%q: the host is neither a DNS name nor an address such as "+
			"192.0.2.1 or [2001:db8::1]; an international name is given in its ASCII form, which begins with xn--", text)
	}
	folder := strings.TrimSuffix(path.Clean("/"+parsed.EscapedPath()), "/")
	host := strings.ToLower(parsed.Host)
	if address, err := netip.ParseAddr(parsed.Hostname()); err == nil && address.Is6() {
		host = "[" + address.String() + "]" + strings.TrimPrefix(host, "["+strings.ToLower(parsed.Hostname())+"]")
	}
	place := Location(host + folder)
	if !core.Printable(rest) || strings.Contains(rest, " ") || len(place) > 255 {
		return "", core.Refuse(core.ClassField, "%q is not a plain host and folder of at most 255 bytes", text)
	}
	return place, nil
}

// label is what can stand between the dots of a DNS name; the underscore is in the names of many Windows
// computers. numeric is a last label that makes a name an address which each system reads in its own way:
// 127.1, 0x7f000001 and 2130706433 are the loopback for some.
var (
	label   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	numeric = regexp.MustCompile(`^([0-9]+|0[xX][0-9A-Fa-f]*)$`)
)

// validHost reports whether a URL's host is one that every agent understands alike: an address in its usual
// spelling and without zone, IPv6 in brackets, or an ASCII name, which may end in a dot.
func validHost(place *url.URL) bool {
	host := place.Hostname()
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Zone() == "" && address.Is6() == strings.HasPrefix(place.Host, "[")
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, one := range labels {
		if !label.MatchString(one) {
			return false
		}
	}
	return !numeric.MatchString(labels[len(labels)-1]) && len(host) <= 253
}

func validPort(text string) bool {
	port, err := netip.ParseAddrPort("127.0.0.1:" + text)
	return err == nil && port.Port() != 0
}

// Host returns the location's host name or address, without port and brackets.
func (l Location) Host() string {
	host, _, _ := strings.Cut(string(l), "/")
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// IsAt reports whether the location is this folder of a server that has these names and ports. A location without port
// means that of its scheme, 443 or 80.
func (l Location) IsAt(names, ports []string, folder string) bool {
	place, path, _ := strings.Cut(string(l), "/")
	if path != folder {
		return false
	}
	wanted := []string{"443", "80"}
	if _, port, err := net.SplitHostPort(place); err == nil {
		wanted = []string{port}
	}
	host := strings.TrimSuffix(l.Host(), ".")
	isName := slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(strings.TrimSuffix(name, "."), host) })
	return isName && slices.ContainsFunc(wanted, func(port string) bool { return slices.Contains(ports, port) })
}

// URL returns the address of a package's file.
func (l Location) URL(scheme string, id core.PackageID, name string) string {
	return fmt.Sprintf("%s://%s/%s/%s", scheme, l, id, name)
}

// checkHost refuses places that agents cannot mean: the loopback, unless it is one of the server's own
// names (own), link-local and metadata addresses. Private addresses are normal here.
func (l Location) checkHost(own []string) error {
	host := strings.TrimSuffix(l.Host(), ".")
	for _, name := range own {
		if strings.EqualFold(name, host) {
			return nil
		}
	}
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return core.Refuse(core.ClassField,
			"%s: each agent would look for the package on its own computer; give the server's name", l)
	}
	if address, err := netip.ParseAddr(host); err == nil {
		if err := checkAddress(address); err != nil {
			return fmt.Errorf("%s: %w", l, err)
		}
	}
	return nil
}

// checkAddress refuses addresses that no distribution server has.
func checkAddress(address netip.Addr) error {
	address = address.Unmap()
	switch {
	case address.IsLoopback(), address.IsUnspecified():
		return core.Refuse(core.ClassField,
			"address %s: each agent would look for the package on its own computer", address)
	case address.IsLinkLocalUnicast(), address.IsMulticast(), address == netip.MustParseAddr("fd00:ec2::254"):
		return core.Refuse(core.ClassField, "address %s cannot be a distribution server", address)
	}
	return nil
}
