//go:build !windows

package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"enjambre/core"
)

// checkSecret refuses a file or folder that others may read or write: it holds keys that decide what agents run. One
// that is missing is for whoever reads it to miss.
func checkSecret(name string) error {
	stat, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("keys: %w", err)
	case stat.Mode().Perm()&0o077 != 0:
		return core.Refuse(core.ClassKeys, "%s is open to others (%v), and who has its keys decides what agents run: take "+
			"that right away (chmod go-rwx %[1]s), and ask who may have read or changed it", name, stat.Mode().Perm())
	}
	return nil
}
