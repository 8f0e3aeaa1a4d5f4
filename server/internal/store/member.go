package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/seal"
	"enjambre/peer/id"
)

// handedOut is how many members an agent is told of, if there are so many.
const handedOut = 5

// isMember is the condition of a computer whose agent may be handed out; its one argument, ?1, is the time. Whoever comes by
// a tunnel or a metered line says the weight 0 and is nobody's neighbour, see [isApart].
const isMember = "listen <> '' AND weight <> 0 AND listen_until > ?1 AND agent_key <> '' AND revoked = 0 AND cloned = 0"

// Members from a random place on, in an order that changes with each contact: neighbours in it are no
// neighbours for long.
const (
	selectMembersFrom = "SELECT peer, listen, also FROM computers WHERE " + isMember +
		" AND judged_site = ?2 AND id <> ?3 AND listen_order >= ?4 ORDER BY listen_order LIMIT ?5"
	selectMembersBefore = "SELECT peer, listen, also FROM computers WHERE " + isMember +
		" AND judged_site = ?2 AND id <> ?3 AND listen_order < ?4 ORDER BY listen_order LIMIT ?5"
)

// members returns up to handedOut random members of the place that a computer was judged to be at, without
// itself. Members that listen on a loopback address are on the server's computer: they are left out unless local says
// that the caller is there, too.
func members(ctx context.Context, tx *transaction, at place, local bool, now time.Time) (list []ocs.Member, err error) {
	from, found := rand.Int64(), 0
	for _, text := range []string{selectMembersFrom, selectMembersBefore} {
		if found == handedOut {
			break
		}
		err := each(ctx, tx, func(scan func(...any) error) error {
			var one ocs.Member
			var listen, also string
			if err := scan(&one.ID, &listen, &also); err != nil {
				return err
			}
			var err error
			if one.Address, err = netip.ParseAddrPort(listen); err == nil && also != "" {
				one.Also, err = netip.ParseAddrPort(also)
			}
			if found++; local || !one.Address.Addr().IsLoopback() {
				list = append(list, one)
			}
			return err
		}, text, unix(now), at.site, at.computer, from, handedOut-found)
		if err != nil {
			return nil, fmt.Errorf("members: %w", err)
		}
	}
	return list, nil
}

// selectAgentsAt is answered by the index agents_by_site alone.
const selectAgentsAt = "SELECT agent_key FROM computers WHERE judged_site = ? AND agent_key <> '' AND revoked = 0"

// AgentsAt returns the IDs of the keys, as [Caller] has them, that may speak for a computer at a site now: of agents
// that are enrolled and not revoked, whether they listen or not.
func (s *Store) AgentsAt(ctx context.Context, name core.SiteName) (keys map[string]bool, err error) {
	keys = map[string]bool{}
	err = s.view(ctx, func(tx *transaction) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var key string
			err := scan(&key)
			keys[key] = true
			return err
		}, selectAgentsAt, name)
	})
	return keys, err
}

const selectListen = "SELECT listen FROM computers WHERE " + isMember + " AND judged_site = ?2 AND agent_key = ?3"

// ListenOf returns where an agent at a site listens, by the ID of its key as [Caller] has it; the zero AddrPort if it
// is not handed out there.
func (s *Store) ListenOf(ctx context.Context, at core.SiteName, key string, now time.Time) (
	listen netip.AddrPort, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		var text string
		err := tx.QueryRowContext(ctx, selectListen, unix(now), at, key).Scan(&text)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			listen, err = netip.ParseAddrPort(text)
		}
		return err
	})
	return listen, err
}

// A membership is what is kept of a member, as columns of its computer.
type membership struct {
	listen, also, peer string
	weight             int
	until, order       int64
}

// membership returns what a contact says of its agent as a member; nothing, if it does not listen or if its
// key is no longer the computer's.
func (t Touch) membership(agentKey string) membership {
	if !t.Prolog.Listen.IsValid() || t.Peer == (id.Peer{}) || seal.KeyIDOf(t.Peer[:]).String() != agentKey {
		return membership{}
	}
	also := ""
	if t.Prolog.Also.IsValid() {
		also = t.Prolog.Also.String()
	}
	return membership{
		also: also, listen: t.Prolog.Listen.String(), peer: t.Peer.String(), weight: t.Prolog.Weight,
		until: unix(t.At.Add(2*t.Again + memberGrace)), order: rand.Int64(),
	}
}

// isApart reports whether an agent is a site of one in what concerns members: a tunnel or a metered line leads to the server,
// so that each byte to or from another member would cross a WAN twice. It says so by its weight.
func isApart(prolog ocs.Prolog) bool { return prolog.Listen.IsValid() && prolog.Weight == 0 }

// memberGrace is how long a member may be late besides missing one contact.
const memberGrace = 5 * time.Minute

// tidyMembers forgets where agents listened that are overdue, and keys that are handed out no more.
func tidyMembers(ctx context.Context, tx *transaction, now time.Time) error {
	_, err := execute(ctx, tx, "UPDATE computers SET listen = '' WHERE listen <> '' AND listen_until <= ?", unix(now))
	if err != nil {
		return err
	}
	if err := tidyVoids(ctx, tx, now); err != nil {
		return err
	}
	_, err = execute(ctx, tx, "DELETE FROM site_keys WHERE replaced <> 0 AND replaced <= ?", unix(now.Add(-formerKeys)))
	return err
}
