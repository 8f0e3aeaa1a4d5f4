package cli

import (
	"context"
	"fmt"
	"net"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/server/internal/datafolder"
)

func (p *program) hostCommand() *cobra.Command {
	return group("host", "names and addresses by which agents reach the server: list, add, remove",
		p.hostList(), p.hostAdd(), p.hostRemove())
}

func (p *program) hostList() *cobra.Command {
	return p.printing("list", "list the deployment's hosts", cobra.NoArgs,
		func(_ context.Context, folder *datafolder.Folder, _ []string) error {
			next, err := folder.Deployment.NextHosts()
			if err != nil {
				return err
			}
			view := struct {
				Hosts   []string `json:"hosts"`
				Waiting []string `json:"waiting,omitempty"` // for a certificate that has them
			}{folder.Deployment.Hosts(), next}
			return p.print(view, func(w *tabwriter.Writer) {
				for _, host := range view.Hosts {
					row(w, host, "in service")
				}
				for _, host := range view.Waiting {
					row(w, host, "waits for a certificate that has it")
				}
			})
		})
}

func (p *program) hostAdd() *cobra.Command {
	command := p.printing("add HOST...", "add hosts by which agents reach the server", cobra.MinimumNArgs(1),
		func(_ context.Context, folder *datafolder.Folder, args []string) error {
			waiting, err := folder.Deployment.AddHosts(args)
			if err != nil {
				return err
			}
			if len(waiting) > 0 {
				p.note("the certificate in service is not for %s: make one that is, with \"tls self-signed\", or with "+
					"\"tls csr\" and \"tls install\"; until then no agent can use it", strings.Join(waiting, ", "))
			}
			return p.did(map[string]any{"added": args, "waiting": orEmpty(waiting)}, "added: %s", strings.Join(args, ", "))
		})
	command.Long = `Add names or addresses by which agents reach the server. Those that the certificate in service does not
have wait for one that does: "tls csr" and "tls self-signed" make it for them too, and putting it in service adds them.`
	return command
}

func (p *program) hostRemove() *cobra.Command {
	var force bool
	command := p.printing("remove HOST", "take a host away, which the next certificate shall not have", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			err := folder.Deployment.RemoveHost(args[0], func(host string) error {
				if force {
					return nil
				}
				return hostInUse(ctx, folder, host)
			})
			if err != nil {
				return err
			}
			p.note("the certificate in service may still name it; the next one will not: agents that call the server by it " +
				"will refuse that")
			return p.did(map[string]any{"removed": args[0]}, "removed: %s", args[0])
		})
	command.Flags().BoolVar(&force, "force", false, "also if activations send agents to it")
	return command
}

// hostInUse refuses a host that activations name.
func hostInUse(ctx context.Context, folder *datafolder.Folder, host string) error {
	list, err := folder.Store.Activations(ctx, 0)
	if err != nil {
		return err
	}
	var named []string
	for _, activation := range list {
		if hostOf(activation.InfoURL) == host || hostOf(activation.FragmentsURL) == host {
			named = append(named, fmt.Sprint(activation.ID))
		}
	}
	if len(named) == 0 {
		return nil
	}
	const most = 10
	count := len(named)
	if count > most {
		named = append(named[:most], "...")
	}
	return fmt.Errorf("%d activations send agents to host %q (%s): delete them first, or use --force", count, host,
		strings.Join(named, ", "))
}

// hostOf returns the host of an activation's address, in the spelling of hosts.
func hostOf(address string) string {
	if _, rest, found := strings.Cut(address, "://"); found {
		address = rest
	}
	authority, _, _ := strings.Cut(address, "/")
	if host, _, err := net.SplitHostPort(authority); err == nil {
		authority = host
	}
	return strings.ToLower(strings.Trim(authority, "[]"))
}
