package origin

import (
	"context"
	"errors"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
	"enjambre/server/internal/store"
)

// SitePolicy returns what an administrator has set for sites, as leases need it: how many bodies at once, and the WAN
// rate of this hour in bytes. A site that nobody has set has the defaults.
func SitePolicy(from *store.Store, now func() time.Time) func(context.Context, core.SiteName) (lease.Policy, error) {
	return func(ctx context.Context, name core.SiteName) (lease.Policy, error) {
		view, err := from.Site(ctx, name, now())
		if errors.Is(err, store.ErrUnknownSite) {
			return lease.Policy{}, nil
		}
		if err != nil {
			return lease.Policy{}, err
		}
		rate, _, err := view.RateAt(now())
		return lease.Policy{Fetchers: view.Fetchers, Rate: int64(rate / 8)}, err
	}
}
