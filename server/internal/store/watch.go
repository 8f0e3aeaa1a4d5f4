package store

import (
	"context"
	"database/sql"
	"fmt"

	"enjambre/core"
)

// A Watch tells whether anybody has changed the database, at the cost of a look into shared memory. Close it. It is for
// one goroutine.
type Watch struct {
	conn *sql.Conn
	seen int64
}

// Watch returns a Watch that has seen no change yet. It keeps one of the connections that read.
func (s *Store) Watch(ctx context.Context) (*Watch, error) {
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch the database: %w", interrupted(ctx, err))
	}
	return &Watch{conn: conn, seen: -1}, nil
}

// Close gives the connection back.
func (w *Watch) Close() error { return w.conn.Close() }

// Changed reports whether there was a change since the last call, by this or another process; the first time, that there
// was.
func (w *Watch) Changed(ctx context.Context) (bool, error) {
	before := w.seen
	if err := w.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&w.seen); err != nil {
		return false, fmt.Errorf("watch the database: %w", interrupted(ctx, err))
	}
	return w.seen != before, nil
}

// Epochs returns the numbers of all sites' news.
func (s *Store) Epochs(ctx context.Context) (numbers map[core.SiteName]uint64, err error) {
	numbers = map[core.SiteName]uint64{}
	err = s.view(ctx, func(tx *transaction) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var name core.SiteName
			var epoch uint64
			err := scan(&name, &epoch)
			numbers[name] = epoch
			return err
		}, "SELECT name, epoch FROM sites")
	})
	return numbers, err
}

// CountAgents returns how many agents may speak for computers at each of some sites, and how many there are in all.
func (s *Store) CountAgents(ctx context.Context, sites []core.SiteName) (counts map[core.SiteName]int, all int, err error) {
	counts = map[core.SiteName]int{}
	err = s.view(ctx, func(tx *transaction) error {
		const where = " FROM computers WHERE agent_key <> '' AND revoked = 0"
		for _, name := range sites {
			var count int
			err := tx.QueryRowContext(ctx, "SELECT count(*)"+where+" AND judged_site = ?", name).Scan(&count)
			if err != nil {
				return err
			}
			counts[name] = count
		}
		return tx.QueryRowContext(ctx, "SELECT count(*)"+where).Scan(&all)
	})
	return counts, all, err
}
