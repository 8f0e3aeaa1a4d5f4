package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/store"
)

func (p *program) rolloutCommand() *cobra.Command {
	return group(
		"rollout",
		"how a package stands on its computers, and clearing what is finished",
		p.rolloutStatus(),
		p.rolloutValidation("validate-success", "clear the computers where it succeeded",
			(*store.Store).ValidateSuccess),
		p.rolloutValidation("unaffect-not-notified", "unaffect the computers that have not been told",
			(*store.Store).UnaffectNotNotified),
		p.rolloutValidation("validate-all", "clear successes and errors, unaffect those not told; NOTIFIED stay",
			(*store.Store).ValidateAll),
		p.rolloutRetry(),
	)
}

// onPackage makes a printing command that needs a package's ID.
func (p *program) onPackage(use, short string,
	do func(context.Context, *datafolder.Folder, core.PackageID) error) *cobra.Command {
	var id func([]string) (core.PackageID, error)
	command := p.printing(
		use+" [ID]",
		short,
		cobra.MaximumNArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			chosen, err := id(args)
			if err != nil {
				return err
			}
			return do(ctx, folder, chosen)
		},
	)
	id = packageArgument(command)
	return command
}

func (p *program) rolloutStatus() *cobra.Command {
	var list computersFlags
	command := p.onPackage(
		"status",
		"count the computers in each state, or list those in one",
		func(ctx context.Context, folder *datafolder.Folder, id core.PackageID) error {
			if list.state != "" {
				return p.rolloutComputers(ctx, folder, id, list)
			}
			rollout, err := folder.Store.Rollout(ctx, id, p.now())
			if err != nil {
				return err
			}
			if rollout.Computers > 0 && rollout.States[outcome.Waiting]+rollout.States[outcome.Notified] == 0 {
				p.note("this rollout is over: \"rollout validate-all\" clears it, results stay with the computers")
			}
			if rollout.Refused > 0 {
				p.note("a message of %d computers was refused: \"rollout status --package %s --state %s\" says when and why; "+
					"an agent whose inventory is refused fetches nothing", rollout.Refused, id, outcome.Notified)
			}
			for _, state := range outcome.States() {
				if state.Failed() && rollout.States[state] > 0 {
					p.note("\"rollout status --package %s --state %s\" names the computers", id, state)
				}
			}
			return p.print(rollout, func(w *tabwriter.Writer) { rolloutTable(w, rollout) })
		},
	)
	list.add(command)
	return command
}

// computersFlags choose a page of the computers in one state.
type computersFlags struct {
	state, after string
	limit        int
}

func (f *computersFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.state, "state", "", "list the computers in this state, such as ERR_EXECUTE")
	flags.IntVar(&f.limit, "limit", 100, fmt.Sprintf("with --state: how many at most, up to %d", store.MaxPage))
	flags.StringVar(&f.after, "after", "", "with --state: go on after this computer")
}

// query reads the flags.
func (f *computersFlags) query(id core.PackageID) (store.RolloutQuery, error) {
	query := store.RolloutQuery{Package: id, State: outcome.State(strings.ToUpper(f.state)), Most: f.limit}
	if !slices.Contains(outcome.States(), query.State) {
		return query, usage(fmt.Errorf("--state: there is no state %.40q; there are %v", f.state, outcome.States()))
	}
	if f.limit < 1 || f.limit > store.MaxPage {
		return query, usage(fmt.Errorf("--limit: use 1 to %d", store.MaxPage))
	}
	if f.after != "" {
		var err error
		if query.After, err = core.ParseDeviceID(f.after); err != nil {
			return query, usage(fmt.Errorf("--after: %w", err))
		}
	}
	return query, nil
}

// rolloutComputers lists a page of the computers in one state.
func (p *program) rolloutComputers(ctx context.Context, folder *datafolder.Folder, id core.PackageID,
	flags computersFlags) error {
	query, err := flags.query(id)
	if err != nil {
		return err
	}
	page, err := folder.Store.RolloutComputers(ctx, query)
	if err != nil {
		return err
	}
	if page.Next != "" {
		p.note("there are more: --after %s", page.Next)
	}
	return p.print(page, func(w *tabwriter.Writer) {
		row(w, "COMPUTER", "NAME", "SITE", "RESULT", "EXIT", "WHEN", "DETAIL")
		for _, one := range page.Computers {
			detail, at := oneLine(one.Detail), one.Ended
			if at.IsZero() {
				at = one.Notified
			}
			if one.Progress != nil {
				detail, at = progressText(*one.Progress), one.Progress.Heard
			}
			if one.Refused != nil {
				detail = "last refused " + refusalText(*one.Refused)
			}
			row(w, one.Device, dash(one.Name), dash(one.Site), dash(oneLine(one.Text)), dash(one.Exit), when(at),
				dash(detail))
		}
	})
}

func rolloutTable(w *tabwriter.Writer, r store.Rollout) {
	share := func(n int) string {
		if r.Computers == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(r.Computers))
	}
	row(w, "package "+r.Package.String(), r.Name)
	row(w, "computers", r.Computers)
	for _, state := range outcome.States() {
		row(w, state, r.States[state], share(r.States[state]))
		if state != outcome.Notified {
			continue
		}
		for _, phase := range []ocs.Phase{ocs.Downloading, ocs.Delayed, ocs.Installing} {
			if r.Progress[phase] > 0 {
				row(w, "  "+string(phase), r.Progress[phase], share(r.Progress[phase]))
			}
		}
		if r.NoResult > 0 {
			row(w, "  no result for over a day", r.NoResult, share(r.NoResult))
		}
		if r.Refused > 0 {
			row(w, "  last message refused", r.Refused, share(r.Refused))
		}
	}
	for _, text := range slices.Sorted(maps.Keys(r.Results)) {
		row(w, "result "+oneLine(text), r.Results[text], share(r.Results[text]))
	}
}

func (p *program) rolloutValidation(use, short string,
	validate func(*store.Store, context.Context, core.PackageID) (store.Validation, error)) *cobra.Command {
	return p.onPackage(
		use,
		short,
		func(ctx context.Context, folder *datafolder.Folder, id core.PackageID) error {
			done, err := validate(folder.Store, ctx, id)
			if err != nil {
				return err
			}
			return p.print(done, func(w *tabwriter.Writer) {
				row(w, "cleared", done.Cleared)
				row(w, "unaffected", done.Unaffected)
				row(w, "kept", done.Kept)
			})
		},
	)
}

func (p *program) rolloutRetry() *cobra.Command {
	return p.onPackage("retry-errors", "affect it again to the computers where it ended in an error",
		func(ctx context.Context, folder *datafolder.Folder, id core.PackageID) error {
			retried, kept, err := folder.Store.RetryErrors(ctx, id, p.now())
			if err != nil {
				return err
			}
			if kept > 0 {
				p.note("%s: the error stays, since the activation is gone; affect again with --force", core.Count(kept, "computer"))
			}
			return p.print(map[string]any{"retried": retried, "kept": kept}, func(w *tabwriter.Writer) {
				row(w, "retried", retried)
				row(w, "kept", kept)
			})
		})
}
