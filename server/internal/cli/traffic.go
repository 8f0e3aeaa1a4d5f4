package cli

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/peer/lease"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/origin"
	"enjambre/server/internal/site"
	"enjambre/server/internal/store"
)

// A trafficRow is what the origin sent into one site of one package, and what went between its members, in payload bytes.
type trafficRow struct {
	Site         core.SiteName    `json:"site"`
	Package      core.PackageID   `json:"package,omitempty"` // 0: it is not on record any more
	Name         string           `json:"name,omitempty"`
	InfoDigest   core.Digest      `json:"infoDigest"`
	PackageBytes int64            `json:"packageBytes,omitempty"`
	OriginBytes  int64            `json:"originBytes"`
	MemberBytes  *int64           `json:"memberBytes"`      // between members; nil where the package is not on record any more
	Copies       *float64         `json:"copies,omitempty"` // R; nil where the package's bytes are not known
	Ratios       ratios           `json:"ratios"`
	Extra        map[string]int64 `json:"extra"`              // bytes beyond the first copy, by cause
	First        time.Time        `json:"firstByte,omitzero"` // zero: the origin sent nothing
	Last         time.Time        `json:"lastByte,omitzero"`

	causes []string // of Extra, for people
}

// ratios say how far from the least possible it was, which is 1; nil where that is not known. To 3 decimals.
type ratios struct {
	Bytes *float64 `json:"bytes"` // origin bytes by the package's: R
	Time  *float64 `json:"time"`  // from the first to the last origin byte, by what one copy takes at the site's WAN rate
}

// ratio returns a quotient to 3 decimals, nil where the whole is not known.
func ratio[T int64 | time.Duration](part, whole T) *float64 {
	if whole <= 0 {
		return nil
	}
	rounded := math.Round(float64(part)/float64(whole)*1000) / 1000
	return &rounded
}

func (p *program) siteTraffic() *cobra.Command {
	command := p.printing("traffic [NAME]", "show what went into sites and between their members, and why more than once",
		cobra.MaximumNArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			rows, err := p.traffic(ctx, folder, args)
			if err != nil {
				return err
			}
			return p.print(map[string]any{"traffic": orEmpty(rows)}, func(w *tabwriter.Writer) {
				row(w, "SITE", "PACKAGE", "NAME", "PACKAGE BYTES", "ORIGIN BYTES", "R", "TIME", "EXTRA BYTES", "MEMBER BYTES",
					"FIRST BYTE", "LAST BYTE")
				for _, one := range rows {
					row(w, one.cells()...)
				}
			})
		})
	command.Long = `Show, for all sites or one, how many bytes of each package the origin sent into the site, and two ratios to the least
possible, which is 1. R, the copies per site, is these bytes by the package's. TIME is how long it took from the first to
the last of them, to about a second, by what one copy takes at the WAN rate that is set for the site. Each byte beyond the
first copy has a cause. Counted is what enrolled agents fetched from this server, as the ledgers in the data folder have
it, up to a second ago.

MEMBER BYTES is what computers of the site got from each other, as they said last: with their contacts, and with their
results.`
	return command
}

// traffic reads the ledgers of all sites, or of the one in args, and what went between members.
func (p *program) traffic(ctx context.Context, folder *datafolder.Folder, args []string) (rows []trafficRow, err error) {
	var sites []store.SiteView
	if len(args) == 0 {
		sites, err = folder.Store.Sites(ctx, p.now())
	} else {
		var name core.SiteName
		if name, err = siteArgument(args); err != nil {
			return nil, err
		}
		sites = make([]store.SiteView, 1)
		sites[0], err = folder.Store.Site(ctx, name, p.now())
	}
	if err != nil {
		return nil, err
	}
	list, err := folder.Store.PackagesOnRecord(ctx)
	if err != nil {
		return nil, err
	}
	shared, err := folder.Store.Shared(ctx)
	if err != nil {
		return nil, err
	}
	packages := map[core.Digest]store.Package{}
	for _, one := range list {
		packages[one.InfoDigest] = one
	}
	for _, at := range sites {
		read, err := origin.ReadTraffic(filepath.Join(folder.Path, "swarm"), at.Name)
		if err != nil {
			return nil, err
		}
		for _, one := range withShared(read, list, shared[at.Name]) {
			row, err := newTrafficRow(at.Site, packages[one.Package], one, shared[at.Name])
			if err != nil {
				return nil, fmt.Errorf("site %s: %w", at.Name, err)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// withShared adds packages that went between members only: the ledger may be gone, or the first of them was elsewhere.
func withShared(sent []origin.Traffic, packages []store.Package, shared map[core.PackageID]int64) []origin.Traffic {
	known := map[core.Digest]bool{}
	for _, one := range sent {
		known[one.Package] = true
	}
	for _, one := range packages {
		if shared[one.ID] > 0 && !known[one.InfoDigest] {
			sent = append(sent, origin.Traffic{Package: one.InfoDigest})
		}
	}
	return sent
}

// newTrafficRow puts a row together; of is zero for a package that is not on record any more.
func newTrafficRow(at site.Site, of store.Package, sent origin.Traffic, shared map[core.PackageID]int64) (
	trafficRow, error) {
	r := trafficRow{
		Site: at.Name, Package: of.ID, Name: of.Name, InfoDigest: sent.Package, PackageBytes: of.ArchiveSize,
		OriginBytes: sent.Totals.Sent(), Extra: map[string]int64{}, First: sent.First, Last: sent.Last,
	}
	if of.ID != 0 {
		bytes := shared[of.ID]
		r.MemberBytes = &bytes
	}
	least, err := at.WANTime(sent.First, of.ArchiveSize)
	if err != nil {
		return trafficRow{}, err
	}
	r.Copies = ratio(r.OriginBytes, of.ArchiveSize)
	r.Ratios.Bytes = r.Copies
	if took := sent.Last.Sub(sent.First); took > 0 { // a moment tells nothing
		r.Ratios.Time = ratio(took, least)
	}
	for cause, extra := range sent.Totals.Extra {
		if extra > 0 {
			name := lease.Cause(cause).String()
			r.Extra[name] = extra
			r.causes = append(r.causes, fmt.Sprintf("%s %d", name, extra))
		}
	}
	return r, nil
}

// cells are the row for people.
func (r trafficRow) cells() []any {
	id, whole, members := "deleted "+r.InfoDigest.String()[:12], "-", "-"
	if r.Package != 0 {
		id, whole, members = r.Package.String(), fmt.Sprint(r.PackageBytes), fmt.Sprint(*r.MemberBytes)
	}
	return []any{
		r.Site, id, dash(r.Name), whole, r.OriginBytes, decimals(r.Copies), decimals(r.Ratios.Time),
		dash(strings.Join(r.causes, ", ")), members, when(r.First), when(r.Last),
	}
}

// decimals writes a ratio, or "-" where it is not known.
func decimals(of *float64) string {
	if of == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *of)
}
