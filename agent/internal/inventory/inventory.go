// Package inventory reads what a computer says about itself, as the sections of an OCS inventory.
//
// It promises HARDWARE, BIOS, CPUS, MEMORIES, DRIVES, STORAGES, NETWORKS and SOFTWARES on Linux, also where
// little is known: in a container, or a virtual machine without SMBIOS. What is not known is left out, never
// invented. A source that fails is noted and skipped, so one broken database does not cost the rest; its
// section is then missing, which means "nothing said", not "none".
//
// Sources are /proc, /sys, /etc, the package databases and the kernel; see docs/decisions/0010. No shell is
// used, and rpm is the only program that is run. Bounds: [MaxTime] in all, [MaxPrograms] programs, [MaxItems]
// of every other list, 64 KiB a value, and [MaxSections] in all, which leaves an INVENTORY message room below
// ocs.MaxInventory. Elsewhere than on Linux only HARDWARE, CPUS, DRIVES and NETWORKS are read, from gopsutil
// and the standard library; that compiles, and has not been run there.
//
// [Checksum] says which sections changed since an inventory that the server accepted, [Append] makes the
// inventory of them, and [Fingerprint] tells a computer from its clone.
package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"enjambre/agent/internal/aside"
	"enjambre/core/ocs"
)

// Bounds of one inventory.
const (
	MaxTime     = 60 * time.Second // of the whole collection; sources that were not reached by then are skipped
	MaxSource   = 5 * time.Second  // of one source
	MaxListing  = 40 * time.Second // of SOFTWARES: longer than a program of the system may run
	MaxPrograms = 20_000           // items of SOFTWARES; the rest is cut and noted
	MaxItems    = 256              // items of every other list, such as addresses and drives; likewise
	MaxSections = 12 << 20         // bytes of all sections as XML
	MaxElements = 130_000          // elements of all sections; a message may have 150,000, history included
)

// A System is the computer that is looked at. The zero System is the real one; tests stand another in its
// place.
type System struct {
	Root string           // folder that stands for the root folder; "" is the root folder itself
	Log  *slog.Logger     // sources that fail; nil discards
	Now  func() time.Time // also decides the time zone of what is written; default time.Now

	// Run runs one program of the system and returns its output, at most maxOutput bytes. The default runs it
	// with a clean environment, and not at all when Root is set.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
	// Usage returns the size of the file system at path, and what is free for others than root, in bytes.
	Usage func(ctx context.Context, path string) (total, free uint64, err error)
	// Adapters lists the network adapters with their addresses.
	Adapters func() ([]Adapter, error)
	// Permanent returns the MAC address that an adapter was made with, whatever it uses now.
	Permanent func(adapter string) (net.HardwareAddr, error)
	// Architecture is the machine's, as uname says it: x86_64, aarch64.
	Architecture func() string
}

// An Adapter is a network adapter.
type Adapter struct {
	Name         string
	MAC          net.HardwareAddr
	MTU          int // bytes
	Up, Loopback bool
	Addresses    []netip.Prefix
}

// A Note is one source that could not be read, in whole or in part.
type Note struct {
	Source string `json:"source"` // a section's name, or "bounds"
	Reason string `json:"reason"`
}

// String is what a person reads.
func (n Note) String() string { return n.Source + ": " + n.Reason }

// A Report is an inventory with what is missing in it.
type Report struct {
	Sections []ocs.Section
	Notes    []Note // empty when every source could be read
}

// Collect returns the sections that [Survey] finds. It fails only when ctx ends.
func Collect(ctx context.Context, system System) ([]ocs.Section, error) {
	report, err := Survey(ctx, system)
	return report.Sections, err
}

// A source reads one kind of section. It may return sections and an error, if it knows only a part.
type source struct {
	name string
	read func(ctx context.Context, system System) ([]ocs.Section, error)
}

// Survey reads every source. It fails only when ctx ends; what else goes wrong is logged and noted.
//
// A source may hang where the kernel waits for a disk or a server that does not answer, and nothing can end that. So each
// is read in a goroutine of its own and left behind in time; while it hangs, it is not read again.
func Survey(ctx context.Context, system System) (Report, error) {
	system = system.complete()
	limited, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	var report Report
	for _, source := range sources {
		sections, err := source.within(limited, system)
		if ctx.Err() != nil {
			return Report{}, fmt.Errorf("inventory: %w", ctx.Err())
		}
		if err != nil {
			report.note(system, source.name, err.Error())
		}
		report.Sections = append(report.Sections, sections...)
	}
	report.bound(system)
	return report, nil
}

// within reads a source, unless ctx has ended, and leaves it behind when it takes too long.
func (s source) within(ctx context.Context, system System) ([]ocs.Section, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("not read: the sources before it took %v", MaxTime)
	}
	most := MaxSource
	if s.name == softwares {
		most = MaxListing
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	type found struct {
		sections []ocs.Section
		err      error
	}
	got, err := aside.Do(ctx, "inventory "+system.Root+" "+s.name, func() (found, error) {
		sections, err := s.read(ctx, system)
		return found{sections, err}, nil
	})
	if err != nil {
		return nil, err
	}
	return got.sections, got.err
}

func (r *Report) note(system System, source, reason string) {
	system.Log.Warn("inventory is incomplete", "source", source, "reason", reason)
	r.Notes = append(r.Notes, Note{Source: source, Reason: printable(reason, maxNote)})
}

// complete returns the system with the defaults of what is not set.
func (s System) complete() System {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Run == nil {
		s.Run = s.run
	}
	if s.Usage == nil {
		s.Usage = diskUsage
	}
	if s.Adapters == nil {
		s.Adapters = listAdapters
	}
	if s.Permanent == nil {
		s.Permanent = permanentAddress
	}
	if s.Architecture == nil {
		s.Architecture = machineArchitecture
	}
	return s
}

// path returns where a path of the system is.
func (s System) path(path string) string {
	if s.Root == "" {
		return path
	}
	return filepath.Join(s.Root, path)
}

// day writes a time as the protocol does.
func (s System) day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(s.Now().Location()).Format("2006/01/02 15:04:05")
}
