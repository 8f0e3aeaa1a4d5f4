package origin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"enjambre/core"
)

// HasLedger reports whether a site has a ledger in a folder.
func HasLedger(folder string, site core.SiteName) (bool, error) {
	_, err := os.Lstat(ledgerPath(folder, site))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// RemoveLedger removes a site's ledger, if there is one. No server may run.
func RemoveLedger(folder string, site core.SiteName) error {
	if err := os.Remove(ledgerPath(folder, site)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ledger of site %s: %w", site, err)
	}
	return nil
}

// RenameLedger gives the ledger of a site, if there is one, to another name, which must have none. No server may run. It
// may be repeated: that it was done already, before a crash, is fine.
func RenameLedger(folder string, from, to core.SiteName) error {
	has, err := HasLedger(folder, from)
	if err != nil || !has {
		return err
	}
	taken, err := HasLedger(folder, to)
	if err == nil && taken {
		err = fmt.Errorf("ledger of site %s: %s is there already, of a site that was deleted; move it away", from,
			ledgerPath(folder, to))
	}
	if err != nil {
		return err
	}
	return os.Rename(ledgerPath(folder, from), ledgerPath(folder, to))
}
