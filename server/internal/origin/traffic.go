package origin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
)

// A Traffic is what a site's ledger says of one package: the payload bytes that the origin sent into the site.
type Traffic struct {
	Package     core.Digest // info digest
	Totals      lease.Totals
	First, Last time.Time // when the first and the last of the bytes were booked
}

// ReadTraffic returns what went into a site, by info digest; nothing, if there is no ledger. It only reads, also while a
// server appends: of what it sends, up to a second is still to come, and a torn end is left out. A ledger that a newer
// program wrote is E_VERSION.
func ReadTraffic(folder string, site core.SiteName) ([]Traffic, error) {
	file, err := os.Open(ledgerPath(folder, site))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ledger of site %s: %w", site, err)
	}
	defer file.Close()
	packages := map[core.Digest]*Traffic{}
	_, err = eachEntry(file, func(entry lease.Entry) error {
		if entry.Kind != lease.KindSent && entry.Kind != lease.KindRepaired {
			return nil
		}
		one := packages[entry.Package]
		if one == nil {
			one = &Traffic{Package: entry.Package, First: entry.At, Last: entry.At}
			packages[entry.Package] = one
		}
		one.Totals.Add(entry)
		if entry.Kind == lease.KindRepaired {
			return nil // it was sent before it was booked, nobody knows when
		}
		if entry.At.Before(one.First) { // the clock may have been set back
			one.First = entry.At
		}
		if entry.At.After(one.Last) {
			one.Last = entry.At
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger of site %s: %w", site, err)
	}
	list := make([]Traffic, 0, len(packages))
	for _, one := range packages {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b Traffic) int { return bytes.Compare(a.Package[:], b.Package[:]) })
	return list, nil
}

// ledgerPath returns where a site's ledger is.
func ledgerPath(folder string, site core.SiteName) string {
	return filepath.Join(folder, string(site)+".ledger")
}
