package unpack

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"enjambre/core"
)

// resolve checks a path and follows the links in that part of it which is there.
func resolve(path string) (string, error) {
	switch {
	case strings.ContainsRune(path, 0):
		return "", core.Refuse(core.ClassPath, "the path holds a NUL character")
	case !filepath.IsAbs(path):
		return "", core.Refuse(core.ClassPath, "the path is not absolute")
	}
	for part := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if part == ".." {
			return "", core.Refuse(core.ClassPath, `the path has ".." in it: write it without`)
		}
	}
	path = filepath.Clean(path)
	there := "" // the longest part that is there
	for _, folder := range upwards(path) {
		found, err := os.Lstat(folder)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // below a file: told further up
		case err != nil:
			return "", err
		case found.Mode()&fs.ModeSymlink != 0 && isForeign(found):
			return "", core.Refuse(core.ClassLink, "%s is a link that another user made", folder)
		case there == "":
			there = folder
		}
	}
	real, err := filepath.EvalSymlinks(there)
	if err != nil {
		return "", err
	}
	if found, err := os.Stat(real); err != nil || !found.IsDir() {
		return "", errors.Join(err, core.Refuse(core.ClassType, "%s is not a folder", there))
	}
	return filepath.Join(real, path[len(there):]), nil
}

// upwards returns path and all folders above it, to the root.
func upwards(path string) []string {
	list := []string{path}
	for above := filepath.Dir(path); above != path; above = filepath.Dir(path) {
		list = append(list, above)
		path = above
	}
	return list
}

// A guard knows the folders where nothing may be placed.
type guard struct{ folders []guarded }

// A guarded folder is known by its path and, if it is there, by what it is: it has other paths where it is
// mounted twice.
type guarded struct {
	path string
	info fs.FileInfo // nil if it is not there
}

// newGuard makes a guard, which refuses the folder to itself when it is in a forbidden one.
func newGuard(to string, forbidden []string) (*guard, error) {
	g := &guard{}
	for _, folder := range forbidden {
		path, err := resolve(folder)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		g.folders = append(g.folders, guarded{path, info})
	}
	for _, folder := range upwards(to) {
		info, err := os.Stat(folder)
		if err != nil {
			info = nil
		}
		if err := g.allow(folder, info, true); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// allow refuses to put something in place, where found is; nil is nothing.
func (g *guard) allow(place string, found fs.FileInfo, isFolder bool) error {
	for _, folder := range g.folders {
		same := found != nil && folder.info != nil && os.SameFile(found, folder.info)
		if same || within(place, folder.path) || !isFolder && within(folder.path, place) {
			return core.Refuse(core.ClassPath, "%s is the agent's own place", folder.path)
		}
	}
	return nil
}

// foldsNames says whether two spellings in upper and lower case are usually one name here.
const foldsNames = runtime.GOOS == "windows" || runtime.GOOS == "darwin"

// within reports whether path is folder or lies in it.
func within(path, folder string) bool {
	if foldsNames {
		path, folder = strings.ToLower(path), strings.ToLower(folder)
	}
	relative, err := filepath.Rel(folder, path)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator))
}
