//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkWriters refuses a file that somebody else could change: it says which folder and program output the
// agent, which is root, trusts.
func checkWriters(path string, stat fs.FileInfo) error {
	if stat.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("settings %s: others may write to it; take that right away (chmod go-w %s)", path, path)
	}
	owner, known := stat.Sys().(*syscall.Stat_t)
	if uid := os.Geteuid(); known && owner.Uid != 0 && int(owner.Uid) != uid {
		return fmt.Errorf("settings %s: it belongs to another user (%d); give it to root (chown root %s)", path,
			owner.Uid, path)
	}
	return nil
}
