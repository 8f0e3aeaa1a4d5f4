package origin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"enjambre/core"
	"enjambre/peer/lease"
)

// Bounds of a ledger's file. An entry is 96 bytes, and a fragment makes about two.
const (
	compactAbove = 64 << 20  // bytes; when it is opened, it loses what is of packages not on record any more
	maxLedger    = 256 << 20 // bytes; nothing more is written, and that is logged as an error
	maxPending   = 4 << 20   // bytes that wait for a disk that takes nothing; what comes then is lost, and logged
)

// replayBatch is how many entries are replayed at a time.
const replayBatch = 1024

// A ledger is one site's file. It is open only while it is read or appended to, so that thousands of sites
// need no open files. One goroutine owns it.
type ledger struct {
	path    string
	log     *slog.Logger
	size    int64 // of the whole entries on the disk, in bytes
	pending []byte
	torn    bool // it was not closed before it was opened: its last second may be lost
	failing bool // the last append failed, which was logged
}

// openMark is what is beside a ledger while it is in use, and when the server was killed meanwhile.
const openMark = ".open"

// openLedger reads a site's ledger: replay gets its entries in order. What a crash tore at its end is cut off.
// It reports whether there was one, or one was about to be. The caller calls close at the end. A ledger that a newer program wrote is E_VERSION and left alone.
func openLedger(folder string, site core.SiteName, known func(core.Digest) bool,
	replay func([]lease.Entry), log *slog.Logger) (l *ledger, existed bool, err error) {
	l = &ledger{path: ledgerPath(folder, site), log: log}
	_, err = os.Lstat(l.path + openMark)
	l.torn = err == nil
	info, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		l.mark()
		return l, l.torn, nil
	}
	if err == nil && info.Size() > compactAbove {
		err = l.compact(known)
	}
	if err == nil {
		err = l.read(replay)
	}
	if err != nil {
		return nil, true, fmt.Errorf("ledger of site %s: %w", site, err)
	}
	l.mark()
	return l, true, nil
}

// mark notes that the ledger is in use. Without the mark a kill is not noticed, and R may then stay below what was sent:
// that is logged, and stops nobody.
func (l *ledger) mark() {
	file, err := os.OpenFile(l.path+openMark, os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(file.Sync(), file.Close(), syncFolder(filepath.Dir(l.path)))
	}
	if err != nil {
		l.log.Error("a site's ledger is not marked as in use: what a kill of the server loses of it is not repaired",
			"file", l.path, "reason", err)
	}
}

// close flushes the ledger and, if all is on the disk, notes that it ended well. It must not be used any more.
func (l *ledger) close() {
	if l.flush(); l.dirty() {
		return
	}
	if err := os.Remove(l.path + openMark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("a site's ledger counts as in use although it is not", "file", l.path+openMark, "reason", err)
	}
}

// syncFolder makes the names in a folder durable: that a file was made in it, or got its name. Windows has no call for
// it.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// read replays the file and cuts it after its last whole entry.
func (l *ledger) read(replay func([]lease.Entry)) error {
	file, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	batch := make([]lease.Entry, 0, replayBatch)
	whole, err := eachEntry(file, func(entry lease.Entry) error {
		if batch = append(batch, entry); len(batch) == replayBatch {
			replay(batch)
			batch = batch[:0]
		}
		return nil
	})
	if err != nil {
		return err
	}
	replay(batch)
	l.size = whole
	info, err := file.Stat()
	if err != nil || info.Size() == whole {
		return err
	}
	l.log.Warn("the end of a site's ledger was torn and is cut off", "file", l.path, "bytes", info.Size()-whole)
	return errors.Join(file.Truncate(whole), file.Sync())
}

// compact writes the ledger anew, without packages that are not known any more.
func (l *ledger) compact(known func(core.Digest) bool) error {
	old, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer old.Close()
	draft, err := os.CreateTemp(filepath.Dir(l.path), filepath.Base(l.path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name()) // fails once it has the ledger's name
	defer draft.Close()
	buffered := bufio.NewWriterSize(draft, 64<<10)
	var entryBytes []byte
	_, err = eachEntry(old, func(entry lease.Entry) error {
		if !known(entry.Package) {
			return nil
		}
		entryBytes = entry.Append(entryBytes[:0])
		_, err := buffered.Write(entryBytes)
		return err
	})
	if err == nil {
		err = errors.Join(buffered.Flush(), draft.Sync(), draft.Close())
	}
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return errors.Join(os.Rename(draft.Name(), l.path), syncFolder(filepath.Dir(l.path)))
}

// eachEntry hands out the whole entries from the start of a file, and returns how many bytes they take.
func eachEntry(file io.Reader, use func(lease.Entry) error) (whole int64, err error) {
	reader := bufio.NewReaderSize(file, 64<<10)
	data := make([]byte, lease.EntrySize)
	for {
		switch _, err := io.ReadFull(reader, data); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return whole, nil
		case err != nil:
			return whole, err
		}
		entry, err := lease.ParseEntry(data)
		if core.ClassOf(err) == core.ClassVersion {
			return whole, err
		}
		if err != nil {
			return whole, nil // torn: here the file ends
		}
		if err := use(entry); err != nil {
			return whole, err
		}
		whole += lease.EntrySize
	}
}

// append keeps an entry for the next flush.
func (l *ledger) append(entry lease.Entry) {
	if len(l.pending)+lease.EntrySize > maxPending {
		return // flush has logged that nothing gets to the disk
	}
	l.pending = entry.Append(l.pending)
}

// dirty reports whether there is something to flush.
func (l *ledger) dirty() bool { return len(l.pending) > 0 }

// flush brings what is pending to the disk. A failure is logged once, and tried again by the next flush.
func (l *ledger) flush() {
	if !l.dirty() {
		return
	}
	err := l.write()
	switch {
	case err == nil:
		l.size += int64(len(l.pending))
		l.pending, l.failing = l.pending[:0], false
	case !l.failing:
		l.failing = true
		l.log.Error("a site's ledger is not written: what it sends is not counted after a restart", "file", l.path,
			"reason", err)
	}
}

func (l *ledger) write() error {
	if l.size+int64(len(l.pending)) > maxLedger {
		return fmt.Errorf("it has reached %d MiB; stop the server and move the file away, or delete packages",
			maxLedger>>20)
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(l.pending, l.size) // over what a write that failed has left
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil && l.size == 0 { // it was made just now
		err = syncFolder(filepath.Dir(l.path))
	}
	return err
}
