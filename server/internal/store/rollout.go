package store

import (
	"context"
	"strings"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
)

// A Rollout is how a package stands on the computers it is affected to.
type Rollout struct {
	Package   core.PackageID        `json:"package"`
	Name      string                `json:"name"`
	Computers int                   `json:"computers"`
	States    map[outcome.State]int `json:"states"`   // every state, zeros too; they add up to Computers
	Results   map[string]int        `json:"results"`  // the agents' words
	Progress  map[ocs.Phase]int     `json:"progress"` // parts of NOTIFIED, as far as agents tell
	// NoResult counts the NOTIFIED that were offered the package at several contacts over more than a day
	// and answered nothing: a stock agent's error message can be lost, and comes no second time.
	NoResult int `json:"noResult"`
	Refused  int `json:"refused"` // computers without result, the last message of which was refused
}

// When a NOTIFIED computer counts as one without result.
const (
	noResultOffers = 3
	noResultAfter  = 24 * time.Hour
)

// Rollout returns the statistics of a package.
func (s *Store) Rollout(ctx context.Context, id core.PackageID, now time.Time) (r Rollout, err error) {
	r = Rollout{
		Package: id, States: map[outcome.State]int{}, Results: map[string]int{},
		Progress: map[ocs.Phase]int{ocs.Downloading: 0, ocs.Delayed: 0, ocs.Installing: 0},
	}
	for _, state := range outcome.States() {
		r.States[state] = 0
	}
	err = s.view(ctx, func(tx *transaction) error {
		pkg, err := findPackage(ctx, tx, id)
		if err != nil {
			return err
		}
		r.Name = pkg.Name
		err = each(ctx, tx, func(scan func(...any) error) error {
			var state outcome.State
			var text string
			var rows int
			err := scan(&state, &text, &rows)
			r.States[state] += rows
			r.Computers += rows
			if text != "" {
				r.Results[text] += rows
			}
			return err
		}, "SELECT state, text, count(*) FROM affectations WHERE package = ? GROUP BY state, text", id)
		if err != nil {
			return err
		}
		err = each(ctx, tx, func(scan func(...any) error) error {
			var phase ocs.Phase
			var rows int
			err := scan(&phase, &rows)
			r.Progress[phase] = rows
			return err
		}, `SELECT phase, count(*) FROM affectations JOIN progress USING (computer, package)
			WHERE package = ? AND state = ? GROUP BY phase`, id, outcome.Notified)
		if err != nil {
			return err
		}
		if r.Refused, err = countRefused(ctx, tx, id, outcome.Waiting, outcome.Notified); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM affectations WHERE package = ? AND state = ? AND offered >= ? AND notified <= ?",
			id, outcome.Notified, noResultOffers, unix(now.Add(-noResultAfter))).
			Scan(&r.NoResult)
	})
	return r, err
}

// A Validation says what clearing a rollout did.
type Validation struct {
	Cleared    int `json:"cleared"`    // finished rows that went
	Unaffected int `json:"unaffected"` // waiting rows that went
	Kept       int `json:"kept"`       // rows that stay: their result is still to come, or nobody asked for them
}

// ValidateSuccess clears the rows of computers that succeeded.
func (s *Store) ValidateSuccess(ctx context.Context, id core.PackageID) (Validation, error) {
	return s.validate(ctx, id, outcome.State.Succeeded, false)
}

// UnaffectNotNotified removes the rows of computers that have not been told yet.
func (s *Store) UnaffectNotNotified(ctx context.Context, id core.PackageID) (Validation, error) {
	return s.validate(ctx, id, nil, true)
}

// ValidateAll clears all finished rows and removes those not told yet. NOTIFIED rows stay: their result
// is still to come.
func (s *Store) ValidateAll(ctx context.Context, id core.PackageID) (Validation, error) {
	return s.validate(ctx, id, outcome.State.Final, true)
}

func (s *Store) validate(ctx context.Context, id core.PackageID, clear func(outcome.State) bool,
	waiting bool) (v Validation, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		if _, err := findPackage(ctx, tx, id); err != nil {
			return err
		}
		if waiting {
			concerned, err := sitesOf(ctx, tx, "package = ? AND state = ?", id, outcome.Waiting)
			if err != nil {
				return err
			}
			if err := raiseSites(ctx, tx, concerned...); err != nil {
				return err
			}
			v.Unaffected, err = deleteState(ctx, tx, id, outcome.Waiting)
			if err != nil {
				return err
			}
		}
		for _, state := range outcome.States() {
			if clear == nil || !clear(state) {
				continue
			}
			cleared, err := deleteState(ctx, tx, id, state)
			if err != nil {
				return err
			}
			v.Cleared += cleared
		}
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM affectations WHERE package = ?", id).Scan(&v.Kept)
	})
	return v, err
}

func deleteState(ctx context.Context, tx *transaction, id core.PackageID, state outcome.State) (int, error) {
	return execute(ctx, tx, "DELETE FROM affectations WHERE package = ? AND state = ?", id, state)
}

// RetryErrors affects a package again to the computers where it ended in an error, by the activation
// they had. A Unix agent keeps a LAUNCH with any exit code as installed, so those are forced. It returns
// how many wait again, and how many cannot because their activation is gone.
func (s *Store) RetryErrors(ctx context.Context, id core.PackageID,
	now time.Time) (retried, kept int, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		if _, err := findPackage(ctx, tx, id); err != nil {
			return err
		}
		failed := failedStates()
		marks := strings.TrimSuffix(strings.Repeat("?,", len(failed)), ",")
		concerned, err := sitesOf(ctx, tx, "package = ? AND activation IS NOT NULL AND state IN ("+marks+")",
			append([]any{id}, failed...)...)
		if err != nil {
			return err
		}
		if err := raiseSites(ctx, tx, concerned...); err != nil {
			return err
		}
		args := append([]any{outcome.Waiting, unix(now), id}, failed...)
		retried, err = execute(ctx, tx, `UPDATE affectations SET state = ?, affected = ?,
			force = (force OR text LIKE 'SUCCESS\_%' ESCAPE '\'),
			text = '', exit = '', detail = '', output = '', offered = 0, notified = 0, ended = 0
			WHERE package = ? AND activation IS NOT NULL AND state IN (`+marks+")", args...)
		if err != nil {
			return err
		}
		args = append([]any{id}, failed...)
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM affectations WHERE package = ? AND state IN ("+marks+")", args...).
			Scan(&kept)
	})
	return retried, kept, err
}

func failedStates() (failed []any) {
	for _, state := range outcome.States() {
		if state.Failed() {
			failed = append(failed, state)
		}
	}
	return failed
}

// Tidy does what must be done now and then: it validates finished rollouts whose last result is older
// than age (0: none), and forgets programs that no computer has any more, members that are gone, and keys
// that are handed out no more. It returns the packages that it validated.
func (s *Store) Tidy(ctx context.Context, age time.Duration,
	now time.Time) (validated []core.PackageID, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		if err := tidyMembers(ctx, tx, now); err != nil {
			return err
		}
		if _, err := execute(ctx, tx, "DELETE FROM programs WHERE id NOT IN (SELECT program FROM installed)"); err != nil {
			return err
		}
		if age <= 0 {
			return nil
		}
		err := readList(ctx, tx, &validated, func(id *core.PackageID) []any { return []any{id} },
			`SELECT package FROM affectations GROUP BY package
			HAVING max(ended) < ? AND sum(state IN (?, ?)) = 0 ORDER BY package`,
			unix(now.Add(-age)), outcome.Waiting, outcome.Notified)
		for _, id := range validated {
			if err == nil {
				_, err = execute(ctx, tx, "DELETE FROM affectations WHERE package = ?", id)
			}
		}
		return err
	})
	return validated, err
}
