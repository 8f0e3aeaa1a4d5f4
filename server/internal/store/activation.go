package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"enjambre/core"
	"enjambre/core/outcome"
)

// An ActivationID names an activation; it is a string in JSON.
type ActivationID int64

// ParseActivationID reads the decimal digits that String writes.
func ParseActivationID(text string) (ActivationID, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != text {
		return 0, core.Refuse(core.ClassField, "activation %.40q is no number; see \"activation list\"", text)
	}
	return ActivationID(id), nil
}

// String returns the decimal digits.
func (id ActivationID) String() string { return strconv.FormatInt(int64(id), 10) }

// MarshalText makes the ID a string in JSON.
func (id ActivationID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// An Activation makes a package available at two places, which may be on different servers.
type Activation struct {
	ID           ActivationID   `json:"activation"`
	Package      core.PackageID `json:"package"`
	InfoURL      string         `json:"infoUrl"`        // host[:port]/folder; agents add https:// and /ID/info
	FragmentsURL string         `json:"fragmentsUrl"`   // the same with the package's protocol and /ID/ID-n
	Site         core.SiteName  `json:"site,omitempty"` // "": for computers of any site
	Forced       bool           `json:"forced,omitempty"`
	Created      time.Time      `json:"created"`
}

// An ActivationSummary is a row of the list of activations.
type ActivationSummary struct {
	Activation
	Name     string        `json:"name"` // of the package
	Priority core.Priority `json:"priority"`
	Counts
}

const activationColumns = "activations.id, package, info_url, fragments_url, site, forced, created"

func scanActivation(scan func(...any) error) (Activation, error) {
	var a Activation
	var created int64
	err := scan(&a.ID, &a.Package, &a.InfoURL, &a.FragmentsURL, &a.Site, &a.Forced, &created)
	a.Created = moment(created)
	return a, err
}

// AddActivation records an activation and returns its ID. The same two places for the same package and
// site are one activation: its ID is returned again.
func (s *Store) AddActivation(ctx context.Context, a Activation) (ActivationID, error) {
	err := s.change(ctx, func(tx *transaction) error {
		if _, err := findPackage(ctx, tx, a.Package); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, `SELECT id FROM activations
			WHERE package = ? AND info_url = ? AND fragments_url = ? AND site = ?`,
			a.Package, a.InfoURL, a.FragmentsURL, a.Site).Scan(&a.ID)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		// One for any site is nobody's news until computers are affected.
		if err := errors.Join(addSite(ctx, tx, a.Site), raiseSites(ctx, tx, a.Site)); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `INSERT INTO activations (package, info_url, fragments_url, site, forced, created)
			VALUES (?,?,?,?,?,?) RETURNING id`,
			a.Package, a.InfoURL, a.FragmentsURL, a.Site, a.Forced, unix(a.Created)).
			Scan(&a.ID)
	})
	if err != nil {
		return 0, fmt.Errorf("activate package %s: %w", a.Package, err)
	}
	return a.ID, nil
}

// Activation returns one activation, or ErrUnknownActivation.
func (s *Store) Activation(ctx context.Context, id ActivationID) (a Activation, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		a, err = findActivation(ctx, tx, id)
		return err
	})
	return a, err
}

func findActivation(ctx context.Context, tx *transaction, id ActivationID) (Activation, error) {
	a, err := scanActivation(
		tx.QueryRowContext(ctx, "SELECT "+activationColumns+" FROM activations WHERE id = ?", id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Activation{}, fmt.Errorf("activation %s: %w; see \"activation list\"", id, ErrUnknownActivation)
	}
	return a, err
}

// activationsOf returns a package's activations, oldest first.
func activationsOf(ctx context.Context, tx *transaction, id core.PackageID) (list []Activation, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		a, err := scanActivation(scan)
		list = append(list, a)
		return err
	}, "SELECT "+activationColumns+" FROM activations WHERE package = ? ORDER BY id", id)
	return list, err
}

// Activations lists the activations of a package, or of all packages when id is 0, oldest first.
func (s *Store) Activations(ctx context.Context, id core.PackageID) (list []ActivationSummary, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		if id != 0 {
			if _, err := findPackage(ctx, tx, id); err != nil {
				return err
			}
		}
		err := each(ctx, tx, func(scan func(...any) error) error {
			var one ActivationSummary
			var err error
			one.Activation, err = scanActivation(func(into ...any) error {
				return scan(append(into, &one.Name, &one.Priority)...)
			})
			list = append(list, one)
			return err
		}, "SELECT "+activationColumns+`, packages.name, packages.priority FROM activations
			JOIN packages ON packages.id = activations.package
			WHERE ? IN (0, activations.package) ORDER BY activations.id`, id)
		if err != nil {
			return err
		}
		return countActivations(ctx, tx, list)
	})
	return list, err
}

func countActivations(ctx context.Context, tx *transaction, list []ActivationSummary) error {
	for i := range list {
		err := each(ctx, tx, func(scan func(...any) error) error {
			var state outcome.State
			var rows int
			err := scan(&state, &rows)
			list[i].add(state, rows)
			return err
		}, "SELECT state, count(*) FROM affectations WHERE activation = ? GROUP BY state", list[i].ID)
		if err != nil {
			return err
		}
	}
	return nil
}

// DeleteActivation takes an activation back and unaffects it from all computers: waiting and notified
// rows go, finished rows stay as statistics (T20). It returns how many went.
func (s *Store) DeleteActivation(ctx context.Context, id ActivationID) (unaffected int, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		activation, err := findActivation(ctx, tx, id)
		if err != nil {
			return err
		}
		concerned, err := openSites(ctx, tx, "activation = ?", id)
		if err != nil {
			return err
		}
		if err := raiseSites(ctx, tx, append(concerned, activation.Site)...); err != nil {
			return err
		}
		unaffected, err = execute(ctx, tx, "DELETE FROM affectations WHERE activation = ? AND state IN (?, ?)",
			id, outcome.Waiting, outcome.Notified)
		if err != nil {
			return err
		}
		_, err = execute(ctx, tx, "DELETE FROM activations WHERE id = ?", id)
		return err
	})
	return unaffected, err
}
