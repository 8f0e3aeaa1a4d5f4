package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"enjambre/core"
	"enjambre/core/outcome"
)

// A Package is what the server remembers of a built package; its info file says the rest.
type Package struct {
	ID           core.PackageID       `json:"id"`
	Name         string               `json:"name"`
	OS           core.OS              `json:"os"`
	Priority     core.Priority        `json:"priority"`
	Action       core.Action          `json:"action"`
	Target       string               `json:"target"`
	Protocol     string               `json:"protocol"`
	ArchiveSize  int64                `json:"archiveSize"` // bytes; 0 without archive
	FragmentSize int64                `json:"fragmentSize"`
	Fragments    int                  `json:"fragments"`
	SuccessCodes outcome.SuccessCodes `json:"successCodes"` // those that hold, never nil
	InfoDigest   core.Digest          `json:"-"`            // of the canonical info file, which the sealed one holds
	Built        time.Time            `json:"built"`
}

const packageColumns = `id, name, os, priority, action, target, protocol, archive_size, fragment_size,
	fragments, success_codes, info_digest, built`

func scanPackage(scan func(...any) error) (Package, error) {
	var p Package
	var id, built int64
	var codes, digest string
	err := scan(&id, &p.Name, &p.OS, &p.Priority, &p.Action, &p.Target, &p.Protocol, &p.ArchiveSize,
		&p.FragmentSize, &p.Fragments, &codes, &digest, &built)
	if err != nil {
		return Package{}, err
	}
	p.ID, p.Built = core.PackageID(id), moment(built)
	p.SuccessCodes, err = outcome.ParseSuccessCodes(codes)
	if err != nil {
		return Package{}, err
	}
	p.InfoDigest, err = core.ParseDigest(digest)
	return p, err
}

// ReserveID gives out a package ID: the Unix time of now, or the next second that was never given out.
// It stays given out whatever becomes of the package.
func (s *Store) ReserveID(ctx context.Context, now time.Time) (core.PackageID, error) {
	id := now.Unix()
	err := s.change(ctx, func(tx *transaction) error {
		for {
			inserted, err := execute(ctx, tx, "INSERT OR IGNORE INTO package_ids (id) VALUES (?)", id)
			if err != nil || inserted == 1 {
				return err
			}
			id++
		}
	})
	if err != nil {
		return 0, fmt.Errorf("reserve a package ID: %w", err)
	}
	return core.PackageID(id), nil
}

// AddPackage records a package whose files are published. Its ID must have been reserved.
func (s *Store) AddPackage(ctx context.Context, p Package) error {
	err := s.change(ctx, func(tx *transaction) error {
		_, err := execute(ctx, tx, "INSERT INTO packages ("+packageColumns+") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
			p.ID, p.Name, p.OS, p.Priority, p.Action, p.Target, p.Protocol, p.ArchiveSize, p.FragmentSize,
			p.Fragments, p.SuccessCodes.String(), p.InfoDigest.String(), unix(p.Built))
		return err
	})
	if err != nil {
		return fmt.Errorf("record package %s: %w", p.ID, err)
	}
	return nil
}

// Package returns one package, or ErrUnknownPackage.
func (s *Store) Package(ctx context.Context, id core.PackageID) (p Package, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		p, err = findPackage(ctx, tx, id)
		return err
	})
	return p, err
}

func findPackage(ctx context.Context, tx *transaction, id core.PackageID) (Package, error) {
	row := tx.QueryRowContext(ctx, "SELECT "+packageColumns+" FROM packages WHERE id = ?", id)
	p, err := scanPackage(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Package{}, fmt.Errorf("package %s: %w; see \"package list\"", id, ErrUnknownPackage)
	}
	return p, err
}

// HasPackage reports whether a package is recorded; nothing else under the depot is served.
func (s *Store) HasPackage(ctx context.Context, id core.PackageID) (bool, error) {
	var found int
	err := s.read.QueryRowContext(ctx, "SELECT count(*) FROM packages WHERE id = ?", id).Scan(&found)
	return found == 1, err
}

// WasGivenOut reports whether an ID was ever given out by ReserveID.
func (s *Store) WasGivenOut(ctx context.Context, id core.PackageID) (bool, error) {
	var found int
	err := s.read.QueryRowContext(ctx, "SELECT count(*) FROM package_ids WHERE id = ?", id).Scan(&found)
	return found == 1, err
}

// A PackageSummary is a row of the list of packages.
type PackageSummary struct {
	Package
	Activations int `json:"activations"`
	Counts
}

// Counts are the three columns that lists show (T18).
type Counts struct {
	NotNotified int `json:"notNotified"`
	Success     int `json:"success"`
	Errors      int `json:"errors"`
}

// add counts rows of one state.
func (c *Counts) add(state outcome.State, rows int) {
	switch {
	case state == outcome.Waiting:
		c.NotNotified += rows
	case state.Succeeded():
		c.Success += rows
	case state.Failed():
		c.Errors += rows
	}
}

// Packages lists all packages, newest first.
func (s *Store) Packages(ctx context.Context) (list []PackageSummary, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		counts := map[core.PackageID]Counts{}
		err := each(ctx, tx, func(scan func(...any) error) error {
			var id core.PackageID
			var state outcome.State
			var rows int
			err := scan(&id, &state, &rows)
			sum := counts[id]
			sum.add(state, rows)
			counts[id] = sum
			return err
		}, "SELECT package, state, count(*) FROM affectations GROUP BY package, state")
		if err != nil {
			return err
		}
		return each(ctx, tx, func(scan func(...any) error) error {
			var summary PackageSummary
			var err error
			summary.Package, err = scanPackage(func(into ...any) error {
				return scan(append(into, &summary.Activations)...)
			})
			summary.Counts = counts[summary.ID]
			list = append(list, summary)
			return err
		}, "SELECT "+packageColumns+", (SELECT count(*) FROM activations WHERE package = packages.id) FROM packages ORDER BY id DESC")
	})
	return list, err
}

// PackagesOnRecord lists all packages without what became of them, by ID.
func (s *Store) PackagesOnRecord(ctx context.Context) (list []Package, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			p, err := scanPackage(scan)
			list = append(list, p)
			return err
		}, "SELECT "+packageColumns+" FROM packages ORDER BY id")
	})
	return list, err
}

// DeletePackage forgets a package with its activations and affectations. Results that computers
// reported stay in their history. The package's files are the caller's to remove, afterwards. It is news also at sites where
// all have finished: they keep it for others.
func (s *Store) DeletePackage(ctx context.Context, id core.PackageID) error {
	return s.change(ctx, func(tx *transaction) error {
		concerned, err := sitesOf(ctx, tx, "package = ?", id)
		if err != nil {
			return err
		}
		if err := raiseSites(ctx, tx, concerned...); err != nil {
			return err
		}
		deleted, err := execute(ctx, tx, "DELETE FROM packages WHERE id = ?", id)
		if err == nil && deleted == 0 {
			return fmt.Errorf("package %s: %w; see \"package list\"", id, ErrUnknownPackage)
		}
		return err
	})
}
