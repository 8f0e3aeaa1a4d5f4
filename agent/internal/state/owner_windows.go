package state

import "golang.org/x/sys/windows"

// checkOwner trusts the access list that the installer gives the folder.
func checkOwner(string) error { return nil }

// replace renames from to to, durably.
func replace(from, to string) error {
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
