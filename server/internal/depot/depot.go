// Package depot keeps the files of packages: it cuts archives into fragments, publishes a package's
// folder in one step, and removes what an interrupted build left behind.
//
//	ROOT/1700000001/info        canonical XML, for stock agents
//	ROOT/1700000001/info.dsse   the same, sealed
//	ROOT/1700000001/digests     32 bytes a fragment; only with an archive, as the next
//	ROOT/1700000001/1700000001-1 .. -n
//	ROOT/.new-1700000001/       a package being built
//	ROOT/.new-1700000001.lock   locked by the process that builds it
//
// A folder named by digits is complete, on the disk, and never changes: everything in it was synced
// before it got that name. Copied to another web server, it serves stock and our agents alike.
// Archives pass through in pieces of 256 KiB, whatever their size.
package depot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"enjambre/core"
)

// Names of files inside a package's folder.
const (
	InfoFile    = "info"
	SealedFile  = "info.dsse"
	DigestsFile = "digests"
)

const (
	draftPrefix = ".new-"
	lockSuffix  = ".lock"
	trashPrefix = ".old-"
)

// A Depot is a folder of packages. Its methods are safe for concurrent use, by several processes too.
type Depot struct{ root string }

// Open returns the depot in root, which is made if it is missing.
func Open(root string) (*Depot, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("package folder: %w", err)
	}
	return &Depot{root: root}, nil
}

// Folder returns where a package's files are, or would be.
func (d *Depot) Folder(id core.PackageID) string { return filepath.Join(d.root, id.String()) }

// FragmentName returns the name of a fragment's file; names count from 1.
func FragmentName(id core.PackageID, index core.FragmentIndex) string {
	return fmt.Sprintf("%s-%d", id, index+1)
}

// Open opens a published file. Names that no package has are fs.ErrNotExist, whatever they hold.
func (d *Depot) Open(id core.PackageID, name string) (*os.File, error) {
	if !isPublished(id, name) {
		return nil, fs.ErrNotExist
	}
	return os.Open(filepath.Join(d.Folder(id), name))
}

// isPublished reports whether name can be a file of the package.
func isPublished(id core.PackageID, name string) bool {
	if name == InfoFile || name == SealedFile || name == DigestsFile {
		return true
	}
	number, isFragment := strings.CutPrefix(name, id.String()+"-")
	if !isFragment || len(number) > len("65536") {
		return false
	}
	_, err := core.ParsePackageID(number) // digits without leading zero
	return err == nil
}

// ReadFile returns the content of a small published file, at most 4 MiB.
func (d *Depot) ReadFile(id core.PackageID, name string) ([]byte, error) {
	file, err := d.Open(id, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file, 4<<20)
}

// Remove removes a package's files. The folder loses its name first, so that no reader finds half of it.
func (d *Depot) Remove(id core.PackageID) error {
	trash := filepath.Join(d.root, trashPrefix+id.String())
	if err := os.RemoveAll(trash); err != nil {
		return fmt.Errorf("remove files of package %s: %w", id, err)
	}
	err := os.Rename(d.Folder(id), trash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(os.RemoveAll(trash), syncFolder(d.root))
	}
	if err != nil {
		return fmt.Errorf("remove files of package %s: %w", id, err)
	}
	return nil
}

// A Standing is what the records say of a package whose folder is there.
type Standing int

// The standings. A folder that the records never heard of is not residue: they were restored from a backup
// that is older than it.
const (
	Recorded  Standing = iota + 1
	Abandoned          // its ID was given out, but no package came of it, or it was deleted
	Unheard            // its ID was never given out
)

// A Swept is what a sweep did.
type Swept struct {
	Removed []string // names in the package folder; the files of locks, which are empty, are not worth a word
	Stuck   []error  // what could not be removed, each with its path; the next sweep tries again
}

// Sweep removes what nobody refers to: drafts whose builder has died, folders of abandoned packages, and
// half-removed ones. Packages being built are left alone. Residue that cannot be removed is in nobody's way and
// no error; only when standing fails, or the package folder cannot be read, does the sweep end with one.
func (d *Depot) Sweep(standing func(core.PackageID) (Standing, error)) (Swept, error) {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return Swept{}, fmt.Errorf("package folder: %w", err)
	}
	var swept Swept
	var unknown error // standing's
	ask := func(id core.PackageID) (is Standing, err error) {
		is, unknown = standing(id)
		return is, unknown
	}
	for _, entry := range entries {
		gone, err := d.sweepOne(entry.Name(), ask)
		switch {
		case unknown != nil:
			return swept, unknown
		case err != nil:
			swept.Stuck = append(swept.Stuck, err)
		case gone:
			swept.Removed = append(swept.Removed, entry.Name())
		}
	}
	return swept, nil
}

func (d *Depot) sweepOne(name string, standing func(core.PackageID) (Standing, error)) (bool, error) {
	if strings.HasSuffix(name, lockSuffix) {
		return false, d.sweepLock(name)
	}
	if number, isTrash := strings.CutPrefix(name, trashPrefix); isTrash {
		if _, err := core.ParsePackageID(number); err != nil {
			return false, nil // not ours either
		}
		return true, os.RemoveAll(filepath.Join(d.root, name))
	}
	id, err := core.ParsePackageID(strings.TrimPrefix(name, draftPrefix))
	if err != nil {
		return false, nil // not ours: an administrator's file stays
	}
	isDraft := strings.HasPrefix(name, draftPrefix)
	if !isDraft {
		if is, err := standing(id); is != Abandoned || err != nil {
			return false, err
		}
	}
	lock, err := d.lock(id)
	if lock == nil {
		return false, err // being built
	}
	defer unlock(lock)
	if !isDraft { // its builder may have put it on record just before the lock was free
		if is, err := standing(id); is != Abandoned || err != nil {
			return false, err
		}
	}
	return true, os.RemoveAll(filepath.Join(d.root, name))
}

// forsaken is how old a lock's file is before a sweep takes it for one that a killed builder left without a
// draft. A builder that has its file and not yet its lock is younger by far.
const forsaken = time.Hour

// sweepLock removes the file of a lock that nobody holds. One with a draft goes with the draft.
func (d *Depot) sweepLock(name string) error {
	draft := strings.TrimSuffix(name, lockSuffix)
	id, err := core.ParsePackageID(strings.TrimPrefix(draft, draftPrefix))
	if err != nil || draft != draftPrefix+id.String() {
		return nil // not ours
	}
	if _, err := os.Lstat(filepath.Join(d.root, draft)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	stat, err := os.Lstat(filepath.Join(d.root, name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && time.Since(stat.ModTime()) < forsaken {
		return nil
	}
	if err != nil {
		return err
	}
	lock, err := d.lock(id)
	if lock != nil {
		unlock(lock)
	}
	return err
}

// lock takes the builder's lock of a package; nil when another process has it.
func (d *Depot) lock(id core.PackageID) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(d.root, draftPrefix+id.String()+lockSuffix))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", id, err)
	}
	if !locked {
		return nil, nil
	}
	return lock, nil
}

// unlock removes the lock's file while it is still held, so that nobody can hold a removed one: an ID is
// built once, and whoever sweeps at this moment finds nothing to sweep.
func unlock(lock *flock.Flock) {
	if runtime.GOOS != "windows" { // Windows removes no open file; there it stays until the next sweep
		_ = os.Remove(lock.Path())
	}
	_ = lock.Unlock()
	_ = os.Remove(lock.Path())
}

// syncFolder makes names in a folder durable. Windows has no such call, and needs none.
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
