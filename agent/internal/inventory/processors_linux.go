package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"

	"enjambre/core/ocs"
)

// processors are all processors of a computer; those of one board are alike. Numbers are 0 when unknown.
type processors struct {
	maker, model            string
	megahertz               int64 // the highest if the kernel knows it, else that of the moment
	sockets, cores, logical int
	cache                   string // of level 2, "512 KiB"; not what /proc/cpuinfo shows
	guest                   bool   // the processor says that a hypervisor runs it
}

// makers are the names behind the processors' own.
var makers = map[string]string{"GenuineIntel": "Intel", "AuthenticAMD": "AMD", "HygonGenuine": "Hygon",
	"CentaurHauls": "VIA", "  Shanghai  ": "Zhaoxin"}

func (s System) processors(ctx context.Context) (processors, error) {
	list, err := cpu.InfoWithContext(s.gopsutil(ctx))
	if err != nil {
		return processors{}, fmt.Errorf("processors: %w", err)
	}
	if len(list) == 0 {
		return processors{}, errors.New("processors: /proc/cpuinfo names none")
	}
	sockets, cores := make(map[string]bool), make(map[string]bool)
	for _, one := range list {
		sockets[one.PhysicalID] = true
		cores[one.PhysicalID+"/"+first(one.CoreID, strconv.Itoa(int(one.CPU)))] = true
	}
	is := list[0]
	return processors{
		maker: first(makers[is.VendorID], is.VendorID), model: is.ModelName, megahertz: int64(is.Mhz + 0.5),
		sockets: len(sockets), cores: len(cores), logical: len(list), cache: s.secondCache(),
		guest: slices.Contains(is.Flags, "hypervisor"),
	}, nil
}

// secondCache returns the size of the first processor's cache of level 2, or "". The size in /proc/cpuinfo is
// that of another level with some makers.
func (s System) secondCache() string {
	const folder = "/sys/devices/system/cpu/cpu0/cache/"
	for _, name := range s.names(folder) {
		size, inKiB := strings.CutSuffix(s.text(folder+name+"/size"), "K")
		if inKiB && s.text(folder+name+"/level") == "2" {
			return size + " KiB"
		}
	}
	return ""
}

// wide are the architectures of 64 bits.
var wide = []string{"x86_64", "aarch64", "ppc64", "ppc64le", "s390x", "riscv64", "mips64", "loongarch64"}

// readProcessors makes an entry for each socket, its cores and threads counted.
func readProcessors(ctx context.Context, s System) ([]ocs.Section, error) {
	cpus, err := s.processors(ctx)
	if err != nil {
		return nil, err
	}
	machine := s.Architecture()
	width := "32"
	if slices.Contains(wide, machine) {
		width = "64"
	}
	var sections []ocs.Section
	for i := range cpus.sockets {
		sections = append(sections, section("CPUS", "MANUFACTURER", cpus.maker, "TYPE", first(cpus.model, machine),
			"SPEED", number(cpus.megahertz), "CORES", number(cpus.cores/cpus.sockets),
			"THREADS", number(cpus.logical/cpus.sockets), "LOGICAL_CPUS", number(cpus.logical/cpus.sockets),
			"CPUARCH", machine, "DATA_WIDTH", width, "L2CACHESIZE", cpus.cache, "SOCKET", strconv.Itoa(i),
			"NBSOCKET", number(cpus.sockets)))
	}
	return sections, nil
}

// readMemories lists the modules. Where SMBIOS names none, one entry has what the kernel manages in all,
// which is a little less than what is plugged in.
func readMemories(ctx context.Context, s System) ([]ocs.Section, error) {
	rest, err := s.firmware()
	var sections []ocs.Section
	for _, m := range rest.modules {
		sections = append(sections, section("MEMORIES", "CAPACITY", number(m.mebibytes), "TYPE", m.kind,
			"SPEED", number(m.speed), "CAPTION", m.locator, "DESCRIPTION", first(m.part, m.bank),
			"NUMSLOTS", number(m.slot), "SERIALNUMBER", m.serial, "MANUFACTURER", m.maker))
	}
	if len(sections) > 0 {
		return sections, err
	}
	memory, errTotal := mem.VirtualMemoryWithContext(s.gopsutil(ctx))
	if errTotal != nil {
		return nil, errTotal
	}
	return []ocs.Section{section("MEMORIES", "CAPACITY", number(memory.Total>>20), "CAPTION", "System memory",
		"DESCRIPTION", "total; the modules are not known")}, err
}
