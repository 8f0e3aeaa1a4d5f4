// Package unpack writes a verified archive to disk: to a stage of its own, and from there to where a
// STORE package belongs.
//
// [Unpack] obeys core/archive, which judges every entry before it is written, and is a second net below
// it: nothing is written but through an [os.Root], nothing is overwritten, and links come last, when no
// file can be written through them any more. [Place] copies the stage to a folder that others use too; it
// never follows a link that it finds there.
//
// Both are bounded by the archive's declared contents; both leave no half-written file under a final name.
// Modes are given when a file is made, never afterwards, so the process's umask takes part: the caller sets
// it to 022.
package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"enjambre/core"
	"enjambre/core/archive"
)

// ErrNoSpace says that the disk is full, or the quota used up. What was being written is gone again.
var ErrNoSpace = errors.New("no space left for the package's files; free some and it goes on")

// Contents are what an archive must hold, no more and no less, as its info declares it.
type Contents struct {
	Entries int   // files, links and listed folders, without the archive's root
	Bytes   int64 // of all files together
}

// Options configure [Unpack].
type Options struct {
	// Executable is the slash-separated relative name of a file that is made executable whatever its
	// mode: archives made on other systems do not know that it is. "" is none.
	Executable string
}

// stageMode keeps everybody else out of the stage.
const stageMode = 0o700

// Unpack writes the archive of size bytes in source to folder, which it makes and which must not be there
// before. Files have their mode within 0755. They are not synced: a stage that a crash met is made again.
//
// When Unpack fails the folder is gone again. The error is a [core.Refusal] with a class (see
// [core.ClassOf]) when the archive is not what it should be: core/archive's, or E_BOMB when it holds more
// bytes than want, E_LIMIT when it differs in another way. errors.Is with [ErrNoSpace] tells a full disk.
// It ends soon after ctx does, inside a file too.
func Unpack(ctx context.Context, source io.ReaderAt, size int64, rules archive.Rules, want Contents,
	folder string, options Options) (err error) {
	if err := os.Mkdir(folder, stageMode); err != nil {
		return fmt.Errorf("unpack: %w", noSpace(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("unpack: %w", noSpace(err)), os.RemoveAll(folder))
		}
	}()
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	w := &writer{ctx: ctx, root: root, left: want.Bytes, options: options, buffer: make([]byte, copyBuffer)}
	report, err := archive.Walk(cancellable{ctx, source}, size, rules, w.write)
	if err == nil {
		err = compare(report, want)
	}
	return errors.Join(err, root.Close())
}

// compare refuses an archive whose contents differ from what was declared.
func compare(report archive.Report, want Contents) error {
	switch {
	case report.Unpacked != want.Bytes:
		return core.Refuse(core.ClassLimit, "the archive unpacks to %d bytes, its info says %d",
			report.Unpacked, want.Bytes)
	case report.Entries != want.Entries:
		return core.Refuse(core.ClassLimit, "the archive has %d entries, its info says %d",
			report.Entries, want.Entries)
	}
	return nil
}

// copyBuffer is how much is copied between two looks at the context.
const copyBuffer = 256 << 10

// A writer writes what a walk shows it.
type writer struct {
	ctx     context.Context
	root    *os.Root
	left    int64 // bytes that files may still have
	options Options
	buffer  []byte
}

func (w *writer) write(entry archive.Entry, content io.Reader) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	switch entry.Type {
	case archive.Dir:
		return w.root.Mkdir(entry.Name, entry.Mode)
	case archive.Symlink:
		return w.root.Symlink(entry.Target, entry.Name)
	}
	if entry.Size > w.left {
		return core.Refuse(core.ClassBomb, "the archive unpacks to more bytes than its info says")
	}
	w.left -= entry.Size
	mode := entry.Mode | 0o600 // so that the package can be copied by its owner, whoever that is
	if entry.Name == w.options.Executable {
		mode = 0o755
	}
	return writeFile(w.ctx, w.root, entry.Name, mode, content, w.buffer, false)
}

// writeFile makes a file that was not there before. It leaves none behind when it fails, unless the
// caller removes all of it anyway. With durable its bytes are on disk when it returns.
func writeFile(ctx context.Context, root *os.Root, name string, mode fs.FileMode, content io.Reader,
	buffer []byte, durable bool) (err error) {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(onlyWriter{file}, cancellableReader{ctx, content}, buffer)
	if err == nil && durable {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// An onlyWriter hides ReadFrom, which would copy a whole file without looking at the context.
type onlyWriter struct{ io.Writer }

// A cancellable archive ends with its context.
type cancellable struct {
	ctx  context.Context
	from io.ReaderAt
}

func (c cancellable) ReadAt(to []byte, offset int64) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.from.ReadAt(to, offset)
}

// A cancellableReader ends with its context: a few bytes of an archive can be many of a file.
type cancellableReader struct {
	ctx  context.Context
	from io.Reader
}

func (c cancellableReader) Read(to []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.from.Read(to)
}

// noSpace adds [ErrNoSpace] to an error that says so.
func noSpace(err error) error {
	if isNoSpace(err) {
		return fmt.Errorf("%w (%w)", ErrNoSpace, err)
	}
	return err
}
