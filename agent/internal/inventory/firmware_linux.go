package inventory

import (
	"context"
	"errors"
	"io/fs"
	"strconv"

	"enjambre/core/ocs"
)

const dmiFolder = "/sys/class/dmi/id/"

// firmware reads the SMBIOS table and what the kernel shows of it by itself, which holds where both speak. A
// computer without, such as most ARM boards, has a device tree. The table can be read by root alone; that it
// cannot be read is no failure, that it is damaged is.
func (s System) firmware() (firmware, error) {
	table, err := s.read("/sys/firmware/dmi/tables/DMI", maxTable)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = nil
	}
	var found firmware
	if err == nil {
		found, err = parseSMBIOS(table)
	}
	for _, one := range []struct {
		name string
		into *string
	}{
		{"bios_vendor", &found.biosMaker}, {"bios_version", &found.biosVersion}, {"bios_date", &found.biosDate},
		{"sys_vendor", &found.maker}, {"product_name", &found.model}, {"product_serial", &found.serial},
		{"product_uuid", &found.uuid}, {"board_vendor", &found.boardMaker}, {"board_name", &found.boardModel},
		{"board_serial", &found.boardSerial}, {"chassis_asset_tag", &found.assetTag},
	} {
		if value := known(s.text(dmiFolder + one.name)); value != "" {
			*one.into = value
		}
	}
	if kind, err := strconv.ParseUint(s.text(dmiFolder+"chassis_type"), 10, 8); err == nil {
		found.chassis = byte(kind)
	}
	set(&found.model, known(s.text("/proc/device-tree/model")))
	set(&found.serial, known(s.text("/proc/device-tree/serial-number")))
	return found, err
}

// readBIOS says who made the computer. Where the firmware says nothing, what remains is what kind of machine
// the system runs in.
func readBIOS(ctx context.Context, s System) ([]ocs.Section, error) {
	rest, err := s.firmware()
	kind := chassisNames[rest.chassis]
	if kind == "" {
		cpus, _ := s.processors(ctx) // a failure is noted with CPUS
		kind = first(s.role(cpus, rest), "Unknown")
	}
	return []ocs.Section{section("BIOS", "SMANUFACTURER", rest.maker, "SMODEL", rest.model, "SSN", rest.serial,
		"TYPE", kind, "BMANUFACTURER", rest.biosMaker, "BVERSION", rest.biosVersion, "BDATE", rest.biosDate,
		"MMANUFACTURER", rest.boardMaker, "MMODEL", rest.boardModel, "MSN", rest.boardSerial,
		"ASSETTAG", rest.assetTag)}, err
}
