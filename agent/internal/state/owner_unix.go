//go:build unix

package state

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// checkOwner refuses a folder that is not its owner's alone, and one in a place where others could swap it.
// A sticky parent, such as the system's temporary folder, is fine.
func checkOwner(path string) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	for folder := absolute; ; folder = filepath.Dir(folder) {
		stat, err := os.Stat(folder)
		if err != nil {
			return fmt.Errorf("state folder: %w", err)
		}
		owner, known := stat.Sys().(*syscall.Stat_t)
		if !known {
			return nil
		}
		if uid := int(owner.Uid); uid != 0 && uid != os.Geteuid() {
			return fmt.Errorf("state folder %s: %s belongs to another user (%d), who could replace what runs here",
				path, folder, uid)
		}
		if stat.Mode().Perm()&0o022 != 0 && stat.Mode()&os.ModeSticky == 0 {
			return fmt.Errorf("state folder %s: others may write to %s; take that right away (chmod go-w %s)", path,
				folder, folder)
		}
		if folder == filepath.Dir(folder) {
			return nil
		}
	}
}
