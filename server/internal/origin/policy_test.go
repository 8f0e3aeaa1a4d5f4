package origin

import (
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/wanrate"
	"enjambre/peer/lease"
	"enjambre/server/internal/site"
)

// TestSitePolicy: what "site set" stores is what the leases of the site keep, by the hour there.
func TestSitePolicy(t *testing.T) {
	l := newLab(t)
	rate, err := wanrate.Parse("4mbit@08:00-18:00")
	check(t, err)
	check(t, l.store.SetSite(t.Context(), "lyon", func(s *site.Site) error {
		s.Fetchers, s.Rate, s.TimeZone = 2, rate, "Europe/Paris"
		return nil
	}))
	for _, c := range []struct {
		name string
		now  time.Time
		want lease.Policy
	}{
		{"lyon", time.Date(2026, 6, 1, 6, 0, 0, 0, time.UTC), lease.Policy{Fetchers: 2, Rate: 500_000}},
		{"lyon", time.Date(2026, 6, 1, 16, 0, 0, 0, time.UTC), lease.Policy{Fetchers: 2}},
		{"nowhere", time.Date(2026, 6, 1, 6, 0, 0, 0, time.UTC), lease.Policy{}},
	} {
		policy := SitePolicy(l.store, func() time.Time { return c.now })
		t.Run(c.name+c.now.Format("@15:04"), func(t *testing.T) {
			got, err := policy(t.Context(), core.SiteName(c.name))
			check(t, err)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
