package inventory

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
	"enjambre/core/ocs"
)

var update = flag.Bool("update", false, "write the golden file anew")

// device is the computer of the golden file.
const device = "pc-042-2026-11-24-09-30-00"

// kinds are the sections that Linux always has.
var kinds = []string{"HARDWARE", "BIOS", "CPUS", "MEMORIES", "DRIVES", "STORAGES", "NETWORKS", "SOFTWARES"}

// TestGolden: the office computer's first inventory, as it is sent. The server's tests read a copy of the
// file, server/internal/ocsapi/testdata/agent-inventory.xml; the tree's own test holds the two equal.
func TestGolden(t *testing.T) {
	report, err := Survey(t.Context(), office(t))
	check(t, err)
	if len(report.Notes) > 0 {
		t.Errorf("notes: %v", report.Notes)
	}
	sum, _ := Checksum(report.Sections, nil)
	inventory := Append(report.Sections, sum, []ocs.AccountField{{Key: ocs.TagKey, Value: "lyon"}},
		[]core.PackageID{1_760_000_000})
	got := inventory.Append(nil, device)
	path := filepath.Join("testdata", "inventory.xml")
	if *update {
		check(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	request, err := ocs.ParseRequest(got)
	check(t, err)
	read, err := request.Inventory()
	check(t, err)
	if diff := cmp.Diff(inventory, read); diff != "" {
		t.Errorf("sent and read differ (-sent +read):\n%s", diff)
	}
}

// TestRealSystem: every section is there on the machine that runs the test, whatever kind of machine it is.
func TestRealSystem(t *testing.T) {
	report, err := Survey(t.Context(), System{})
	check(t, err)
	found := make(map[string]int)
	for _, section := range report.Sections {
		if found[section.Name]++; len(section.Fields) == 0 {
			t.Errorf("%s says nothing", section.Name)
		}
	}
	for _, kind := range kinds {
		if kind == softwares && len(report.Notes) > 0 {
			continue // neither Debian nor Red Hat
		}
		if found[kind] == 0 {
			t.Errorf("no %s; notes: %v", kind, report.Notes)
		}
	}
	hardware := ocs.Inventory{Sections: report.Sections}.First("HARDWARE")
	for _, field := range []string{"NAME", "OSNAME", "OSCOMMENTS", "ARCH", "MEMORY", "DESCRIPTION", "VMSYSTEM"} {
		if hardware.Value(field) == "" {
			t.Errorf("HARDWARE has no %s: %v", field, hardware.Fields)
		}
	}
	if !strings.Contains(strings.ToLower(hardware.Value("OSNAME")), "linux") {
		t.Errorf("the server would not know %q for Linux", hardware.Value("OSNAME"))
	}
}

// TestContainer: little is known in a container without SMBIOS and disks, and each section says that.
func TestContainer(t *testing.T) {
	s := fake(t, map[string]string{
		".dockerenv": "", "etc/hosts": "", "etc/hostname": "3f2a\n", "sys/block/": "",
		"etc/os-release": "NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\n",
		"proc/cpuinfo":   "processor\t: 0\n", "proc/meminfo": "MemTotal: 2048000 kB\nMemAvailable: 9 kB\n",
		"proc/self/mountinfo": "1 0 0:50 / / rw - overlay overlay rw\n2 1 259:2 /docker/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n" +
			"3 1 0:33 /docker/hostname /etc/hostname rw - btrfs /dev/sda2 rw\n",
		"var/lib/dpkg/status": dpkgStatus,
	})
	s.Adapters = func() ([]Adapter, error) { return officeAdapters[2:3], nil }
	report, err := Survey(t.Context(), s)
	check(t, err)
	inventory := ocs.Inventory{Sections: report.Sections}
	for _, want := range []struct{ section, field, value string }{
		{"HARDWARE", "OSNAME", "Ubuntu 24.04 (Linux)"}, {"HARDWARE", "VMSYSTEM", "Docker"},
		{"HARDWARE", "NAME", "3f2a"}, {"HARDWARE", "SWAP", "0"}, {"BIOS", "TYPE", "Container"},
		{"CPUS", "TYPE", "x86_64"}, {"MEMORIES", "CAPACITY", "2000"}, {"DRIVES", "TYPE", "/"},
		{"STORAGES", "DESCRIPTION", "no disk is visible"}, {"NETWORKS", "IPADDRESS", "172.17.0.1"},
		{"SOFTWARES", "NAME", "bash"},
	} {
		if got := inventory.First(want.section).Value(want.field); got != want.value {
			t.Errorf("%s %s: got %q, want %q", want.section, want.field, got, want.value)
		}
	}
	if len(inventory.All("DRIVES")) != 1 || len(report.Notes) > 0 {
		t.Errorf("got %v, notes %v", inventory.All("DRIVES"), report.Notes)
	}
}

// TestNoNetwork: no adapter but loopback is something to say, and no address.
func TestNoNetwork(t *testing.T) {
	s := fake(t, nil)
	s.Adapters = func() ([]Adapter, error) { return officeAdapters[:2], nil }
	got, err := readNetworks(t.Context(), s.complete())
	check(t, err)
	if len(got) != 1 || got[0].Value("DESCRIPTION") != "none" || got[0].Value("IPADDRESS") != "" {
		t.Errorf("got %v", got)
	}
}

func TestSourcesThatFail(t *testing.T) {
	s := fake(t, map[string]string{
		"etc/hostname": "pc\n", "proc/meminfo": "MemTotal: 2048000 kB\nMemAvailable: 9 kB\n",
		"sys/firmware/dmi/tables/DMI": "\x01\x04", "var/lib/rpm/rpmdb.sqlite": "", "usr/bin/rpm": "",
	})
	s.Adapters = func() ([]Adapter, error) { return nil, errors.New("no netlink") }
	report, err := Survey(t.Context(), s)
	check(t, err)
	noted := make(map[string]string)
	for _, note := range report.Notes {
		noted[note.Source] = note.Reason
	}
	for source, reason := range map[string]string{
		"HARDWARE": "no netlink", "BIOS": "breaks off", "CPUS": "cpuinfo", "MEMORIES": "breaks off", "DRIVES": "mountinfo",
		"STORAGES": "sys/block", "NETWORKS": "no netlink", "SOFTWARES": "is not run",
	} {
		if !strings.Contains(noted[source], reason) {
			t.Errorf("%s: noted %q, want %q", source, noted[source], reason)
		}
	}
	inventory := ocs.Inventory{Sections: report.Sections}
	if inventory.First("HARDWARE").Value("NAME") != "pc" || inventory.First("MEMORIES").Value("CAPACITY") != "2000" {
		t.Errorf("what can be read is missing: %v", report.Sections)
	}
	if len(inventory.All("NETWORKS"))+len(inventory.All("STORAGES"))+len(inventory.All("SOFTWARES")) > 0 {
		t.Errorf("what cannot be read is there: %v", report.Sections)
	}
}

func TestRPM(t *testing.T) {
	s := fake(t, map[string]string{"usr/lib/sysimage/rpm/rpmdb.sqlite": "", "usr/bin/rpm": ""})
	var ran []string
	s.Run = func(_ context.Context, name string, args ...string) ([]byte, error) {
		ran = append([]string{name}, args...)
		return []byte("bash\t(none)\t5-1\tx86_64\tVendor\t1700000000\t99\tShell\n"), nil
	}
	got, err := readPrograms(t.Context(), s.complete())
	check(t, err)
	want := []ocs.Section{section(softwares, "NAME", "bash", "VERSION", "5-1", "PUBLISHER", "Vendor", "COMMENTS", "Shell",
		"FILESIZE", "99", "INSTALLDATE", "2023/11/14 22:13:20", "ARCHITECTURE", "x86_64", "FROM", "rpm")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.Equal(ran, []string{"/usr/bin/rpm", "-qa", "--queryformat", rpmFormat}) {
		t.Errorf("ran %q", ran)
	}
}

func TestEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := office(t)
	s.Usage = func(context.Context, string) (uint64, uint64, error) { cancel(); return 0, 0, nil }
	if sections, err := Collect(ctx, s); !errors.Is(err, context.Canceled) || sections != nil {
		t.Errorf("got %d sections, %v", len(sections), err)
	}
}

func TestRun(t *testing.T) {
	s := System{}.complete()
	output, err := s.run(t.Context(), "/usr/bin/env")
	check(t, err)
	for line := range strings.Lines(string(output)) {
		name, _, _ := strings.Cut(line, "=")
		if !slices.Contains([]string{"PATH", "LC_ALL", "HOME", "PWD"}, name) {
			t.Errorf("the environment holds %q", line)
		}
	}
	if _, err := s.run(t.Context(), "/usr/bin/env", "false"); err == nil {
		t.Error("a program that failed was taken for one that did not")
	}
	if _, err := s.run(t.Context(), "/usr/bin/yes"); core.ClassOf(err) != core.ClassLimit {
		t.Errorf("a program that writes without end: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.run(ctx, "/usr/bin/yes"); err == nil {
		t.Error("ran although the time was over")
	}
}

// TestChecksumOfChanges: what a day changes has the bits of its sections, what a minute changes has none.
func TestChecksumOfChanges(t *testing.T) {
	s := office(t)
	sections, err := Collect(t.Context(), s)
	check(t, err)
	all := uint32(0)
	for _, kind := range kinds {
		all |= ocs.SectionBit(kind)
	}
	sum, seen := Checksum(sections, nil)
	if sum != all || len(seen) != len(kinds) {
		t.Errorf("first: got %d with %v, want %d", sum, slices.Sorted(maps.Keys(seen)), all)
	}
	check(t, os.WriteFile(s.path("/proc/uptime"), []byte("9 9\n"), 0o644))
	s.Usage = func(context.Context, string) (uint64, uint64, error) { return 100 << 30, 1 << 30, nil }
	sections, err = Collect(t.Context(), s)
	check(t, err)
	if sum, _ := Checksum(sections, seen); sum != 0 {
		t.Errorf("a minute later: got %d", sum)
	}
	check(t, os.WriteFile(s.path("/var/lib/dpkg/status"), []byte(dpkgStatus+"\n"+installed("new", "1")), 0o644))
	s.Usage = func(context.Context, string) (uint64, uint64, error) { return 200 << 30, 1 << 30, nil }
	sections, err = Collect(t.Context(), s)
	check(t, err)
	sum, next := Checksum(sections, seen)
	if sum != ocs.SectionBit(softwares)|ocs.SectionBit("DRIVES") {
		t.Errorf("a day later: got %d", sum)
	}
	if sum, _ := Checksum(sections, next); sum != 0 {
		t.Errorf("once accepted: got %d", sum)
	}
}

// TestManyPrograms: 20,000 programs with long, random-looking values fit into a message, and more are noted.
func TestManyPrograms(t *testing.T) {
	var status bytes.Buffer
	for i := range MaxPrograms + 1 {
		text := core.DigestOf([]byte(fmt.Sprint(i))).String()
		fmt.Fprintf(&status, "%sMaintainer: %s\nArchitecture: amd64\nInstalled-Size: 9999\nDescription: <%s>\n\n",
			installed("lib"+text[:40], "1:2.3.4-"+text[40:]), text+text, text)
	}
	s := fake(t, map[string]string{"var/lib/dpkg/status": status.String()})
	report, err := Survey(t.Context(), s)
	check(t, err)
	inventory := Append(report.Sections, 1, nil, make([]core.PackageID, ocs.MaxHistory+5))
	if got := len(inventory.All(softwares)); got != MaxPrograms {
		t.Errorf("got %d programs", got)
	}
	document := inventory.Append(nil, device)
	if body := ocs.Encode(document); len(body) > ocs.MaxBody || len(document) > ocs.MaxInventory {
		t.Errorf("%d bytes, %d as they travel", len(document), len(body))
	}
	request, err := ocs.ParseRequest(document)
	check(t, err)
	_, err = request.Inventory()
	check(t, err)
	if notes := fmt.Sprint(report.Notes); !strings.Contains(notes, "more than 20000") || !strings.Contains(notes, "alone") {
		t.Errorf("notes %s", notes)
	}
}

// BenchmarkSurvey measures the whole collection of this machine, which runs no rpm on Debian.
func BenchmarkSurvey(b *testing.B) {
	programs := 0
	for b.Loop() {
		report, err := Survey(b.Context(), System{})
		if err != nil {
			b.Fatal(err)
		}
		programs = len(ocs.Inventory{Sections: report.Sections}.All(softwares))
	}
	b.ReportMetric(float64(programs), "programs")
}
