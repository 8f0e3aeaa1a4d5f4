package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"enjambre/core"
)

// ErrUnknownToken says that no token has an ID.
var ErrUnknownToken = errors.New("no such token; see \"enroll token list\"")

// tokenIDDigits is how much of a token's hash names it. It tells nothing of the token, which has 192 random bits.
const tokenIDDigits = 12

// TokenID returns the name of a token that may be shown: a part of the hash that is kept of it.
func TokenID(token string) string { return hashToken(token)[:tokenIDDigits] }

// A TokenView is a token as it may be shown: without what it takes to use it.
type TokenView struct {
	ID      string        `json:"id"` // see TokenID
	Site    core.SiteName `json:"site"`
	Left    int           `json:"usesLeft"`
	Used    int           `json:"used"` // agents' keys that have used it
	Created time.Time     `json:"created"`
	Expires time.Time     `json:"expires"`
}

// Tokens lists all tokens, also those that are used up or have expired within the last week, the newest first.
func (s *Store) Tokens(ctx context.Context) (list []TokenView, err error) {
	list = []TokenView{}
	err = s.view(ctx, func(tx *transaction) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var one TokenView
			var created, expires int64
			err := scan(&one.ID, &one.Site, &one.Left, &created, &expires, &one.Used)
			one.Created, one.Expires = moment(created), moment(expires)
			list = append(list, one)
			return err
		}, `SELECT substr(hash, 1, ?), site, uses, created, expires,
				(SELECT count(*) FROM token_keys WHERE token_keys.hash = tokens.hash)
			FROM tokens ORDER BY created DESC, hash`, tokenIDDigits)
	})
	return list, err
}

// RevokeToken takes back the token with an ID: nobody enrols with it any more. Agents that have stay enrolled. It returns
// what the token was; an unknown ID is ErrUnknownToken.
func (s *Store) RevokeToken(ctx context.Context, id string) (was TokenView, err error) {
	list, err := s.Tokens(ctx)
	if err != nil {
		return TokenView{}, err
	}
	for _, one := range list {
		if one.ID == id {
			was = one
		}
	}
	err = s.change(ctx, func(tx *transaction) error {
		deleted, err := execute(ctx, tx, "DELETE FROM tokens WHERE substr(hash, 1, ?) = ?", tokenIDDigits, id)
		if err == nil && deleted == 0 {
			err = fmt.Errorf("token %.40q: %w", id, ErrUnknownToken)
		}
		return err
	})
	return was, err
}
