package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

// Gossip keys are kept in the database as they are. Whoever can read the data folder holds the authority that
// makes members, and needs no gossip key; and gossip is a hint: who is a member is told by certificates, and
// what is in a package by its digests.
const (
	keyBytes   = 32
	formerKeys = 24 * time.Hour // how long a replaced key is still handed out
)

// newKey puts a new key in force at a site and returns its epoch. Keys that were replaced long ago, or too
// often since, go.
func newKey(ctx context.Context, tx *transaction, name core.SiteName, now time.Time) (key ocs.GossipKey, err error) {
	err = tx.QueryRowContext(ctx, "SELECT coalesce(max(epoch), 0) + 1 FROM site_keys WHERE site = ?", name).
		Scan(&key.Epoch)
	if err != nil {
		return ocs.GossipKey{}, err
	}
	key.Key = make([]byte, keyBytes)
	_, _ = rand.Read(key.Key) // never fails
	for _, one := range []struct {
		text string
		args []any
	}{
		{"UPDATE site_keys SET replaced = ? WHERE site = ? AND replaced = 0", []any{unix(now), name}},
		{"DELETE FROM site_keys WHERE site = ? AND (epoch <= ? OR replaced <= ?)",
			[]any{name, key.Epoch - ocs.MaxKeys, unix(now.Add(-formerKeys))}},
		{"INSERT INTO site_keys (site, epoch, key, made, replaced) VALUES (?, ?, ?, ?, 0)",
			[]any{name, key.Epoch, key.Key, unix(now)}},
	} {
		if _, err := execute(ctx, tx, one.text, one.args...); err != nil {
			return ocs.GossipKey{}, err
		}
	}
	return key, nil
}

// RotateKey puts a new gossip key in force at a site and returns its epoch. The key it replaces is handed out
// for another day. An unknown site is ErrUnknownSite.
func (s *Store) RotateKey(ctx context.Context, name core.SiteName, now time.Time) (epoch int, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		if _, err := findSite(ctx, tx, name); err != nil {
			return err
		}
		key, err := newKey(ctx, tx, name, now)
		if err != nil {
			return fmt.Errorf("site %s: make a key: %w", name, err)
		}
		epoch = key.Epoch
		return raiseSites(ctx, tx, name)
	})
	return epoch, err
}

// A siteKey is a gossip key with when it was replaced, zero for the one in force.
type siteKey struct {
	ocs.GossipKey
	replaced time.Time
}

// readKeys returns all keys by site, the newest first.
func readKeys(ctx context.Context, tx *transaction) (map[core.SiteName][]siteKey, error) {
	keys := map[core.SiteName][]siteKey{}
	err := each(ctx, tx, func(scan func(...any) error) error {
		var name core.SiteName
		var one siteKey
		var replaced int64
		err := scan(&name, &one.Epoch, &one.Key, &replaced)
		one.replaced = moment(replaced)
		keys[name] = append(keys[name], one)
		return err
	}, "SELECT site, epoch, key, replaced FROM site_keys ORDER BY site, epoch DESC")
	return keys, err
}

// inUse returns the keys that are handed out now, the one in force first.
func inUse(keys []siteKey, now time.Time) (list []ocs.GossipKey) {
	for _, one := range keys {
		if one.replaced.IsZero() || now.Before(one.replaced.Add(formerKeys)) {
			list = append(list, one.GossipKey)
		}
	}
	return list
}
