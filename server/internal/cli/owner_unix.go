//go:build unix

package cli

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// ownerOf returns the name of the user that owns a folder: the one the service runs as.
func ownerOf(path string) string {
	stat, err := os.Stat(path)
	if err != nil {
		return ""
	}
	owner, known := stat.Sys().(*syscall.Stat_t)
	if !known {
		return ""
	}
	if found, err := user.LookupId(strconv.Itoa(int(owner.Uid))); err == nil {
		return found.Username
	}
	return strconv.Itoa(int(owner.Uid))
}
