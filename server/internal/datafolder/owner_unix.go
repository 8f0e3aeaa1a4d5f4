//go:build unix

package datafolder

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owner returns whom a folder belongs to, and whether that is the user who runs this. Root is no exception:
// the files it made there would be root's.
func owner(path string) (name string, ours bool, err error) {
	stat, err := os.Stat(path)
	if err != nil {
		return "", false, err
	}
	system, known := stat.Sys().(*syscall.Stat_t)
	if !known {
		return "", true, nil
	}
	name = strconv.Itoa(int(system.Uid))
	if found, err := user.LookupId(name); err == nil {
		name = found.Username
	}
	return name, int(system.Uid) == os.Geteuid(), nil
}
