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

// searchFlags choose the computers that "computer search" lists.
type searchFlags struct {
	all   bool
	query string
	limit int
}

func (p *program) computerSearch() *cobra.Command {
	var f searchFlags
	command := p.printing("search QUERY", "search computers", cobra.ArbitraryArgs,
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			selection, err := f.selection(args)
			if err != nil {
				return err
			}
			p.noteDoubts(ctx, folder, selection.Query)
			found, err := folder.Store.Search(ctx, selection, p.now())
			if err != nil {
				return err
			}
			if f.limit > 0 && len(found) > f.limit {
				p.note("%d of %s are shown", f.limit, core.Count(len(found), "computer"))
				found = found[:f.limit]
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
	command.Flags().BoolVar(&f.all, "all", false, "list all computers")
	command.Flags().StringVar(&f.query, "query", "", "the query, as other commands take it")
	command.Flags().IntVar(&f.limit, "limit", 0, "list at most so many, by name (default: all)")
	return command
}

// selection returns which computers are searched for, by the flags or by the arguments.
func (f searchFlags) selection(args []string) (selection store.Selection, err error) {
	if f.limit < 0 {
		return selection, usage(errors.New("--limit: use 1 or more, or 0 for all"))
	}
	ways := 0
	for _, given := range []bool{f.all, f.query != "", len(args) > 0} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		return selection, usage(errors.New("give one query, or --all"))
	}
	if f.all {
		return store.Selection{All: true}, nil
	}
	selection.Query, err = parseQuery(f.query + strings.Join(args, " "))
	return selection, err
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

// setFlags say what "computer set" sets, and for which computers.
type setFlags struct {
	site, tag, query string
	newSite          bool
}

func (p *program) computerSet() *cobra.Command {
	var f setFlags
	var command *cobra.Command
	command = p.printing("set [DEVICEID]", "set the site or the tag of a computer, or of all that a query finds",
		cobra.MaximumNArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			selection, err := f.selection(args)
			if err != nil {
				return err
			}
			change, err := p.computerChange(f, command.Flags().Changed)
			if err != nil {
				return err
			}
			p.noteDoubts(ctx, folder, selection.Query)
			report, err := folder.Store.SetComputers(ctx, selection, change, p.now())
			if err != nil {
				return newSiteHint(err)
			}
			if report.Changed == 0 {
				p.note("no computer matches; nothing was set")
			}
			if report.ByNetwork > 0 {
				p.note("%s: a network of another site has the address, and that counts first", core.Count(report.ByNetwork, "computer"))
			}
			return p.did(report, "set: %s", core.Count(report.Changed, "computer"))
		})
	command.Long = `Set the site or the tag of one computer, or of all that a query finds.

  computer set PC7-2026-01-31-08-00-00 --site lyon
  computer set --query 'os = linux and name ~ lyo-' --site lyon --tag OFFICE`
	command.Flags().StringVar(&f.query, "query", "", "the computers that a search finds")
	command.Flags().StringVar(&f.site, "site", "", "site, unless a network says otherwise; empty for none")
	newSiteFlag(command, &f.newSite)
	command.Flags().StringVar(&f.tag, "tag", "", "tag; sent to the agent with its next inventory")
	return command
}

// selection returns which computers are meant. A --query that is given empty is refused, never taken for all.
func (f setFlags) selection(args []string) (selection store.Selection, err error) {
	switch {
	case len(args) > 0 && f.query != "":
		return selection, usage(errors.New("give a computer or --query, not both"))
	case len(args) > 0:
		device, err := deviceArgument(args)
		return store.Selection{Devices: []core.DeviceID{device}}, err
	case f.query == "":
		return selection, usage(errors.New("which computer? give DEVICEID, or --query for several"))
	}
	selection.Query, err = parseQuery(f.query)
	return selection, err
}

// computerChange returns what is set by the flags that are given.
func (p *program) computerChange(f setFlags, given func(string) bool) (change store.ComputerChange, err error) {
	change.NewSite = f.newSite
	if given("site") {
		name := core.SiteName("")
		if f.site != "" {
			if name, err = core.ParseSiteName(f.site); err != nil {
				return change, usage(fmt.Errorf("--site: %w", err))
			}
		}
		change.Site = &name
	}
	if given("tag") {
		if len(f.tag) > 255 || !core.Printable(f.tag) {
			return change, usage(errors.New("--tag: use at most 255 printable bytes"))
		}
		if strings.ContainsFunc(f.tag, func(r rune) bool { return r > 126 }) {
			p.warn("stock Unix agents lose all their account fields over a tag with letters beyond ASCII; it is sent to each only once")
		}
		change.Tag = &f.tag
	}
	if change.Site == nil && change.Tag == nil {
		return change, usage(errors.New("nothing to set: give --site or --tag"))
	}
	return change, nil
}

func (p *program) computerDelete() *cobra.Command {
	return p.printing("delete DEVICEID", "forget a computer, its affectations and results", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			device, err := deviceArgument(args)
			if err != nil {
				return err
			}
			if err := folder.Store.DeleteComputer(ctx, device, p.now()); err != nil {
				return err
			}
			return p.did(map[string]any{"deleted": device}, "computer %s is forgotten; a stock agent makes it anew when it calls",
				device)
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
