package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/kardianos/service"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"enjambre/server/internal/daemon"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/setting"
)

// runFlags are the flags of "run", which "service install" passes on.
type runFlags struct {
	listen, listenHTTP, public, passphraseFile string
}

func (f *runFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.listen, "listen", "", "address for HTTPS, such as :8443; port 0 takes a free one")
	flags.StringVar(&f.listenHTTP, "listen-http", "",
		"address for plain HTTP, for stock agents and fragments (default: none)")
	flags.StringVar(&f.public, "public", "",
		"host[:port] by which agents reach the HTTPS address (default: first --host of init, port of --listen)")
	flags.StringVar(&f.passphraseFile, "tls-passphrase-file", "",
		"file with the passphrase of the TLS key (default: ask on the terminal)")
	require(command, "listen")
}

// arguments returns the command line that runs the server so.
func (f *runFlags) arguments(data string) []string {
	args := []string{"run", "--data", data, "--listen", f.listen}
	for _, optional := range [][2]string{{"--listen-http", f.listenHTTP}, {"--public", f.public}, {"--tls-passphrase-file", f.passphraseFile}} {
		if optional[1] != "" {
			args = append(args, optional[0], optional[1])
		}
	}
	return args
}

// samePlace reports whether two programs could not listen at both addresses: their port is one, and their hosts are, or
// one of them is every address of the computer. What is no address is another's to refuse.
func samePlace(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil {
		return false
	}
	numberA, errA := strconv.ParseUint(portA, 10, 16)
	numberB, errB := strconv.ParseUint(portB, 10, 16)
	if errA != nil || errB != nil || numberA != numberB || numberA == 0 {
		return false
	}
	isAny := func(host string) bool {
		address, err := netip.ParseAddr(host)
		return host == "" || err == nil && address.IsUnspecified()
	}
	return strings.EqualFold(hostA, hostB) || isAny(hostA) || isAny(hostB)
}

// check refuses addresses that cannot be meant.
func (f *runFlags) check() error {
	if samePlace(f.listen, f.listenHTTP) {
		return usage(fmt.Errorf("--listen and --listen-http are both %s: HTTPS and plain HTTP need a port each", f.listenHTTP))
	}
	if f.public == "" {
		return nil
	}
	if scheme, rest, found := strings.Cut(f.public, "://"); found {
		return usage(fmt.Errorf("--public: %.200q: leave out %s://, such as %s", f.public, scheme, strings.TrimRight(rest, "/")))
	}
	if strings.ContainsAny(f.public, "/?#@ ") {
		return usage(fmt.Errorf("--public: %.200q is no host[:port], such as deploy.example.net:8443", f.public))
	}
	return nil
}

func (p *program) runCommand() *cobra.Command {
	var f runFlags
	command := p.printing("run", "serve agents until stopped", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			serve := func(ctx context.Context) error { return p.serve(ctx, folder, f) }
			if runtime.GOOS == "windows" && !service.Interactive() {
				manager, err := service.New(&serviceProgram{run: serve}, &service.Config{Name: Name})
				if err != nil {
					return err
				}
				return manager.Run()
			}
			return serve(ctx)
		})
	command.Long = `Serve agents until stopped: messages at /ocsinventory and packages under /download, over HTTPS and, with
--listen-http, over plain HTTP too. Prints "ready URL" once it serves.`
	f.add(command)
	return command
}

func (p *program) serve(ctx context.Context, folder *datafolder.Folder, f runFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	settings, err := folder.Store.Settings(ctx, "")
	if err != nil {
		return err
	}
	if settings.Get(setting.StockAgents) == 0 {
		p.note("stock OCS agents are not served; \"config set STOCK_AGENTS 1\" allows them")
	}
	err = daemon.Run(ctx, folder, daemon.Options{
		Listen: f.listen, ListenHTTP: f.listenHTTP, Public: f.public,
		Passphrase: func() ([]byte, error) { return p.passphrase(f.passphraseFile) },
		Stderr:     p.stderr,
		Ready: func(address string) {
			if err := p.did(map[string]any{"ready": address}, "ready %s", address); err != nil {
				p.warn(err.Error()) // nobody hears it; agents are served all the same
			}
		},
	})
	if err == nil && errors.Is(context.Cause(ctx), errInterrupted) {
		return errInterrupted // a clean end, but not one that the command came to by itself
	}
	return err
}

// passphrase reads the passphrase of a TLS key from a file, or asks for it on the terminal.
func (p *program) passphrase(file string) ([]byte, error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--tls-passphrase-file: %w", err)
		}
		return bytes.TrimRight(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), "\r\n"), nil // Notepad's byte order mark
	}
	terminal, isFile := p.stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(terminal.Fd())) {
		return nil, errors.New("the TLS key has a passphrase: give it with --tls-passphrase-file")
	}
	fmt.Fprint(p.stderr, "passphrase of the TLS key: ")
	passphrase, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(p.stderr)
	return passphrase, err
}
