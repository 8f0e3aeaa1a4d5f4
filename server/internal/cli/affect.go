package cli

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/store"
)

// bulkFlags choose what is affected or unaffected, and where.
type bulkFlags struct {
	pkg        func() (core.PackageID, error)
	activation func() (store.ActivationID, error)
	all        bool
	query      string
	computers  []string
	options    store.AffectOptions
}

// bulk adds the flags that affect and unaffect share.
func (b *bulkFlags) add(command *cobra.Command, force string) {
	b.pkg, b.activation = packageFlag(command, false), activationFlag(command, false)
	flags := command.Flags()
	flags.BoolVar(&b.all, "all", false, "all computers")
	flags.StringVar(&b.query, "query", "", "the computers that a search finds")
	flags.StringArrayVar(&b.computers, "computer", nil, "this computer, and those named after it")
	flags.BoolVar(&b.options.Force, "force", false, force)
	flags.BoolVar(&b.options.DryRun, "dry-run", false, "only say what would be done")
	oneOf(command, "all", "query", "computer")
	oneOf(command, "package", "activation")
}

// read returns what the flags say, and the arguments, which name more computers after --computer. A --query
// that is given empty is refused, never taken for all.
func (b *bulkFlags) read(more []string) (target store.Target, selection store.Selection, err error) {
	if target.Package, err = b.pkg(); err != nil {
		return target, selection, err
	}
	if target.Activation, err = b.activation(); err != nil {
		return target, selection, err
	}
	if len(more) > 0 && len(b.computers) == 0 {
		if _, err := core.ParsePackageID(more[0]); err == nil {
			return target, selection, usage(fmt.Errorf("unexpected argument %q; for a package say --package %s", more[0], more[0]))
		}
		return target, selection, usage(fmt.Errorf("unexpected argument %q; name computers with --computer", more[0]))
	}
	switch {
	case target == store.Target{}:
		return target, selection, usage(errors.New("give --package ID or --activation A"))
	case b.all:
		selection.All = true
	case len(b.computers) > 0:
		for _, text := range append(b.computers, more...) {
			device, err := core.ParseDeviceID(text)
			if err != nil {
				return target, selection, usage(err)
			}
			selection.Devices = append(selection.Devices, device)
		}
	default:
		selection.Query, err = parseQuery(b.query)
	}
	return target, selection, err
}

func (p *program) affectCommand() *cobra.Command {
	var flags bulkFlags
	command := p.printing("affect", "assign a package to computers", cobra.ArbitraryArgs,
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			target, selection, err := flags.read(args)
			if err != nil {
				return err
			}
			p.noteDoubts(ctx, folder, selection.Query)
			report, err := folder.Store.Affect(ctx, target, selection, flags.options, p.now())
			if err != nil {
				return err
			}
			if report.Done > 0 {
				if err := p.noteExpected(ctx, folder, target); err != nil {
					return err
				}
			}
			return p.printBulk(report, "affected", flags.options.DryRun)
		})
	command.Long = `Assign a package to computers. With --activation they get it from there; with --package each gets the
activation of its site, else the one without site.`
	flags.add(command, "also where it ended before: it is installed again")
	return command
}

func (p *program) unaffectCommand() *cobra.Command {
	var flags bulkFlags
	command := p.printing("unaffect", "take a package back from computers", cobra.ArbitraryArgs,
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			target, selection, err := flags.read(args)
			if err != nil {
				return err
			}
			p.noteDoubts(ctx, folder, selection.Query)
			report, err := folder.Store.Unaffect(ctx, target, selection, flags.options, p.now())
			if err != nil {
				return err
			}
			p.noteStockAgents(report.Done)
			return p.printBulk(report, "unaffected", flags.options.DryRun)
		})
	flags.add(command, "finished ones too")
	return command
}

// printBulk prints what a bulk action did.
func (p *program) printBulk(report store.BulkReport, done string, dryRun bool) error {
	switch {
	case report.Done == 0 && len(report.Skipped) == 0:
		p.note("no computer matches; nothing was %s", done)
	case dryRun:
		p.note("dry run: nothing was changed")
	}
	return p.print(report, func(w *tabwriter.Writer) {
		row(w, fmt.Sprintf("%s: %s, skipped: %d", done, core.Count(report.Done, "computer"), len(report.Skipped)))
		for _, skip := range report.Skipped {
			row(w, "skipped", skip.Computer, skip.Reason)
		}
	})
}
