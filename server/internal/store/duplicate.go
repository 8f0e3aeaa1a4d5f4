package store

import (
	"context"

	"enjambre/core"
)

// A DuplicateGroup are computers that share what should be one computer's own.
type DuplicateGroup struct {
	By        string          `json:"by"` // serial, uuid, mac or name
	Value     string          `json:"value"`
	Computers []core.DeviceID `json:"computers"` // most recent contact first
}

// duplicateQueries find values that several computers share. Serial numbers that makers leave to be
// filled in are nobody's own.
var duplicateQueries = []struct{ by, text string }{
	{
		"serial",
		`SELECT serial, device FROM computers WHERE serial <> '' AND lower(serial) NOT IN ('0', 'none', 'n/a',
		'not specified', 'default string', 'to be filled by o.e.m.', 'system serial number', 'unknown')
		ORDER BY serial, last_contact DESC, device`,
	},
	{"uuid", `SELECT uuid, device FROM computers WHERE uuid NOT IN ('', '00000000-0000-0000-0000-000000000000')
		ORDER BY uuid, last_contact DESC, device`},
	{"mac", `SELECT DISTINCT mac, device, last_contact FROM addresses JOIN computers ON id = computer
		WHERE mac NOT IN ('', '00:00:00:00:00:00') ORDER BY mac, last_contact DESC, device`},
	{"name", `SELECT name, device FROM computers WHERE name <> '' ORDER BY name, last_contact DESC, device`},
}

// Duplicates lists computers that share a serial number, a UUID, a MAC address or a name: probably one
// machine under two device IDs, or a cloned image.
func (s *Store) Duplicates(ctx context.Context) ([]DuplicateGroup, error) {
	groups := []DuplicateGroup{}
	err := s.view(ctx, func(tx *transaction) error {
		for _, query := range duplicateQueries {
			var found []DuplicateGroup
			err := each(ctx, tx, func(scan func(...any) error) error {
				var value string
				var device core.DeviceID
				var contact int64
				into := []any{&value, &device}
				if query.by == "mac" {
					into = append(into, &contact)
				}
				err := scan(into...)
				if last := len(found) - 1; last >= 0 && found[last].Value == value {
					found[last].Computers = append(found[last].Computers, device)
				} else {
					found = append(found, DuplicateGroup{By: query.by, Value: value, Computers: []core.DeviceID{device}})
				}
				return err
			}, query.text)
			if err != nil {
				return err
			}
			for _, group := range found {
				if len(group.Computers) > 1 {
					groups = append(groups, group)
				}
			}
		}
		return nil
	})
	return groups, err
}
