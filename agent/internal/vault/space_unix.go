//go:build unix

package vault

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// freeBytes returns how many bytes are free in the file system of a folder, for a service that is not special.
func freeBytes(folder string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, fmt.Errorf("free space: %w", err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}

// sizeBytes returns how large the file system of a folder is.
func sizeBytes(folder string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, fmt.Errorf("size of the disk: %w", err)
	}
	return int64(stat.Blocks) * int64(stat.Bsize), nil
}

// asNoSpace makes a full disk recognisable.
func asNoSpace(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
