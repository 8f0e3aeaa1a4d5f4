package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/outcome"
	"enjambre/server/internal/site"
)

// Errors about sites.
var (
	ErrUnknownSite  = errors.New("no such site")
	ErrTooManySites = fmt.Errorf("there are %d sites, and no more are allowed", site.MaxSites)
)

// A SiteView is a site with what is counted of it.
type SiteView struct {
	site.Site
	Epoch     uint64    `json:"epoch"`            // of its news
	KeyEpoch  int       `json:"keyEpoch"`         // of the gossip key in force; 0: none was needed yet
	KeyMade   time.Time `json:"keyMade,omitzero"` // when that was made
	Computers int       `json:"computers"`        // judged to be there at their last contact
	Agents    int       `json:"agents"`           // of them, enrolled and not revoked
	Members   int       `json:"members"`          // of them, listening for their neighbours and due to call
}

// addSite makes a site if there is none of that name; "" is none and fine.
func addSite(ctx context.Context, tx *transaction, name core.SiteName) error {
	if name == "" {
		return nil
	}
	var known bool
	var sites int
	err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sites WHERE name = ?), count(*) FROM sites", name).
		Scan(&known, &sites)
	if err != nil || known {
		return err
	}
	if sites >= site.MaxSites {
		return fmt.Errorf("site %s: %w", name, ErrTooManySites)
	}
	_, err = execute(ctx, tx, "INSERT INTO sites (name) VALUES (?)", name)
	return err
}

const siteColumns = "name, timezone, rate, fetchers, pace, swarm"

// scanSite reads siteColumns and what follows them. Networks are still to be read.
func scanSite(scan func(...any) error, more ...any) (site.Site, error) {
	one := site.Site{Networks: []netip.Prefix{}}
	var rate string
	into := []any{&one.Name, &one.TimeZone, &rate, &one.Fetchers, &one.Pace, &one.Swarm}
	if err := scan(append(into, more...)...); err != nil {
		return site.Site{}, err
	}
	return one, one.Rate.UnmarshalText([]byte(rate))
}

// readNetworks returns the networks of one site, or of all for "", by site and sorted.
func readNetworks(ctx context.Context, tx *transaction, name core.SiteName) (map[core.SiteName][]netip.Prefix, error) {
	networks := map[core.SiteName][]netip.Prefix{}
	err := each(ctx, tx, func(scan func(...any) error) error {
		var text string
		var owner core.SiteName
		if err := scan(&text, &owner); err != nil {
			return err
		}
		network, err := site.ParseNetwork(text)
		networks[owner] = append(networks[owner], network)
		return err
	}, "SELECT network, site FROM site_networks WHERE ?1 IN ('', site)", name)
	for owner, list := range networks {
		networks[owner] = site.SortNetworks(list)
	}
	return networks, err
}

// readSites returns all sites, by name.
func readSites(ctx context.Context, tx *transaction) (list []site.Site, err error) {
	networks, err := readNetworks(ctx, tx, "")
	if err != nil {
		return nil, err
	}
	err = each(ctx, tx, func(scan func(...any) error) error {
		one, err := scanSite(scan)
		if own, found := networks[one.Name]; found {
			one.Networks = own
		}
		list = append(list, one)
		return err
	}, "SELECT "+siteColumns+" FROM sites ORDER BY name")
	return list, err
}

// findSite returns one site, or ErrUnknownSite.
func findSite(ctx context.Context, tx *transaction, name core.SiteName) (site.Site, error) {
	one, err := scanSite(tx.QueryRowContext(ctx, "SELECT "+siteColumns+" FROM sites WHERE name = ?", name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return site.Site{}, unknownSite(ctx, tx, name)
	}
	if err != nil {
		return site.Site{}, err
	}
	networks, err := readNetworks(ctx, tx, name)
	if own, found := networks[name]; found {
		one.Networks = own
	}
	return one, err
}

// Sites lists all sites, by name. Members are those due to call after now.
func (s *Store) Sites(ctx context.Context, now time.Time) (list []SiteView, err error) {
	return s.sites(ctx, "", now)
}

// Site returns one site, or ErrUnknownSite.
func (s *Store) Site(ctx context.Context, name core.SiteName, now time.Time) (SiteView, error) {
	list, err := s.sites(ctx, name, now)
	if err != nil {
		return SiteView{}, err
	}
	return list[0], nil
}

func (s *Store) sites(ctx context.Context, name core.SiteName, now time.Time) (list []SiteView, err error) {
	list = []SiteView{}
	err = s.view(ctx, func(tx *transaction) error {
		networks, err := readNetworks(ctx, tx, name)
		if err != nil {
			return err
		}
		at := map[core.SiteName]int{}
		err = each(ctx, tx, func(scan func(...any) error) error {
			var one SiteView
			var made int64
			one.Site, err = scanSite(scan, &one.Epoch, &one.KeyEpoch, &made)
			one.KeyMade = moment(made)
			if own, found := networks[one.Name]; found {
				one.Networks = own
			}
			at[one.Name] = len(list)
			list = append(list, one)
			return err
		}, "SELECT "+siteColumns+`, sites.epoch, coalesce(k.epoch, 0), coalesce(k.made, 0) FROM sites
			LEFT JOIN site_keys k ON k.site = sites.name AND k.replaced = 0
			WHERE ?1 IN ('', sites.name) ORDER BY name`, name)
		if err == nil && name != "" && len(list) == 0 {
			err = unknownSite(ctx, tx, name)
		}
		if err != nil {
			return err
		}
		return each(ctx, tx, func(scan func(...any) error) error {
			var of core.SiteName
			var computers, agents, members int
			err := scan(&of, &computers, &agents, &members)
			if i, found := at[of]; found {
				list[i].Computers, list[i].Agents, list[i].Members = computers, agents, members
			}
			return err
		}, `SELECT judged_site, count(*), sum(agent_key <> '' AND revoked = 0), sum(`+isMember+`) FROM computers
			WHERE ?2 IN ('', judged_site) GROUP BY judged_site`, unix(now), name)
	})
	return list, err
}

// SetSite changes a site by what change does to it, and makes it if there is none. A site that changed by
// that raises its epoch. Computers that it gains or loses by a network are judged anew: stock ones at once, see
// placeStocks, the others at their next contact.
func (s *Store) SetSite(ctx context.Context, name core.SiteName, change func(*site.Site) error) error {
	return s.change(ctx, func(tx *transaction) error {
		before, err := findSite(ctx, tx, name)
		made := errors.Is(err, ErrUnknownSite)
		if made {
			before, err = site.New(name), addSite(ctx, tx, name)
		}
		if err != nil {
			return err
		}
		after := before
		after.Networks = slices.Clone(before.Networks)
		if err := change(&after); err != nil {
			return err
		}
		after.Name, after.Networks = name, site.SortNetworks(after.Networks)
		if err := after.Check(); err != nil {
			return err
		}
		changed, err := writeSite(ctx, tx, before, after)
		if err != nil || !changed {
			return err
		}
		if !slices.Equal(before.Networks, after.Networks) {
			if err := placeStocks(ctx, tx); err != nil {
				return err
			}
		}
		if made {
			return nil
		}
		return raiseSites(ctx, tx, name)
	})
}

// writeSite writes what differs and reports whether anything does.
func writeSite(ctx context.Context, tx *transaction, before, after site.Site) (changed bool, err error) {
	for _, network := range before.Networks {
		if !slices.Contains(after.Networks, network) {
			changed = true
			_, err = execute(ctx, tx, "DELETE FROM site_networks WHERE network = ?", network.String())
			if err != nil {
				return false, err
			}
		}
	}
	for _, network := range after.Networks {
		if !slices.Contains(before.Networks, network) {
			changed = true
			if err := addNetwork(ctx, tx, after.Name, network); err != nil {
				return false, err
			}
		}
	}
	if before.TimeZone == after.TimeZone && before.Rate.String() == after.Rate.String() &&
		before.Fetchers == after.Fetchers && before.Pace == after.Pace && before.Swarm == after.Swarm {
		return changed, nil
	}
	_, err = execute(ctx, tx,
		"UPDATE sites SET timezone = ?, rate = ?, fetchers = ?, pace = ?, swarm = ? WHERE name = ?",
		after.TimeZone, after.Rate.String(), after.Fetchers, after.Pace, after.Swarm, after.Name)
	return true, err
}

func addNetwork(ctx context.Context, tx *transaction, name core.SiteName, network netip.Prefix) error {
	var owner core.SiteName
	err := tx.QueryRowContext(ctx, "SELECT site FROM site_networks WHERE network = ?", network.String()).Scan(&owner)
	if err == nil {
		return core.Refuse(core.ClassField,
			"network %s is one of site %s already: take it from there, or give a longer prefix inside it", network, owner)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	_, err = execute(ctx, tx, "INSERT INTO site_networks (network, site) VALUES (?, ?)", network.String(), name)
	return err
}

// raiseSites raises the epochs of sites: something that concerns their computers changed in this transaction.
// Names of no site, and "", are left out.
func raiseSites(ctx context.Context, tx *transaction, names ...core.SiteName) error {
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if _, err := execute(ctx, tx, "UPDATE sites SET epoch = epoch + 1 WHERE name = ?", name); err != nil {
			return err
		}
	}
	return nil
}

// RaiseEpochs raises the epochs of all sites: something changed outside of the database that concerns all of them.
func (s *Store) RaiseEpochs(ctx context.Context) error {
	return s.change(ctx, func(tx *transaction) error {
		_, err := execute(ctx, tx, "UPDATE sites SET epoch = epoch + 1")
		return err
	})
}

// sitesOf returns the sites of the computers with affectations that meet a condition.
func sitesOf(ctx context.Context, tx *transaction, condition string, args ...any) (names []core.SiteName, err error) {
	err = readList(ctx, tx, &names, func(name *core.SiteName) []any { return []any{name} },
		"SELECT DISTINCT judged_site FROM affectations JOIN computers ON id = computer WHERE "+condition, args...)
	return names, err
}

// openSites is sitesOf for affectations whose result is to come.
func openSites(ctx context.Context, tx *transaction, condition string, args ...any) ([]core.SiteName, error) {
	return sitesOf(ctx, tx, condition+" AND state IN (?, ?)", append(args, outcome.Waiting, outcome.Notified)...)
}
