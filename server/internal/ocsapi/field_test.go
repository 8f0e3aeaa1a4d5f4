package ocsapi

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/store"
)

// fieldFile reads an input as agents in the field send it, in a frame.
func fieldFile(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "field", name))
	check(t, err)
	if strings.HasSuffix(name, ".xml") {
		body = ocs.Encode(body)
	}
	return body
}

// receiveField posts an input as a stock agent and returns what is known of its computer then.
func (l *lab) receiveField(name string, device core.DeviceID) store.ComputerView {
	l.Helper()
	if recorder := l.post(fieldFile(l, name), unixAgent); recorder.Code != http.StatusOK {
		l.Fatalf("%s: got %d, want 200: no package would come to this computer", name, recorder.Code)
	}
	view, err := l.store.Computer(l.Context(), device)
	check(l, err)
	return view
}

// TestFieldInventories: what a stock server takes is taken, and what is kept of it is right.
func TestFieldInventories(t *testing.T) {
	for _, c := range []struct {
		file, name string
		programs   []store.Program
	}{
		{"eventlog-plugin.xml.zlib", "", nil},
		{"firewall-plugin-terminal-server.xml.zlib", "", nil},
		{"latin1-bytes-in-utf8.xml", "latin1un", []store.Program{{Name: "Adapté", Version: "1"}}},
		{"one-bad-byte.xml", "onebyte", nil},
		{"cesu8-emoji.xml", "cesu8", []store.Program{{Name: "Emoji 😀 app", Version: "2"}}},
		{"monitor-nul.xml", "edidnul", nil},
		{"monitor-nul-reference.xml", "edidref", nil},
		{"iso-8859-15.xml", "enc-iso-8859-15", nil},
	} {
		t.Run(c.file, func(t *testing.T) {
			l := newLab(t)
			body := fieldFile(t, c.file)
			document, err := ocs.Decode(body, ocs.MaxInventory)
			check(t, err)
			view := l.receiveField(c.file, ocs.Sender(document))
			if c.name != "" && view.Name != c.name || view.Name == "" || view.OS == "" {
				t.Errorf("name %q, system %q", view.Name, view.OS)
			}
			if c.name != "" && len(c.programs) != len(view.Programs) {
				t.Errorf("programs: got %v", view.Programs)
			}
			for i, program := range c.programs {
				if view.Programs[i] != program {
					t.Errorf("got %v, want %v", view.Programs[i], program)
				}
			}
		})
	}
}

// TestOnlyInventoriesAreForgiven: a message that decides something is held to the strict reader, whoever sends it.
func TestOnlyInventoriesAreForgiven(t *testing.T) {
	l := newLab(t)
	l.send(inventory(ocs.Field{Name: "NAME", Value: "pc7"}))
	for _, query := range []string{"PROLOG", "DOWNLOAD", "NOTIFY", "INVENTORY"} {
		document := `<REQUEST ID="1700000001" ERR="SUCCESS"><DEVICEID>` + string(device) + "</DEVICEID><X>\xff&nbsp;</X><CONTENT/>" +
			"<QUERY>" + query + "</QUERY></REQUEST>"
		want := http.StatusBadRequest
		if query == "INVENTORY" {
			want = http.StatusOK
		}
		if got := l.post(ocs.Encode([]byte(document)), unixAgent).Code; got != want {
			t.Errorf("%s: got %d, want %d", query, got, want)
		}
	}
	if got := l.post(bytes.Repeat([]byte(" "), ocs.MaxBody+1), unixAgent).Code; got != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d for a body over its bound", got)
	}
}

// TestNeitherLinuxNorWindows: a system that only shares the Unix agent with Linux gets no package for Linux, nor does a
// computer on record that an older program took for Linux.
func TestNeitherLinuxNorWindows(t *testing.T) {
	l := newLab(t)
	id, err := l.store.ReserveID(t.Context(), now)
	check(t, err)
	check(t, l.store.AddPackage(t.Context(), store.Package{ID: id, Name: "p", OS: core.Linux, Priority: 5,
		Action: core.Execute, SuccessCodes: []int{0}, Protocol: "HTTPS", Built: now}))
	_, err = l.store.AddActivation(t.Context(), store.Activation{Package: id, InfoURL: "a:1/d", FragmentsURL: "b:2/d", Created: now})
	check(t, err)
	affect := func() int {
		report, err := l.store.Affect(t.Context(), store.Target{Package: id}, store.Selection{All: true}, store.AffectOptions{}, now)
		check(t, err)
		return report.Done
	}
	if view := l.receiveField("solaris.xml", "sunos11-2026-01-02-03-04-05"); view.Family != "" {
		t.Errorf("SunOS is of family %q", view.Family)
	}
	if done := affect(); done != 0 {
		t.Errorf("affected to %d computers with SunOS", done)
	}
	l.send(inventory(ocs.Field{Name: "OSNAME", Value: "Debian GNU/Linux 12"}))
	if done := affect(); done != 1 {
		t.Fatalf("affected to %d computers with Linux", done)
	}
	if packs := l.prolog().Download.Packs; len(packs) != 1 {
		t.Fatalf("offered %v to Linux", packs)
	}
	_, err = l.store.SaveInventory(t.Context(), store.Facts{Computer: store.Computer{Device: device, OS: "HP-UX", Family: core.Linux}}, "", now)
	check(t, err)
	if packs := l.prolog().Download.Packs; len(packs) != 0 {
		t.Errorf("offered %v to HP-UX, which was taken for Linux before", packs)
	}
	l.send(inventory(ocs.Field{Name: "OSNAME", Value: "Debian GNU/Linux 12"}))
	if view, err := l.store.Computer(t.Context(), device); err != nil || view.Family != core.Linux {
		t.Errorf("the next inventory: family %q, %v", view.Family, err)
	}
}

// TestKnownIsKept: what an inventory leaves empty is not forgotten.
func TestKnownIsKept(t *testing.T) {
	l := newLab(t)
	const night = core.DeviceID("nightpc-2026-01-02-03-04-05")
	l.receiveField("user-at-day.xml", night)
	if view := l.receiveField("nobody-at-night.xml", night); view.User != "ana" || view.OS == "" || view.Serial == "" {
		t.Errorf("after a night: user %q, system %q, serial %q", view.User, view.OS, view.Serial)
	}
	for _, c := range []struct{ user, last, want string }{
		{"root/ana", "", "root/ana"}, {"SYSTEM", "CORP\\ana", "CORP\\ana"}, {`NT AUTHORITY\SYSTEM`, "PC7$", "CORP\\ana"},
		{"", "", "CORP\\ana"}, {"bob/bob/SYSTEM/DWM-1", "ana", "bob"},
	} {
		l.send(inventory(ocs.Field{Name: "USERID", Value: c.user}, ocs.Field{Name: "LASTLOGGEDUSER", Value: c.last}))
		if view, err := l.store.Computer(t.Context(), device); err != nil || view.User != c.want {
			t.Errorf("%q, last %q: user %q, %v, want %q", c.user, c.last, view.User, err, c.want)
		}
	}
}

// TestPlaceholdersAreNoDuplicates: computers whose makers left the same words in them are not one computer.
func TestPlaceholdersAreNoDuplicates(t *testing.T) {
	l := newLab(t)
	for _, one := range []string{"d3", "d4", "d9", "d10", "d15", "d16"} {
		l.receiveField("placeholder-"+one+".xml", core.DeviceID(one+"-2026-01-02-03-04-05"))
	}
	if groups, err := l.store.Duplicates(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("got %v, %v", groups, err)
	}
}

// TestDiskIsLocal: room on a file server is not a computer's own.
func TestDiskIsLocal(t *testing.T) {
	l := newLab(t)
	if view := l.receiveField("nfs-mount.xml", "drvunix-2026-01-02-03-04-05"); view.Disk != 1<<30 {
		t.Errorf("got %d bytes free, want 1 GiB", view.Disk)
	}
	for _, c := range []struct {
		kind, system, device string
		local                bool
	}{
		{"/", "ext4", "/dev/sda1", true}, {"/", "zfs", "rpool/ROOT", true}, {"Hard Drive", "NTFS", "System", true}, {"", "", "", true},
		{"/", "btrfs", "/dev/mapper/a", true}, {"/mnt", "fuseblk", "/dev/sdb1", true}, {"/d", "", "D:", true},
		{"/n", "nfs", "nas:/x", false}, {"/n", "NFS4", "nas:/x", false}, {"/n", "cifs", "//nas/x", false}, {"/n", "smb3", "", false},
		{"/n", "fuse.sshfs", "ana@host:/", false}, {"/n", "ext4", "nas:/x", false}, {"Network Drive", "NTFS", "", false},
		{"CD-Rom Drive", "CDFS", "", false}, {"/dev/shm", "tmpfs", "tmpfs", false}, {"/snap", "squashfs", "/dev/loop0", false},
	} {
		drive := ocs.Section{Name: "DRIVES", Fields: []ocs.Field{{Name: "TYPE", Value: c.kind}, {Name: "FILESYSTEM", Value: c.system},
			{Name: "VOLUMN", Value: c.device}}}
		if got := isLocal(drive); got != c.local {
			t.Errorf("%v: local is %t", c, got)
		}
	}
}

// record gives the store what the handler has noted.
func (l *lab) record() {
	l.Helper()
	for {
		select {
		case touch := <-l.touches:
			check(l, l.store.Touch(l.Context(), []store.Touch{touch}))
		default:
			return
		}
	}
}

// TestRefusedIsNamed: the computer whose message was refused shows when and why, until a message of the kind is taken;
// nobody can say so of an enrolled computer but itself.
func TestRefusedIsNamed(t *testing.T) {
	l := newLab(t)
	refused := func() *store.Refusal {
		t.Helper()
		l.record()
		view, err := l.store.Computer(t.Context(), device)
		check(t, err)
		return view.Refused
	}
	id := string(device)
	cut := []byte("<REQUEST><DEVICEID>" + id + "</DEVICEID><QUERY>INVENTORY</QUERY><CONTENT><SOFTWARES>")
	l.post(ocs.Encode(cut), unixAgent)
	l.record() // of a computer that is not on record there is nothing to keep
	l.send(inventory(ocs.Field{Name: "NAME", Value: "pc7"}))
	if got := refused(); got != nil {
		t.Fatalf("got %v", got)
	}
	damaged := ocs.Encode(cut)
	damaged[len(damaged)-1] ^= 1 // its checksum
	for name, body := range map[string][]byte{
		"cut short": ocs.Encode(cut), "damaged frame": damaged,
		"too long": ocs.Encode(append(cut, bytes.Repeat([]byte("<a/>"), ocs.MaxInventory/4)...)),
	} {
		recorder := l.post(body, unixAgent)
		if got := refused(); recorder.Code < 400 || got == nil || got.Query != ocs.QueryInventory || got.Reason == "" || !got.At.Equal(now) {
			t.Errorf("%s: status %d, got %v", name, recorder.Code, got)
		}
		l.prolog()
		if refused() == nil {
			t.Errorf("%s: a PROLOG makes a refused inventory forgotten", name)
		}
		l.send(inventory(ocs.Field{Name: "NAME", Value: "pc7"}))
		if got := refused(); got != nil {
			t.Errorf("%s: after a good one: %v", name, got)
		}
	}
	l.post(ocs.Encode([]byte("<REQUEST><DEVICEID>"+id+"</DEVICEID>\xff<QUERY>PROLOG</QUERY></REQUEST>")), unixAgent)
	if got := refused(); got == nil || got.Query != "" {
		t.Errorf("a PROLOG that cannot be read: %v", got)
	}
	l.prolog()
	if got := refused(); got != nil {
		t.Errorf("after a good PROLOG: %v", got)
	}
}
