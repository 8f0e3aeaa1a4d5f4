package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"enjambre/core"
	"enjambre/server/internal/setting"
)

// Settings returns what is set for the deployment and, when device is not empty, for that computer;
// an unknown one is ErrUnknownComputer.
func (s *Store) Settings(ctx context.Context, device core.DeviceID) (e setting.Effective, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		id := int64(0)
		if device != "" {
			if id, err = computerID(ctx, tx, device); err != nil {
				return err
			}
		}
		e, err = effective(ctx, tx, id)
		return err
	})
	return e, err
}

const selectSettings = `SELECT 0, name, value FROM settings UNION ALL
	SELECT 1, name, value FROM computer_settings WHERE computer = ?`

// effective reads the settings that bear on the computer with this ID, or on none for 0.
func effective(ctx context.Context, tx *transaction, computer int64) (setting.Effective, error) {
	e := setting.Effective{Computer: setting.Values{}, Deployment: setting.Values{}}
	err := each(ctx, tx, func(scan func(...any) error) error {
		var own bool
		var name setting.Name
		var value int
		err := scan(&own, &name, &value)
		if own {
			e.Computer[name] = value
		} else {
			e.Deployment[name] = value
		}
		return err
	}, selectSettings, computer)
	return e, err
}

// Set sets a value for the deployment, or for one computer when device is not empty.
func (s *Store) Set(ctx context.Context, device core.DeviceID, name setting.Name, value int) error {
	return s.change(ctx, func(tx *transaction) error {
		if err := raiseFor(ctx, tx, device, name); err != nil {
			return err
		}
		if device == "" {
			_, err := execute(ctx, tx, "INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", name, value)
			return err
		}
		id, err := computerID(ctx, tx, device)
		if err != nil {
			return err
		}
		_, err = execute(ctx, tx,
			"INSERT OR REPLACE INTO computer_settings (computer, name, value) VALUES (?, ?, ?)", id, name, value)
		return err
	})
}

// Unset takes a value back, so that the next level holds. It reports whether there was one.
func (s *Store) Unset(ctx context.Context, device core.DeviceID, name setting.Name) (was bool, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		var deleted int
		if device == "" {
			deleted, err = execute(ctx, tx, "DELETE FROM settings WHERE name = ?", name)
		} else {
			id, lookup := computerID(ctx, tx, device)
			if lookup != nil {
				return lookup
			}
			deleted, err = execute(ctx, tx, "DELETE FROM computer_settings WHERE computer = ? AND name = ?", id, name)
		}
		if was = deleted > 0; err == nil && was {
			err = raiseFor(ctx, tx, device, name)
		}
		return err
	})
	return was, err
}

// raiseFor raises the epochs of the sites of whom a setting concerns: one computer, or with "" all of them,
// unless it is the server's own affair.
func raiseFor(ctx context.Context, tx *transaction, device core.DeviceID, name setting.Name) error {
	if definition, err := setting.Lookup(string(name)); err != nil || definition.DeploymentOnly {
		return err
	}
	_, err := execute(ctx, tx, `UPDATE sites SET epoch = epoch + 1 WHERE ?1 = '' OR
		name = (SELECT judged_site FROM computers WHERE device = ?1)`, device)
	return err
}

const selectID = "SELECT id FROM computers WHERE device = ?"

// computerID returns the row of a device, or ErrUnknownComputer.
func computerID(ctx context.Context, tx *transaction, device core.DeviceID) (int64, error) {
	var id int64
	err := tx.QueryRowContext(ctx, selectID, device).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("computer %s: %w; see \"computer search\"", device, ErrUnknownComputer)
	}
	return id, err
}
