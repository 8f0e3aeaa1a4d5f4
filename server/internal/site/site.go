// Package site says what a site is to the server, and judges at which site a computer is.
//
// A site is a name with what an administrator set for it: the networks inside it, the time zone of its hours,
// how fast its WAN link may be filled, how many bodies may cross it at once, and whether its computers form a
// swarm. All but the name have defaults, so a site exists as soon as something names it.
//
// The package decides and keeps nothing: the store keeps sites and what was judged, see [Map.Judge].
package site

import (
	"net/netip"
	"slices"
	"time"
	_ "time/tzdata" // Windows servers have no zones of their own

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/wanrate"
)

// Bounds. More is refused with E_LIMIT.
const (
	MaxSites    = 4096
	MaxNetworks = 64 // of one site
	MaxFetchers = 64
)

// Defaults of a site.
const (
	DefaultTimeZone = "UTC"
	DefaultFetchers = 4
)

// A Pace says what keeps a site's agents from filling their WAN link.
type Pace string

// The paces.
const (
	Latency Pace = "latency"      // the pauses of the schedule
	ByRate  Pace = ocs.PaceByRate // the origin, which keeps the site's rate
)

// ParsePace reads a pace.
func ParsePace(text string) (Pace, error) {
	if pace := Pace(text); pace == Latency || pace == ByRate {
		return pace, nil
	}
	return "", core.Refuse(core.ClassField, "pace %.20q: use %s or %s", text, Latency, ByRate)
}

// A Site is what is set for a site.
type Site struct {
	Name     core.SiteName    `json:"site"`
	Networks []netip.Prefix   `json:"networks"` // inside the site, sorted; at most MaxNetworks
	TimeZone string           `json:"timeZone"` // of the rate's hours, by its name in the IANA database
	Rate     wanrate.Schedule `json:"wanRate"`
	Fetchers int              `json:"wanFetchers"` // bodies at once over the WAN, 1 to MaxFetchers
	Pace     Pace             `json:"pace"`
	Swarm    bool             `json:"swarm"` // whether its enrolled agents form a swarm
}

// New returns a site with nothing but defaults.
func New(name core.SiteName) Site {
	return Site{
		Name: name, Networks: []netip.Prefix{}, TimeZone: DefaultTimeZone, Fetchers: DefaultFetchers, Pace: Latency,
		Swarm: true,
	}
}

// Check refuses values out of their bounds.
func (s Site) Check() error {
	switch {
	case len(s.Networks) > MaxNetworks:
		return core.Refuse(core.ClassLimit, "site %s: %d networks, at most %d are allowed", s.Name, len(s.Networks),
			MaxNetworks)
	case s.Fetchers < 1 || s.Fetchers > MaxFetchers:
		return core.Refuse(core.ClassLimit, "site %s: %d fetchers, use 1 to %d", s.Name, s.Fetchers, MaxFetchers)
	}
	if _, err := ParsePace(string(s.Pace)); err != nil {
		return err
	}
	_, err := ParseTimeZone(s.TimeZone)
	return err
}

// RateAt returns the rate that holds at a time, and until when; the zero time for always.
func (s Site) RateAt(now time.Time) (wanrate.Rate, time.Time, error) {
	zone, err := ParseTimeZone(s.TimeZone)
	if err != nil {
		return 0, time.Time{}, err
	}
	rate, until := s.Rate.At(now.In(zone))
	return rate, until, nil
}

// Of an Ethernet frame of 1514 bytes that crosses a WAN, 1448 are payload.
const frameBytes, framePayload = 1514, 1448

// WANTime returns how long bytes of payload take at least to cross the site's WAN from a time on, at the rates that are
// set; 0 where these set no bound, as there is none at that time.
func (s Site) WANTime(from time.Time, bytes int64) (time.Duration, error) {
	zone, err := ParseTimeZone(s.TimeZone)
	if err != nil {
		return 0, err
	}
	return s.Rate.Lasts(from.In(zone), float64(bytes)*8*frameBytes/framePayload), nil
}

// ParseTimeZone returns the time zone with a name of the IANA database, such as Europe/Paris.
func ParseTimeZone(name string) (*time.Location, error) {
	if name != "" && name != "Local" {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, core.Refuse(core.ClassField, "time zone %.60q is not known: use a name such as Europe/Paris, or UTC",
		name)
}

// ParseNetwork reads a network in CIDR form. It refuses one with bits set behind its prefix: that is more
// often a mistake than a way to write a network.
func ParseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Addr().Is4In6() {
		return netip.Prefix{}, core.Refuse(core.ClassField,
			"network %.60q: use an address and the length of its prefix, such as 10.1.0.0/16", text)
	}
	if network != network.Masked() {
		return netip.Prefix{}, core.Refuse(core.ClassField, "network %s is inside %s: give that one, or %s for one computer",
			network, network.Masked(), netip.PrefixFrom(network.Addr(), network.Addr().BitLen()))
	}
	return network, nil
}

// SortNetworks sorts networks and drops repeated ones.
func SortNetworks(networks []netip.Prefix) []netip.Prefix {
	networks = slices.Clone(networks)
	slices.SortFunc(networks, netip.Prefix.Compare)
	return slices.Compact(networks)
}
