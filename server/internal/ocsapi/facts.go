package ocsapi

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/query"
	"enjambre/server/internal/store"
	"enjambre/server/internal/system"
)

// Bounds of what is kept of an inventory; longer lists and texts are cut.
const (
	maxText     = 255
	maxPrograms = 20_000
	maxDrives   = 1000
)

// stockReader keeps of stock agents' inventories what factsOf reads.
var stockReader = ocs.NewStockReader(
	ocs.Kept{Section: "HARDWARE", Most: 1, Fields: []string{"NAME", "OSNAME", "USERID", "LASTLOGGEDUSER", "UUID", "MEMORY",
		"IPADDR", "CHECKSUM"}},
	ocs.Kept{Section: "BIOS", Most: 1, Fields: []string{"SSN", "SMANUFACTURER", "SMODEL"}},
	ocs.Kept{Section: "DRIVES", Most: maxDrives, Fields: []string{"FREE", "TYPE", "FILESYSTEM", "VOLUMN"}},
	ocs.Kept{Section: "NETWORKS", Most: store.MaxAddresses, Fields: []string{"MACADDR", "IPADDRESS"}},
	ocs.Kept{Section: "SOFTWARES", Most: maxPrograms, Fields: []string{"NAME", "VERSION"}},
)

// factsOf reads from an inventory what the server searches by. Lists that the agent says did not change
// are nil, unless it sends them all the same with no word on changes. An inventory without DRIVES or BIOS, or without a
// text of theirs or of HARDWARE, says nothing about them, whether or not they changed: an agent that could not read them
// this time leaves them out.
func factsOf(inventory ocs.Inventory, agent string) store.Facts {
	hardware, bios := inventory.First("HARDWARE"), inventory.First("BIOS")
	running := text(hardware.Value("OSNAME"))
	free, drives := mostFree(inventory)
	facts := store.Facts{
		Computer: store.Computer{
			Name:         text(hardware.Value("NAME")),
			OS:           running,
			Family:       system.FamilyOf(running, agent),
			Agent:        clipAgent(agent),
			User:         usersOf(hardware),
			Serial:       text(bios.Value("SSN")),
			UUID:         text(hardware.Value("UUID")),
			Manufacturer: text(bios.Value("SMANUFACTURER")),
			Model:        text(bios.Value("SMODEL")),
			Memory:       mebibytes(hardware.Value("MEMORY")),
			Disk:         free,
		},
		History:  inventory.History,
		Reported: inventory.Reported,
		KeepDisk: !drives,
		KeepBIOS: len(inventory.All("BIOS")) == 0,
	}
	for _, field := range inventory.Account {
		facts.Account = append(facts.Account, ocs.AccountField{Key: text(field.Key), Value: text(field.Value)})
	}
	if len(inventory.All("NETWORKS")) > 0 || inventory.Changed("NETWORKS") {
		facts.Addresses = addressesOf(inventory, hardware.Value("IPADDR"))
	}
	if programs := inventory.All("SOFTWARES"); len(programs) > 0 || inventory.Changed("SOFTWARES") {
		facts.Programs = []store.Program{}
		for _, program := range programs[:min(len(programs), maxPrograms)] {
			if name := text(program.Value("NAME")); name != "" {
				facts.Programs = append(facts.Programs,
					store.Program{Name: name, Version: text(program.Value("VERSION"))})
			}
		}
	}
	return facts
}

// text makes a foreign field fit to be kept and shown: trimmed, one line, no control characters.
func text(value string) string {
	value = strings.ToValidUTF8(value, "?")
	value = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || core.IsDeceptive(r):
			return -1
		}
		return r
	}, value)
	value = strings.TrimSpace(value)
	for len(value) > maxText {
		runes := []rune(value)
		value = string(runes[:len(runes)-max(1, (len(value)-maxText)/4)])
	}
	return strings.TrimSpace(value) // the cut may be after a blank
}

func clipAgent(agent string) string { return text(agent) }

// mebibytes reads a size in MiB, which some agents send with a fraction; 0 when it is none.
func mebibytes(value string) int64 {
	size, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || math.IsNaN(size) || size < 0 || size > 1<<42 {
		return 0
	}
	return int64(size * (1 << 20))
}

// addressesOf lists the adapters' addresses, and the one the agent calls its own.
func addressesOf(inventory ocs.Inventory, own string) []store.Address {
	addresses := []store.Address{}
	for _, network := range inventory.All("NETWORKS") {
		address := store.Address{IP: ip(network.Value("IPADDRESS"))}
		if mac, valid := query.NormalMAC(strings.TrimSpace(network.Value("MACADDR"))); valid {
			address.MAC = mac
		}
		if address != (store.Address{}) && len(addresses) < store.MaxAddresses {
			addresses = append(addresses, address)
		}
	}
	if address := ip(own); address != "" && len(addresses) < store.MaxAddresses {
		for _, known := range addresses {
			if known.IP == address {
				return addresses
			}
		}
		addresses = append(addresses, store.Address{IP: address})
	}
	return addresses
}

// addressesOfAdapters keeps those adapters of a notification that have a valid MAC address.
func addressesOfAdapters(adapters []ocs.Adapter) []store.Address {
	var addresses []store.Address
	for _, adapter := range adapters {
		if mac, valid := query.NormalMAC(adapter.MAC); valid {
			addresses = append(addresses, store.Address{IP: ip(adapter.IP), MAC: mac})
		}
	}
	return addresses
}

// ip returns an address in its one spelling, or "" when it is none.
func ip(value string) string {
	address, err := netip.ParseAddr(strings.TrimSpace(value))
	if err != nil {
		return ""
	}
	return address.Unmap().WithZone("").String()
}
