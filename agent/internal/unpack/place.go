package unpack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"enjambre/core"
)

// PlaceOptions configure [Place].
type PlaceOptions struct {
	// Forbidden are folders, absolute, in which nothing may be placed, nor in place of them: the agent's
	// state folder.
	Forbidden []string
}

// Place copies everything in the folder from to the folder to, an absolute path, which it makes with all
// its parents (0755) if it is missing. Dot files and relative links are copied too.
//
// A file replaces a regular file of the same name in one step, and a link another link; all else that
// stands in its place is refused before anything is written: a link where a file or a folder should be
// (E_LINK), a file where a folder should be or the reverse (E_TYPE), a place that is forbidden or that has
// ".." in it (E_PATH). Other files in to stay. Links on the way to the folder to are followed if they
// are root's or our own (E_LINK otherwise); links below it never. Whoever owns a folder on that way can
// still move it, and to with it: a path below a user's folder is that user's to spoil.
//
// Place may be repeated after an interruption, with the same from: files are then written again.
func Place(ctx context.Context, from, to string, options PlaceOptions) (err error) {
	defer func(named string) {
		if err != nil {
			err = fmt.Errorf("store files in %s: %w", named, noSpace(err))
		}
	}(to)
	to, err = resolve(to)
	if err != nil {
		return err
	}
	guard, err := newGuard(to, options.Forbidden)
	if err != nil {
		return err
	}
	source, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := check(ctx, source, to, guard); err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	target, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	p := &placer{ctx: ctx, from: from, buffer: make([]byte, copyBuffer)}
	return p.copyFolder(source, target, "")
}

// check refuses everything that copyFolder would, and what the guard forbids, before anything is written.
func check(ctx context.Context, source *os.Root, to string, guard *guard) error {
	return fs.WalkDir(source.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		place := filepath.Join(to, filepath.FromSlash(name))
		found, err := os.Lstat(place)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			found = nil
		case err != nil:
			return err
		}
		if err := guard.allow(place, found, entry.IsDir()); err != nil {
			return err
		}
		return conflict(name, entry.Type(), found)
	})
}

// conflict refuses to put a thing of type typ where found is; nil is nothing.
func conflict(name string, typ fs.FileMode, found fs.FileInfo) error {
	if typ != 0 && typ != fs.ModeDir && typ != fs.ModeSymlink {
		return core.Refuse(core.ClassType, "%s is neither a file, a folder nor a link", name)
	}
	if found == nil || found.Mode().Type() == typ {
		return nil
	}
	there := found.Mode().Type()
	switch {
	case there&(fs.ModeSymlink|fs.ModeIrregular) != 0: // irregular: what Windows calls a junction
		return core.Refuse(core.ClassLink, "a link stands where %s belongs; links are not followed", name)
	case typ == fs.ModeDir:
		return core.Refuse(core.ClassType, "a file stands where the folder %s belongs", name)
	case there.IsDir():
		return core.Refuse(core.ClassType, "a folder stands where the file %s belongs", name)
	}
	return core.Refuse(core.ClassType, "what stands where %s belongs is of another kind", name)
}

// A placer copies folders.
type placer struct {
	ctx    context.Context
	from   string
	buffer []byte
}

// copyFolder copies what source holds to target; name is where both are, "" at the top. It judges again
// what check has judged: others may have been here since.
func (p *placer) copyFolder(source, target *os.Root, name string) error {
	entries, err := fs.ReadDir(source.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		if err := p.copyEntry(source, target, filepath.Join(name, entry.Name()), entry); err != nil {
			return err
		}
	}
	return syncFolder(target)
}

func (p *placer) copyEntry(source, target *os.Root, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	found, err := target.Lstat(entry.Name())
	if errors.Is(err, fs.ErrNotExist) {
		found, err = nil, nil
	}
	if err == nil {
		err = conflict(name, entry.Type(), found)
	}
	switch {
	case err != nil:
		return err
	case entry.IsDir():
		if found == nil {
			err = target.Mkdir(entry.Name(), info.Mode().Perm()&0o755)
		}
		if err != nil {
			return err
		}
		return p.copySubfolder(source, target, name)
	}
	temporary := p.temporary(name)
	if err := removeIfThere(target, temporary); err != nil {
		return err
	}
	if entry.Type() == fs.ModeSymlink {
		var link string
		if link, err = source.Readlink(entry.Name()); err == nil {
			err = target.Symlink(link, temporary)
		}
	} else {
		err = p.copyFile(source, target, entry.Name(), temporary, info.Mode().Perm()&0o755)
	}
	if err == nil {
		err = target.Rename(temporary, entry.Name())
	}
	if err != nil {
		return errors.Join(err, removeIfThere(target, temporary))
	}
	return nil
}

// copySubfolder goes one folder down on both sides. A folder that became a link meanwhile is refused.
func (p *placer) copySubfolder(source, target *os.Root, name string) (err error) {
	base := filepath.Base(name)
	below, err := source.OpenRoot(base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, below.Close()) }()
	into, err := target.OpenRoot(base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	named, err := target.Lstat(base)
	if err != nil {
		return err
	}
	opened, err := into.Stat(".")
	if err != nil {
		return err
	}
	if !os.SameFile(named, opened) {
		return core.Refuse(core.ClassLink, "the folder %s was replaced by a link meanwhile", name)
	}
	return p.copyFolder(below, into, name)
}

func (p *placer) copyFile(source, target *os.Root, name, temporary string, mode fs.FileMode) error {
	file, err := source.Open(name)
	if err != nil {
		return err
	}
	err = writeFile(p.ctx, target, temporary, mode, file, p.buffer, true)
	return errors.Join(err, file.Close())
}

// temporary is under what name a file is written before it is renamed. The same for the same source, so
// that a repetition finds what an interruption has left; different for others, who may be at work in
// the same folder.
func (p *placer) temporary(name string) string {
	sum := sha256.Sum256([]byte(p.from + "\x00" + name))
	return ".enjambre-" + hex.EncodeToString(sum[:8])
}

func removeIfThere(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
