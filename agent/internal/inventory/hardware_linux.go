package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/mem"

	"enjambre/core/ocs"
)

// sources are read in this order; programs come last, since they are what is cut when there is too much.
var sources = []source{
	{"HARDWARE", readHardware}, {"BIOS", readBIOS}, {"CPUS", readProcessors}, {"MEMORIES", readMemories},
	{"DRIVES", readDrives}, {"STORAGES", readStorages}, {"NETWORKS", readNetworks}, {softwares, readPrograms},
}

func readHardware(ctx context.Context, s System) ([]ocs.Section, error) {
	cpus, errCPU := s.processors(ctx)
	memory, errMemory := mem.VirtualMemoryWithContext(s.gopsutil(ctx))
	if errMemory != nil {
		memory = &mem.VirtualMemoryStat{}
	}
	adapters, errNetwork := s.Adapters()
	routes := s.routes()
	gateway, byDefault := "", ""
	if len(routes) > 0 {
		gateway, byDefault = routes[0].gateway.String(), routes[0].adapter
	}
	name, domain := s.name()
	system := s.release()
	users, last := s.users()
	rest, errFirmware := s.firmware()
	kernel := s.text("/proc/sys/kernel/osrelease") + " " + s.text("/proc/sys/kernel/version")
	hardware := section("HARDWARE", "NAME", name, "WORKGROUP", domain,
		"OSNAME", system.name, "OSVERSION", system.version,
		"OSCOMMENTS", strings.TrimSpace(kernel), "ARCH", s.Architecture(),
		"PROCESSORT", cpus.model, "PROCESSORS", number(cpus.megahertz), "PROCESSORN", number(cpus.sockets),
		"MEMORY", number(memory.Total>>20), "SWAP", mebibytes(memory.SwapTotal),
		"IPADDR", mainAddress(adapters, byDefault), "DNS", strings.Join(s.resolvers(), "/"),
		"DEFAULTGATEWAY", gateway,
		"USERID", strings.Join(users, "/"), "LASTLOGGEDUSER", last.name, "DATELASTLOGGEDUSER", s.day(last.at),
		"TYPE", s.role(cpus, rest), "DESCRIPTION", s.Architecture()+"/"+s.uptime(),
		"UUID", rest.uuid, "VMSYSTEM", s.virtualization(cpus, rest), "INSTALLDATE", s.day(s.installed()))
	return []ocs.Section{hardware}, errors.Join(errCPU, errMemory, errNetwork, errFirmware)
}

// name returns the computer's name and its DNS domain, from the host name if that is a full one.
func (s System) name() (host, domain string) {
	full := first(s.text("/proc/sys/kernel/hostname"), s.text("/etc/hostname"))
	host, domain, _ = strings.Cut(full, ".")
	if domain != "" {
		return host, domain
	}
	for _, fields := range s.resolver("/etc/resolv.conf") {
		if (fields[0] == "domain" || fields[0] == "search") && fields[1] != "." {
			domain = strings.TrimSuffix(fields[1], ".")
		}
	}
	return host, domain
}

// resolver returns the lines of a resolver's configuration that have a value.
func (s System) resolver(path string) (lines [][]string) {
	for line := range strings.SplitSeq(s.text(path), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && len(lines) < MaxItems {
			lines = append(lines, fields)
		}
	}
	return lines
}

// resolvers lists the DNS servers; where that is only systemd's own forwarder, those behind it.
func (s System) resolvers() []string {
	list := func(path string) (servers []string) {
		for _, fields := range s.resolver(path) {
			if fields[0] == "nameserver" {
				servers = append(servers, fields[1])
			}
		}
		return servers
	}
	servers := list("/etc/resolv.conf")
	if slices.Equal(servers, []string{"127.0.0.53"}) {
		if behind := list("/run/systemd/resolve/resolv.conf"); len(behind) > 0 {
			return behind
		}
	}
	return servers
}

// A release is what /etc/os-release says.
type release struct{ name, version string }

// release names the system as the stock agent does, "Debian GNU/Linux 12". The server tells Linux by that
// word, which some systems leave out of their names.
func (s System) release() release {
	values := make(map[string]string)
	text := first(s.text("/etc/os-release"), s.text("/usr/lib/os-release"))
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = strings.Trim(value, `"'`)
	}
	name := strings.TrimSpace(first(values["NAME"], "Linux") + " " + values["VERSION_ID"])
	if !strings.Contains(strings.ToLower(name), "linux") {
		name += " (Linux)"
	}
	return release{name: name, version: values["VERSION_ID"]}
}

// uptime writes how long the system has run, as years, months of 30 days, days and the time: 00-00-02
// 03:04:05.
func (s System) uptime() string {
	text, _, _ := strings.Cut(s.text("/proc/uptime"), ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return ""
	}
	days := seconds / 86400
	return fmt.Sprintf("%02d-%02d-%02d %02d:%02d:%02d", days/365, days%365/30, days%365%30, seconds/3600%24,
		seconds/60%60, seconds%60)
}

// installed returns when the system was installed, where an installer left its record: those of Debian,
// Ubuntu and Red Hat do. An image that was unpacked has no such date.
func (s System) installed() time.Time {
	for _, path := range []string{"/var/log/installer", "/root/anaconda-ks.cfg"} {
		if at := s.modified(path); !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}
