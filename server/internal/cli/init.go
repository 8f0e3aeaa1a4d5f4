package cli

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/identity"
)

// tlsFlags say where a certificate comes from.
type tlsFlags struct {
	days                         int
	certificate, key, ca, secret string
}

func (f *tlsFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.certificate, "tls-cert", "", "file of a certificate made elsewhere, with intermediates")
	flags.StringVar(&f.key, "tls-key", "", "file of its key")
	flags.StringVar(&f.ca, "ca", "", "file of its authority, which becomes cacert.pem")
	flags.StringVar(&f.secret, "tls-passphrase-file", "",
		"file with the passphrase of the key (default: ask on the terminal)")
}

func (p *program) initCommand() *cobra.Command {
	var f tlsFlags
	var options identity.Options
	var stockAgents bool
	command := p.action(
		"init",
		"make a deployment: its keys, certificate and data folder",
		cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			options.Now = p.now()
			options.Days, options.Certificate, options.Key, options.Authority = f.days, f.certificate, f.key, f.ca
			options.Passphrase = func() ([]byte, error) { return p.passphrase(f.secret) }
			if err := datafolder.Create(ctx, p.data, options, stockAgents); err != nil {
				return err
			}
			p.warnLoopback(options.Hosts)
			answer := map[string]any{"data": p.data, "authority": filepath.Join(p.data, "cacert.pem")}
			return p.print(answer, func(w *tabwriter.Writer) {
				row(w, "data folder", p.data)
				if options.Request {
					row(w, "next", "have "+filepath.Join(p.data, "tls", "server.csr")+" signed, then: tls install")
					return
				}
				row(w, "for agents", filepath.Join(p.data, "cacert.pem"))
				row(w, "signing", "by one key, in the data folder: whoever has it decides what agents run")
				next := fmt.Sprintf("%s run --data %s --listen :443", Name, p.data)
				if stockAgents {
					next += " --listen-http :80"
				}
				row(w, "next", next)
			})
		},
	)
	p.dataFlag(command)
	flags := command.Flags()
	flags.StringSliceVar(&options.Hosts, "host", nil,
		"names and addresses by which agents reach this server, separated by commas")
	flags.StringVar(&options.Name, "name", "", "name of the deployment (default: the first host)")
	flags.BoolVar(&stockAgents, "stock-agents", false,
		"serve stock OCS agents, which cannot prove who they are")
	flags.IntVar(&f.days, "tls-days", 0,
		fmt.Sprintf("life of the self-signed certificate in days (default %d)", identity.DefaultDays))
	flags.BoolVar(&options.Request, "csr", false, "make a certificate request for your own authority instead")
	f.add(command)
	require(command, "host")
	return command
}

// warnLoopback warns of hosts that every computer takes for itself.
func (p *program) warnLoopback(hosts []string) {
	for _, host := range hosts {
		address, err := netip.ParseAddr(host)
		name := strings.TrimSuffix(strings.ToLower(host), ".")
		if err == nil && (address.IsLoopback() || address.IsUnspecified()) || name == "localhost" ||
			strings.HasSuffix(name, ".localhost") {
			p.warn(fmt.Sprintf("--host %s: each agent takes that for its own computer; it is good for trials on this one only",
				host))
		}
	}
}
