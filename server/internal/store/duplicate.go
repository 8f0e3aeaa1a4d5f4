package store

import (
	"context"
	"maps"
	"slices"
	"strings"

	"enjambre/core"
	"enjambre/server/internal/query"
)

// A DuplicateGroup are computers that share what should be one computer's own.
type DuplicateGroup struct {
	By        string          `json:"by"` // serial, uuid, mac or name
	Value     string          `json:"value"`
	Computers []core.DeviceID `json:"computers"` // most recent contact first
}

// A trait is something that one computer should have to itself: where it is kept, which values are nobody's own, and
// how it is compared.
type trait struct {
	by, text string
	shared   func(string) bool
	key      func(string) string
}

// traits are what computers are compared by. Serial numbers and UUIDs compare by their letters and digits, names as the
// search compares them, without case.
var traits = []trait{
	{"serial", "SELECT serial, device FROM computers", isPlaceholder, bare},
	{"uuid", "SELECT uuid, device FROM computers", isPlaceholder, bare},
	{"mac", "SELECT mac, device FROM addresses JOIN computers ON id = computer", isSharedMAC, strings.ToLower},
	{"name", "SELECT name, device FROM computers", func(name string) bool { return name == "" }, query.Fold},
}

// Duplicates lists computers that share a serial number, a UUID, a MAC address or a name: probably one
// machine under two device IDs, or a cloned image.
func (s *Store) Duplicates(ctx context.Context) ([]DuplicateGroup, error) {
	groups := []DuplicateGroup{}
	err := s.view(ctx, func(tx *transaction) error {
		for _, one := range traits {
			found, err := one.groups(ctx, tx)
			if err != nil {
				return err
			}
			groups = append(groups, found...)
		}
		return nil
	})
	return groups, err
}

// groups returns the groups that share a trait, by value; a value is spelled as the most recent contact spells it.
func (t trait) groups(ctx context.Context, tx *transaction) ([]DuplicateGroup, error) {
	found := map[string]*DuplicateGroup{}
	err := each(ctx, tx, func(scan func(...any) error) error {
		var value string
		var device core.DeviceID
		if err := scan(&value, &device); err != nil || t.shared(value) {
			return err
		}
		group := found[t.key(value)]
		if group == nil {
			group = &DuplicateGroup{By: t.by, Value: value}
			found[t.key(value)] = group
		}
		if !slices.Contains(group.Computers[max(0, len(group.Computers)-1):], device) { // an adapter may have two addresses
			group.Computers = append(group.Computers, device)
		}
		return nil
	}, t.text+" ORDER BY last_contact DESC, device")
	var groups []DuplicateGroup
	for _, key := range slices.Sorted(maps.Keys(found)) {
		if group := found[key]; len(group.Computers) > 1 {
			groups = append(groups, *group)
		}
	}
	return groups, err
}
