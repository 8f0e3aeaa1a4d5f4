package cli

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/installer"
	"enjambre/server/internal/store"
)

// installerFlags are the flags of "installer build".
type installerFlags struct {
	tokenFlags
	system, out, agent, server, tag, proxy string
	debug                                  bool
}

func (p *program) installerCommand() *cobra.Command {
	return group("installer", "what puts agents on computers", p.installerBuild())
}

func (p *program) installerBuild() *cobra.Command {
	var f installerFlags
	command := p.printing("build", "make an installer with the agent, the authority, a token and settings",
		cobra.NoArgs, func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			return p.buildInstaller(ctx, folder, f)
		})
	command.Long = `Make an installer for the computers of a site. It carries the agent's program, the server's authority, a new
token and settings, so that installing it is all there is to do; installed over an older one it upgrades that in place.
A name that ends in .deb makes a Debian package, .tar.gz an archive with install.sh for other systems. Whoever has the
file can enrol computers with its token: keep it as secret, give it few --uses, and --for no longer than needed.`
	f.add(command, 100, 30*24*time.Hour)
	flags := command.Flags()
	flags.StringVar(&f.system, "os", "linux", "operating system of the computers: linux")
	flags.StringVar(&f.out, "out", "", "file to write, named .deb or .tar.gz")
	flags.StringVar(&f.agent, "agent", "", "the agent's program (default: enjambre-agent beside this program)")
	flags.StringVar(&f.server, "server", "", "the server's address (default: where agents reach it now)")
	flags.StringVar(&f.tag, "tag", "", "tag of the computers")
	flags.StringVar(&f.proxy, "proxy", "none", "none, system, or the address of a proxy")
	flags.BoolVar(&f.debug, "debug", false, "have the agents log every decision")
	require(command, "out")
	return command
}

func (p *program) buildInstaller(ctx context.Context, folder *datafolder.Folder, f installerFlags) error {
	write := installer.WriteDeb
	switch {
	case !strings.EqualFold(f.system, string(core.Linux)):
		return usage(fmt.Errorf("--os: there are installers for linux only, not for %.20q", f.system))
	case strings.HasSuffix(f.out, ".tar.gz"):
		write = installer.WriteTarGz
	case !strings.HasSuffix(f.out, ".deb"):
		return usage(fmt.Errorf("--out: %.200q must end in .deb or .tar.gz", f.out))
	}
	text, token, err := f.make(p.now())
	if err != nil {
		return err
	}
	made := installer.Options{
		Token: text, Deployment: folder.Deployment.Name(), Site: token.Site, Tag: f.tag, Proxy: f.proxy, Debug: f.debug,
	}
	if made.Server, err = p.addressForAgents(folder, f.server); err != nil {
		return err
	}
	if err := made.Check(); err != nil {
		return usage(err)
	}
	if made.Program, err = installer.ReadProgram(f.program()); err != nil {
		return err
	}
	if made.Authority, err = trusted(folder); err != nil {
		return err
	}
	if err := needSite(ctx, folder, token.Site, f.newSite); err != nil {
		return err
	}
	keep := func() error { return folder.Store.AddToken(ctx, text, token, p.now()) }
	if err := writeSecret(f.out, func(w io.Writer) error { return write(w, made) }, keep); err != nil {
		return fmt.Errorf("installer: %w", err)
	}
	answer := map[string]any{
		"file": f.out, "tokenId": store.TokenID(text), "server": made.Server, "site": token.Site, "uses": token.Uses,
		"expires": token.Expires.UTC().Truncate(time.Second), "version": made.Program.Version(),
		"arch": made.Program.Arch(),
	}
	return p.print(answer, func(w *tabwriter.Writer) {
		row(w, fmt.Sprintf("%s: agent %s for %s, server %s, site %s, %s until %s, token %s", f.out, made.Program.Version(),
			made.Program.Arch(), made.Server, token.Site, core.Count(token.Uses, "use"), when(token.Expires),
			store.TokenID(text)))
	})
}

// trusted returns what agents verify the server with, now and once the next authority is in service.
func trusted(folder *datafolder.Folder) ([]byte, error) {
	if _, err := folder.Deployment.Authorities(); err != nil { // it says why there is none
		return nil, err
	}
	trust, err := folder.Deployment.Trust()
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, der := range trust.DER() {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return b, nil
}

// program returns the agent's program.
func (f *installerFlags) program() string {
	if f.agent != "" {
		return f.agent
	}
	self, err := os.Executable()
	if err != nil {
		return "enjambre-agent"
	}
	return filepath.Join(filepath.Dir(self), "enjambre-agent")
}

// addressForAgents returns the flag's address, else where the server listens or did last. One whose host is not in
// the server's certificate is warned of.
func (p *program) addressForAgents(folder *datafolder.Folder, flag string) (string, error) {
	address := flag
	if address == "" {
		running, err := folder.Running()
		if errors.Is(err, datafolder.ErrNeverRan) {
			return "", usage(errors.New("--server: say where agents reach the server; none has run here yet"))
		}
		if err != nil {
			return "", err
		}
		address = "https://" + running.HTTPS
	}
	hosts := folder.Deployment.Hosts()
	if parsed, err := url.Parse(address); err == nil && !slices.Contains(hosts, parsed.Hostname()) {
		p.warn(fmt.Sprintf("%s is none of the deployment's hosts (%s): does the server's certificate name it?",
			parsed.Hostname(), strings.Join(hosts, ", ")))
	}
	return address, nil
}

// writeSecret writes a file that only its owner may read, and puts it in its place once last has succeeded.
func writeSecret(path string, write func(io.Writer) error, last func() error) (err error) {
	draft, err := os.CreateTemp(filepath.Dir(path), ".installer-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(draft.Name()))
		}
	}()
	err = write(draft)
	if err == nil {
		err = draft.Sync()
	}
	if err = errors.Join(err, draft.Close()); err != nil {
		return err
	}
	if err = last(); err != nil {
		return err
	}
	return os.Rename(draft.Name(), path)
}
