package store

import (
	"context"
	"database/sql"
	"errors"

	"enjambre/core"
)

// Statements about what went between the members of a site. Only what a computer says beyond its last word is added,
// so that words that come twice, or the older one last, count once.
const (
	selectTold = "SELECT bytes FROM shared_told WHERE computer = ? AND package = ?"
	keepTold   = `INSERT INTO shared_told (computer, package, bytes) VALUES (?, ?, ?)
		ON CONFLICT (computer, package) DO UPDATE SET bytes = excluded.bytes`
	addShared = `INSERT INTO shared (site, package, bytes) SELECT name, ?, ? FROM sites WHERE name =
		(SELECT judged_site FROM computers WHERE id = ?)
		ON CONFLICT (site, package) DO UPDATE SET bytes = bytes + excluded.bytes`
)

// noteShared adds to the site where a computer is what members sent it of a package: bytes is what it says it was in
// all. Less than it said before adds nothing.
func noteShared(ctx context.Context, tx *transaction, computer int64, id core.PackageID, bytes int64) error {
	if bytes == 0 {
		return nil // what stock agents say, and those that say nothing of it
	}
	var told int64
	err := tx.QueryRowContext(ctx, selectTold, computer, id).Scan(&told)
	if err != nil && !errors.Is(err, sql.ErrNoRows) || bytes <= told {
		return err
	}
	if _, err := execute(ctx, tx, keepTold, computer, id, bytes); err != nil {
		return err
	}
	_, err = execute(ctx, tx, addShared, id, bytes-told, computer)
	return err
}

// Shared returns how many bytes of packages on record went between the members of each site, as the computers that
// got them said while they were there. Packages of which nothing did are left out.
func (s *Store) Shared(ctx context.Context) (bytes map[core.SiteName]map[core.PackageID]int64, err error) {
	bytes = map[core.SiteName]map[core.PackageID]int64{}
	err = s.view(ctx, func(tx *transaction) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var at core.SiteName
			var id core.PackageID
			var sum int64
			err := scan(&at, &id, &sum)
			if bytes[at] == nil {
				bytes[at] = map[core.PackageID]int64{}
			}
			bytes[at][id] = sum
			return err
		}, "SELECT site, package, bytes FROM shared")
	})
	return bytes, err
}
