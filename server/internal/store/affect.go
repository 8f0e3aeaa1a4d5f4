package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/outcome"
)

// An Affectation is a package assigned to a computer, and how it went.
type Affectation struct {
	Package     core.PackageID `json:"package"`
	PackageName string         `json:"name"`
	Activation  ActivationID   `json:"activation,omitempty"` // 0: deactivated since
	State       outcome.State  `json:"state"`
	Text        string         `json:"result,omitempty"` // the agent's words
	Exit        string         `json:"exit,omitempty"`
	Detail      string         `json:"detail,omitempty"`
	Output      string         `json:"output,omitempty"`
	Force       bool           `json:"force,omitempty"`
	Offered     int            `json:"offered"` // contacts that listed it
	Affected    time.Time      `json:"affected"`
	Notified    time.Time      `json:"notified,omitzero"`  // zero: not yet
	Ended       time.Time      `json:"ended,omitzero"`     // zero: not yet
	Progress    *Progress      `json:"progress,omitempty"` // nil: nothing told, or not NOTIFIED
}

func readAffectations(ctx context.Context, tx *transaction, list *[]Affectation, computer int64) error {
	return each(ctx, tx, func(scan func(...any) error) error {
		var a Affectation
		var activation sql.NullInt64
		var affected, notified, ended int64
		var progress progressScan
		err := scan(append([]any{&a.Package, &a.PackageName, &activation, &a.State, &a.Text, &a.Exit, &a.Detail,
			&a.Output, &a.Force, &a.Offered, &affected, &notified, &ended}, progress.into()...)...)
		a.Progress = progress.value()
		a.Activation = ActivationID(activation.Int64)
		a.Affected, a.Notified, a.Ended = moment(affected), moment(notified), moment(ended)
		*list = append(*list, a)
		return err
	}, `SELECT package, name, activation, state, text, exit, detail, output, force, offered, affected, notified, ended,
		`+progressColumns+` FROM affectations JOIN packages ON id = package
		LEFT JOIN progress USING (computer, package) WHERE computer = ? ORDER BY package`, computer)
}

// A Target names what is affected or unaffected: an activation, or, with Activation 0, a package, for
// which each computer gets the activation of its site, else the one without site.
type Target struct {
	Package    core.PackageID
	Activation ActivationID
}

// A Skip is a computer that a bulk action left alone, and why.
type Skip struct {
	Computer core.DeviceID `json:"computer"`
	Reason   string        `json:"reason"`
}

// A BulkReport says what a bulk action did.
type BulkReport struct {
	Done    int    `json:"done"`
	Skipped []Skip `json:"skipped"`
}

func (r *BulkReport) skip(computer core.DeviceID, format string, args ...any) {
	r.Skipped = append(r.Skipped, Skip{Computer: computer, Reason: fmt.Sprintf(format, args...)})
}

// AffectOptions bend a bulk action.
type AffectOptions struct {
	Force  bool // affect: also where it ended before, and to be installed again; unaffect: finished rows too
	DryRun bool // report only
}

// A bulk is one bulk action on the chosen computers, inside its transaction.
type bulk struct {
	tx        *transaction
	target    Target
	selection Selection
	options   AffectOptions
	now       time.Time
	report    BulkReport
	concerned map[core.SiteName]bool // sites of computers that are given a package, or not any more
}

// run does the action in a transaction, which a dry run takes back. An action that fails has done nothing.
func (b *bulk) run(ctx context.Context, s *Store, do func(context.Context, []selected) error) (BulkReport, error) {
	b.report, b.concerned = BulkReport{Skipped: []Skip{}}, map[core.SiteName]bool{}
	if err := b.inTransaction(ctx, s, do); err != nil {
		return BulkReport{Skipped: []Skip{}}, err
	}
	return b.report, nil
}

func (b *bulk) inTransaction(ctx context.Context, s *Store, do func(context.Context, []selected) error) error {
	inside := func(tx *transaction) error {
		b.tx = tx
		computers, err := b.selection.computers(ctx, tx, b.now)
		if err != nil {
			return err
		}
		if err := do(ctx, computers); err != nil {
			return err
		}
		return raiseSites(ctx, tx, slices.Collect(maps.Keys(b.concerned))...)
	}
	if !b.options.DryRun {
		return s.change(ctx, inside)
	}
	tx, err := s.write.begin(ctx, nil)
	if err != nil {
		return fmt.Errorf("database: %w", interrupted(ctx, err))
	}
	return errors.Join(interrupted(ctx, inside(tx)), rollback(tx))
}

// Affect assigns the target to the computers that the selection chooses. Computers of another operating
// system, and those it is affected to already, are skipped. Two activations that serve a computer
// equally well are an error, and nothing is done.
func (s *Store) Affect(ctx context.Context, target Target, selection Selection, options AffectOptions, now time.Time) (
	BulkReport, error) {
	b := &bulk{target: target, selection: selection, options: options, now: now}
	return b.run(ctx, s, b.affect)
}

func (b *bulk) affect(ctx context.Context, computers []selected) error {
	choice, err := chooseActivations(ctx, b.tx, b.target)
	if err != nil {
		return err
	}
	for _, one := range computers {
		activation, reason, err := choice.forComputer(one.Computer)
		if err != nil {
			return err
		}
		if reason != "" {
			b.report.skip(one.Device, "%s", reason)
			continue
		}
		if err := b.affectOne(ctx, choice.pkg.ID, activation, one); err != nil {
			return err
		}
	}
	return nil
}

func (b *bulk) affectOne(ctx context.Context, id core.PackageID, activation ActivationID, one selected) error {
	var state outcome.State
	var text string
	err := b.tx.QueryRowContext(ctx, "SELECT state, text FROM affectations WHERE computer = ? AND package = ?",
		one.id, id).Scan(&state, &text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case !state.Final() && !b.options.Force:
		b.report.skip(one.Device, "already affected, %s", state)
		return nil
	case !b.options.Force:
		b.report.skip(one.Device,
			"ended with %s (%s); --force installs again, \"rollout retry-errors\" retries errors", state, text)
		return nil
	}
	_, err = execute(ctx, b.tx, `INSERT OR REPLACE INTO affectations (computer, package, activation, state, text,
		exit, detail, output, force, offered, affected, notified, ended)
		VALUES (?,?,?,?,'','','','',?,0,?,0,0)`,
		one.id, id, activation, outcome.Waiting, b.options.Force, unix(b.now))
	b.report.Done++
	b.concerned[one.Site] = true
	return err
}

// A choice knows the activations that may serve a package's computers.
type choice struct {
	pkg    Package
	named  ActivationID // the one that the administrator named; 0: by site
	bySite map[core.SiteName][]ActivationID
}

func chooseActivations(ctx context.Context, tx *transaction, target Target) (choice, error) {
	c := choice{named: target.Activation, bySite: map[core.SiteName][]ActivationID{}}
	if target.Activation != 0 {
		activation, err := findActivation(ctx, tx, target.Activation)
		if err != nil {
			return choice{}, err
		}
		target.Package = activation.Package
	}
	var err error
	if c.pkg, err = findPackage(ctx, tx, target.Package); err != nil {
		return choice{}, err
	}
	activations, err := activationsOf(ctx, tx, target.Package)
	if err != nil {
		return choice{}, err
	}
	if len(activations) == 0 {
		return choice{}, fmt.Errorf("package %s is not activated; run \"activation create --package %s\" first",
			c.pkg.ID, c.pkg.ID)
	}
	for _, activation := range activations {
		c.bySite[activation.Site] = append(c.bySite[activation.Site], activation.ID)
	}
	return c, nil
}

// forComputer returns the activation for a computer, or the reason why it gets none. Two equally good
// ones are an error.
func (c choice) forComputer(computer Computer) (id ActivationID, reason string, err error) {
	if computer.Family != c.pkg.OS {
		system := computer.OS
		if system == "" {
			system = "an unknown system"
		}
		return 0, fmt.Sprintf("the package is for %s, the computer runs %s", c.pkg.OS, system), nil
	}
	if c.named != 0 {
		return c.named, "", nil
	}
	candidates := c.bySite[computer.Site]
	if len(candidates) == 0 {
		candidates = c.bySite[""]
	}
	switch len(candidates) {
	case 0:
		return 0, fmt.Sprintf("no activation for site %q and none without site", computer.Site), nil
	case 1:
		return candidates[0], "", nil
	}
	return 0, "", fmt.Errorf(
		"package %s has activations %v for computer %s (site %q): name one with --activation", c.pkg.ID,
		candidates, computer.Device, computer.Site)
}

// Unaffect takes the target back from the chosen computers: rows that wait or are notified go. Finished
// rows stay unless forced. Stock agents that have fetched the info file cannot be stopped.
func (s *Store) Unaffect(ctx context.Context, target Target, selection Selection, options AffectOptions, now time.Time) (
	BulkReport, error) {
	b := &bulk{target: target, selection: selection, options: options, now: now}
	return b.run(ctx, s, b.unaffect)
}

func (b *bulk) unaffect(ctx context.Context, computers []selected) error {
	if b.target.Activation != 0 {
		activation, err := findActivation(ctx, b.tx, b.target.Activation)
		if err != nil {
			return err
		}
		b.target.Package = activation.Package
	}
	if _, err := findPackage(ctx, b.tx, b.target.Package); err != nil {
		return err
	}
	for _, one := range computers {
		if err := b.unaffectOne(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

func (b *bulk) unaffectOne(ctx context.Context, one selected) error {
	var state outcome.State
	err := b.tx.QueryRowContext(ctx, `SELECT state FROM affectations
		WHERE computer = ? AND package = ? AND ? IN (0, activation)`,
		one.id, b.target.Package, b.target.Activation).Scan(&state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		if len(b.selection.Devices) > 0 { // of "all", most are not affected and nobody asked for them
			b.report.skip(one.Device, "not affected")
		}
		return nil
	case err != nil:
		return err
	case state.Final() && !b.options.Force:
		b.report.skip(one.Device, "ended with %s; \"rollout validate-all\" clears it, or use --force", state)
		return nil
	}
	_, err = execute(ctx, b.tx, "DELETE FROM affectations WHERE computer = ? AND package = ?", one.id, b.target.Package)
	b.report.Done++
	if !state.Final() { // what has ended is nothing to the computer
		b.concerned[one.Site] = true
	}
	return err
}
