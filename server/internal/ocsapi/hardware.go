package ocsapi

import (
	"slices"
	"strings"

	"enjambre/core/ocs"
	"enjambre/server/internal/query"
)

// usersOf returns who is logged on, by USERID, in which Unix agents join several; where that is nobody, who was last.
// Accounts of the system itself are nobody: an agent that runs as one names itself.
func usersOf(hardware ocs.Section) string {
	for _, field := range []string{"USERID", "LASTLOGGEDUSER"} {
		var users []string
		for user := range strings.SplitSeq(hardware.Value(field), query.UserSeparator) {
			user = text(user)
			if user != "" && !isSystemAccount(user) && !slices.Contains(users, user) &&
				len(strings.Join(users, query.UserSeparator))+len(query.UserSeparator)+len(user) <= maxText {
				users = append(users, user)
			}
		}
		if len(users) > 0 {
			return strings.Join(users, query.UserSeparator)
		}
	}
	return ""
}

// systemAccounts are the accounts of Windows itself, in the languages in which it translates them. LOCAL SYSTEM and the
// services' ones: "Well-known SIDs", S-1-5-18 to -20, of Microsoft's documentation.
var systemAccounts = []string{
	"system", "système", "sistema", "systém", "rendszer", "система", "local system", "localsystem", "local service",
	"localservice", "network service", "networkservice", "lokaler dienst", "netzwerkdienst", "service local",
	"service réseau", "servicio local", "servicio de red", "n/a", "unknown",
}

// isSystemAccount reports whether a user is nobody: an account of the system, of its windows manager, or the computer's
// own, which ends in "$".
func isSystemAccount(user string) bool {
	name := strings.ToLower(user)
	if at := strings.LastIndexByte(name, '\\'); at >= 0 {
		name = name[at+1:]
	}
	return strings.HasSuffix(name, "$") || strings.HasPrefix(name, "dwm-") || strings.HasPrefix(name, "umfd-") ||
		slices.Contains(systemAccounts, name)
}

// mostFree returns the free bytes of the local drive that has the most of them, and whether a local drive is named.
func mostFree(inventory ocs.Inventory) (most int64, named bool) {
	for _, drive := range inventory.All("DRIVES") {
		if isLocal(drive) {
			most, named = max(most, mebibytes(drive.Value("FREE"))), true
		}
	}
	return most, named
}

// remoteFileSystems are those whose room is another computer's, or memory, or none at all. Names are those of mount(8)
// and of /proc/filesystems.
var remoteFileSystems = []string{
	"9p", "acfs", "afpfs", "afs", "autofs", "beegfs", "cd9660", "cdfs", "ceph", "cifs", "coda", "davfs", "davfs2", "devfs",
	"devtmpfs", "drvfs", "efivarfs", "fuse", "glusterfs", "gpfs", "hgfs", "iso9660", "lustre", "mfs", "moosefs", "ncp",
	"ncpfs", "none", "orangefs", "overlay", "overlayfs", "panfs", "prl_fs", "proc", "pvfs2", "quobyte", "ramfs", "rootfs",
	"smb", "smb2", "smb3", "smbfs", "squashfs", "sysfs", "tmpfs", "udf", "vboxsf", "virtiofs", "vmhgfs", "webdav", "wslfs",
}

// isLocal reports whether a drive is a disk of the computer itself. Windows agents say in TYPE what a drive is, Unix
// agents where it is mounted.
func isLocal(drive ocs.Section) bool {
	system := strings.ToLower(strings.TrimSpace(drive.Value("FILESYSTEM")))
	device := strings.TrimSpace(drive.Value("VOLUMN"))
	switch strings.ToLower(strings.TrimSpace(drive.Value("TYPE"))) {
	case "network drive", "cd-rom drive", "ram drive", "removable drive":
		return false
	}
	if local, isFuse := strings.CutPrefix(system, "fuse."); isFuse { // nearly all others are networks
		return local == "ntfs-3g" || local == "exfat"
	}
	if system == "fuseblk" {
		return true
	}
	return !slices.Contains(remoteFileSystems, system) && !strings.HasPrefix(system, "nfs") && !isShare(device)
}

// isShare reports whether a device is on another computer: //host/share, \\host\share, host:/export.
func isShare(device string) bool {
	host, path, found := strings.Cut(device, ":")
	return strings.HasPrefix(device, "//") || strings.HasPrefix(device, `\\`) ||
		found && len(host) > 1 && strings.HasPrefix(path, "/") && !strings.HasPrefix(host, "/")
}
