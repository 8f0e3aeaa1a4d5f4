package vault

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate makes a file of so many bytes whose room is really there, so that a full disk shows now.
func allocate(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(file.Fd()), 0, 0, size)
	for errors.Is(err, unix.EINTR) { // some file systems give up at a signal, and have done nothing
		err = unix.Fallocate(int(file.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) { // the file system gives room only when it is written to
		err = file.Truncate(size)
	}
	return errors.Join(err, file.Sync(), file.Close())
}
