package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

// A Refusal is a message of a computer that was refused: the last one, until one of the same query is taken.
type Refusal struct {
	Query  ocs.Query `json:"query,omitempty"` // "" when it could not be read
	Reason string    `json:"reason"`          // at most MaxReason bytes
	At     time.Time `json:"at"`
}

// MaxReason is how many bytes are kept of the reason of a refusal.
const MaxReason = 255

// NoteRefusal keeps a refusal of a computer, if that is on record. What a stock agent sends in the name of an enrolled
// computer says nothing of that.
func (s *Store) NoteRefusal(ctx context.Context, from Caller, refused Refusal) error {
	return s.together(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := execute(ctx, tx, `INSERT OR REPLACE INTO refusals (computer, query, reason, refused)
			SELECT id, ?2, ?3, ?4 FROM computers WHERE device = ?1 AND agent_key = ?5`,
			from.Device, refused.Query, refused.Reason, unix(refused.At), from.Key)
		return err
	})
}

const clearRefusal = "DELETE FROM refusals WHERE computer = ? AND query IN ('', ?)"

// taken forgets a computer's last refusal when a message of that kind is taken.
func taken(ctx context.Context, tx *transaction, id int64, query ocs.Query) error {
	_, err := execute(ctx, tx, clearRefusal, id, query)
	return err
}

// readRefusal returns a computer's last refusal, or nil.
func readRefusal(ctx context.Context, tx *transaction, id int64) (*Refusal, error) {
	var refused Refusal
	var at int64
	err := tx.QueryRowContext(ctx, "SELECT query, reason, refused FROM refusals WHERE computer = ?", id).
		Scan(&refused.Query, &refused.Reason, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	refused.At = moment(at)
	return &refused, err
}

// countRefused returns how many of a package's computers without result had a message refused last.
func countRefused(ctx context.Context, tx *transaction, id core.PackageID, open ...any) (count int, err error) {
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM affectations JOIN refusals USING (computer)
		WHERE package = ? AND state IN (?, ?)`, append([]any{id}, open...)...).Scan(&count)
	return count, err
}
