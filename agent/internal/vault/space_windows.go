package vault

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows"
)

// freeBytes returns how many bytes are free in the file system of a folder.
func freeBytes(folder string) (int64, error) {
	name, err := windows.UTF16PtrFromString(folder)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("free space: %w", err)
	}
	return int64(min(free, 1<<62)), nil
}

// sizeBytes returns how large the file system of a folder is.
func sizeBytes(folder string) (int64, error) {
	name, err := windows.UTF16PtrFromString(folder)
	if err != nil {
		return 0, err
	}
	var size uint64
	if err := windows.GetDiskFreeSpaceEx(name, nil, &size, nil); err != nil {
		return 0, fmt.Errorf("size of the disk: %w", err)
	}
	return int64(min(size, 1<<62)), nil
}

// asNoSpace makes a full disk recognisable.
func asNoSpace(err error) error {
	if errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
