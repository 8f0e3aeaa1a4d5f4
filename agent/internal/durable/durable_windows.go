package durable

import "golang.org/x/sys/windows"

// Rename gives a file or folder, whose content is synced, another name in the same file system, durably. It
// replaces a file of that name.
func Rename(from, to string) error {
	fromName, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	toName, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(fromName, toName,
		windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
}

// SyncFolder does nothing: Windows keeps names durable by MOVEFILE_WRITE_THROUGH and its journal.
func SyncFolder(string) error { return nil }
