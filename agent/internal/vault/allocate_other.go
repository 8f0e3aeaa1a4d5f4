//go:build !linux

package vault

import (
	"errors"
	"os"
)

// allocate makes a file of so many bytes. Its room is taken as it is written.
func allocate(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Sync(), file.Close())
}
