package store

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/site"
)

// A siteTable is what is kept in memory of all sites, for contacts: an immutable picture of the database at one
// version of it. Each contact compares the version, so what another process changes holds at the next one.
type siteTable struct {
	version  int64
	networks *site.Map
	settings map[core.SiteName]site.Site // of every site, what is set for it
	keys     map[core.SiteName][]siteKey
}

// A siteCache holds the newest siteTable that was read.
type siteCache struct{ newest atomic.Pointer[siteTable] }

// table returns the sites as the transaction sees them, at the version it has read. One that may still take
// back its changes must not keep what it reads.
func (c *siteCache) table(ctx context.Context, tx *transaction, version int64, keep bool) (*siteTable, error) {
	known := c.newest.Load()
	if known != nil && known.version == version {
		return known, nil
	}
	sites, err := readSites(ctx, tx)
	if err != nil {
		return nil, err
	}
	table := &siteTable{version: version, networks: site.NewMap(sites), settings: map[core.SiteName]site.Site{}}
	for _, one := range sites {
		table.settings[one.Name] = one
	}
	if table.keys, err = readKeys(ctx, tx); err != nil {
		return nil, err
	}
	if keep && (known == nil || known.version < version) {
		c.newest.CompareAndSwap(known, table) // else another contact has read it, or a newer one
	}
	return table, nil
}

// A place is where a computer was judged to be at its last contact, and what is known to judge it anew.
type place struct {
	computer int64
	assigned core.SiteName // column site
	byToken  bool
	version  int64 // of the sites

	site core.SiteName // as it was judged
	by   string        // why, as reasonText writes it
}

// into are where placeColumns are scanned to.
func (p *place) into() []any {
	return []any{&p.assigned, &p.byToken, &p.site, &p.by, &p.version}
}

// byNetwork reports whether the computer is where it is by a network.
func (p *place) byNetwork() bool {
	return p.by != string(site.ByHand) && p.by != string(site.ByToken) && p.by != string(site.Nothing)
}

const placeColumns = `site, site_by_token, judged_site, judged_by, (SELECT version FROM site_version)`

// judge judges anew where a caller is. A stock agent is judged like an enrolled one, though anybody may speak in its
// name: its site chooses the activation that it is given and where it is counted, and makes it no member of anything.
func (p *place) judge(ctx context.Context, tx *transaction, call Call, sites *siteTable) (site.Judgement, error) {
	evidence := site.Evidence{
		Assigned: p.assigned, ByToken: p.byToken, Egress: call.Egress, Listen: call.Prolog.Listen.Addr(),
		Also: call.Prolog.Also.Addr(),
	}
	if sites.networks.NeedsOwn(evidence) {
		var err error
		if evidence.Own, err = ownAddresses(ctx, tx, p.computer); err != nil {
			return site.Judgement{}, err
		}
	}
	return sites.networks.Judge(evidence), nil
}

const selectIPs = "SELECT ip FROM addresses WHERE computer = ? AND ip <> ''"

func ownAddresses(ctx context.Context, tx *transaction, computer int64) (list []netip.Addr, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		if address, parse := netip.ParseAddr(text); parse == nil { // a stock agent's may be anything
			list = append(list, address)
		}
		return err
	}, selectIPs, computer)
	return list, err
}

const updatePlace = "UPDATE computers SET judged_site = ?, judged_by = ? WHERE id = ?"

// move records another judgement.
//
// The site it leaves and the one it comes to hear nothing of it: no other computer has news by that. What tickets it has
// of the former count there as long as they would have; which is no matter as long as it may be a member somewhere.
// The time is that of the contact; zero: it was judged without one.
func (p *place) move(ctx context.Context, tx *transaction, judged site.Judgement, now time.Time) error {
	if judged.Site != p.site {
		if _, err := execute(ctx, tx, noteStay, unix(now), p.site, p.computer); err != nil {
			return err
		}
		if _, err := execute(ctx, tx, cameBack, judged.Site, p.computer); err != nil {
			return err
		}
	}
	p.site, p.by = judged.Site, reasonText(judged)
	err := addSite(ctx, tx, judged.Site) // an older program may have named one that is none yet
	if err != nil && !errors.Is(err, ErrTooManySites) {
		return err
	}
	_, err = execute(ctx, tx, updatePlace, p.site, p.by, p.computer)
	return err
}

const selectEpoch = "SELECT epoch FROM sites WHERE name = ?"

// epochOf returns the number of a site's news; 0 if it is none.
func epochOf(ctx context.Context, tx *transaction, name core.SiteName) (epoch uint64, err error) {
	err = tx.QueryRowContext(ctx, selectEpoch, name).Scan(&epoch)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return epoch, err
}

// settle judges where a caller is and tells an enrolled one about its site, and about the site's swarm if it takes
// part. It reports whether that changes what is kept; apply changes it.
func (s *Store) settle(ctx context.Context, tx *transaction, call Call, at *place, c *Contact, now time.Time,
	apply bool) (changes bool, err error) {
	sites, err := s.cache.table(ctx, tx, at.version, !apply)
	if err != nil {
		return false, err
	}
	judged, err := at.judge(ctx, tx, call, sites)
	if err != nil {
		return false, err
	}
	if judged.Site != at.site || reasonText(judged) != at.by {
		changes = true
		if apply {
			if err := at.move(ctx, tx, judged, now); err != nil {
				return false, err
			}
		}
	}
	at.site, c.Site = judged.Site, judged.Site
	if call.Key == "" || judged.Site == "" {
		return changes, nil
	}
	set := sites.settings[judged.Site] // nothing of one that this contact makes: the next one has it
	c.Swarm, c.Pace = set.Swarm && !isApart(call.Prolog), set.Pace
	if !c.Swarm || !call.Prolog.Listen.IsValid() {
		return changes, nil
	}
	if c.Epoch, err = epochOf(ctx, tx, judged.Site); err != nil {
		return false, err
	}
	if c.Voids, err = voidsAt(ctx, tx, judged.Site); err != nil {
		return false, err
	}
	if c.Keys = inUse(sites.keys[judged.Site], now); len(c.Keys) == 0 {
		changes = true
		if apply {
			key, err := newKey(ctx, tx, judged.Site, now)
			if err != nil {
				return false, err
			}
			c.Keys = []ocs.GossipKey{key}
		}
	}
	c.Members, err = members(ctx, tx, *at, call.Egress.IsLoopback(), now)
	return changes, err
}

// reasonText is why a judgement is what it is, as it is kept: the network for ByNetwork, else the reason.
func reasonText(judged site.Judgement) string {
	if judged.By == site.ByNetwork {
		return judged.Network.String()
	}
	return string(judged.By)
}

// A Place is where a computer is, and why.
type Place struct {
	site.Judgement
	Assigned core.SiteName `json:"assigned,omitempty"` // set by hand, or its token's
	Listen   string        `json:"listen,omitempty"`   // where its neighbours reach it; "": it is no member
	Weight   int           `json:"weight,omitempty"`   // of a member, see ocs.Prolog
}

func readPlace(ctx context.Context, tx *transaction, computer int64) (p Place, err error) {
	err = tx.QueryRowContext(ctx, `SELECT judged_site, judged_by, site, listen, weight FROM computers WHERE id = ?`,
		computer).Scan(&p.Site, &p.By, &p.Assigned, &p.Listen, &p.Weight)
	if network, parse := site.ParseNetwork(string(p.By)); parse == nil {
		p.By, p.Network = site.ByNetwork, network
	}
	return p, err
}

// assign judges a computer anew whose assigned site changed, unless it is where it is by a network. With tell,
// the site it leaves hears of it, and that its tickets are void: that is where the computer listens for news.
func assign(ctx context.Context, tx *transaction, computer int64, tell bool) error {
	at := place{computer: computer}
	err := tx.QueryRowContext(ctx, "SELECT "+placeColumns+" FROM computers WHERE id = ?", computer).Scan(at.into()...)
	if err != nil || at.byNetwork() {
		return err
	}
	judged := new(site.Map).Judge(site.Evidence{Assigned: at.assigned, ByToken: at.byToken})
	if tell && judged.Site != at.site {
		if err := raiseSites(ctx, tx, at.site); err != nil {
			return err
		}
		if err := void(ctx, tx, computer, at.site, time.Time{}); err != nil {
			return err
		}
	}
	if judged.Site == at.site && reasonText(judged) == at.by {
		return nil
	}
	return at.move(ctx, tx, judged, time.Time{})
}
