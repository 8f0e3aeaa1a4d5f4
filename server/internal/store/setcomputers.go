package store

import (
	"context"
	"fmt"
	"time"

	"enjambre/core"
)

// A ComputerChange is what is set for computers; nil leaves one as it is.
type ComputerChange struct {
	Site    *core.SiteName // "": none
	NewSite bool           // make Site if there is none of that name
	Tag     *string
}

// A ChangeReport says what SetComputers did.
type ChangeReport struct {
	Changed   int `json:"changed"`
	ByNetwork int `json:"byNetwork"` // of them, those that a network keeps at another site than the one that was set
}

// SetComputers changes the site and the tag of the computers that a selection chooses, all or none. The site holds at
// once, except where a network says otherwise. A new tag is sent to the agent with its next inventory. A site that does
// not exist is ErrUnknownSite, unless it may be made.
func (s *Store) SetComputers(ctx context.Context, selection Selection, change ComputerChange, now time.Time) (
	report ChangeReport, err error) {
	err = s.change(ctx, func(tx *transaction) error {
		chosen, err := selection.computers(ctx, tx, now)
		if err != nil {
			return err
		}
		if change.Site != nil && *change.Site != "" {
			if err := needSite(ctx, tx, *change.Site, change.NewSite); err != nil {
				return err
			}
		}
		for _, one := range chosen {
			if err := setComputer(ctx, tx, one.id, change, &report); err != nil {
				return fmt.Errorf("computer %s: %w", one.Device, err)
			}
		}
		return nil
	})
	if err != nil {
		return ChangeReport{}, err
	}
	return report, nil
}

func setComputer(ctx context.Context, tx *transaction, id int64, change ComputerChange, report *ChangeReport) error {
	report.Changed++
	if change.Site != nil {
		_, err := execute(ctx, tx, "UPDATE computers SET site = ?, site_by_token = 0 WHERE id = ?", *change.Site, id)
		if err != nil {
			return err
		}
		if err := assign(ctx, tx, id, true); err != nil {
			return err
		}
		var at core.SiteName
		if err := tx.QueryRowContext(ctx, "SELECT judged_site FROM computers WHERE id = ?", id).Scan(&at); err != nil {
			return err
		}
		if at != *change.Site {
			report.ByNetwork++
		}
	}
	if change.Tag == nil {
		return nil
	}
	_, err := execute(ctx, tx, "UPDATE computers SET tag = ?, tag_owner = ? WHERE id = ?", *change.Tag, tagToSend, id)
	return err
}

// SetComputer is SetComputers for one computer. A site that does not exist is made.
func (s *Store) SetComputer(ctx context.Context, device core.DeviceID, site *core.SiteName, tag *string) error {
	_, err := s.SetComputers(ctx, Selection{Devices: []core.DeviceID{device}},
		ComputerChange{Site: site, NewSite: true, Tag: tag}, time.Time{})
	return err
}
