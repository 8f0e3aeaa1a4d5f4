package store

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"
)

// TestChangeInterrupted: a change whose context ends before it is committed says so, whoever notices first.
func TestChangeInterrupted(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(f.ctx())
	err := f.change(ctx, func(tx *transaction) error {
		if _, err := execute(ctx, tx, "INSERT INTO package_ids (id) VALUES (77)"); err != nil {
			return err
		}
		cancel()
		for range 20_000 { // until database/sql has rolled back, which it does in a goroutine of its own
			_, err := tx.ExecContext(context.Background(), "SELECT 1")
			if errors.Is(err, sql.ErrTxDone) {
				return nil
			}
			time.Sleep(10 * time.Millisecond)
		}
		return errors.New("not rolled back")
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	var count int
	f.check(f.read.QueryRowContext(f.ctx(), "SELECT COUNT(*) FROM package_ids WHERE id = 77").Scan(&count))
	f.want("rows", count, 0)
}
