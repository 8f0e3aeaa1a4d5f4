package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/peer/ticket"
)

// ticketsCount is how long after it was issued any member may take a ticket: its life and what is granted where the
// server is away, with an hour for clocks that differ.
const ticketsCount = ticket.Lifetime + identity.MemberGrace + time.Hour

// Voids are the tickets of a site that are void before their time is over, see ticket.Notice.
type Voids struct {
	List  []ticket.Void
	Floor uint64
}

const selectVoids = "SELECT key, epoch FROM void_tickets WHERE site = ? ORDER BY epoch DESC, key LIMIT ?"

// voidsAt returns what of a site's tickets is void: the newest that were taken back by name, and all the others by the
// epoch of the first for which there is no room.
func voidsAt(ctx context.Context, tx *transaction, name core.SiteName) (voids Voids, err error) {
	found := 0
	err = each(ctx, tx, func(scan func(...any) error) error {
		var key string
		var epoch uint64
		if err := scan(&key, &epoch); err != nil {
			return err
		}
		if found++; found > ticket.MaxVoid {
			voids.Floor = epoch
			return nil
		}
		keyID, err := hex.DecodeString(key)
		if err != nil || len(keyID) < len(ticket.Holder{}) {
			return fmt.Errorf("void tickets: %q is no key", key)
		}
		voids.List = append(voids.List, ticket.Void{Holder: ticket.Holder(keyID[:len(ticket.Holder{})]), Epoch: epoch})
		return nil
	}, selectVoids, name, ticket.MaxVoid+1)
	slices.SortFunc(voids.List, func(a, b ticket.Void) int { return bytes.Compare(a.Holder[:], b.Holder[:]) })
	return voids, err
}

// voidTickets voids what tickets a computer's agent has of a site, whose epoch was raised for it in this transaction.
// It has been given none since a time; zero: since its last contact.
const voidTickets = `INSERT OR REPLACE INTO void_tickets (site, key, epoch, since)
	SELECT sites.name, agent_key, sites.epoch, iif(?1 = 0, last_contact, ?1) FROM computers JOIN sites ON sites.name = ?2
	WHERE computers.id = ?3 AND agent_key <> ''`

func void(ctx context.Context, tx *transaction, computer int64, at core.SiteName, since time.Time) error {
	_, err := execute(ctx, tx, voidTickets, unix(since), at, computer)
	return err
}

// noteStay notes until when a computer's agent was at a site, at which its tickets count for longer.
const noteStay = `INSERT OR REPLACE INTO former_sites (key, site, until)
	SELECT agent_key, sites.name, iif(?1 = 0, last_contact, ?1) FROM computers JOIN sites ON sites.name = ?2
	WHERE computers.id = ?3 AND agent_key <> ''`

// cameBack is for an agent that is given new tickets of a site: the old ones, which it may have as well, are not worth a
// place in the site's notice.
const cameBack = `DELETE FROM void_tickets WHERE site = ? AND key = (SELECT agent_key FROM computers WHERE id = ?)`

// tidyVoids forgets tickets that nobody takes any more.
func tidyVoids(ctx context.Context, tx *transaction, now time.Time) error {
	before := unix(now.Add(-ticketsCount))
	if _, err := execute(ctx, tx, "DELETE FROM void_tickets WHERE since <= ?", before); err != nil {
		return err
	}
	_, err := execute(ctx, tx, "DELETE FROM former_sites WHERE until <= ?", before)
	return err
}

// expel is for a computer whose agent may no longer be a member: every site of which it may have tickets hears of it, and
// where there is a gossip key, there is another from now on.
func expel(ctx context.Context, tx *transaction, computer int64, now time.Time) error {
	var sites []core.SiteName
	err := readList(ctx, tx, &sites, func(name *core.SiteName) []any { return []any{name} },
		`SELECT judged_site FROM computers WHERE id = ?1 AND judged_site <> '' UNION
		SELECT former_sites.site FROM former_sites JOIN computers ON agent_key = key WHERE id = ?1 AND until > ?2`,
		computer, unix(now.Add(-ticketsCount)))
	for _, name := range sites {
		if err != nil {
			return err
		}
		var hasKey bool
		err = tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM site_keys WHERE site = ?)", name).Scan(&hasKey)
		if err == nil && hasKey {
			_, err = newKey(ctx, tx, name, now)
		}
		if err == nil {
			err = raiseSites(ctx, tx, name)
		}
		if err == nil {
			err = void(ctx, tx, computer, name, now)
		}
	}
	return err
}
