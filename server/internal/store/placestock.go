package store

import (
	"context"
	"net/netip"
	"time"

	"enjambre/server/internal/site"
)

// placeStock judges where a stock computer is whose inventory has just been kept.
func (s *Store) placeStock(ctx context.Context, tx *transaction, computer int64, egress netip.Addr) error {
	at := place{computer: computer}
	err := tx.QueryRowContext(ctx, "SELECT "+placeColumns+" FROM computers WHERE id = ?", computer).Scan(at.into()...)
	if err != nil {
		return err
	}
	sites, err := s.cache.table(ctx, tx, at.version, false)
	if err != nil {
		return err
	}
	judged, err := at.judge(ctx, tx, Call{Egress: egress}, sites)
	if err != nil || judged.Site == at.site && reasonText(judged) == at.by {
		return err
	}
	return at.move(ctx, tx, judged, time.Time{})
}

// A stockPlace is where a stock computer is, and the addresses of its last inventory.
type stockPlace struct {
	place
	own []netip.Addr
}

// placeStocks judges all stock computers anew after networks of sites changed in this transaction. Stock agents call
// about once a day, which is too long to wait for a site that was just given its networks. Where their connections come
// from is not on record: so a computer that is where it is by a network that still counts stays there until its next
// contact.
func placeStocks(ctx context.Context, tx *transaction) error {
	sites, err := readSites(ctx, tx)
	if err != nil {
		return err
	}
	networks := site.NewMap(sites)
	stocks, err := readStockPlaces(ctx, tx)
	if err != nil {
		return err
	}
	for _, at := range stocks {
		if network, err := site.ParseNetwork(at.by); err == nil && networks.Has(network) {
			continue
		}
		judged := networks.Judge(site.Evidence{Own: at.own, Assigned: at.assigned, ByToken: at.byToken})
		if judged.Site == at.site && reasonText(judged) == at.by {
			continue
		}
		if err := at.move(ctx, tx, judged, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// readStockPlaces returns all stock computers with their addresses.
func readStockPlaces(ctx context.Context, tx *transaction) (list []stockPlace, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var one stockPlace
		var ip string
		err := scan(&one.computer, &one.assigned, &one.byToken, &one.site, &one.by, &ip)
		if last := len(list) - 1; last < 0 || list[last].computer != one.computer {
			list = append(list, one)
		}
		if address, parse := netip.ParseAddr(ip); parse == nil { // a stock agent's may be anything
			last := &list[len(list)-1]
			last.own = append(last.own, address)
		}
		return err
	}, `SELECT id, site, site_by_token, judged_site, judged_by, coalesce(ip, '') FROM computers
		LEFT JOIN addresses ON computer = id WHERE agent_key = '' ORDER BY id`)
	return list, err
}
