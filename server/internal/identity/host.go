package identity

import (
	"net/netip"
	"slices"
	"strings"

	"enjambre/core"
)

// Bounds of a deployment's names. A certificate's common name has at most 64 characters (RFC 5280,
// ub-common-name), and the agent CA's is NAME with agentCASuffix.
const (
	maxHosts      = 64
	maxHostLength = 253
	maxLabel      = 63
	agentCASuffix = " agent CA"
	maxName       = 64 - len(agentCASuffix)
)

// checkName holds a deployment's name to what fits in the URIs and subjects of certificates.
func checkName(name string) error {
	if _, err := core.ParseSiteName(name); err != nil || len(name) > maxName {
		return core.Refuse(core.ClassField,
			"deployment name %q: use 1 to %d of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit",
			clip(name), maxName)
	}
	return nil
}

// nameFrom makes a deployment's name from its first host, which is in its one spelling. The name of
// a very long host does not fit and is refused later.
func nameFrom(host string) string {
	if strings.Contains(host, ":") {
		return "ip-" + strings.ReplaceAll(host, ":", "-")
	}
	return host
}

// parseHosts returns the hosts in their one spelling, and every mistake in them.
func parseHosts(texts []string) (hosts []string, problems []error) {
	if len(texts) == 0 {
		return nil, []error{core.Refuse(core.ClassField,
			"no host: give every name and address by which agents reach this server")}
	}
	if len(texts) > maxHosts {
		return nil, []error{
			core.Refuse(core.ClassLimit, "%d hosts: at most %d are allowed", len(texts), maxHosts),
		}
	}
	for _, text := range texts {
		host, err := parseHost(text)
		switch {
		case err != nil:
			problems = append(problems, err)
		case slices.Contains(hosts, host):
			problems = append(problems, core.Refuse(core.ClassField, "host %q is given twice", host))
		default:
			hosts = append(hosts, host)
		}
	}
	return hosts, problems
}

// parseHost returns a DNS name in lower case, or an IP address in its canonical form.
func parseHost(text string) (string, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return parseAddress(text, address)
	}
	refuse := func(reason string) (string, error) {
		return "", core.Refuse(core.ClassField, "host %q: %s", clip(text), reason)
	}
	host := strings.ToLower(text)
	labels := strings.Split(host, ".")
	_, portErr := netip.ParseAddrPort(text)
	switch {
	case text == "":
		return refuse("it is empty")
	case strings.ContainsAny(text, "/@?#"):
		return refuse("give the name or address alone, without a URL's other parts")
	case strings.HasPrefix(text, "[") && portErr != nil:
		return refuse("give an IPv6 address without brackets")
	case strings.Contains(text, ":"):
		return refuse("give it without a port")
	case strings.Contains(text, "*"):
		return refuse("wildcards are not allowed; give each name that agents use")
	case strings.ContainsFunc(text, func(r rune) bool { return r > '~' }):
		return refuse("give an international name in its ASCII form, which begins with xn--")
	case len(text) > maxHostLength:
		return refuse("a DNS name has at most 253 characters")
	case strings.Trim(labels[len(labels)-1], "0123456789") == "" && labels[len(labels)-1] != "":
		return refuse("it is neither an IP address nor a DNS name")
	case slices.ContainsFunc(labels, func(label string) bool { return !isLabel(label) }):
		return refuse("the parts of a DNS name are 1 to 63 letters, digits, '-' and '_', with '-' only inside")
	}
	return host, nil
}

// parseAddress refuses addresses that no certificate can vouch for.
func parseAddress(text string, address netip.Addr) (string, error) {
	switch {
	case address.Zone() != "":
		return "", core.Refuse(core.ClassField, "host %q: an address with a zone is valid on one computer only",
			clip(text))
	case address.IsUnspecified(), address.IsMulticast():
		return "", core.Refuse(core.ClassField, "host %q: no server can be reached at this address", clip(text))
	}
	return address.Unmap().String(), nil
}

// isLabel reports whether text, in lower case, can stand between the dots of a DNS name. The
// underscore is in no standard, but in the names of many Windows computers.
func isLabel(text string) bool {
	for _, r := range text {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return len(text) >= 1 && len(text) <= maxLabel && text[0] != '-' && text[len(text)-1] != '-'
}

// clip shortens foreign text for a message.
func clip(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}
