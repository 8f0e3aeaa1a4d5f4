package inventory

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestChooseDrives(t *testing.T) {
	places := func(text string) (at []string) {
		for _, m := range chooseDrives(parseMounts(text)) {
			at = append(at, m.at+" "+m.kind)
		}
		return at
	}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"an office computer", mountinfo, []string{"/ ext4", "/boot/efi vfat", "/srv xfs"}},
		{"a container", "1 0 0:50 / / rw - overlay overlay rw\n2 1 8:1 /x /etc/hosts rw - ext4 /dev/sda1 rw\n",
			[]string{"/ overlay"}},
		{"subvolumes of one btrfs", "1 0 0:30 /@home /home rw - btrfs /dev/sda2 rw\n2 0 0:30 /@ / rw - btrfs /dev/sda2 rw\n",
			[]string{"/ btrfs"}},
		{"a mount that hides another", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /srv rw - ext4 /dev/sda2 rw\n" +
			"3 1 8:3 / /srv rw - xfs /dev/sda3 rw\n", []string{"/ ext4", "/srv xfs"}},
		{"a root in memory", "1 0 0:2 / / rw - rootfs rootfs rw\n", []string{"/ rootfs"}},
		{"lines that are none", "\n1 2 3\n1 0 8:1 / / rw -\n- - - - - -\n", nil},
	} {
		if got := places(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzMounts(f *testing.F) {
	f.Add(mountinfo)
	f.Fuzz(func(t *testing.T, text string) {
		chosen := chooseDrives(parseMounts(text))
		devices := make(map[string]bool)
		for _, m := range chosen {
			if devices[m.device] {
				t.Fatalf("%s twice in %v", m.device, chosen)
			}
			devices[m.device] = true
		}
	})
}

func TestRoutes(t *testing.T) {
	got := office(t).routes()
	var texts []string
	for _, r := range got {
		texts = append(texts, r.adapter+" "+r.gateway.String())
	}
	want := []string{"enp0s31f6 10.1.0.1", "wlp2s0 10.1.0.2", "enp0s31f6 fe80::1"}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzRoutes(f *testing.F) {
	f.Add(routeTable())
	f.Add("00000000000000000000000000000000 00 0 00 fe800000000000000000000000000001 00000400 1 0 00000003 eth0")
	f.Fuzz(func(t *testing.T, table string) {
		for line := range strings.Lines(table) {
			for _, parse := range []func([]string) (route, bool){parseRoute4, parseRoute6} {
				if one, valid := parse(strings.Fields(line)); valid && (!one.gateway.IsValid() || one.gateway.IsUnspecified()) {
					t.Fatalf("%q: a route by %v", line, one.gateway)
				}
			}
		}
	})
}

func TestLogins(t *testing.T) {
	records := bytes.Join([][]byte{loginRecord(loginKind, "ana", 100), loginRecord(8, "gone", 200),
		loginRecord(loginKind, "", 300), loginRecord(loginKind, "luc", 50), {1, 2, 3}}, nil)
	want := []login{{"ana", time.Unix(100, 0)}, {"luc", time.Unix(50, 0)}}
	if diff := cmp.Diff(want, parseLogins(records), cmp.AllowUnexported(login{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s := fake(t, map[string]string{"run/utmp": string(records), "var/log/wtmp": string(records)})
	now, last := s.users()
	if !slices.Equal(now, []string{"ana", "luc"}) || last.name != "ana" {
		t.Errorf("got %q, last %v", now, last)
	}
}

func TestVirtualization(t *testing.T) {
	for _, c := range []struct {
		name       string
		files      map[string]string
		guest      bool
		rest       firmware
		want, role string
	}{
		{"metal", nil, false, firmware{maker: "Dell Inc.", chassis: 10}, "Physical", "Laptop"},
		{"metal of a cloud", nil, false, firmware{maker: "Amazon EC2", chassis: 23}, "Physical", "Server"},
		{"cloud", nil, true, firmware{maker: "Amazon EC2"}, "Amazon EC2", "Virtual Machine"},
		{"QEMU", nil, true, firmware{maker: "QEMU", model: "Standard PC"}, "QEMU", "Virtual Machine"},
		{"without SMBIOS", nil, true, firmware{}, "Virtual Machine", "Virtual Machine"},
		{"Hyper-V", nil, true, firmware{maker: "Microsoft Corporation", model: "Virtual Machine"}, "Hyper-V",
			"Virtual Machine"},
		{"LXC", map[string]string{"proc/1/environ": "PATH=/bin\x00container=lxc\x00"}, true, firmware{}, "lxc", "Container"},
	} {
		s := fake(t, c.files)
		cpus := processors{guest: c.guest}
		if got, role := s.virtualization(cpus, c.rest), s.role(cpus, c.rest); got != c.want || role != c.role {
			t.Errorf("%s: got %q, %q", c.name, got, role)
		}
	}
}
