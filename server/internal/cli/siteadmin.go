package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"enjambre/core"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/origin"
	"enjambre/server/internal/store"
)

// newSiteFlag adds --new-site to a command that names a site.
func newSiteFlag(command *cobra.Command, value *bool) {
	command.Flags().BoolVar(value, "new-site", false, "make the site if there is none of that name")
}

// needSite refuses a site that does not exist, unless it may be made by what names it.
func needSite(ctx context.Context, folder *datafolder.Folder, name core.SiteName, newSite bool) error {
	if newSite {
		return nil
	}
	return newSiteHint(folder.Store.NeedSite(ctx, name))
}

// newSiteHint adds to the news that there is no such site how to make it.
func newSiteHint(err error) error {
	if errors.Is(err, store.ErrUnknownSite) {
		return usage(fmt.Errorf("%w; --new-site makes it, or \"site set\"", err))
	}
	return err
}

// A durationValue is a flag that [core.ParseDuration] reads.
type durationValue time.Duration

var _ pflag.Value = new(durationValue)

func (d *durationValue) String() string { return core.DurationText(time.Duration(*d)) }

// Type names the value in the help.
func (d *durationValue) Type() string { return "duration" }

// Set reads a text.
func (d *durationValue) Set(text string) error {
	read, err := core.ParseDuration(text)
	*d = durationValue(read)
	return err
}

// durationFlag adds a flag for how long something lasts.
func durationFlag(command *cobra.Command, value *time.Duration, name string, preset time.Duration, help string) {
	*value = preset
	command.Flags().Var((*durationValue)(value), name, help)
}

func (p *program) siteRename() *cobra.Command {
	command := p.printing("rename NAME NEW-NAME", "give a site another name", cobra.ExactArgs(2),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			from, err := siteArgument(args)
			if err != nil {
				return err
			}
			to, err := siteArgument(args[1:])
			if err != nil {
				return err
			}
			release, err := folder.Lock() // a server has the ledger in its hands, and counts by the former name
			if err != nil {
				return err
			}
			swarm := filepath.Join(folder.Path, "swarm")
			err = folder.Store.RenameSite(ctx, from, to, func() error { return origin.RenameLedger(swarm, from, to) })
			if err := errors.Join(err, release()); err != nil {
				return err
			}
			p.note("agents hear of it with their next contact; until then those that have heard and those that have not share " +
				"nothing with each other")
			return p.did(map[string]any{"site": to, "was": from}, "site %s is %s now", from, to)
		})
	command.Long = `Give a site another name. It keeps its settings, networks, keys, computers, activations, tokens and what was
counted of its traffic. Stop the server first, since it counts by the name. Agents hear the name with their next contact;
until then those that have heard and those that have not share nothing with each other.`
	return command
}

func (p *program) siteDelete() *cobra.Command {
	var moveTo string
	command := p.printing("delete NAME", "delete a site", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			name, err := siteArgument(args)
			if err != nil {
				return err
			}
			to := core.SiteName("")
			if moveTo != "" {
				if to, err = core.ParseSiteName(moveTo); err != nil {
					return usage(fmt.Errorf("--move-to: %w", err))
				}
			}
			if err := deleteSite(ctx, folder, name, to); err != nil {
				return err
			}
			if to != "" {
				return p.did(map[string]any{"deleted": name, "movedTo": to}, "site %s is deleted, and what it had is moved to %s",
					name, to)
			}
			return p.did(map[string]any{"deleted": name}, "site %s is deleted", name)
		})
	command.Long = `Delete a site. One that computers, activations or tokens name is refused, unless --move-to says which site gets
them and the networks. What was counted of the site's traffic goes with it; if anything was, stop the server first.`
	command.Flags().StringVar(&moveTo, "move-to", "", "site that gets its computers, activations, tokens and networks")
	return command
}

// deleteSite deletes a site with its ledger, which a running server may have in its hands.
func deleteSite(ctx context.Context, folder *datafolder.Folder, name, moveTo core.SiteName) (err error) {
	swarm := filepath.Join(folder.Path, "swarm")
	counted, err := origin.HasLedger(swarm, name)
	if err != nil {
		return err
	}
	if counted {
		release, err := folder.Lock()
		if err != nil {
			return fmt.Errorf("site %s has traffic that was counted: %w", name, err)
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	return folder.Store.DeleteSite(ctx, name, moveTo, func() error { return origin.RemoveLedger(swarm, name) })
}
