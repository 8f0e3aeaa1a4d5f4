package execute

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// createDurable makes a file with this content in one step. It is an [fs.ErrExist] if there is one.
func createDurable(folder, name string, data []byte) error {
	beside, err := writeBeside(folder, name, data)
	if err != nil {
		return err
	}
	// A link, unlike a rename, does not replace.
	err = os.Link(beside, filepath.Join(folder, name))
	return errors.Join(err, os.Remove(beside), syncFolder(folder))
}

// writeBeside writes and syncs a file under a name of its own. Two processes may do so at once.
func writeBeside(folder, name string, data []byte) (path string, err error) {
	path = filepath.Join(folder, fmt.Sprintf("%s.%d.new", name, os.Getpid()))
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return path, nil
}
