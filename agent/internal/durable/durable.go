// Package durable changes files so that a crash or a power loss leaves the old or the new, never a mixture.
//
// A file is written beside its place, synced, renamed, and its folder synced: data before the name that points
// to it. After a failed sync nothing is known about the file's content any more, so the error is final for it:
// whoever gets one must not write it again and go on as if the second attempt had repaired the first.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write replaces a file at once; it is readable by its owner alone. On an error the old one is still there.
func Write(path string, data []byte) error {
	folder, name := filepath.Split(path)
	file, err := os.CreateTemp(folder, TempPrefix+name+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), removeIfThere(file.Name()))
	}
	return nil
}

// TempPrefix begins the names of files that are being written; one that is left by a crash may be removed.
const TempPrefix = ".tmp-"

// RemoveTemps removes from a folder what a crash left half written.
func RemoveTemps(folder string) error {
	names, err := filepath.Glob(filepath.Join(folder, TempPrefix+"*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		err = errors.Join(err, removeIfThere(name))
	}
	return err
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
