package inventory

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

// link marks a file of a fake system that is a symbolic link to what follows.
const link = "-> "

// fake writes a system's files below a folder of the test. A name with a slash at its end is a folder.
func fake(t testing.TB, files map[string]string) System {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		target, isLink := strings.CutPrefix(content, link)
		switch {
		case strings.HasSuffix(name, "/"):
			check(t, os.MkdirAll(path, 0o755))
		case isLink:
			check(t, os.MkdirAll(filepath.Join(filepath.Dir(path), filepath.Dir(target)), 0o755))
			check(t, os.Symlink(target, path))
		default:
			check(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	return System{
		Root: root, Now: func() time.Time { return now }, Architecture: func() string { return "x86_64" },
		Adapters:  func() ([]Adapter, error) { return nil, nil },
		Permanent: func(string) (net.HardwareAddr, error) { return nil, errors.New("no kernel here") },
		Usage: func(_ context.Context, path string) (uint64, uint64, error) {
			if _, err := os.Stat(path); err != nil {
				return 0, 0, err
			}
			return 100 << 30, 60 << 30, nil
		},
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mac(text string) net.HardwareAddr {
	address, err := net.ParseMAC(text)
	if err != nil {
		panic(err)
	}
	return address
}

// office is a desktop computer with Debian, as its files describe it.
func office(t testing.TB) System {
	t.Helper()
	files := map[string]string{
		"etc/os-release":                          "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
		"etc/machine-id":                          "3d1219c7c4c5404aaa1f6d2a48adfda4\n",
		"etc/resolv.conf":                         "# made by systemd\nnameserver 127.0.0.53\nsearch lyon.example.net\n",
		"run/systemd/resolve/resolv.conf":         "nameserver 10.1.0.53\nnameserver 10.1.0.54\n",
		"run/systemd/sessions/2":                  "CLASS=user\nUSER=ana\nSTATE=active\nREALTIME=1763971200000000\n",
		"run/systemd/sessions/3":                  "CLASS=greeter\nUSER=gdm\nSTATE=online\n",
		"run/systemd/sessions/4":                  "CLASS=user\nUSER=luc\nSTATE=closing\n",
		"proc/sys/kernel/hostname":                "pc-042\n",
		"proc/sys/kernel/osrelease":               "6.1.0-40-amd64\n",
		"proc/sys/kernel/version":                 "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1\n",
		"proc/uptime":                             "183845.12 700000.00\n",
		"proc/meminfo":                            "MemTotal: 16215040 kB\nMemFree: 1000 kB\nMemAvailable: 9000 kB\nSwapTotal: 999424 kB\n",
		"proc/cpuinfo":                            cpuinfo(4, "Intel(R) Core(TM) i5-8500 CPU @ 3.00GHz", "fpu lm"),
		"proc/net/route":                          routeTable(),
		"proc/net/ipv6_route":                     "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 1 0 00000003 enp0s31f6\n",
		"proc/self/mountinfo":                     mountinfo,
		"boot/efi/":                               "",
		"srv/":                                    "",
		"dev/disk/by-uuid/1111-2222":              link + "../../nvme0n1p1",
		"dev/disk/by-uuid/aaaa-bbbb":              link + "../../nvme0n1p2",
		"dev/disk/by-label/Data\\x20of\\x20site":  link + "../../dm-0",
		"sys/dev/block/259:1":                     link + "../../devices/pci0000:00/nvme/nvme0/nvme0n1/nvme0n1p1",
		"sys/dev/block/259:2":                     link + "../../devices/pci0000:00/nvme/nvme0/nvme0n1/nvme0n1p2",
		"sys/dev/block/253:0":                     link + "../../devices/virtual/block/dm-0",
		"sys/block/nvme0n1":                       link + "../devices/pci0000:00/nvme/nvme0/nvme0n1",
		"sys/block/dm-0":                          link + "../devices/virtual/block/dm-0",
		"sys/block/loop0":                         link + "../devices/virtual/block/loop0",
		"sys/class/net/enp0s31f6":                 link + "../../devices/pci0000:00/0000:00:1f.6/net/enp0s31f6",
		"sys/class/net/docker0":                   link + "../../devices/virtual/net/docker0",
		"sys/class/net/veth1":                     link + "../../devices/virtual/net/veth1",
		"sys/class/net/lo":                        link + "../../devices/virtual/net/lo",
		"sys/class/net/wlp2s0":                    link + "../../devices/pci0000:00/0000:02:00.0/net/wlp2s0",
		"sys/class/net/enxdock":                   link + "../../devices/pci0000:00/usb1/1-1/net/enxdock",
		"var/log/installer/":                      "",
		"var/lib/dpkg/status":                     dpkgStatus,
		"var/lib/dpkg/info/bash.list":             "/.\n",
		"var/lib/dpkg/info/libc6:amd64.list":      "/.\n",
		"sys/firmware/dmi/tables/DMI":             string(officeTable()),
		"sys/class/dmi/id/sys_vendor":             "Maker & Sons\n",
		"sys/class/dmi/id/product_name":           "Desk 800 G4\n",
		"sys/class/dmi/id/product_serial":         "5CG9123ABC\n",
		"sys/class/dmi/id/chassis_type":           "6\n",
		"sys/class/dmi/id/chassis_asset_tag":      "Default string\n",
		"sys/class/dmi/id/bios_date":              "05/20/2024\n",
		"var/log/wtmp":                            string(loginRecord(loginKind, "old", 1_600_000_000)) + "cut",
		"sys/devices/virtual/net/docker0/bridge/": "",
		"sys/devices/virtual/block/dm-0/size":     "1000\n",
		"sys/devices/virtual/block/loop0/size":    "1000\n",
	}
	for name, content := range map[string]string{
		"size": "1000215216\n", "queue/rotational": "0\n", "device/model": "Fast SSD 512\n",
		"device/serial": "S4GXNF0N1    \n", "device/firmware_rev": "EXA7301Q\n",
	} {
		files["sys/devices/pci0000:00/nvme/nvme0/nvme0n1/"+name] = content
	}
	for name, content := range map[string]string{
		"type": "1\n", "speed": "1000\n", "duplex": "full\n", "device/driver": link + "../../../../../bus/pci/drivers/e1000e",
	} {
		files["sys/devices/pci0000:00/0000:00:1f.6/net/enp0s31f6/"+name] = content
	}
	for name, content := range map[string]string{
		"type": "1\n", "addr_assign_type": "0\n", "address": "00:1a:2b:3c:4d:60\n", "device/": "", "phy80211/": "",
	} {
		files["sys/devices/pci0000:00/0000:02:00.0/net/wlp2s0/"+name] = content
	}
	for name, content := range map[string]string{
		"index0/level": "1\n", "index0/size": "32K\n", "index2/level": "2\n", "index2/size": "256K\n",
	} {
		files["sys/devices/system/cpu/cpu0/cache/"+name] = content
	}
	files["sys/devices/pci0000:00/usb1/1-1/net/enxdock/device/"] = ""
	s := fake(t, files)
	for name, at := range map[string]time.Time{
		"var/lib/dpkg/info/bash.list": now.Add(-48 * time.Hour), "var/lib/dpkg/info/libc6:amd64.list": now,
		"var/log/installer": now.AddDate(-1, 0, 0),
	} {
		check(t, os.Chtimes(filepath.Join(s.Root, name), at, at))
	}
	s.Adapters = func() ([]Adapter, error) { return officeAdapters, nil }
	s.Permanent = func(name string) (net.HardwareAddr, error) {
		switch name {
		case "enp0s31f6":
			return mac("00:1a:2b:3c:4d:5e"), nil
		case "enxdock":
			return mac("00:1a:2b:3c:4d:70"), nil
		}
		return nil, fs.ErrNotExist
	}
	return s
}

var officeAdapters = []Adapter{
	{Name: "lo", MTU: 65536, Up: true, Loopback: true, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
	{Name: "veth1", MAC: mac("02:42:00:00:00:09"), MTU: 1500, Up: true,
		Addresses: []netip.Prefix{netip.MustParsePrefix("fe80::42/64")}},
	{Name: "docker0", MAC: mac("02:42:00:00:00:01"), MTU: 1500,
		Addresses: []netip.Prefix{netip.MustParsePrefix("172.17.0.1/16")}},
	{Name: "wlp2s0", MAC: mac("00:1a:2b:3c:4d:60"), MTU: 1500},
	{Name: "enp0s31f6", MAC: mac("00:1a:2b:3c:4d:5e"), MTU: 1500, Up: true, Addresses: []netip.Prefix{
		netip.MustParsePrefix("10.1.2.3/22"), netip.MustParsePrefix("fe80::21a:2bff:fe3c:4d5e/64"),
		netip.MustParsePrefix("2001:db8:1::23/64"),
	}},
}

func cpuinfo(n int, model, flags string) string {
	var text strings.Builder
	for i := range n {
		digit := string(rune('0' + i))
		text.WriteString("processor\t: " + digit + "\nvendor_id\t: GenuineIntel\nmodel name\t: " + model +
			"\nstepping\t: 10\ncpu MHz\t\t: 3000.000\ncache size\t: 9216 KB\nphysical id\t: 0\ncore id\t\t: " + digit +
			"\nflags\t\t: " + flags + "\n\n")
	}
	return text.String()
}

// routeTable is a route by the office's gateway, 10.1.0.1, in this processor's order, and a worse one.
func routeTable() string {
	number := func(a [4]byte) string { return strings.ToUpper(hex32(binary.NativeEndian.Uint32(a[:]))) }
	return "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
		"wlp2s0\t00000000\t" + number([4]byte{10, 1, 0, 2}) + "\t0003\t0\t0\t600\t00000000\t0\t0\t0\n" +
		"enp0s31f6\t00000000\t" + number([4]byte{10, 1, 0, 1}) + "\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
		"enp0s31f6\t" + number([4]byte{10, 1, 0, 0}) + "\t00000000\t0001\t0\t0\t100\t00FCFFFF\t0\t0\t0\n"
}

func hex32(n uint32) string {
	const digits = "0123456789abcdef"
	text := make([]byte, 8)
	for i := range text {
		text[i] = digits[n>>(28-4*i)&15]
	}
	return string(text)
}

const mountinfo = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
28 27 259:1 / /boot/efi rw,relatime shared:2 - vfat /dev/nvme0n1p1 rw
29 27 0:27 / /dev/shm rw,relatime shared:3 - tmpfs tmpfs rw
30 27 253:0 / /srv rw,relatime shared:4 - xfs /dev/mapper/vg-srv rw
31 27 253:0 / /home/ana/work\040here rw,relatime shared:5 - xfs /dev/mapper/vg-srv rw
32 27 259:2 /var/lib/x /mnt/bind rw,relatime shared:6 - ext4 /dev/nvme0n1p2 rw
33 27 0:40 / /mnt/share rw,relatime - nfs4 server:/export rw
34 27 0:41 / /var/lib/docker/overlay2/m rw - overlay overlay rw
35 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
`

const dpkgStatus = `Package: bash
Status: install ok installed
Priority: required
Maintainer: Shell People <shells@example.org>
Installed-Size: 7164
Architecture: amd64
Multi-Arch: foreign
Version: 5.2.15-2+b8
Conffiles:
 /etc/bash.bashrc 89269e1298235f1b12b4c16e4065ad0d
Description: GNU Bourne Again SHell
 Bash is an sh-compatible command language interpreter.
 .
 Version: not this one

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libc6
Status: hold ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9+deb12u10
Installed-Size: 12986
Description: GNU C Library: Shared libraries
`

// loginRecord makes a record of utmp.
func loginRecord(kind uint16, user string, at int64) []byte {
	size, secondsAt := recordLayout()
	record := make([]byte, size)
	binary.NativeEndian.PutUint16(record, kind)
	copy(record[userAt:userAt+userLength], user)
	if size == 400 {
		binary.NativeEndian.PutUint64(record[secondsAt:], uint64(at))
	} else {
		binary.NativeEndian.PutUint32(record[secondsAt:], uint32(at))
	}
	return record
}
