package member

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"enjambre/peer/owner"
)

// Kinds of interfaces, as the kernel numbers them in /sys/class/net/NAME/type.
const (
	typePPP     = "512"
	typeTunnel  = "768" // IPv4 in IPv4, VTI
	typeTunnel6 = "769" // IPv6 in IPv6, VTI6
	typeSIT     = "776" // IPv6 in IPv4
	typeGRE     = "778"
	typeGRE6    = "823"
	typeNone    = "65534" // no link layer: tun, wireguard, XFRM
)

// tunnelTypes are those of lines that lead elsewhere: what is sent over them goes over somebody's WAN.
var tunnelTypes = []string{typePPP, typeTunnel, typeTunnel6, typeSIT, typeGRE, typeGRE6, typeNone}

func classOfInterface(name string) owner.Weight { return classIn("/sys", name) }

// classIn returns the class of an interface, as a sys folder describes it: a tunnel or a dialled line fetches for nobody;
// what has a battery may go away at any time.
func classIn(sys, name string) owner.Weight {
	folder := filepath.Join(sys, "class", "net", name)
	kind := word(filepath.Join(folder, "type"))
	uevent := word(filepath.Join(folder, "uevent"))
	battery := hasBattery(sys)
	switch {
	case slices.Contains(tunnelTypes, kind), isThere(filepath.Join(folder, "tun_flags")),
		strings.Contains(uevent, "DEVTYPE=wireguard"), strings.Contains(uevent, "DEVTYPE=wwan"),
		strings.HasPrefix(name, "l2tpeth"): // it looks like Ethernet but for the name that the kernel gives it
		return owner.Never
	case isThere(filepath.Join(folder, "wireless")), isThere(filepath.Join(folder, "phy80211")),
		strings.Contains(uevent, "DEVTYPE=wlan"):
		if battery {
			return owner.Light
		}
		return owner.Medium
	case battery:
		return owner.Medium
	}
	return owner.AlwaysOn
}

// hasBattery reports whether the computer has a battery of its own: those of mice and headsets do not count.
func hasBattery(sys string) bool {
	supplies, err := filepath.Glob(filepath.Join(sys, "class", "power_supply", "*"))
	if err != nil {
		return false
	}
	for _, supply := range supplies {
		if word(filepath.Join(supply, "type")) == "Battery" && word(filepath.Join(supply, "scope")) != "Device" {
			return true
		}
	}
	return false
}

// word returns a small file's text without the line's end, or "".
func word(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data[:min(len(data), 4096)]))
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
