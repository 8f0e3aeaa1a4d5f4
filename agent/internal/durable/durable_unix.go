//go:build unix

package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Rename gives a file or folder, whose content is synced, another name in the same file system, durably. It
// replaces a file of that name.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(to))
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
