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
	"enjambre/server/internal/store"
)

// A trafficRow is what the origin sent into one site of one package, in payload bytes.
type trafficRow struct {
	Site         core.SiteName    `json:"site"`
	Package      core.PackageID   `json:"package,omitempty"` // 0: it is not on record any more
	Name         string           `json:"name,omitempty"`
	InfoDigest   core.Digest      `json:"infoDigest"`
	PackageBytes int64            `json:"packageBytes,omitempty"`
	OriginBytes  int64            `json:"originBytes"`
	Copies       *float64         `json:"copies,omitempty"` // R, to 3 decimals; nil where the package's bytes are not known
	Extra        map[string]int64 `json:"extra"`            // bytes beyond the first copy, by cause
	First        time.Time        `json:"firstByte"`
	Last         time.Time        `json:"lastByte"`

	causes []string // of Extra, for people
}

func (p *program) siteTraffic() *cobra.Command {
	command := p.printing("traffic [NAME]", "show what the origin sent into sites, and why more than once",
		cobra.MaximumNArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			rows, err := p.traffic(ctx, folder, args)
			if err != nil {
				return err
			}
			return p.print(map[string]any{"traffic": orEmpty(rows)}, func(w *tabwriter.Writer) {
				row(w, "SITE", "PACKAGE", "NAME", "PACKAGE BYTES", "ORIGIN BYTES", "R", "EXTRA BYTES", "FIRST BYTE", "LAST BYTE")
				for _, one := range rows {
					row(w, one.cells()...)
				}
			})
		})
	command.Long = `Show, for all sites or one, how many bytes of each package the origin sent into the site, and R, the copies per
site: these bytes by the package's. Each byte beyond the first copy has a cause. Counted is what enrolled agents fetched
from this server, as the ledgers in the data folder have it, up to a second ago.`
	return command
}

// traffic reads the ledgers of all sites, or of the one in args.
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
	packages := map[core.Digest]store.Package{}
	for _, one := range list {
		packages[one.InfoDigest] = one
	}
	for _, site := range sites {
		read, err := origin.ReadTraffic(filepath.Join(folder.Path, "swarm"), site.Name)
		if err != nil {
			return nil, err
		}
		for _, one := range read {
			rows = append(rows, newTrafficRow(site.Name, packages[one.Package], one))
		}
	}
	return rows, nil
}

// newTrafficRow puts a row together; of is zero for a package that is not on record any more.
func newTrafficRow(at core.SiteName, of store.Package, sent origin.Traffic) trafficRow {
	r := trafficRow{
		Site: at, Package: of.ID, Name: of.Name, InfoDigest: sent.Package, PackageBytes: of.ArchiveSize,
		OriginBytes: sent.Totals.Sent(), Extra: map[string]int64{}, First: sent.First, Last: sent.Last,
	}
	if of.ArchiveSize > 0 {
		copies := math.Round(float64(r.OriginBytes)/float64(of.ArchiveSize)*1000) / 1000
		r.Copies = &copies
	}
	for cause, extra := range sent.Totals.Extra {
		if extra > 0 {
			name := lease.Cause(cause).String()
			r.Extra[name] = extra
			r.causes = append(r.causes, fmt.Sprintf("%s %d", name, extra))
		}
	}
	return r
}

// cells are the row for people.
func (r trafficRow) cells() []any {
	id, whole, copies := "deleted "+r.InfoDigest.String()[:12], "-", "-"
	if r.Package != 0 {
		id, whole = r.Package.String(), fmt.Sprint(r.PackageBytes)
	}
	if r.Copies != nil {
		copies = fmt.Sprintf("%.3f", *r.Copies)
	}
	return []any{
		r.Site, id, dash(r.Name), whole, r.OriginBytes, copies, dash(strings.Join(r.causes, ", ")), when(r.First), when(r.Last),
	}
}
