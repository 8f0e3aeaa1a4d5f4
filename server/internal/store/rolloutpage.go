package store

import (
	"context"
	"time"

	"enjambre/core"
	"enjambre/core/outcome"
)

// MaxPage is how many computers one page of a rollout lists at most.
const MaxPage = 1000

// A RolloutComputer is a computer in one state of a rollout.
type RolloutComputer struct {
	Device   core.DeviceID `json:"computer"`
	Name     string        `json:"name"`
	Site     core.SiteName `json:"site"`
	Text     string        `json:"result,omitempty"` // the agent's words
	Exit     string        `json:"exit,omitempty"`
	Detail   string        `json:"detail,omitempty"`
	Output   string        `json:"output,omitempty"`
	Notified time.Time     `json:"notified,omitzero"`
	Ended    time.Time     `json:"ended,omitzero"`
	Progress *Progress     `json:"progress,omitempty"`
	Refused  *Refusal      `json:"refused,omitempty"` // the last message of a computer without result
}

// A RolloutPage lists computers in one state of a rollout, by device ID.
type RolloutPage struct {
	Package   core.PackageID    `json:"package"`
	State     outcome.State     `json:"state"`
	Computers []RolloutComputer `json:"computers"`
	Next      core.DeviceID     `json:"next,omitempty"` // ask for those after it; "" on the last page
}

// A RolloutQuery asks for a page.
type RolloutQuery struct {
	Package core.PackageID
	State   outcome.State
	After   core.DeviceID // only those that come after it; "" for the first page
	Most    int           // 1 to MaxPage
}

// RolloutComputers lists the computers on which a package is in a state (T47).
func (s *Store) RolloutComputers(ctx context.Context, query RolloutQuery) (RolloutPage, error) {
	page := RolloutPage{Package: query.Package, State: query.State, Computers: []RolloutComputer{}}
	most := max(1, min(query.Most, MaxPage))
	err := s.view(ctx, func(tx *transaction) error {
		if _, err := findPackage(ctx, tx, query.Package); err != nil {
			return err
		}
		return each(ctx, tx, func(scan func(...any) error) error {
			one, err := scanRolloutComputer(scan)
			if len(page.Computers) == most {
				page.Next = page.Computers[most-1].Device
				return err
			}
			page.Computers = append(page.Computers, one)
			return err
		}, `SELECT device, computers.name, judged_site, text, exit, detail, output, notified, ended, `+progressColumns+`,
			coalesce(refusals.query, ''), coalesce(refusals.reason, ''), coalesce(refusals.refused, 0)
			FROM affectations JOIN computers ON computers.id = computer LEFT JOIN progress USING (computer, package)
			LEFT JOIN refusals USING (computer)
			WHERE package = ? AND state = ? AND device > ? ORDER BY device LIMIT ?`,
			query.Package, query.State, query.After, most+1)
	})
	return page, err
}

func scanRolloutComputer(scan func(...any) error) (one RolloutComputer, err error) {
	var notified, ended, at int64
	var refused Refusal
	var progress progressScan
	err = scan(append([]any{&one.Device, &one.Name, &one.Site, &one.Text, &one.Exit, &one.Detail, &one.Output,
		&notified, &ended}, append(progress.into(), &refused.Query, &refused.Reason, &at)...)...)
	if refused.At = moment(at); at != 0 && ended == 0 {
		one.Refused = &refused
	}
	one.Notified, one.Ended, one.Progress = moment(notified), moment(ended), progress.value()
	return one, err
}
