package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
)

// ErrStockProgress says that a stock agent, which has no such message, sent one.
var ErrStockProgress = errors.New("progress is taken from enrolled agents only")

// A Progress is how far a package is on a computer, as its agent said last. It is for display only.
type Progress struct {
	Phase   ocs.Phase `json:"phase"`
	Have    int       `json:"have"` // fragments, verified
	Of      int       `json:"of"`   // fragments of the package
	Problem string    `json:"problem,omitempty"`
	Heard   time.Time `json:"heard"`
}

// A ProgressAnswer is what a PROGRESS message gives.
type ProgressAnswer struct {
	Worth []ocs.PackageProgress // what [Store.Touch] is to note: packages affected to the computer, without result yet
	Site  core.SiteName         // where the computer was judged to be at its last contact; "": at none
	Epoch uint64                // of that site's news; 0: it is no site
	Voids Voids                 // that site's
}

// AcceptProgress answers a PROGRESS message. It writes nothing. From a stock agent it is ErrStockProgress.
func (s *Store) AcceptProgress(ctx context.Context, from Caller,
	progress ocs.Progress) (answer ProgressAnswer, err error) {
	if from.Key == "" {
		return ProgressAnswer{}, ErrStockProgress
	}
	err = s.view(ctx, func(tx *transaction) error {
		id, err := from.row(ctx, tx)
		if err != nil {
			return err
		}
		open := map[core.PackageID]bool{}
		err = each(ctx, tx, func(scan func(...any) error) error {
			var id core.PackageID
			err := scan(&id)
			open[id] = true
			return err
		}, "SELECT package FROM affectations WHERE computer = ? AND state = ?", id, outcome.Notified)
		for _, one := range progress.Packages {
			if open[one.Package] {
				answer.Worth = append(answer.Worth, one)
			}
		}
		if err == nil {
			answer.Site, answer.Epoch, err = newsOf(ctx, tx, id)
		}
		if err == nil && answer.Epoch != 0 {
			answer.Voids, err = voidsAt(ctx, tx, answer.Site)
		}
		return err
	})
	return answer, err
}

const selectNews = "SELECT name, epoch FROM sites WHERE name = (SELECT judged_site FROM computers WHERE id = ?)"

// newsOf returns the site of a computer and the number of its news; nothing, of a computer without site.
func newsOf(ctx context.Context, tx *transaction, computer int64) (name core.SiteName, epoch uint64, err error) {
	err = tx.QueryRowContext(ctx, selectNews, computer).Scan(&name, &epoch)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return name, epoch, err
}

// keepProgress writes one package's progress over the last, unless its result has come meanwhile.
const keepProgress = `INSERT OR REPLACE INTO progress (computer, package, phase, have, whole, problem, heard)
	SELECT computer, package, ?, ?, ?, ?, ? FROM affectations WHERE computer = ? AND package = ? AND state = ?`

func noteProgress(ctx context.Context, tx *transaction, computer int64, touch Touch) error {
	for _, one := range touch.Progress {
		kept, err := execute(ctx, tx, keepProgress, one.Phase, one.Have, one.Of, one.Problem, unix(touch.At), computer,
			one.Package, outcome.Notified)
		if err == nil && kept > 0 {
			err = noteShared(ctx, tx, computer, one.Package, one.Shared)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// progressColumns are those of a LEFT JOIN, NULL where an agent told nothing.
const progressColumns = "phase, have, whole, problem, heard"

// A progressScan reads progressColumns.
type progressScan struct {
	phase, problem     *string
	have, whole, heard *int64
}

func (p *progressScan) into() []any { return []any{&p.phase, &p.have, &p.whole, &p.problem, &p.heard} }

// value returns nil where an agent told nothing.
func (p *progressScan) value() *Progress {
	if p.phase == nil {
		return nil
	}
	return &Progress{Phase: ocs.Phase(*p.phase), Have: int(*p.have), Of: int(*p.whole), Problem: *p.problem,
		Heard: moment(*p.heard)}
}
