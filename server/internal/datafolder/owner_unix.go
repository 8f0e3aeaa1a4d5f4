//go:build unix

package datafolder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// checkOwner refuses a folder that belongs to another user. Root too: its files would be root's.
func checkOwner(path string) error {
	stat, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder %s does not exist; make it with \"init --data %s --host NAME\"", path,
			path)
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	owner, known := stat.Sys().(*syscall.Stat_t)
	if !known || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	name := strconv.Itoa(int(owner.Uid))
	if found, err := user.LookupId(name); err == nil {
		name = found.Username
	}
	return fmt.Errorf(
		"data folder %s belongs to user %s; run this command as that user, for example with \"sudo -u %s\"", path,
		name, name)
}
