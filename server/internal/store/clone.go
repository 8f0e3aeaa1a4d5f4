package store

import (
	"context"
	"fmt"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/lineage"
)

const (
	selectLineage = `SELECT lineage, cloned, clone_called, trusts, agent_key, listen FROM computers WHERE id = ?`
	touchLineage  = "UPDATE computers SET lineage = ?, cloned = ?, clone_called = ?, trusts = ? WHERE id = ?"
	touchMember   = `UPDATE computers SET listen = ?, also = ?, peer = ?, weight = ?, listen_until = ?, listen_order = ?
		WHERE id = ?`
)

// isClone reports whether a contact is of a computer that shares its identity with one that is kept.
func isClone(text string, contact ocs.Prolog) (bool, error) {
	if contact.Contact == (ocs.ContactID{}) {
		return false, nil
	}
	known, err := lineage.Parse(text)
	_, clone := known.Step(contact)
	return clone, err
}

// noteProlog keeps what a contact said of itself: which it was, and, unless it was a clone's, what the
// agent trusts and where it listens.
func noteProlog(ctx context.Context, tx *transaction, computer int64, touch Touch) error {
	if touch.Prolog == (ocs.Prolog{}) {
		return nil
	}
	var text, trusts, key, listen string
	var cloned, called int64
	if err := tx.QueryRowContext(ctx, selectLineage, computer).
		Scan(&text, &cloned, &called, &trusts, &key, &listen); err != nil {
		return err
	}
	next, err := lineage.Parse(text)
	if err != nil {
		return err
	}
	clone := false
	if touch.Prolog.Contact != (ocs.ContactID{}) {
		next, clone = next.Step(touch.Prolog)
	}
	if clone {
		called = unix(touch.At)
	} else if touch.Prolog.Trusts != (core.Digest{}) {
		trusts = touch.Prolog.Trusts.String()
	}
	if next.Cloned() && cloned == 0 {
		cloned = unix(touch.At)
	}
	_, err = execute(ctx, tx, touchLineage, next.String(), cloned, called, trusts, computer)
	if now := touch.membership(key); err == nil && !clone && (now.listen != "" || listen != "") {
		_, err = execute(ctx, tx, touchMember, now.listen, now.also, now.peer, now.weight, now.until, now.order, computer)
	}
	return err
}

// forgetLineage is for an identity that begins anew.
const forgetLineage = `UPDATE computers SET lineage = '', cloned = 0, clone_called = 0, trusts = '', listen = ''
	WHERE id = ?`

// KeepNext forgets that an enrolled agent's identity was found on several computers, and all its contacts:
// the computer that calls next is the one to be kept. It returns since when the identity was known as
// cloned, zero if it was not.
func (s *Store) KeepNext(ctx context.Context, device core.DeviceID) (since time.Time, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		id, err := computerID(ctx, tx, device)
		if err != nil {
			return err
		}
		var key string
		var cloned int64
		err = tx.QueryRowContext(ctx, "SELECT agent_key, cloned FROM computers WHERE id = ?", id).Scan(&key, &cloned)
		if err == nil && key == "" {
			return fmt.Errorf("computer %s: %w", device, ErrUnknownAgent)
		}
		since = moment(cloned)
		if err == nil {
			_, err = execute(ctx, tx, forgetLineage, id)
		}
		return err
	})
	return since, err
}
