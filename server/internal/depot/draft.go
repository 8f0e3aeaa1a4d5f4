package depot

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"enjambre/core"
	"enjambre/core/fragment"
)

// A Draft is a package's folder while it is filled. End it with Publish and Close, or Close alone, which
// leaves nothing behind. One goroutine owns it.
type Draft struct {
	depot     *Depot
	id        core.PackageID
	lock      *flock.Flock
	folder    string
	published bool
}

// NewDraft begins the folder of a package whose ID was never used.
func (d *Depot) NewDraft(id core.PackageID) (*Draft, error) {
	lock, err := d.lock(id)
	if err != nil {
		return nil, err
	}
	if lock == nil {
		return nil, fmt.Errorf("package %s is being built by another process", id)
	}
	draft := &Draft{depot: d, id: id, lock: lock, folder: filepath.Join(d.root, draftPrefix+id.String())}
	if _, err := os.Lstat(d.Folder(id)); err == nil {
		unlock(lock)
		return nil, fmt.Errorf("package %s has a folder already: %s", id, d.Folder(id))
	}
	if err := os.Mkdir(draft.folder, 0o755); err != nil {
		unlock(lock)
		return nil, fmt.Errorf("build package %s: %w", id, err)
	}
	return draft, nil
}

// A Cutting is what cutting an archive found out.
type Cutting struct {
	Plan    fragment.Plan
	Digests fragment.Digests
	Digest  core.Digest    // of the whole archive
	MD5     [md5.Size]byte // of the whole archive, for stock agents
}

// Cut reads an archive of size bytes and writes its fragments and their digests. A source that is shorter
// or longer than it said is an error. Cancelling ctx ends it between two pieces.
func (w *Draft) Cut(ctx context.Context, archive io.Reader, size, fragmentSize int64) (Cutting, error) {
	plan, err := fragment.NewPlan(size, fragmentSize)
	if err != nil {
		return Cutting{}, err
	}
	cutting := Cutting{Plan: plan, Digests: make(fragment.Digests, plan.Count())}
	whole, weak := sha256.New(), md5.New()
	source := io.TeeReader(cancellable{ctx, archive}, io.MultiWriter(whole, weak))
	buffer := make([]byte, 256<<10)
	for i := range cutting.Digests {
		index := core.FragmentIndex(i)
		digest, err := w.cutOne(source, index, plan.Size(index), buffer)
		if err != nil {
			return Cutting{}, fmt.Errorf("cut fragment %d of %d: %w", i+1, plan.Count(), err)
		}
		cutting.Digests[i] = digest
	}
	if n, err := io.ReadFull(source, buffer[:1]); n > 0 {
		return Cutting{}, fmt.Errorf("the archive is longer than the %d bytes it had when the build began", size)
	} else if !errors.Is(err, io.EOF) {
		return Cutting{}, fmt.Errorf("read the archive to its end: %w", err)
	}
	whole.Sum(cutting.Digest[:0])
	weak.Sum(cutting.MD5[:0])
	return cutting, w.Write(DigestsFile, cutting.Digests.Bytes())
}

func (w *Draft) cutOne(source io.Reader, index core.FragmentIndex, size int64,
	buffer []byte) (digest core.Digest, err error) {
	sum := sha256.New()
	err = w.create(FragmentName(w.id, index), func(file io.Writer) error {
		n, err := io.CopyBuffer(plainWriter{io.MultiWriter(file, sum)}, io.LimitReader(source, size), buffer)
		if err == nil && n < size {
			err = fmt.Errorf("the archive ended %d bytes early", size-n)
		}
		return err
	})
	sumInto(sum, &digest)
	return digest, err
}

func sumInto(sum hash.Hash, digest *core.Digest) { sum.Sum(digest[:0]) }

// plainWriter hides whatever else a writer can do, so that io.CopyBuffer uses the buffer.
type plainWriter struct{ io.Writer }

// A cancellable reader ends with its context.
type cancellable struct {
	ctx  context.Context
	from io.Reader
}

func (c cancellable) Read(to []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.from.Read(to)
}

// Write writes one small file of the package.
func (w *Draft) Write(name string, content []byte) error {
	return w.create(name, func(file io.Writer) error {
		_, err := file.Write(content)
		return err
	})
}

// create writes a new file and syncs it. A failed sync is a failed file.
func (w *Draft) create(name string, fill func(io.Writer) error) error {
	file, err := os.OpenFile(filepath.Join(w.folder, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	err = fill(file)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// Archive reads the archive back from its fragments, as it was cut. Close it.
func (w *Draft) Archive(plan fragment.Plan) *ArchiveReader {
	return &ArchiveReader{folder: w.folder, id: w.id, plan: plan}
}

// Publish gives the folder its name: from then on it is complete and will not change.
func (w *Draft) Publish() error {
	err := syncFolder(w.folder)
	if err == nil {
		err = os.Rename(w.folder, w.depot.Folder(w.id))
	}
	if err == nil {
		w.published = true
		err = syncFolder(w.depot.root)
	}
	if err != nil {
		return fmt.Errorf("publish package %s: %w", w.id, err)
	}
	return nil
}

// Withdraw removes a folder that Publish named but nothing refers to yet.
func (w *Draft) Withdraw() error { return w.depot.Remove(w.id) }

// Close ends the draft and removes what was not published.
func (w *Draft) Close() error {
	var err error
	if !w.published {
		err = os.RemoveAll(w.folder)
	}
	unlock(w.lock)
	return err
}

// An ArchiveReader reads an archive from its fragments. It keeps one fragment open, since archives are
// read nearly in order. Not for concurrent use.
type ArchiveReader struct {
	folder string
	id     core.PackageID
	plan   fragment.Plan
	index  core.FragmentIndex
	open   *os.File
}

// Size returns the archive's size in bytes.
func (r *ArchiveReader) Size() int64 { return r.plan.ArchiveSize() }

// ReadAt implements io.ReaderAt over the whole archive.
func (r *ArchiveReader) ReadAt(to []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(to) {
		if offset >= r.plan.ArchiveSize() {
			return n, io.EOF
		}
		index := core.FragmentIndex(offset / r.plan.FragmentSize())
		if err := r.use(index); err != nil {
			return n, err
		}
		inside := offset - r.plan.Offset(index)
		want := min(int64(len(to)-n), r.plan.Size(index)-inside)
		got, err := r.open.ReadAt(to[n:n+int(want)], inside)
		n += got
		offset += int64(got)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the fragment's end is not the archive's
		}
		if err != nil {
			return n, fmt.Errorf("read fragment %d: %w", index+1, err)
		}
	}
	return n, nil
}

func (r *ArchiveReader) use(index core.FragmentIndex) error {
	if r.open != nil && r.index == index {
		return nil
	}
	if err := r.Close(); err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(r.folder, FragmentName(r.id, index)))
	r.open, r.index = file, index
	return err
}

// Close closes the fragment that is open.
func (r *ArchiveReader) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}

// readBounded reads a file that must not be longer than most bytes.
func readBounded(file *os.File, most int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", file.Name(), most)
	}
	return content, err
}
