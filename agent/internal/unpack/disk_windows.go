package unpack

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// isNoSpace reports whether a disk is full or a quota used up.
func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// syncFolder does nothing: Windows cannot sync a folder, and NTFS keeps its names in a journal.
func syncFolder(*os.Root) error { return nil }

// isForeign trusts the access lists: only administrators may make links.
func isForeign(fs.FileInfo) bool { return false }
