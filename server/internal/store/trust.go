package store

import (
	"context"
	"time"

	"enjambre/core"
)

// TrustPeriod is how long ago a computer may have called and still count for who lacks an authority.
const TrustPeriod = 30 * 24 * time.Hour

// A TrustCount says how many enrolled computers that called within TrustPeriod trust what they must.
type TrustCount struct {
	Seen int `json:"seen"`
	Lack int `json:"lack"` // of them, those that do not, or did not say
}

// Trusting counts the enrolled computers whose last word on what they trust is one of the sets.
func (s *Store) Trusting(ctx context.Context, sets []core.Digest, now time.Time) (count TrustCount, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var trusts string
			var computers int
			err := scan(&trusts, &computers)
			count.Seen += computers
			count.Lack += computers
			for _, set := range sets {
				if set.String() == trusts {
					count.Lack -= computers
					break
				}
			}
			return err
		}, `SELECT trusts, count(*) FROM computers WHERE agent_key <> '' AND revoked = 0 AND last_contact > ?
			GROUP BY trusts`, unix(now.Add(-TrustPeriod)))
	})
	return count, err
}
