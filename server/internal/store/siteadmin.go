package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"enjambre/core"
	"enjambre/server/internal/site"
)

// Errors about changes of sites.
var (
	ErrSiteInUse  = errors.New("the site is in use")
	ErrSiteExists = errors.New("there is a site of that name already")
)

// unknownSite says that there is no site of a name, and which one was perhaps meant.
func unknownSite(ctx context.Context, tx *transaction, name core.SiteName) error {
	var names []core.SiteName
	err := readList(ctx, tx, &names, func(name *core.SiteName) []any { return []any{name} }, "SELECT name FROM sites")
	if err != nil {
		return err
	}
	if near := core.Nearest(string(name), names); near != "" {
		return fmt.Errorf("site %s: %w; did you mean %s? see \"site list\"", name, ErrUnknownSite, near)
	}
	return fmt.Errorf("site %s: %w; see \"site list\"", name, ErrUnknownSite)
}

// needSite refuses a site that does not exist, or makes it.
func needSite(ctx context.Context, tx *transaction, name core.SiteName, make bool) error {
	if make {
		return addSite(ctx, tx, name)
	}
	_, err := findSite(ctx, tx, name)
	return err
}

// NeedSite returns ErrUnknownSite, with the name that was perhaps meant, for a site that does not exist.
func (s *Store) NeedSite(ctx context.Context, name core.SiteName) error {
	return s.view(ctx, func(tx *transaction) error { return needSite(ctx, tx, name, false) })
}

// siteUses are the rows that name a site, each with how many of them count as use of it.
func siteUses(ctx context.Context, tx *transaction, name core.SiteName) (uses []string, err error) {
	for _, one := range []struct{ what, text string }{
		{"computer", "SELECT count(*) FROM computers WHERE judged_site = ?1 OR site = ?1"},
		{"activation", "SELECT count(*) FROM activations WHERE site = ?1"},
		{"token", "SELECT count(*) FROM tokens WHERE site = ?1"},
	} {
		var count int
		if err := tx.QueryRowContext(ctx, one.text, name).Scan(&count); err != nil {
			return nil, err
		}
		if count > 0 {
			uses = append(uses, core.Count(count, one.what))
		}
	}
	return uses, nil
}

// DeleteSite deletes a site with its networks and keys. While computers, activations or tokens name it, that is
// ErrSiteInUse, unless they are moved to another site, which gets the networks too; moveTo "" moves nothing. Agents hear
// of it with their next contact. What last does comes last, before anything counts: where it fails, nothing is changed.
func (s *Store) DeleteSite(ctx context.Context, name, moveTo core.SiteName, last func() error) error {
	return s.change(ctx, func(tx *transaction) error {
		gone, err := findSite(ctx, tx, name)
		if err != nil {
			return err
		}
		uses, err := siteUses(ctx, tx, name)
		if err != nil {
			return err
		}
		switch {
		case moveTo == name:
			return core.Refuse(core.ClassField, "site %s cannot be moved to itself", name)
		case moveTo != "":
			err = mergeSite(ctx, tx, gone, moveTo)
		case len(uses) > 0:
			return fmt.Errorf("site %s: %w: by %s; move them to another site with --move-to, or delete them first", name,
				ErrSiteInUse, strings.Join(uses, ", "))
		}
		if err == nil {
			_, err = execute(ctx, tx, "DELETE FROM sites WHERE name = ?", name)
		}
		if err == nil && moveTo == "" && len(gone.Networks) > 0 {
			err = placeStocks(ctx, tx)
		}
		if err != nil {
			return err
		}
		return last()
	})
}

// mergeSite moves everything that names a site to another, which hears of it.
func mergeSite(ctx context.Context, tx *transaction, gone site.Site, to core.SiteName) error {
	into, err := findSite(ctx, tx, to)
	if err != nil {
		return err
	}
	into.Networks = append(slices.Clone(into.Networks), gone.Networks...)
	if err := into.Check(); err != nil {
		return err
	}
	// Of two equal activations, nobody could say which one a computer gets.
	const twins = `FROM activations a JOIN activations b USING (package, info_url, fragments_url)
		WHERE a.site = ?1 AND b.site = ?2`
	for _, text := range []string{
		`UPDATE affectations SET activation = (SELECT b.id ` + twins + ` AND a.id = activation)
			WHERE activation IN (SELECT a.id ` + twins + `)`,
		"DELETE FROM activations WHERE id IN (SELECT a.id " + twins + ")",
		"UPDATE activations SET site = ?2 WHERE site = ?1",
		"UPDATE tokens SET site = ?2 WHERE site = ?1",
		"UPDATE computers SET site = ?2 WHERE site = ?1",
		"UPDATE computers SET judged_site = ?2 WHERE judged_site = ?1",
		"UPDATE site_networks SET site = ?2 WHERE site = ?1",
	} {
		if _, err := execute(ctx, tx, text, gone.Name, to); err != nil {
			return err
		}
	}
	return raiseSites(ctx, tx, to)
}

// RenameSite gives a site another name, with all that it has: settings, networks, keys, computers, activations, tokens and
// what is counted of it. Its agents hear the name with their next contact; until then those that have heard and those that
// have not are no members to each other. What last does comes last, before anything counts: where it fails, nothing is
// changed. A name that is taken is ErrSiteExists.
func (s *Store) RenameSite(ctx context.Context, from, to core.SiteName, last func() error) error {
	return s.change(ctx, func(tx *transaction) error {
		if _, err := findSite(ctx, tx, from); err != nil {
			return err
		}
		switch _, err := findSite(ctx, tx, to); {
		case err == nil:
			return fmt.Errorf("site %s: %w; \"site delete %s --move-to %s\" joins them", to, ErrSiteExists, from, to)
		case !errors.Is(err, ErrUnknownSite):
			return err
		}
		for _, text := range []string{
			"PRAGMA defer_foreign_keys = ON", // until the commit: keys and networks follow their site
			"UPDATE sites SET name = ?2, epoch = epoch + 1 WHERE name = ?1",
			"UPDATE site_networks SET site = ?2 WHERE site = ?1",
			"UPDATE site_keys SET site = ?2 WHERE site = ?1",
			"UPDATE shared SET site = ?2 WHERE site = ?1",
			"UPDATE void_tickets SET site = ?2 WHERE site = ?1",
			"UPDATE former_sites SET site = ?2 WHERE site = ?1",
			"UPDATE activations SET site = ?2 WHERE site = ?1",
			"UPDATE tokens SET site = ?2 WHERE site = ?1",
			"UPDATE computers SET site = ?2 WHERE site = ?1",
			"UPDATE computers SET judged_site = ?2 WHERE judged_site = ?1",
		} {
			args := []any{from, to}
			if strings.HasPrefix(text, "PRAGMA") {
				args = nil
			}
			if _, err := execute(ctx, tx, text, args...); err != nil {
				return err
			}
		}
		return last()
	})
}
