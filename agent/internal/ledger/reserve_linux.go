package ledger

import (
	"errors"

	"golang.org/x/sys/unix"
)

// reserve allocates room behind the last line without changing the file's length. Where the file system
// cannot, a full disk is noticed when a line is written, before anything runs.
func (l *Ledger) reserve() error {
	l.reserved = l.size + reserve
	err := unix.Fallocate(int(l.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, l.size, reserve)
	for errors.Is(err, unix.EINTR) { // some file systems give up at a signal, and have done nothing
		err = unix.Fallocate(int(l.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, l.size, reserve)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}
