//go:build !windows

package identity

import (
	"errors"
	"os"
	"path/filepath"
)

// replace renames from to to, durably: the rename counts once the folder is synced.
func replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
