package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/identity"
	"enjambre/server/internal/store"
)

func (p *program) tlsCommand() *cobra.Command {
	return group("tls", "the server's certificate: show, request, install, make",
		p.tlsShow(), p.tlsCSR(), p.tlsInstall(), p.tlsSelfSigned(), p.tlsNext())
}

func (p *program) tlsShow() *cobra.Command {
	return p.printing("show", "show the certificate in service", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			d, err := folder.Deployment.Describe(p.now())
			if err != nil {
				return err
			}
			next, err := p.nextView(ctx, folder)
			if err != nil {
				return err
			}
			answer := struct {
				identity.Description
				Next *nextView `json:"next,omitempty"`
			}{d, next}
			return p.print(answer, func(w *tabwriter.Writer) {
				if d.Subject != "" {
					row(w, "subject", d.Subject)
					row(w, "issuer", d.Issuer)
					row(w, "hosts", d.Hosts)
					row(w, "key", d.Key)
					row(w, "valid",
						fmt.Sprintf("%s to %s (%d days left)", when(d.NotBefore), when(d.NotAfter), d.DaysLeft))
					row(w, "sha256", d.SHA256)
					row(w, "intermediates", d.Intermediates)
				}
				if d.RequestPending {
					row(w, "request", "pending: "+filepath.Join(folder.Path, "tls", "server.csr"))
				}
				if d.Problem != "" {
					row(w, "problem", d.Problem)
				}
				if next != nil {
					for _, subject := range next.Authorities {
						row(w, "next authority", subject)
					}
					row(w, "learnt by", fmt.Sprintf("%d of %d computers seen in the last 30 days still lack it", next.Lack,
						next.Seen))
				}
			})
		})
}

func (p *program) tlsCSR() *cobra.Command {
	var options identity.RequestOptions
	command := p.printing("csr", "make a new key and print a certificate request for it", cobra.NoArgs,
		func(_ context.Context, folder *datafolder.Folder, _ []string) error {
			request, err := folder.Deployment.MakeRequest(options)
			if err != nil {
				return err
			}
			p.note("the certificate in service stays until you \"tls install\" the answer")
			if p.json {
				return p.print(map[string]any{"request": string(request)}, nil)
			}
			_, err = p.stdout.Write(request)
			return err
		})
	command.Long = `Make a new key and print a certificate request for it, for all hosts of the deployment ("host list").
Give it to your authority, and put its answer in service with "tls install". Templates of Active Directory want RSA keys.`
	flags := command.Flags()
	flags.StringVar(&options.Key, "key", "p256", "p256, p384, rsa:2048, rsa:3072 or rsa:4096")
	flags.StringVar(&options.Subject, "subject", "",
		`such as "CN=deploy, O=Example, C=DE" (default: CN=name of the deployment)`)
	return command
}

func (p *program) tlsInstall() *cobra.Command {
	var f tlsFlags
	var force bool
	command := p.printing("install", "put a certificate made elsewhere in service", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			if f.certificate == "" {
				return usage(errors.New("--tls-cert: give the file of the certificate"))
			}
			warnings, err := folder.Deployment.Install(identity.Installation{
				Certificate: f.certificate, Key: f.key, Authority: f.ca,
				Passphrase: func() ([]byte, error) { return p.passphrase(f.secret) },
				Allow:      p.allow(ctx, folder, force, "tls next --ca FILE"),
			}, p.now())
			p.warn(warnings...)
			return p.inService(folder, err)
		})
	f.add(command)
	forceFlag(command, &force)
	return command
}

func (p *program) tlsSelfSigned() *cobra.Command {
	var days int
	var force bool
	command := p.printing(
		"self-signed",
		"make a new self-signed certificate and put it in service",
		cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			allow := p.allow(ctx, folder, force, "tls next --self-signed")
			warnings, err := folder.Deployment.SelfSign(days, allow, p.now())
			p.warn(warnings...)
			return p.inService(folder, err)
		},
	)
	daysFlag(command, &days)
	forceFlag(command, &force)
	return command
}

// inService says which certificate is in service now, unless putting it there failed.
func (p *program) inService(folder *datafolder.Folder, err error) error {
	if err != nil {
		return err
	}
	d, err := folder.Deployment.Describe(p.now())
	if err != nil {
		return err
	}
	return p.did(d, "in service: %s, until %s; a running server takes it within moments", d.Subject, when(d.NotAfter))
}

func daysFlag(command *cobra.Command, days *int) {
	command.Flags().IntVar(days, "tls-days", 0, fmt.Sprintf("its life in days (default %d)", identity.DefaultDays))
}

func forceFlag(command *cobra.Command, force *bool) {
	command.Flags().BoolVar(force, "force", false, "also if enrolled computers will refuse it")
}

// allow refuses a certificate that computers seen lately would not accept (T55), unless forced. The hint is
// how to announce one like it.
func (p *program) allow(ctx context.Context, folder *datafolder.Folder, force bool, hint string) identity.Allow {
	if force {
		return nil
	}
	return func(accepted []core.Digest) error {
		count, err := folder.Store.Trusting(ctx, accepted, p.now())
		if err == nil && count.Lack > 0 {
			err = fmt.Errorf("%d of %d computers seen in the last 30 days would refuse this certificate and could not be "+
				"reached any more: announce it with \"%s\", wait until \"tls show\" says that none lacks it, then \"tls "+
				"install\" it; or use --force", count.Lack, count.Seen, hint)
		}
		return err
	}
}

// A nextView is what is announced, and who has learnt it.
type nextView struct {
	Authorities []string `json:"authorities"` // their subjects
	store.TrustCount
}

// nextView returns nil when nothing is announced.
func (p *program) nextView(ctx context.Context, folder *datafolder.Folder) (*nextView, error) {
	trust, err := folder.Deployment.Trust()
	if err != nil || len(trust.Next) == 0 {
		return nil, err
	}
	var view nextView
	for _, certificate := range trust.Next {
		view.Authorities = append(view.Authorities, certificate.Subject.String())
	}
	view.TrustCount, err = folder.Store.Trusting(ctx, []core.Digest{trust.Digest()}, p.now())
	return &view, err
}

func (p *program) tlsNext() *cobra.Command {
	var ca string
	var selfSigned, clear bool
	var days int
	command := p.printing("next", "have enrolled agents trust the next authority ahead of time", cobra.NoArgs,
		func(_ context.Context, folder *datafolder.Folder, _ []string) error {
			switch {
			case ca != "":
				if err := folder.Deployment.Announce(ca); err != nil {
					return err
				}
				return p.did(map[string]any{"announced": ca}, "%s is announced; \"tls show\" says who still lacks it", ca)
			case clear:
				if err := folder.Deployment.ClearNext(); err != nil {
					return err
				}
				return p.did(map[string]any{"announced": nil}, "nothing is announced any more")
			}
			certificate, key, err := folder.Deployment.AnnounceSelfSigned(days, p.now())
			if err != nil {
				return err
			}
			p.note("when \"tls show\" says that none lacks it: tls install --tls-cert %s --tls-key %s", certificate, key)
			return p.did(map[string]any{"announced": certificate, "key": key}, "%s is announced", certificate)
		})
	command.Long = `Have enrolled agents trust, besides what they have, the authority of the certificate that the
server will have next. They learn it at their next contacts; "tls show" says how many still lack it. "tls install" ends it.`
	flags := command.Flags()
	flags.StringVar(&ca, "ca", "", "file of the next authority")
	flags.BoolVar(&selfSigned, "self-signed", false, "make the next self-signed certificate")
	flags.BoolVar(&clear, "clear", false, "announce nothing any more")
	daysFlag(command, &days)
	oneOf(command, "ca", "self-signed", "clear")
	return command
}
