package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
)

// Why an enrolment is refused. The texts are for whoever sits at the computer.
var (
	ErrTokenUnknown = errors.New("the token is not known to this server; ask for a new one")
	ErrTokenExpired = errors.New("the token has expired; ask for a new one")
	ErrTokenUsed    = errors.New("the token is used up; ask for a new one")
	ErrAnotherKey   = errors.New(
		"the computer is enrolled with another key; \"agent revoke\" it first if it was set up anew")
	ErrRevokedKey = errors.New(
		"the agent was revoked and its key with it; remove the agent's state and enrol anew")
	ErrUnknownAgent    = errors.New("no such enrolled agent; see \"agent list\"")
	errTokenOutOfRange = errors.New("a token has 1 to 10,000 uses")
)

// A Token is a right to enrol. The server keeps its hash only, so it is shown once.
type Token struct {
	Site    core.SiteName // of the computers that use it
	Uses    int           // 1 to 10,000
	Expires time.Time
}

// hashToken is how a token is kept. Tokens are long and random, so no salt is needed.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// AddToken keeps a token. Tokens that have expired for a week are forgotten.
func (s *Store) AddToken(ctx context.Context, text string, token Token, now time.Time) error {
	if token.Uses < 1 || token.Uses > 10_000 {
		return errTokenOutOfRange
	}
	return s.change(ctx, func(tx *transaction) error {
		if _, err := execute(ctx, tx, "DELETE FROM tokens WHERE expires < ?", unix(now.AddDate(0, 0, -7))); err != nil {
			return err
		}
		if err := addSite(ctx, tx, token.Site); err != nil {
			return err
		}
		_, err := execute(ctx, tx, "INSERT INTO tokens (hash, site, uses, expires, created) VALUES (?,?,?,?,?)",
			hashToken(text), token.Site, token.Uses, unix(token.Expires), unix(now))
		return err
	})
}

// An Enrolment is an agent that shows a token and the key that it holds.
type Enrolment struct {
	Token     string
	Device    core.DeviceID
	Key       seal.KeyID
	Certified time.Time // until when the certificate that it is given is valid
}

// Enrol makes the agent's key that of its computer, which is made if it is new; a stock agent's record is
// taken over. It returns the computer's site. Whoever holds the computer's key already may show its token
// again for nothing, so that an agent whose answer got lost can repeat itself. Refusals are the errors above.
func (s *Store) Enrol(ctx context.Context, e Enrolment, now time.Time) (site core.SiteName, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		site, err = useToken(ctx, tx, e, now)
		if err != nil {
			return err
		}
		id, err := s.findOrAdd(ctx, tx, e.Device, "", now)
		if err != nil {
			return err
		}
		var key string
		var revoked int64
		var old core.SiteName
		var byToken bool
		err = tx.QueryRowContext(ctx, "SELECT agent_key, revoked, site, site_by_token FROM computers WHERE id = ?", id).
			Scan(&key, &revoked, &old, &byToken)
		switch {
		case err != nil:
			return err
		case key != "" && key != e.Key.String() && revoked == 0:
			return ErrAnotherKey
		case key == e.Key.String() && revoked != 0: // its token could be shown again for nothing
			return ErrRevokedKey
		case old != "":
			site = old // an administrator's word, or an earlier token's, counts more
		default:
			byToken = true
		}
		// Where a stock agent's record was, anybody may have said: an agent that takes it over begins at no site.
		_, err = execute(ctx, tx, `UPDATE computers SET judged_site = iif(agent_key = '', '', judged_site),
			judged_by = iif(agent_key = '', '', judged_by), agent_key = ?, enrolled = ?, certified = ?, revoked = 0, site = ?,
			site_by_token = ? WHERE id = ?`, e.Key.String(), unix(now), unix(e.Certified), site, byToken, id)
		if err == nil {
			err = assign(ctx, tx, id, false)
		}
		if err == nil { // a key that was deleted with its computer may come back
			_, err = execute(ctx, tx, "DELETE FROM void_tickets WHERE key = ?", e.Key.String())
		}
		if err == nil && key != e.Key.String() { // a copy may show the token that it was copied with
			_, err = execute(ctx, tx, forgetLineage, id)
		}
		return err
	})
	return site, err
}

// useToken takes one use of an agent's token, unless it is repeated: its key has used the token before and
// is the computer's now. A key that has lost its computer, or asks for another, is no repetition.
func useToken(ctx context.Context, tx *transaction, e Enrolment, now time.Time) (site core.SiteName, err error) {
	hash, key := hashToken(e.Token), e.Key.String()
	var uses int
	var expires int64
	err = tx.QueryRowContext(ctx, "SELECT site, uses, expires FROM tokens WHERE hash = ?", hash).
		Scan(&site, &uses, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrTokenUnknown
	}
	if err != nil {
		return "", err
	}
	if now.Unix() >= expires {
		return "", ErrTokenExpired
	}
	var repeated bool
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM token_keys WHERE hash = ? AND key = ?)
		AND EXISTS (SELECT 1 FROM computers WHERE device = ? AND agent_key = ?)`,
		hash, key, e.Device, key).Scan(&repeated)
	if err != nil || repeated {
		return site, err
	}
	if uses == 0 {
		return "", ErrTokenUsed
	}
	if _, err = execute(ctx, tx, "UPDATE tokens SET uses = uses - 1 WHERE hash = ?", hash); err != nil {
		return "", err
	}
	_, err = execute(ctx, tx, "INSERT OR IGNORE INTO token_keys (hash, key) VALUES (?, ?)", hash, key)
	return site, err
}

// A Caller is who sent a message: a device ID, and the ID of the key that was proved. A stock agent proves
// nothing, so its Key is "".
type Caller struct {
	Device core.DeviceID
	Key    string
}

// Stock returns a caller that proved nothing.
func Stock(device core.DeviceID) Caller { return Caller{Device: device} }

// maySpeak reports, as an error, why a caller may not speak for a computer with this agent key. Stock agents
// are kept off enrolled computers, and an enrolled agent must hold the computer's key, not be revoked.
func (c Caller) maySpeak(key string, revoked int64) error {
	switch {
	case c.Key == "" && key == "":
		return nil
	case c.Key == "":
		return fmt.Errorf("computer %s: %w", c.Device, ErrEnrolled)
	case c.Key != key:
		return fmt.Errorf("computer %s: %w", c.Device, ErrNotItsKey)
	case revoked != 0:
		return fmt.Errorf("computer %s: %w", c.Device, ErrRevoked)
	}
	return nil
}

// check looks up what maySpeak judges.
func (c Caller) check(ctx context.Context, tx *transaction, id int64) error {
	var key string
	var revoked int64
	err := tx.QueryRowContext(ctx, "SELECT agent_key, revoked FROM computers WHERE id = ?", id).
		Scan(&key, &revoked)
	if err != nil {
		return err
	}
	return c.maySpeak(key, revoked)
}

// row returns the row of the computer that the caller speaks for.
func (c Caller) row(ctx context.Context, tx *transaction) (int64, error) {
	id, err := computerID(ctx, tx, c.Device)
	if err == nil {
		err = c.check(ctx, tx, id)
	}
	return id, err
}

// Renew notes that a caller's key is certified until another time, and returns the computer's site.
func (s *Store) Renew(ctx context.Context, from Caller,
	certified time.Time) (site core.SiteName, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		id, err := from.row(ctx, tx)
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "UPDATE computers SET certified = ? WHERE id = ? RETURNING judged_site",
			unix(certified), id).Scan(&site)
	})
	return site, err
}

// SiteOf returns the site whose swarm and ledger the computer that a caller speaks for is in; "" for none, as of one that
// is at a site by a tunnel or a metered line: what it is sent crosses another line than the site's, and is none of its
// copies. A caller that may not is refused, as in Contact.
func (s *Store) SiteOf(ctx context.Context, from Caller) (site core.SiteName, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		id, err := from.row(ctx, tx)
		if err != nil {
			return err
		}
		const text = "SELECT CASE WHEN listen <> '' AND weight = 0 THEN '' ELSE judged_site END FROM computers WHERE id = ?"
		return tx.QueryRowContext(ctx, text, id).Scan(&site)
	})
	return site, err
}

// An Agent is an enrolled agent.
type Agent struct {
	Device      core.DeviceID `json:"computer"`
	Name        string        `json:"name"`
	Site        core.SiteName `json:"site"`
	Key         string        `json:"key"` // ID of its key
	Enrolled    time.Time     `json:"enrolled"`
	Certified   time.Time     `json:"certified"`        // until when its newest certificate is valid
	Revoked     time.Time     `json:"revoked,omitzero"` // zero: it is not
	LastContact time.Time     `json:"lastContact,omitzero"`
	Cloned      time.Time     `json:"cloned,omitzero"`      // since when its identity is known on several computers
	CloneCalled time.Time     `json:"cloneCalled,omitzero"` // when one of them that is not kept last called
}

// Agents lists the enrolled agents, by device ID.
func (s *Store) Agents(ctx context.Context) ([]Agent, error) {
	list := []Agent{}
	err := s.view(ctx, func(tx *transaction) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var a Agent
			var enrolled, certified, revoked, contact, cloned, called int64
			err := scan(&a.Device, &a.Name, &a.Site, &a.Key, &enrolled, &certified, &revoked, &contact, &cloned, &called)
			a.Cloned, a.CloneCalled = moment(cloned), moment(called)
			a.Enrolled, a.Certified = moment(enrolled), moment(certified)
			a.Revoked, a.LastContact = moment(revoked), moment(contact)
			list = append(list, a)
			return err
		}, `SELECT device, name, judged_site, agent_key, enrolled, certified, revoked, last_contact, cloned, clone_called
			FROM computers WHERE agent_key <> '' ORDER BY device`)
	})
	return list, err
}

// Revoke takes an agent's right to speak for its computer, for good: only a new enrolment gives it back. The
// gossip key of its site is replaced.
func (s *Store) Revoke(ctx context.Context, device core.DeviceID, now time.Time) error {
	return s.change(ctx, func(tx *transaction) error {
		var id int64
		err := tx.QueryRowContext(ctx, `UPDATE computers SET revoked = ? WHERE device = ? AND agent_key <> ''
			AND revoked = 0 RETURNING id`, unix(now), device).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("computer %s: %w", device, ErrUnknownAgent)
		}
		if err != nil {
			return err
		}
		return expel(ctx, tx, id, now)
	})
}
