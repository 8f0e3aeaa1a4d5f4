// Package datafolder is the layout of the server's data folder, and the way into it for every command.
//
//	deployment.json, keys/, tls/, cacert.pem   see package identity
//	enjambre.db                                see package store
//	packages/                                  see package depot
//	swarm/SITE.ledger                          what was sent into a site; see package origin
//	logs/access.log, logs/error.log            of the running server
//	run.lock                                   locked while a server runs
//	run.json                                   where it listens, or did when it last ran
//
// Commands work on an open folder whether or not a server runs: the database and the depot are made for
// several processes.
package datafolder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"enjambre/server/internal/catalog"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/identity"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

// A Folder is an open data folder. Close it.
type Folder struct {
	Path       string
	Deployment *identity.Deployment
	Store      *store.Store
	Depot      *depot.Depot
}

// Create makes a data folder, which must be missing or empty. When it fails, it leaves nothing behind.
func Create(ctx context.Context, path string, options identity.Options, stockAgents bool) error {
	existed, err := checkEmpty(path)
	if err != nil {
		return err
	}
	missing := missingParents(path)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return errors.Join(fmt.Errorf("data folder: %w", err), clear(path, existed, missing))
	}
	// Of two that fill one folder at once, the one that makes this goes on; the other clears nothing away.
	err = os.Mkdir(filepath.Join(path, "packages"), 0o755)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("data folder %s is being filled by another init", path)
	}
	if err != nil {
		err = fmt.Errorf("data folder: %w", err)
	} else {
		err = fill(ctx, path, options, stockAgents)
	}
	if err != nil {
		return errors.Join(err, clear(path, existed, missing))
	}
	return nil
}

func fill(ctx context.Context, path string, options identity.Options, stockAgents bool) error {
	if err := os.Chmod(path, 0o700); err != nil { // it holds keys, also if it was there before
		return fmt.Errorf("data folder: %w", err)
	}
	if err := store.Create(ctx, path); err != nil {
		return err
	}
	if stockAgents {
		s, err := store.Open(ctx, path)
		if err != nil {
			return err
		}
		if err := errors.Join(s.Set(ctx, "", setting.StockAgents, 1), s.Close()); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(path, "logs"), 0o755); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return identity.Create(path, options) // last: a folder with keys is a whole one
}

// checkEmpty reports whether the folder exists; one that holds anything is refused, and one that belongs to
// another user, who could not read the keys.
func checkEmpty(path string) (existed bool, err error) {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("data folder: %w", err)
	case len(entries) > 0:
		return true, fmt.Errorf(
			"data folder %s is not empty (it holds %s); name another, or empty it if an earlier init was interrupted",
			path,
			entries[0].Name(),
		)
	}
	return true, checkOwner(path)
}

// missingParents lists the folders above path that do not exist, the lowest first.
func missingParents(path string) (missing []string) {
	parent := filepath.Dir(filepath.Clean(path))
	for ; parent != filepath.Dir(parent); parent = filepath.Dir(parent) {
		if _, err := os.Lstat(parent); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, parent)
	}
	return missing
}

// clear removes everything in the folder, and the folder unless it existed, with the parents that were made
// for it and hold nothing else.
func clear(path string, existed bool, parents []string) error {
	if !existed {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		for _, parent := range parents {
			_ = os.Remove(parent) // not one that somebody else uses by now
		}
		return nil
	}
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(path, entry.Name())))
	}
	return err
}

// Open opens a data folder. A folder that belongs to another user is refused: what we wrote there the
// running server could not read.
func Open(ctx context.Context, path string) (*Folder, error) {
	if err := checkOwner(path); err != nil {
		return nil, err
	}
	deployment, err := identity.Load(path)
	if err != nil {
		return nil, err
	}
	opened, err := store.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	files, err := depot.Open(filepath.Join(path, "packages"))
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return &Folder{Path: path, Deployment: deployment, Store: opened, Depot: files}, nil
}

// checkOwner refuses a folder that is not there, and one that belongs to another user.
func checkOwner(path string) error {
	name, ours, err := owner(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("data folder %s does not exist; make it with \"init --data %s --host NAME\"", path, path)
	case err != nil:
		return fmt.Errorf("data folder: %w", err)
	case !ours:
		return fmt.Errorf("data folder %s belongs to user %s; run this command as that user, for example with "+
			"\"sudo -u %s\"", path, name, name)
	}
	return nil
}

// Owner returns the name of the user that a data folder belongs to, as whom its server runs; "" where access
// lists decide instead. It writes nothing, so that root may ask of another's folder, which Open refuses.
func Owner(path string) (string, error) {
	name, _, err := owner(path)
	if err != nil {
		return "", checkOwner(path) // which says what to do
	}
	_, err = identity.Load(path)
	return name, err
}

// Close closes the folder.
func (f *Folder) Close() error { return f.Store.Close() }

// Catalog returns the catalog of the folder's packages.
func (f *Folder) Catalog(log *slog.Logger) *catalog.Catalog {
	return &catalog.Catalog{
		Store: f.Store, Depot: f.Depot, Deployment: f.Deployment.Name(), Signer: f.Deployment.Signer(), Log: log,
	}
}
