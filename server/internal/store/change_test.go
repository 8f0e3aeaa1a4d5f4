package store

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"
)

// TestInterrupted: a change or a view whose context ends says so, whoever notices first: the commit, or a statement that
// database/sql has closed.
func TestInterrupted(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		name     string
		run      func(context.Context, func(*transaction) error) error
		inserts  bool
		tellsAll bool // what a statement says after the end
	}{{"commit", f.change, true, false}, {"change", f.change, true, true}, {"view", f.view, false, true}} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(f.ctx())
			defer cancel()
			err := c.run(ctx, func(tx *transaction) error {
				if c.inserts {
					if _, err := execute(ctx, tx, "INSERT INTO package_ids (id) VALUES (77)"); err != nil {
						return err
					}
				}
				cancel()
				late := rolledBack(tx)
				if late == nil {
					t.Error("not rolled back")
				}
				if c.tellsAll {
					return late
				}
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		})
	}
	var count int
	f.check(f.read.QueryRowContext(f.ctx(), "SELECT COUNT(*) FROM package_ids WHERE id = 77").Scan(&count))
	f.want("rows", count, 0)
}

// rolledBack waits until database/sql has rolled a transaction back, which it does in a goroutine of its own, and
// returns what a statement that knows nothing of the context says then.
func rolledBack(tx *transaction) error {
	for range 20_000 {
		_, err := tx.ExecContext(context.Background(), "SELECT 1")
		if errors.Is(err, sql.ErrTxDone) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}
