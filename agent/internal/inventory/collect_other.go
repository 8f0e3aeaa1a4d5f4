//go:build !linux

package inventory

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"

	"enjambre/core/ocs"
)

// sources of systems that this package knows in general only. This compiles, and was never run there.
var sources = []source{
	{"HARDWARE", readHardware}, {"CPUS", readProcessors}, {"DRIVES", readDrives}, {"NETWORKS", readNetworks},
}

var errUnknown = errors.New("not known on this system")

func (s System) run(context.Context, string, ...string) ([]byte, error) { return nil, errUnknown }

func permanentAddress(string) (net.HardwareAddr, error) { return nil, errUnknown }

func machineArchitecture() string { return runtime.GOARCH }

func readHardware(ctx context.Context, s System) ([]ocs.Section, error) {
	system, errHost := host.InfoWithContext(ctx)
	if errHost != nil {
		system = &host.InfoStat{}
	}
	memory, errMemory := mem.VirtualMemoryWithContext(ctx)
	if errMemory != nil {
		memory = &mem.VirtualMemoryStat{}
	}
	cpus, errCPU := cpu.InfoWithContext(ctx)
	if len(cpus) == 0 {
		cpus = []cpu.InfoStat{{}}
	}
	adapters, errNetwork := s.Adapters()
	name := system.Platform
	if runtime.GOOS == "darwin" {
		name = "macOS"
	}
	host, domain, _ := strings.Cut(system.Hostname, ".")
	hardware := section("HARDWARE", "NAME", host, "WORKGROUP", domain, "OSNAME", name,
		"OSVERSION", system.PlatformVersion, "OSCOMMENTS", system.KernelVersion, "ARCH", s.Architecture(),
		"PROCESSORT", cpus[0].ModelName,
		"PROCESSORS", number(int64(cpus[0].Mhz)), "PROCESSORN", number(len(cpus)),
		"MEMORY", number(memory.Total>>20), "IPADDR", mainAddress(adapters, ""), "UUID", known(system.HostID))
	return []ocs.Section{hardware}, errors.Join(errHost, errMemory, errCPU, errNetwork)
}

func readProcessors(ctx context.Context, s System) (sections []ocs.Section, err error) {
	cpus, err := cpu.InfoWithContext(ctx)
	for _, one := range cpus {
		sections = append(sections, section("CPUS", "MANUFACTURER", one.VendorID, "TYPE", one.ModelName,
			"SPEED", number(int64(one.Mhz)), "LOGICAL_CPUS", number(int(one.Cores)), "CPUARCH", s.Architecture()))
	}
	return sections, err
}

func readDrives(ctx context.Context, s System) (sections []ocs.Section, err error) {
	partitions, err := disk.PartitionsWithContext(ctx, false)
	failures := []error{err}
	for _, one := range partitions {
		total, free, err := s.Usage(ctx, one.Mountpoint)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		letter := ""
		if runtime.GOOS == "windows" {
			letter = one.Mountpoint
		}
		sections = append(sections, section("DRIVES", "LETTER", letter, "TYPE", one.Mountpoint,
			"FILESYSTEM", one.Fstype, "VOLUMN", one.Device, "TOTAL", mebibytes(total), "FREE", mebibytes(free)))
	}
	return sections, errors.Join(failures...)
}

func readNetworks(_ context.Context, s System) ([]ocs.Section, error) {
	adapters, err := s.Adapters()
	if err != nil {
		return nil, err
	}
	return networkSections(adapters, func(Adapter) traits { return traits{} }), nil
}

// identity knows the host's ID alone: on Windows that of the installed system, on macOS that of the hardware.
func (s System) identity() (id, uuid string, addresses []string) {
	unique, err := host.HostID()
	if err != nil {
		return "", "", nil
	}
	if runtime.GOOS == "darwin" {
		return "", unique, nil
	}
	return unique, "", nil
}
