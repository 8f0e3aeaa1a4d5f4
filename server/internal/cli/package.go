package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/core/info"
	"enjambre/server/internal/catalog"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/store"
)

func (p *program) packageCommand() *cobra.Command {
	return group("package", "build, list, show and delete packages",
		p.packageBuild(), p.packageList(), p.packageShow(), p.packageDelete())
}

func (p *program) packageBuild() *cobra.Command {
	var form catalog.Form
	command := p.printing("build", "build, sign and publish a package", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			built, err := folder.Catalog(p.log()).Build(ctx, form, p.now())
			if err != nil {
				return buildError(err)
			}
			p.warn(built.Warnings...)
			answer := struct {
				ID        core.PackageID `json:"id"`
				Fragments int            `json:"fragments"`
				Warnings  []string       `json:"warnings,omitempty"`
			}{built.Package.ID, built.Package.Fragments, built.Warnings}
			return p.print(answer, func(w *tabwriter.Writer) {
				row(w, "package", built.Package.ID)
				row(w, "fragments", built.Package.Fragments)
				row(w, "next", fmt.Sprintf("activation create --package %s", built.Package.ID))
			})
		})
	command.Example = `  enjambre-server package build --data /srv/enjambre --name "Editor 4.2" --os linux \
    --action LAUNCH --command "install.sh --quiet" --priority 5 --file editor.tar.gz`
	flags := command.Flags()
	flags.StringVar(&form.Name, "name", "", "name for people")
	flags.StringVar(&form.OS, "os", "", "linux or windows")
	flags.StringVar(&form.Action, "action", "",
		"LAUNCH a file of the archive, EXECUTE a command, or STORE the files")
	flags.StringVar(&form.Priority, "priority", "", "0 (most urgent, stops all others) to 10")
	flags.StringVar(&form.File, "file", "", "archive: tar.gz for Linux, zip for Windows")
	flags.StringVar(&form.Path, "path", "",
		"STORE: folder to copy the files to; variables are expanded by the agent")
	flags.StringVar(&form.Command, "command", "",
		"LAUNCH: program and arguments; EXECUTE: command for the system's shell")
	flags.StringVar(&form.FragmentSize, "fragment-size", "", "16KiB to 16MiB (default 512KiB)")
	flags.StringVar(&form.Protocol, "protocol", "", "http or https, for fragments (default https)")
	flags.StringVar(&form.SuccessCodes, "success-codes", "",
		"exit codes that are a success (default 0; Windows also 1641,3010,3011)")
	flags.StringVar(&form.ExecTimeout, "exec-timeout", "", "how long the command may run (default 2h)")
	flags.StringVar(&form.OnInterrupt, "on-interrupt", "",
		"when the computer or the agent stops while it runs: report it, or retry (a command that may run twice)")
	flags.BoolVar(&form.Interactive, "interactive", false, "the command needs the user's desktop")
	flags.StringVar(&form.NotifyText, "notify-text", "", "tell the user before the command runs")
	flags.StringVar(&form.NotifyCountdown, "notify-countdown", "",
		"go on by itself after this time (default 0: wait)")
	flags.BoolVar(&form.UserMayCancel, "user-may-cancel", false, "the user may refuse")
	flags.BoolVar(&form.UserMayDelay, "user-may-delay", false, "the user may ask to be asked later")
	flags.StringVar(&form.MaxDelays, "max-delays", "", "how often (default 5)")
	flags.StringVar(&form.CompletionText, "completion-text", "", "tell the user afterwards")
	return command
}

// buildError tells mistakes of the form, which are wrong usage, from builds that failed.
func buildError(err error) error {
	var form *catalog.FormError
	if errors.As(err, &form) && form.Usage {
		return usage(err)
	}
	return err
}

func (p *program) packageList() *cobra.Command {
	return p.printing("list", "list the built packages", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			list, err := folder.Store.Packages(ctx)
			if err != nil {
				return err
			}
			return p.print(map[string]any{"packages": orEmpty(list)}, func(w *tabwriter.Writer) {
				row(w, "PACKAGE", "NAME", "OS", "ACTION", "PRIORITY", "SIZE", "FRAGMENTS", "ACTIVATIONS",
					"NOT NOTIFIED", "SUCCESS", "ERRORS")
				for _, one := range list {
					row(w, one.ID, one.Name, one.OS, one.Action, one.Priority, size(one.ArchiveSize), one.Fragments,
						one.Activations, one.NotNotified, one.Success, one.Errors)
				}
			})
		})
}

// orEmpty makes an empty list print as [] and not as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// packageFlag adds --package and returns a function that reads it.
func packageFlag(command *cobra.Command, required bool) func() (core.PackageID, error) {
	var text string
	command.Flags().StringVar(&text, "package", "", "package ID")
	if required {
		require(command, "package")
	}
	return func() (core.PackageID, error) {
		if text == "" {
			return 0, nil
		}
		id, err := core.ParsePackageID(text)
		return id, usage(err)
	}
}

// packageArgument is packageFlag for commands that take the ID as their argument too, which has one of the two.
func packageArgument(command *cobra.Command) func(args []string) (core.PackageID, error) {
	flag := packageFlag(command, false)
	return func(args []string) (core.PackageID, error) {
		id, err := flag()
		switch {
		case err != nil:
			return 0, err
		case len(args) == 0 && id == 0:
			return 0, usage(fmt.Errorf("%q needs the package: give its ID, see \"package list\"", pathOf(command)))
		case len(args) == 0:
			return id, nil
		}
		named, err := core.ParsePackageID(args[0])
		if err == nil && id != 0 && id != named {
			err = fmt.Errorf("two packages are given, %s and %s", named, id)
		}
		return named, usage(err)
	}
}

// A packageView is what "package show" prints.
type packageView struct {
	store.Package
	Info        string                    `json:"info"` // the document that agents are sent
	Archive     *archiveView              `json:"archive,omitempty"`
	Activations []store.ActivationSummary `json:"activations"`
}

type archiveView struct {
	SHA256   string `json:"sha256"`
	Unpacked int64  `json:"unpacked"`
	Entries  int    `json:"entries"`
}

func (p *program) packageShow() *cobra.Command {
	var id func([]string) (core.PackageID, error)
	command := p.printing("show [ID]", "show one package and its info file", cobra.MaximumNArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			chosen, err := id(args)
			if err != nil {
				return err
			}
			view, err := viewPackage(ctx, folder, chosen)
			if err != nil {
				return err
			}
			return p.print(view, func(w *tabwriter.Writer) {
				row(w, "package", view.ID)
				row(w, "name", view.Name)
				row(w, "operating system", view.OS)
				row(w, "priority", view.Priority)
				row(w, "action", view.Action)
				row(w, "target", view.Target)
				row(w, "built", when(view.Built))
				if view.Archive != nil {
					row(
						w,
						"archive",
						fmt.Sprintf("%s in %d fragments of %s (%s), %d entries, %s unpacked", size(view.ArchiveSize),
							view.Fragments, size(view.FragmentSize), strings.ToLower(view.Protocol), view.Archive.Entries,
							size(view.Archive.Unpacked)),
					)
					row(w, "sha256", view.Archive.SHA256)
				}
				row(w, "success codes", view.SuccessCodes)
				for _, one := range view.Activations {
					row(w, "activation "+one.ID.String(),
						fmt.Sprintf("info %s, fragments %s, site %s", one.InfoURL, one.FragmentsURL, dash(one.Site)))
				}
				row(w, "info", strings.TrimSpace(view.Info))
			})
		})
	id = packageArgument(command)
	return command
}

func viewPackage(ctx context.Context, folder *datafolder.Folder, id core.PackageID) (view packageView, err error) {
	if view.Package, err = folder.Store.Package(ctx, id); err != nil {
		return packageView{}, err
	}
	document, err := folder.Depot.ReadFile(id, depot.InfoFile)
	if err != nil {
		return packageView{}, fmt.Errorf("package %s: its info file cannot be read: %w", id, err)
	}
	made, err := info.Parse(document)
	if err != nil {
		return packageView{}, fmt.Errorf("package %s: its info file is damaged: %w", id, err)
	}
	view.Info = string(document)
	if made.Archive != nil {
		view.Archive = &archiveView{
			SHA256:   made.Archive.Digest.String(),
			Unpacked: made.Archive.Unpacked,
			Entries:  made.Archive.Entries,
		}
	}
	list, err := folder.Store.Activations(ctx, id)
	view.Activations = orEmpty(list)
	return view, err
}

func (p *program) packageDelete() *cobra.Command {
	var id func([]string) (core.PackageID, error)
	command := p.printing("delete [ID]", "delete a package: its files, activations and affectations", cobra.MaximumNArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			chosen, err := id(args)
			if err != nil {
				return err
			}
			pkg, err := folder.Store.Package(ctx, chosen)
			if err != nil {
				return err
			}
			if err := folder.Catalog(p.log()).Delete(ctx, chosen); err != nil {
				return err
			}
			return p.did(map[string]any{"deleted": chosen}, "package %s (%s) is deleted, with its files and activations",
				chosen, pkg.Name)
		})
	id = packageArgument(command)
	return command
}
