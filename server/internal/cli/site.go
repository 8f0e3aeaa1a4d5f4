package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/core/seal"
	"enjambre/core/wanrate"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/site"
	"enjambre/server/internal/store"
)

func (p *program) siteCommand() *cobra.Command {
	return group("site", "list, show, set, rename and delete sites, what went into them, and rotate their keys",
		p.siteList(), p.siteShow(), p.siteSet(), p.siteRename(), p.siteDelete(), p.siteTraffic(), p.siteRotateKey(), p.siteRotateOnline())
}

// siteArgument reads the only argument as a site's name.
func siteArgument(args []string) (core.SiteName, error) {
	name, err := core.ParseSiteName(args[0])
	return name, usage(err)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (p *program) siteList() *cobra.Command {
	return p.printing("list", "list the sites", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			sites, err := folder.Store.Sites(ctx, p.now())
			if err != nil {
				return err
			}
			return p.print(map[string]any{"sites": sites}, func(w *tabwriter.Writer) {
				row(w, "SITE", "COMPUTERS", "AGENTS", "MEMBERS", "NETWORKS", "WAN RATE", "PACE", "SWARM", "EPOCH")
				for _, one := range sites {
					row(w, one.Name, one.Computers, one.Agents, one.Members, len(one.Networks), rateText(one.Rate), one.Pace,
						onOff(one.Swarm), one.Epoch)
				}
			})
		})
}

// rateText writes a schedule for people.
func rateText(s wanrate.Schedule) string {
	if !s.Limited() {
		return wanrate.Unlimited.String()
	}
	return s.String()
}

func (p *program) siteShow() *cobra.Command {
	return p.printing("show NAME", "show one site", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			name, err := siteArgument(args)
			if err != nil {
				return err
			}
			view, err := folder.Store.Site(ctx, name, p.now())
			if err != nil {
				return err
			}
			rate, until, err := view.RateAt(p.now())
			if err != nil {
				return err
			}
			answer := struct {
				store.SiteView
				RateNow   string    `json:"wanRateNow"`
				RateUntil time.Time `json:"wanRateUntil,omitzero"`
			}{view, rate.String(), until}
			return p.print(answer, func(w *tabwriter.Writer) { siteTable(w, view, rate, until) })
		})
}

func siteTable(w *tabwriter.Writer, view store.SiteView, rate wanrate.Rate, until time.Time) {
	row(w, "site", view.Name)
	row(w, "computers", view.Computers)
	row(w, "enrolled agents", view.Agents)
	row(w, "members", view.Members)
	for _, network := range view.Networks {
		row(w, "network", network)
	}
	row(w, "time zone", view.TimeZone)
	row(w, "WAN rate", rateText(view.Rate))
	now := rate.String()
	if !until.IsZero() {
		now += " until " + until.Format("2006-01-02 15:04 MST")
	}
	row(w, "WAN rate now", now)
	row(w, "WAN fetchers", view.Fetchers)
	row(w, "pace", view.Pace)
	row(w, "swarm", onOff(view.Swarm))
	row(w, "epoch", view.Epoch)
	if view.KeyEpoch == 0 {
		row(w, "gossip key", "-")
	} else {
		row(w, "gossip key", fmt.Sprintf("number %d, made %s", view.KeyEpoch, when(view.KeyMade)))
	}
}

// siteFlags are the values of site set; those whose flag was given count.
type siteFlags struct {
	networks, rates       []string
	noNetworks, noRate    bool
	timeZone, pace, swarm string
	fetchers              int
}

func (p *program) siteSet() *cobra.Command {
	var f siteFlags
	var command *cobra.Command
	command = p.printing("set NAME", "set what holds for a site, and make it if there is none", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			name, err := siteArgument(args)
			if err != nil {
				return err
			}
			change, err := f.change(command.Flags().Changed)
			if errors.Is(err, errNothingToSet) && errors.Is(folder.Store.NeedSite(ctx, name), store.ErrUnknownSite) {
				change, err = func(*site.Site) error { return nil }, nil // made on purpose, with the defaults
			}
			if err != nil {
				return usage(err)
			}
			err = folder.Store.SetSite(ctx, name, change)
			if core.ClassOf(err) != "" {
				return usage(err)
			}
			if err != nil {
				return err
			}
			view, err := folder.Store.Site(ctx, name, p.now())
			if err != nil {
				return err
			}
			return p.did(view, "site %s is set: %s there", name, core.Count(view.Computers, "computer"))
		})
	command.Long = `Set what holds for a site, and make it if there is none. What no flag names stays as it is; --network
and --wan-rate replace all networks and all rates. Networks are the inside of the site: a computer with an address in one
of them is at this site, enrolled ones from their next contact on, whatever was set by hand or a token said. Without a
flag, a site is made with the defaults.

  site set lyon --network 10.1.0.0/16 --timezone Europe/Paris --wan-rate 20mbit --wan-rate 4mbit@08:00-18:00`
	flags := command.Flags()
	flags.StringSliceVar(&f.networks, "network", nil, "network inside the site, such as 10.1.0.0/16; several are allowed")
	flags.BoolVar(&f.noNetworks, "no-networks", false, "the site has no networks")
	flags.StringVar(&f.timeZone, "timezone", "", "time zone of the rates' hours, such as Europe/Paris (default UTC)")
	flags.StringSliceVar(&f.rates, "wan-rate", nil,
		"rate of the WAN link, such as 4mbit, 512kbit@08:00-18:00; several with hours are allowed")
	flags.BoolVar(&f.noRate, "no-wan-rate", false, "the WAN link may be filled")
	flags.IntVar(&f.fetchers, "wan-fetchers", site.DefaultFetchers, "bodies at once over the WAN link")
	flags.StringVar(&f.pace, "pace", "", "what keeps agents from filling the link: latency or rate (default latency)")
	flags.StringVar(&f.swarm, "swarm", "", "whether enrolled agents form a swarm: on or off (default on)")
	command.MarkFlagsMutuallyExclusive("network", "no-networks")
	command.MarkFlagsMutuallyExclusive("wan-rate", "no-wan-rate")
	return command
}

// errNothingToSet says that no flag is given.
var errNothingToSet = errors.New("nothing to set: give --network, --wan-rate or another of the flags")

// change returns what the given flags do to a site, with every mistake in them at once.
func (f *siteFlags) change(given func(string) bool) (func(*site.Site) error, error) {
	var changes []func(*site.Site)
	var problems []error
	add := func(flag string, err error, change func(*site.Site)) {
		if err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", flag, err))
		}
		changes = append(changes, change)
	}
	if given("network") || given("no-networks") {
		networks, err := parseNetworks(f.networks, f.noNetworks)
		add("network", err, func(s *site.Site) { s.Networks = networks })
	}
	if given("timezone") {
		_, err := site.ParseTimeZone(f.timeZone)
		add("timezone", err, func(s *site.Site) { s.TimeZone = f.timeZone })
	}
	if given("wan-rate") || given("no-wan-rate") {
		rate, err := parseRates(f.rates, f.noRate)
		add("wan-rate", err, func(s *site.Site) { s.Rate = rate })
	}
	if given("wan-fetchers") {
		add("wan-fetchers", nil, func(s *site.Site) { s.Fetchers = f.fetchers })
	}
	if given("pace") {
		pace, err := site.ParsePace(f.pace)
		add("pace", err, func(s *site.Site) { s.Pace = pace })
	}
	if given("swarm") {
		on, err := parseOnOff(f.swarm)
		add("swarm", err, func(s *site.Site) { s.Swarm = on })
	}
	if len(changes) == 0 {
		return nil, errNothingToSet
	}
	return func(s *site.Site) error {
		for _, change := range changes {
			change(s)
		}
		return nil
	}, errors.Join(problems...)
}

// parseNetworks reads the values of --network; none is said by --no-networks only.
func parseNetworks(texts []string, none bool) (networks []netip.Prefix, err error) {
	if len(texts) == 0 && !none {
		return nil, errors.New("no network is named; --no-networks takes all away")
	}
	for _, text := range texts {
		network, problem := site.ParseNetwork(text)
		networks, err = append(networks, network), errors.Join(err, problem)
	}
	return networks, err
}

// parseRates reads the values of --wan-rate; no limit is said by --no-wan-rate only.
func parseRates(words []string, none bool) (wanrate.Schedule, error) {
	if len(words) == 0 && !none {
		return wanrate.Schedule{}, errors.New("no rate is named; --no-wan-rate takes the limit away")
	}
	return wanrate.Parse(words...)
}

func parseOnOff(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, fmt.Errorf("%.20q is neither on nor off", text)
}

func (p *program) siteRotateKey() *cobra.Command {
	return p.printing("rotate-key NAME", "replace the key that encrypts a site's gossip", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			name, err := siteArgument(args)
			if err != nil {
				return err
			}
			epoch, err := folder.Store.RotateKey(ctx, name, p.now())
			if err != nil {
				return err
			}
			return p.print(map[string]any{"site": name, "keyEpoch": epoch}, func(w *tabwriter.Writer) {
				row(w, "site", name)
				row(w, "gossip key", fmt.Sprintf("number %d", epoch))
			})
		})
}

func (p *program) siteRotateOnline() *cobra.Command {
	command := p.printing("rotate-online", "replace the key that signs all sites' tickets and epochs", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			public, signs, err := folder.Deployment.RotateOnline(ctx, p.now())
			if err != nil {
				return err
			}
			if err := folder.Store.RaiseEpochs(ctx); err != nil {
				return fmt.Errorf("the key is replaced, but sites do not hear of it before their next contacts: %w", err)
			}
			key := seal.KeyIDOf(public).String()
			return p.print(map[string]any{"key": key, "signsFrom": signs}, func(w *tabwriter.Writer) {
				row(w, "online key", key)
				row(w, "signs from", when(signs))
			})
		})
	command.Long = `Replace the online key, which signs the tickets and epochs of all sites and nothing that is run. Agents are
told the new key at once and it signs a day later; the former one counts until its last ticket has expired, two days
from now. A running server needs no restart.`
	return command
}
