//go:build unix

package cli

import (
	"io/fs"
	"syscall"
)

// ownerOf returns the user that owns a file, -1 when that is not known.
func ownerOf(stat fs.FileInfo) int {
	if owner, known := stat.Sys().(*syscall.Stat_t); known {
		return int(owner.Uid)
	}
	return -1
}
