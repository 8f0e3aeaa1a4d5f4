package store

import (
	"context"
	"encoding/json"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
)

// A Said is how far a package is on a computer, as its agent has told another of its site, which passes it on.
type Said struct {
	Key      string // ID of the agent's key
	Package  core.PackageID
	Phase    ocs.Phase
	Have, Of int
	Issued   time.Time
}

// selectWorth takes a JSON array of [key, package, issued] and returns the places in it of what is worth it. Its joins are
// made in this order: the planner would rather begin with all affectations of a package.
const selectWorth = `SELECT DISTINCT said.key FROM json_each(?) said
	CROSS JOIN computers ON agent_key = said.value ->> 0 AND agent_key <> ''
	CROSS JOIN affectations ON affectations.computer = computers.id AND affectations.package = said.value ->> 1
	LEFT JOIN progress ON progress.computer = computers.id AND progress.package = affectations.package
	WHERE judged_site = ? AND revoked = 0 AND state = ? AND coalesce(heard, 0) < said.value ->> 2
	ORDER BY said.key`

// AcceptSaid returns what of the words that a member of a site passes on is worth it that [Store.Touch] notes them: of
// computers that were last judged to be at the same site and are not revoked, of packages affected to them without
// result yet, and newer than what is known. It writes nothing, with one query for all.
func (s *Store) AcceptSaid(ctx context.Context, at core.SiteName, said []Said) (worth []Said, err error) {
	if at == "" || len(said) == 0 {
		return nil, nil
	}
	var list [][3]any
	for _, one := range said {
		list = append(list, [3]any{one.Key, int64(one.Package), unix(one.Issued)})
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	err = s.view(ctx, func(tx *transaction) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var place int
			err := scan(&place)
			if err == nil {
				worth = append(worth, said[place])
			}
			return err
		}, selectWorth, string(text), at, outcome.Notified)
	})
	return worth, err
}

// keepSaid writes a word over an older one, and leaves the problem that the agent itself has told.
const keepSaid = `INSERT INTO progress (computer, package, phase, have, whole, problem, heard)
	SELECT computer, package, ?, ?, ?, '', ? FROM computers CROSS JOIN affectations ON computer = id
	WHERE agent_key = ? AND agent_key <> '' AND revoked = 0 AND package = ? AND state = ?
	ON CONFLICT (computer, package) DO UPDATE
	SET phase = excluded.phase, have = excluded.have, whole = excluded.whole, heard = excluded.heard
	WHERE excluded.heard > heard`

// noteSaid notes words that others have passed on. It is no contact of the computers whose they are.
func noteSaid(ctx context.Context, tx *transaction, said []Said) error {
	for _, one := range said {
		if _, err := execute(ctx, tx, keepSaid, one.Phase, one.Have, one.Of, unix(one.Issued), one.Key, one.Package,
			outcome.Notified); err != nil {
			return err
		}
	}
	return nil
}
