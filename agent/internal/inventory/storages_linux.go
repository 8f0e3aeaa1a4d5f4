package inventory

import (
	"context"
	"os"
	"strconv"
	"strings"

	"enjambre/core/ocs"
)

const sectorSize = 512 // bytes; what /sys counts in, whatever the disk uses

// notDisks are the block devices that are made of others or of memory, by the beginning of their names.
var notDisks = []string{"loop", "ram", "zram", "dm-", "md", "nbd", "fd", "drbd", "zd", "bcache", "mtdblock"}

// readStorages lists the disks. A computer without any, such as one that boots from the network, says so in
// one entry without a size, so that "none" and "not read" stay apart.
func readStorages(_ context.Context, s System) ([]ocs.Section, error) {
	if _, err := os.Stat(s.path("/sys/block")); err != nil {
		return nil, err
	}
	var sections []ocs.Section
	for _, name := range s.names("/sys/block") {
		if one := s.storage(name); one.Name != "" {
			sections = append(sections, one)
		}
	}
	if len(sections) == 0 {
		sections = append(sections, section("STORAGES", "NAME", "none", "DESCRIPTION", "no disk is visible"))
	}
	return sections, nil
}

// storage reads one block device; its name is "" when it is no disk or holds nothing.
func (s System) storage(name string) ocs.Section {
	for _, prefix := range notDisks {
		if strings.HasPrefix(name, prefix) {
			return ocs.Section{}
		}
	}
	folder := "/sys/block/" + name
	sectors, err := strconv.ParseUint(s.text(folder+"/size"), 10, 54) // 2^54 sectors are 2^63 bytes
	kind := "disk"
	if s.text(folder+"/device/type") == "5" { // a SCSI drive for discs, whether or not it holds one
		kind, sectors = "cdrom", 0
	} else if err != nil || sectors == 0 {
		return ocs.Section{}
	}
	size := ""
	if sectors > 0 {
		size = strconv.FormatUint(sectors*sectorSize/1_000_000, 10) // MB by 1000, as on the label
	}
	maker := s.text(folder + "/device/vendor")
	if maker == "ATA" || strings.HasPrefix(maker, "0x") { // the bus, or a number
		maker = ""
	}
	return section("STORAGES", "NAME", name, "MANUFACTURER", maker, "MODEL", s.text(folder+"/device/model"),
		"DESCRIPTION", s.describeDisk(name), "TYPE", kind, "DISKSIZE", size, "SERIALNUMBER", s.diskSerial(folder),
		"FIRMWARE", first(s.text(folder+"/device/firmware_rev"), s.text(folder+"/device/rev")))
}

// describeDisk says how a disk is attached and whether it turns.
func (s System) describeDisk(name string) string {
	target, _ := os.Readlink(s.path("/sys/block/" + name)) // "" has no bus
	bus := ""
	for _, known := range []struct{ part, bus string }{
		{"/usb", "USB"}, {"/nvme", "NVMe"}, {"/ata", "SATA"}, {"/virtio", "virtio"}, {"/mmc", "MMC"},
		{"/vbd-", "Xen"},
		{"/host", "SCSI"},
	} {
		if bus == "" && strings.Contains(target, known.part) {
			bus = known.bus
		}
	}
	turns := ""
	switch s.text("/sys/block/" + name + "/queue/rotational") {
	case "0":
		turns = "SSD"
	case "1":
		turns = "HDD"
	}
	if bus == "virtio" || bus == "Xen" { // a virtual disk does not know what it lies on
		turns = ""
	}
	return strings.TrimSpace(bus + " " + turns)
}

// diskSerial reads the serial number: NVMe and virtio have a file for it, SCSI and SATA the page 0x80 of
// their vital product data, four bytes of header and the text.
func (s System) diskSerial(folder string) string {
	if serial := known(first(s.text(folder+"/device/serial"), s.text(folder+"/serial"))); serial != "" {
		return serial
	}
	page, err := s.read(folder+"/device/vpd_pg80", 4096)
	if err != nil || len(page) < 4 || page[1] != 0x80 {
		return ""
	}
	return known(printable(string(page[4:]), 255))
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
