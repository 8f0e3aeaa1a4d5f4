package inventory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"enjambre/agent/internal/aside"
	"enjambre/core/ocs"
)

// driveTypes are the file systems that are storage of this computer. Networked ones are another's, and asking
// for their size may hang for ever when that other is away.
var driveTypes = map[string]bool{
	"ext2": true, "ext3": true, "ext4": true, "xfs": true, "btrfs": true, "zfs": true, "f2fs": true, "jfs": true,
	"reiserfs": true, "nilfs2": true, "bcachefs": true, "vfat": true, "msdos": true, "exfat": true, "ntfs": true,
	"ntfs3": true, "fuseblk": true, "hfs": true, "hfsplus": true, "ubifs": true, "gfs2": true, "ocfs2": true,
}

// A mount is a line of /proc/self/mountinfo.
type mount struct {
	device string // major:minor
	root   string // which folder of the file system is shown
	at     string // where
	kind   string // type of file system
	source string
}

// readDrives lists each real file system once, where the whole of it is mounted nearest to the root, and in
// any case what is mounted as the root: in a container that is an overlay.
func readDrives(ctx context.Context, s System) ([]ocs.Section, error) {
	data, err := s.read("/proc/self/mountinfo", 16<<20)
	if err != nil {
		return nil, fmt.Errorf("list mounted file systems: %w", err)
	}
	uuids, labels := s.byDevice("/dev/disk/by-uuid"), s.byDevice("/dev/disk/by-label")
	var sections []ocs.Section
	var failures []error
	for _, m := range chooseDrives(parseMounts(string(data))) {
		size, err := s.measure(ctx, m.at)
		if err != nil {
			failures = append(failures, fmt.Errorf("size of %s: %w", m.at, err))
			continue
		}
		if !size.isFolder {
			continue // a single file that a container shares with its host
		}
		device := s.link("/sys/dev/block/" + m.device)
		if device == "" {
			device = path.Base(m.source)
		}
		sections = append(sections, section("DRIVES", "TYPE", m.at, "VOLUMN", m.source, "FILESYSTEM", m.kind,
			"TOTAL", mebibytes(size.total), "FREE", mebibytes(size.free), "LABEL", labels[device], "SERIAL", uuids[device]))
	}
	return sections, errors.Join(failures...)
}

// maxDrive is how long one file system may take to tell its size; one whose disk has stopped answers never.
const maxDrive = 2 * time.Second

// A driveSize is what is asked of a mounted file system.
type driveSize struct {
	isFolder    bool
	total, free uint64 // bytes
}

// measure asks a mounted file system for its size. One that does not answer costs itself alone.
func (s System) measure(ctx context.Context, at string) (driveSize, error) {
	ctx, cancel := context.WithTimeout(ctx, maxDrive)
	defer cancel()
	path := s.path(at)
	return aside.Do(ctx, "file system "+path, func() (size driveSize, err error) {
		if stat, err := os.Stat(path); err == nil && !stat.IsDir() {
			return driveSize{}, nil
		}
		size.isFolder = true
		size.total, size.free, err = s.Usage(ctx, path)
		return size, err
	})
}

// parseMounts reads mountinfo: ID, parent, major:minor, root, mount point, options, optional fields, "-",
// type, source, options. A later mount hides an earlier one at the same place.
func parseMounts(text string) []mount {
	var mounts []mount
	for line := range strings.SplitSeq(text, "\n") {
		fields := strings.Fields(line)
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+3 {
			continue
		}
		one := mount{device: fields[2], root: unescape(fields[3]), at: unescape(fields[4]), kind: fields[dash+1],
			source: unescape(fields[dash+2])}
		mounts = slices.DeleteFunc(mounts, func(m mount) bool { return m.at == one.at })
		mounts = append(mounts, one)
		if len(mounts) > maxFolder {
			break
		}
	}
	return mounts
}

// unescape resolves the octal escapes that mountinfo has for blanks and backslashes.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(text)
}

// chooseDrives leaves one mount of each real file system. Folders that are shown elsewhere (bind mounts, and
// the files that containers share with their host) are not file systems of their own; a subvolume of btrfs
// may be all that is mounted of it.
func chooseDrives(mounts []mount) []mount {
	better := func(a, b mount) bool {
		if (a.at == "/") != (b.at == "/") {
			return a.at == "/"
		}
		if (a.root == "/") != (b.root == "/") {
			return a.root == "/"
		}
		return len(a.at) < len(b.at)
	}
	var chosen []mount
	for _, m := range mounts {
		isReal := driveTypes[m.kind] && (m.root == "/" || m.kind == "btrfs")
		if !isReal && m.at != "/" {
			continue
		}
		at := slices.IndexFunc(chosen, func(c mount) bool { return c.device == m.device })
		switch {
		case at < 0:
			chosen = append(chosen, m)
		case better(m, chosen[at]):
			chosen[at] = m
		}
	}
	return chosen
}

// byDevice reads a folder of links that udev names by UUID or label, and returns the names by device. Udev
// writes what a file name cannot hold as \x20.
func (s System) byDevice(folder string) map[string]string {
	names := make(map[string]string)
	for _, name := range s.names(folder) {
		names[s.link(folder+"/"+name)] = strings.ReplaceAll(name, `\x20`, " ")
	}
	return names
}
