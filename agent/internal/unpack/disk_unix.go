//go:build unix

package unpack

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// isNoSpace reports whether a disk is full or a quota used up.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// syncFolder makes the names in a folder durable.
func syncFolder(root *os.Root) error {
	folder, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// isForeign reports whether a file belongs to somebody other than root and ourselves.
func isForeign(info fs.FileInfo) bool {
	stat, known := info.Sys().(*syscall.Stat_t)
	return known && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}
