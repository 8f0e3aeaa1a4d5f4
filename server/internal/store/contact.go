package store

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/peer/id"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/site"
	"enjambre/server/internal/system"
)

// An Offer is a package that a PROLOG reply lists.
type Offer struct {
	Package      core.PackageID
	InfoURL      string
	FragmentsURL string
	Force        bool
	InfoDigest   core.Digest // of the canonical info file
	Priority     core.Priority
}

// A Call is a PROLOG.
type Call struct {
	Caller
	Family core.OS    // the system that the agent says it is made for; "" when it does not say
	Prolog ocs.Prolog // zero from stock agents
	Egress netip.Addr // where its connection comes from; zero: unknown
}

// A Contact is what a PROLOG reply is made of.
type Contact struct {
	Known       bool          // whether the computer is on record; a stock agent's is from its first inventory on
	Site        core.SiteName // where it was judged to be, for this contact on
	Inventoried time.Time     // when it last did
	Settings    setting.Effective
	Offers      []Offer // by priority, then ID; at most ocs.MaxPacks; none for a clone
	Clone       bool    // the identity is another computer's, which keeps it

	// For an enrolled agent at a site; else nothing.
	Swarm bool      // whether the site's swarm is on
	Pace  site.Pace // as it is set for the site

	// For an enrolled agent that listens, at a site with its swarm on; else nothing.
	Epoch   uint64          // of the site's news
	Voids   Voids           // of the site's tickets
	Keys    []ocs.GossipKey // the one in force first
	Members []ocs.Member    // some of the others, at random
}

// Contact answers a computer's call: which packages it is to be given, and what holds for it. Packages
// listed for the first time become NOTIFIED, durably, before Contact returns; packages that its history has
// end as already set up instead. Only packages for the computer's system are listed, and none if the agent
// says that it is made for another. The computer's site is judged, and another judgement than the last one
// recorded, see package site. A clone is told nothing and changes nothing, see package lineage. Where
// stock agents are not served, theirs is ErrNotServed.
func (s *Store) Contact(ctx context.Context, call Call, now time.Time) (c Contact, err error) {
	var changes bool
	err = s.view(ctx, func(tx *transaction) error {
		c, changes, err = s.contact(ctx, tx, call, now, false)
		return err
	})
	if err != nil || !changes {
		return c, err
	}
	err = s.together(ctx, func(ctx context.Context, tx *transaction) error { // again, under the lock
		c, _, err = s.contact(ctx, tx, call, now, true)
		return err
	})
	return c, err
}

const selectByDevice = "SELECT id, family, os, inventoried, agent_key, revoked, lineage, " + placeColumns +
	" FROM computers WHERE device = ?"

// contact computes the answer and reports whether the record changes by it; apply changes it.
func (s *Store) contact(ctx context.Context, tx *transaction, call Call, now time.Time, apply bool) (
	c Contact, changes bool, err error) {
	var inventoried, revoked int64
	var inventoryFamily core.OS
	var running, key, lineage string
	var at place
	err = tx.QueryRowContext(ctx, selectByDevice, call.Device).
		Scan(append([]any{&at.computer, &inventoryFamily, &running, &inventoried, &key, &revoked, &lineage}, at.into()...)...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Contact{}, false, err
	}
	inventoryFamily = system.Settled(inventoryFamily, running)
	c.Known, c.Inventoried = err == nil, moment(inventoried)
	if c.Settings, err = effective(ctx, tx, at.computer); err != nil { // of no computer, when it is unknown
		return Contact{}, false, err
	}
	if call.Key == "" && c.Settings.Get(setting.StockAgents) == 0 {
		return Contact{}, false, ErrNotServed
	}
	if err := call.maySpeak(key, revoked); err != nil {
		return Contact{}, false, err
	}
	if c.Clone, err = isClone(lineage, call.Prolog); err != nil || c.Clone {
		return c, false, err
	}
	if !c.Known {
		return c, false, nil
	}
	if changes, err = s.settle(ctx, tx, call, &at, &c, now, apply); err != nil {
		return Contact{}, false, err
	}
	if !c.Settings.Conf().On || c.Settings.Get(setting.Frequency) < 0 {
		return c, changes, nil
	}
	if call.Family != "" && call.Family != inventoryFamily {
		return c, changes, nil // until its next inventory says what it runs now
	}
	listed, err := list(ctx, tx, &c, at.computer, inventoryFamily, now, apply)
	return c, changes || listed, err
}

// list adds to a contact the packages that it lists, and reports whether their states change by that; apply
// changes them.
func list(ctx context.Context, tx *transaction, c *Contact, id int64, family core.OS, now time.Time, apply bool) (
	changes bool, err error) {
	rows, err := openRows(ctx, tx, id, family)
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		next := outcome.Notified
		if row.installed && !row.offer.Force {
			next = outcome.AlreadySetup
		} else if len(c.Offers) < ocs.MaxPacks {
			c.Offers = append(c.Offers, row.offer)
		} else {
			continue
		}
		if next == row.state {
			continue
		}
		changes = true
		if apply {
			if err := advance(ctx, tx, id, row.offer.Package, next, now); err != nil {
				return false, err
			}
		}
	}
	return changes, nil
}

// An openRow is an affectation without result.
type openRow struct {
	offer     Offer
	state     outcome.State
	installed bool // by the computer's own history
}

const selectOpenRows = `SELECT packages.id, info_url, fragments_url, force, info_digest, priority, state, EXISTS
		(SELECT 1 FROM history h WHERE h.computer = affectations.computer AND h.package = packages.id)
	FROM affectations
	JOIN packages ON packages.id = affectations.package
	JOIN activations ON activations.id = affectations.activation
	WHERE affectations.computer = ? AND state IN (?, ?) AND packages.os = ?
	ORDER BY packages.priority, packages.id`

func openRows(ctx context.Context, tx *transaction, computer int64, family core.OS) (rows []openRow, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var row openRow
		var digest string
		err := scan(&row.offer.Package, &row.offer.InfoURL, &row.offer.FragmentsURL, &row.offer.Force, &digest,
			&row.offer.Priority, &row.state, &row.installed)
		if err == nil {
			row.offer.InfoDigest, err = core.ParseDigest(digest)
		}
		rows = append(rows, row)
		return err
	}, selectOpenRows, computer, outcome.Waiting, outcome.Notified, family)
	return rows, err
}

func advance(ctx context.Context, tx *transaction, computer int64, id core.PackageID, next outcome.State,
	now time.Time) error {
	if next == outcome.Notified {
		_, err := execute(ctx, tx,
			"UPDATE affectations SET state = ?, notified = ? WHERE computer = ? AND package = ?", next, unix(now),
			computer, id)
		return err
	}
	_, err := execute(ctx, tx,
		"UPDATE affectations SET state = ?, text = ?, ended = ? WHERE computer = ? AND package = ?", next,
		outcome.AlreadyInHistory, unix(now), computer, id)
	return err
}

// A Touch is one contact to be noted.
type Touch struct {
	Device   core.DeviceID
	Query    ocs.Query // of the message, if one of its kind that was refused is forgotten by it
	Agent    string    // its name and version; "" leaves what is known
	At       time.Time
	Offers   []core.PackageID      // what its reply listed
	Progress []ocs.PackageProgress // what AcceptProgress found worth it
	Said     []Said                // of other computers: what AcceptSaid found worth it, and is signed
	Prolog   ocs.Prolog            // of an enrolled agent; zero for other messages
	Peer     id.Peer               // whose PROLOG that is: its key, as the handshake proved it
	Again    time.Duration         // with Prolog, after which the agent is to call again
}

const (
	touchComputer = `UPDATE computers SET last_contact = max(last_contact, ?), agent = iif(? = '', agent, ?)
		WHERE id = ?`
	touchOffer = "UPDATE affectations SET offered = offered + 1 WHERE computer = ? AND package = ?"
)

// Touch notes contacts in bulk: when, by which agent, which packages were offered, how far they are, which
// contact it was, where the agent listens, and what it passes on of others. It is called about once a second, so that a
// contact without news costs no write of its own.
func (s *Store) Touch(ctx context.Context, touches []Touch) error {
	return s.together(ctx, func(ctx context.Context, tx *transaction) error {
		for _, touch := range touches {
			id, err := computerID(ctx, tx, touch.Device)
			if errors.Is(err, ErrUnknownComputer) {
				continue // it has not sent its inventory yet
			}
			if err == nil && touch.Query != "" {
				err = taken(ctx, tx, id, touch.Query)
			}
			if err == nil {
				_, err = execute(ctx, tx, touchComputer, unix(touch.At), touch.Agent, touch.Agent, id)
			}
			for _, offer := range touch.Offers {
				if err == nil {
					_, err = execute(ctx, tx, touchOffer, id, offer)
				}
			}
			if err == nil {
				err = errors.Join(noteProgress(ctx, tx, id, touch), noteProlog(ctx, tx, id, touch), noteSaid(ctx, tx, touch.Said))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// maxResults is how many results are kept of one computer; the oldest go.
const maxResults = 500

// SaveResult keeps a result that a computer reported, whether or not the package is affected to it, and
// ends the affectation if there is one; only then what it says of members counts, see Shared. An unknown computer
// is ErrUnknownComputer: its result is not acknowledged, so that it comes again after its inventory.
func (s *Store) SaveResult(ctx context.Context, from Caller, result ocs.Result, now time.Time) error {
	return s.together(ctx, func(ctx context.Context, tx *transaction) error {
		id, err := from.row(ctx, tx)
		if err != nil {
			return err
		}
		if err := errors.Join(taken(ctx, tx, id, ocs.QueryDownload), appendResult(ctx, tx, id, result, now)); err != nil {
			return err
		}
		var record outcome.Record
		var codeText string
		err = tx.QueryRowContext(ctx, `SELECT state, text, success_codes FROM affectations JOIN packages ON id = package
			WHERE computer = ? AND package = ?`, id, result.Package).
			Scan(&record.State, &record.Text, &codeText)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if from.Key != "" { // stock agents have no members to get anything from
			if err := noteShared(ctx, tx, id, result.Package, result.Shared); err != nil {
				return err
			}
		}
		codes, err := outcome.ParseSuccessCodes(codeText)
		if err != nil {
			return err
		}
		next := outcome.Next(record, result.Text, codes)
		if next == record {
			return nil
		}
		_, err = execute(ctx, tx, `UPDATE affectations SET state = ?, text = ?, exit = ?, detail = ?, output = ?,
			ended = ? WHERE computer = ? AND package = ?`,
			next.State, next.Text, result.Exit, result.Detail, result.Output, unix(now), id, result.Package)
		return err
	})
}

// appendResult adds to a computer's results. The same text again in a row, as stock agents repeat it
// until they are answered, is counted.
func appendResult(ctx context.Context, tx *transaction, computer int64, result ocs.Result, now time.Time) error {
	repeated, err := execute(ctx, tx, `UPDATE results SET repeated = repeated + 1
		WHERE id = (SELECT max(id) FROM results WHERE computer = ? AND package = ?)
			AND text = ? AND exit = ? AND detail = ? AND output = ?`,
		computer, result.Package, result.Text, result.Exit, result.Detail, result.Output)
	if err != nil || repeated > 0 {
		return err
	}
	_, err = execute(ctx, tx, `INSERT INTO results (computer, package, text, exit, detail, output, received, repeated)
		VALUES (?,?,?,?,?,?,?,0)`,
		computer, result.Package, result.Text, result.Exit, result.Detail, result.Output, unix(now))
	if err != nil {
		return err
	}
	_, err = execute(ctx, tx, `DELETE FROM results WHERE computer = ? AND id <=
		(SELECT id FROM results WHERE computer = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`, computer, computer, maxResults)
	return err
}
