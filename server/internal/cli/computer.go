package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/query"
	"enjambre/server/internal/site"
	"enjambre/server/internal/store"
)

func (p *program) computerCommand() *cobra.Command {
	return group("computer", "search, show, set and delete computers, and list duplicates",
		p.computerSearch(), p.computerShow(), p.computerSet(), p.computerDelete(), p.computerDuplicates())
}

// parseQuery reads a search query; a mistake in it is wrong usage.
func parseQuery(text string) (query.Expr, error) {
	expr, err := query.Parse(text)
	return expr, usage(err)
}

func (p *program) computerSearch() *cobra.Command {
	var all bool
	command := p.printing("search QUERY", "search computers", cobra.ArbitraryArgs,
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			selection := store.Selection{All: all}
			switch {
			case all && len(args) > 0:
				return usage(errors.New("give a query or --all, not both"))
			case !all:
				var err error
				if selection.Query, err = parseQuery(strings.Join(args, " ")); err != nil {
					return err
				}
			}
			found, err := folder.Store.Search(ctx, selection, p.now())
			if err != nil {
				return err
			}
			return p.print(map[string]any{"computers": found}, func(w *tabwriter.Writer) {
				row(w, "COMPUTER", "NAME", "OS", "SITE", "TAG", "USER", "MEMORY", "DISK FREE", "LAST CONTACT")
				for _, one := range found {
					row(w, one.Device, one.Name, dash(one.OS), dash(one.Site), dash(one.Tag), dash(one.User),
						size(one.Memory), size(one.Disk), when(one.LastContact))
				}
			})
		})
	command.Long = `Search computers. A query is made of conditions such as

  name = pc-042
  os = windows and memory >= 8GB and disk > 20GiB
  site in (lyon, paris) and not software("firefox", >= 140)
  last_contact > 30d
  ip in 10.1.0.0/16
  state("1760000000") = ERR_EXECUTE

Put it in single quotes. docs/search.md describes the language.`
	command.Flags().BoolVar(&all, "all", false, "list all computers")
	return command
}

// deviceArgument reads the only argument as a device ID.
func deviceArgument(args []string) (core.DeviceID, error) {
	device, err := core.ParseDeviceID(args[0])
	return device, usage(err)
}

func (p *program) computerShow() *cobra.Command {
	return p.printing("show DEVICEID", "show one computer with its packages and results", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			device, err := deviceArgument(args)
			if err != nil {
				return err
			}
			view, err := folder.Store.Computer(ctx, device)
			if err != nil {
				return err
			}
			return p.print(view, func(w *tabwriter.Writer) { computerTable(w, view) })
		})
}

func computerTable(w *tabwriter.Writer, view store.ComputerView) {
	row(w, "computer", view.Device)
	row(w, "name", dash(view.Name))
	row(w, "operating system", dash(view.OS))
	row(w, "agent", dash(view.Agent))
	row(w, "site", dash(view.Site), placeText(view.Place))
	if view.Place.Listen != "" {
		row(w, "member", view.Place.Listen, fmt.Sprintf("class %d", view.Place.Weight))
	}
	row(w, "tag", dash(view.Tag))
	row(w, "user", dash(view.User))
	row(w, "model", dash(strings.TrimSpace(view.Manufacturer+" "+view.Model)))
	row(w, "serial", dash(view.Serial))
	row(w, "memory", size(view.Memory))
	row(w, "disk free", size(view.Disk))
	for _, address := range view.Addresses {
		row(w, "address", dash(address.IP), dash(address.MAC))
	}
	row(w, "first seen", when(view.FirstSeen))
	row(w, "last contact", when(view.LastContact))
	row(w, "last inventory", when(view.Inventoried))
	if view.Refused != nil {
		row(w, "last refused", refusalText(*view.Refused))
	}
	row(w, "programs", len(view.Programs))
	for _, one := range view.Affectations {
		row(w, "package "+one.Package.String(), one.PackageName, one.State, dash(oneLine(one.Text)),
			"affected "+when(one.Affected), "notified "+when(one.Notified), "ended "+when(one.Ended))
		if one.Progress != nil {
			row(w, "  progress", progressText(*one.Progress), "heard "+when(one.Progress.Heard))
		}
		resultRows(w, one.Exit, one.Detail, one.Output)
	}
	for _, one := range view.Results {
		repeated := ""
		if one.Repeated > 0 {
			repeated = fmt.Sprintf("repeated %d times", one.Repeated)
		}
		row(w, "result", one.Package, oneLine(one.Text), when(one.Received), repeated)
		if !shown(view.Affectations, one) {
			resultRows(w, one.Exit, one.Detail, one.Output)
		}
	}
}

// refusalText says when a message was refused, what it was and why.
func refusalText(r store.Refusal) string {
	what := "a message"
	if r.Query != "" {
		what = string(r.Query)
	}
	return when(r.At) + ", " + what + ": " + oneLine(r.Reason)
}

// placeText says why a computer is where it is, and where it would be otherwise.
func placeText(at store.Place) string {
	switch at.By {
	case site.ByNetwork:
		text := "by network " + at.Network.String()
		if at.Assigned != "" && at.Assigned != at.Site {
			text += ", else " + string(at.Assigned)
		}
		return text
	case site.ByHand:
		return "by hand"
	case site.ByToken:
		return "by token"
	}
	return ""
}

// resultRows are what our agents tell besides a result's text.
func resultRows(w *tabwriter.Writer, exit, detail, output string) {
	for _, one := range []struct{ label, text string }{{"exit", exit}, {"detail", detail}, {"output", output}} {
		label := "  " + one.label
		if strings.TrimSpace(one.text) == "" {
			continue
		}
		// A tab would begin a cell. Other control characters were replaced when the result came.
		text := strings.ReplaceAll(strings.Trim(one.text, "\n"), "\t", "    ")
		for line := range strings.SplitSeq(text, "\n") {
			row(w, label, line)
			label = ""
		}
	}
}

// shown reports whether a result is what an affectation says already.
func shown(affectations []store.Affectation, r store.Result) bool {
	return slices.ContainsFunc(affectations, func(a store.Affectation) bool {
		return a.Package == r.Package && a.Text == r.Text && a.Exit == r.Exit && a.Detail == r.Detail &&
			a.Output == r.Output
	})
}

// progressText says in a few words how far a package is and what keeps it.
func progressText(p store.Progress) string {
	text := strings.ToLower(string(p.Phase))
	switch p.Phase {
	case ocs.Downloading:
		text = fmt.Sprintf("downloading %d of %d fragments", p.Have, p.Of)
	case ocs.Delayed:
		text = "delayed by the user"
	}
	if p.Problem != "" {
		text += "; last problem: " + oneLine(p.Problem)
	}
	return text
}

// oneLine makes a text fit into a cell.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (p *program) computerSet() *cobra.Command {
	var site, tag string
	var command *cobra.Command
	command = p.onFolder("set DEVICEID", "set a computer's site or tag", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			device, err := deviceArgument(args)
			if err != nil {
				return err
			}
			var toSite *core.SiteName
			var toTag *string
			if command.Flags().Changed("site") {
				name := core.SiteName("")
				if site != "" {
					if name, err = core.ParseSiteName(site); err != nil {
						return usage(err)
					}
				}
				toSite = &name
			}
			if command.Flags().Changed("tag") {
				if len(tag) > 255 || !core.Printable(tag) {
					return usage(errors.New("--tag: use at most 255 printable bytes"))
				}
				if strings.ContainsFunc(tag, func(r rune) bool { return r > 126 }) {
					p.warn(
						"stock Unix agents lose all their account fields over a tag with letters beyond ASCII; it is sent to each only once",
					)
				}
				toTag = &tag
			}
			if toSite == nil && toTag == nil {
				return usage(errors.New("nothing to set: give --site or --tag"))
			}
			return folder.Store.SetComputer(ctx, device, toSite, toTag)
		})
	command.Flags().StringVar(&site, "site", "", "site, unless a network says otherwise; empty for none")
	command.Flags().StringVar(&tag, "tag", "", "tag; sent to the agent with its next inventory")
	return command
}

func (p *program) computerDelete() *cobra.Command {
	return p.onFolder("delete DEVICEID", "forget a computer, its affectations and results", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			device, err := deviceArgument(args)
			if err != nil {
				return err
			}
			return folder.Store.DeleteComputer(ctx, device, p.now())
		})
}

func (p *program) computerDuplicates() *cobra.Command {
	return p.printing(
		"duplicates",
		"list computers that share a serial number, UUID, MAC address or name",
		cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			groups, err := folder.Store.Duplicates(ctx)
			if err != nil {
				return err
			}
			return p.print(map[string]any{"duplicates": groups}, func(w *tabwriter.Writer) {
				row(w, "SHARED", "VALUE", "COMPUTER")
				for _, group := range groups {
					for _, device := range group.Computers {
						row(w, group.By, group.Value, device)
					}
				}
			})
		},
	)
}
