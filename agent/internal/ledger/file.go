package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"enjambre/agent/internal/durable"
	"enjambre/core"
)

// open reads the file, drops a line cut short, and shortens the file if it has grown.
func (l *Ledger) open() error {
	file, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	l.file = file
	if err := l.read(); err != nil {
		return errors.Join(err, file.Close())
	}
	l.compactNext = compactAt
	return l.shorten()
}

// shorten shortens the file if it has grown. A disk that has no room for that leaves it as it is.
func (l *Ledger) shorten() error {
	if l.size <= l.compactNext {
		return nil
	}
	err := l.compact()
	l.compactNext = l.size + compactAt
	return err
}

func (l *Ledger) read() error {
	data, err := io.ReadAll(io.LimitReader(l.file, maxFile+1))
	switch {
	case err != nil:
		return err
	case len(data) > maxFile:
		return core.Refuse(core.ClassLimit, "it is longer than %d bytes", maxFile)
	}
	good, chain, last, err := replay(data)
	if err != nil {
		return fmt.Errorf("%w; put it back from a backup, or see what ran on this computer and move the file "+
			"away: packages that it listed can then run again", err)
	}
	l.size, l.chain, l.last, l.dropped = int64(good), chain, last, int64(len(data)-good)
	if l.dropped > 0 {
		if err := l.file.Truncate(l.size); err != nil {
			return err
		}
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	return errors.Join(durable.SyncFolder(filepath.Dir(l.path)), l.reserve())
}

// Read returns the last attempt of every package in a ledger that another process may have open, in order of the
// packages. A ledger that is missing is empty.
func Read(path string) ([]Attempt, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	_, _, last, err := replay(data)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	attempts := make([]Attempt, 0, len(last))
	for _, id := range slices.Sorted(maps.Keys(last)) {
		attempts = append(attempts, last[id])
	}
	return attempts, nil
}

// append writes a record behind the others and waits until it is on the disk. Whatever fails breaks the
// ledger: nobody knows then what the file holds.
func (l *Ledger) append(r record) error {
	if l.broken != nil {
		return fmt.Errorf("nothing can be noted since an earlier error: %w", l.broken)
	}
	if err := l.shorten(); err != nil {
		l.broken = err
		return err
	}
	line, chain, err := r.line(l.chain)
	if err != nil {
		return err
	}
	_, err = l.file.WriteAt(line, l.size)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.broken = err
		return err
	}
	l.size += int64(len(line))
	l.chain = chain
	if l.size > l.reserved-reserve/2 {
		return l.reserve()
	}
	return nil
}

// isOurs reports whether the file of the ledger's name is still the one that is open.
func (l *Ledger) isOurs() bool {
	open, openErr := l.file.Stat()
	named, namedErr := os.Stat(l.path)
	return openErr == nil && namedErr == nil && os.SameFile(open, named)
}

// compact replaces the file by a summary of every package's last attempt. If the disk
// does not take that, the file stays.
func (l *Ledger) compact() error {
	var text bytes.Buffer
	chain := ""
	for _, id := range slices.Sorted(maps.Keys(l.last)) {
		attempt := l.last[id]
		line, next, err := record{Kind: summary, Package: id, At: attempt.At, Attempt: &attempt}.line(chain)
		if err != nil {
			return err
		}
		text.Write(line)
		chain = next
	}
	if err := durable.Write(l.path, text.Bytes()); err != nil {
		if l.isOurs() {
			return nil
		}
		return err
	}
	file, err := os.OpenFile(l.path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := l.file.Close(); err != nil {
		return errors.Join(err, file.Close())
	}
	l.file = file
	l.size, l.chain = int64(text.Len()), chain
	return l.reserve()
}
