package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/core/info"
	"enjambre/server/internal/catalog"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/delivery"
	"enjambre/server/internal/store"
)

func (p *program) activationCommand() *cobra.Command {
	return group("activation", "make packages available at a place, check that they are, and take them back",
		p.activationCreate(), p.activationCheck(), p.activationDelete(), p.activationList())
}

// activationPlaces are the flags of "activation create".
type activationPlaces struct {
	info, fragments, site string
	newSite, force        bool
}

func (p *program) activationCreate() *cobra.Command {
	var places activationPlaces
	var id func() (core.PackageID, error)
	command := p.printing("create", "make a package available, after checking that it is", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			chosen, err := id()
			if err != nil {
				return err
			}
			return p.createActivation(ctx, folder, chosen, places)
		})
	command.Long = `Make a package available at two places: agents fetch its info file from
https://INFO-URL/ID/info and its fragments from PROTOCOL://FRAGMENTS-URL/ID/ID-n. The default is this
server, at the address it listens on. Before the activation is made, the info file and every fragment are
fetched from there and compared.`
	id = packageFlag(command, true)
	flags := command.Flags()
	flags.StringVar(&places.info, "info-url", "", "host[:port]/folder of the info file (default: this server)")
	flags.StringVar(&places.fragments, "fragments-url", "",
		"host[:port]/folder of the fragments (default: this server)")
	flags.StringVar(&places.site, "site", "", "for the computers of this site (default: of any)")
	newSiteFlag(command, &places.newSite)
	flags.BoolVar(&places.force, "force", false, "activate although the check fails")
	return command
}

func (p *program) createActivation(ctx context.Context, folder *datafolder.Folder, id core.PackageID,
	places activationPlaces) error {
	pkg, err := folder.Store.Package(ctx, id)
	if err != nil {
		return err
	}
	activation := store.Activation{Package: id, Created: p.now()}
	if err := placeActivation(folder, pkg, places, &activation); err != nil {
		return err
	}
	if activation.Site != "" {
		if err := needSite(ctx, folder, activation.Site, places.newSite); err != nil {
			return err
		}
	}
	if problem := p.checkActivation(ctx, folder, activation); problem != nil {
		if !places.force || ctx.Err() != nil {
			return fmt.Errorf(
				"package %s is not available at the given places:\n%w\ncorrect the places, start the server, or use --force",
				id,
				problem,
			)
		}
		activation.Forced = true
		p.warn("activated although the check failed: " + problem.Error())
	}
	if activation.ID, err = folder.Store.AddActivation(ctx, activation); err != nil {
		return err
	}
	if places.fragments != "" {
		p.note("every agent that is given this activation has the fragments from %s, unless that is this server; no WAN rate of "+
			"a site binds it, and \"site traffic\" does not count it", activation.FragmentsURL)
	}
	if err := p.warnNeverDue(ctx, folder, pkg); err != nil {
		return err
	}
	return p.print(map[string]any{"activation": activation.ID}, func(w *tabwriter.Writer) {
		row(w, "activation", activation.ID)
		row(w, "info", "https://"+activation.InfoURL)
		row(w, "fragments", activation.FragmentsURL)
		row(w, "next", fmt.Sprintf("affect --activation %s --query ...", activation.ID))
	})
}

// placeActivation fills in where a package is made available.
func placeActivation(folder *datafolder.Folder, pkg store.Package, places activationPlaces,
	to *store.Activation) (err error) {
	if places.site != "" {
		if to.Site, err = core.ParseSiteName(places.site); err != nil {
			return usage(fmt.Errorf("--site: %w", err))
		}
	}
	running, runErr := folder.Running()
	infoPlace, fragmentsPlace := places.info, places.fragments
	if infoPlace == "" {
		if runErr != nil {
			return fmt.Errorf("--info-url is not given: %w; start it once, or give the place", runErr)
		}
		infoPlace = running.HTTPS + "/" + delivery.Folder
	}
	scheme := "https"
	if pkg.Protocol == string(info.HTTP) {
		scheme = "http"
	}
	if fragmentsPlace == "" {
		switch {
		case runErr != nil:
			return fmt.Errorf("--fragments-url is not given: %w; start it once, or give the place", runErr)
		case scheme == "https" || pkg.Fragments == 0:
			fragmentsPlace = running.HTTPS + "/" + delivery.Folder
		case running.HTTP == "":
			return errors.New(
				"the package's fragments travel over HTTP, which this server does not serve: start it with --listen-http, " +
					"give --fragments-url, or build the package with --protocol https",
			)
		default:
			fragmentsPlace = running.HTTP + "/" + delivery.Folder
		}
	}
	infoLocation, infoErr := catalog.ParseLocation(infoPlace, "https")
	fragmentsLocation, fragmentsErr := catalog.ParseLocation(fragmentsPlace, scheme)
	to.InfoURL, to.FragmentsURL = string(infoLocation), string(fragmentsLocation)
	if infoErr != nil {
		infoErr = fmt.Errorf("--info-url: %w", infoErr)
	}
	if fragmentsErr != nil {
		fragmentsErr = fmt.Errorf("--fragments-url: %w", fragmentsErr)
	}
	return usage(errors.Join(infoErr, fragmentsErr))
}

// checkActivation fetches everything as agents would.
func (p *program) checkActivation(ctx context.Context, folder *datafolder.Folder,
	activation store.Activation) error {
	authorities, err := folder.Deployment.Authorities()
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	return folder.Catalog(p.log()).
		Check(ctx, activation, catalog.Reach{Roots: roots, Own: folder.Deployment.Hosts()})
}

// activationFlag adds --activation and returns a function that reads it.
func activationFlag(command *cobra.Command, required bool) func() (store.ActivationID, error) {
	var text string
	command.Flags().StringVar(&text, "activation", "", "activation")
	if required {
		require(command, "activation")
	}
	return func() (store.ActivationID, error) {
		if text == "" {
			return 0, nil
		}
		id, err := store.ParseActivationID(text)
		return id, usage(err)
	}
}

func (p *program) activationCheck() *cobra.Command {
	var id func() (store.ActivationID, error)
	command := p.printing(
		"check",
		"check that an activation's info file and fragments can be had",
		cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			chosen, err := id()
			if err != nil {
				return err
			}
			activation, err := folder.Store.Activation(ctx, chosen)
			if err != nil {
				return err
			}
			if err := p.checkActivation(ctx, folder, activation); err != nil {
				return fmt.Errorf("activation %s is not available:\n%w", chosen, err)
			}
			return p.print(map[string]any{"activation": chosen, "available": true}, func(w *tabwriter.Writer) {
				row(w, "activation "+chosen.String(), "info file and all fragments are available and right")
			})
		},
	)
	id = activationFlag(command, true)
	return command
}

func (p *program) activationDelete() *cobra.Command {
	var id func() (store.ActivationID, error)
	command := p.printing("delete", "take an activation back and unaffect it from all computers", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			chosen, err := id()
			if err != nil {
				return err
			}
			unaffected, err := folder.Store.DeleteActivation(ctx, chosen)
			if err != nil {
				return err
			}
			p.noteStockAgents(unaffected)
			return p.print(map[string]any{"unaffected": unaffected}, func(w *tabwriter.Writer) {
				row(w, "unaffected", unaffected)
			})
		})
	id = activationFlag(command, true)
	return command
}

// noteStockAgents says what taking back cannot do.
func (p *program) noteStockAgents(taken int) {
	if taken > 0 {
		p.note("stock agents that have fetched the info file already cannot be stopped; they will install it")
	}
}

func (p *program) activationList() *cobra.Command {
	var id func() (core.PackageID, error)
	command := p.printing("list", "list activations", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			chosen, err := id()
			if err != nil {
				return err
			}
			list, err := folder.Store.Activations(ctx, chosen)
			if err != nil {
				return err
			}
			return p.print(map[string]any{"activations": orEmpty(list)}, func(w *tabwriter.Writer) {
				row(w, "ACTIVATION", "PACKAGE", "NAME", "SITE", "INFO", "FRAGMENTS", "NOT NOTIFIED", "SUCCESS",
					"ERRORS")
				for _, one := range list {
					row(w, one.ID, one.Package, one.Name, dash(one.Site), one.InfoURL, one.FragmentsURL, one.NotNotified,
						one.Success, one.Errors)
				}
			})
		})
	id = packageFlag(command, false)
	return command
}
