package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/kardianos/service"
	"github.com/spf13/cobra"

	"enjambre/agent/internal/config"
	"enjambre/agent/internal/daemon"
	"enjambre/agent/internal/execute"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/state"
)

// runFlags are the flags of "run" and "once".
type runFlags struct {
	*place
	proxy   string
	listen  string
	mdns    *bool // nil: what the settings say
	debug   bool
	service bool
	once    bool
	maxTime time.Duration
}

func (p *program) runFlags(command *cobra.Command, f *runFlags) {
	f.place = p.place(command)
	command.Flags().StringVar(&f.proxy, "proxy", "",
		"none, system, or the address of a proxy (default: what the settings say, else none)")
	command.Flags().StringVar(&f.listen, "listen", "",
		"UDP port for other agents of the site; 0: any that is free; off: none (default: what the settings say, else 4901)")
	command.Flags().BoolFunc("mdns",
		"find agents of the site by mDNS too, and be found (default: what the settings say, else not)",
		func(text string) error {
			on, err := strconv.ParseBool(text)
			f.mdns = &on
			return err
		})
	command.Flags().BoolVar(&f.debug, "debug", false, "log every decision")
}

// chosenProxy returns the way to the server: the flag's, else that of the settings.
func chosenProxy(settings config.Config, flag string) (origin.Proxy, error) {
	if flag == "" {
		return origin.ParseProxy(settings.Proxy)
	}
	proxy, err := origin.ParseProxy(flag)
	if err != nil {
		return origin.Proxy{}, &usageError{fmt.Errorf("--proxy: %w", err)}
	}
	return proxy, nil
}

// chosenListen returns the port for members: the flag's, else that of the settings.
func chosenListen(settings config.Config, flag string) (port uint16, off bool, err error) {
	if flag == "" {
		return config.ParseListen(settings.Listen)
	}
	if port, off, err = config.ParseListen(flag); err != nil {
		return 0, false, &usageError{fmt.Errorf("--listen: %w", err)}
	}
	return port, off, nil
}

func (p *program) run() *cobra.Command {
	var f runFlags
	command := &cobra.Command{
		Use: "run", Short: "be the service: call the server, fetch packages, run them", Args: cobra.NoArgs,
		Long: `Be the service: call the server, fetch packages, run them. An agent that is not enrolled yet enrols first,
with the server, the authority and the token that the settings name, and tries until that succeeds.`,
		RunE: func(command *cobra.Command, _ []string) error { return p.runAs(command.Context(), f) },
	}
	p.runFlags(command, &f)
	command.Flags().BoolVar(&f.service, "service", false,
		"as the service manager starts it: the log goes to a file, and an agent that cannot enrol waits for it")
	return command
}

func (p *program) once() *cobra.Command {
	var f runFlags
	command := &cobra.Command{
		Use: "once", Short: "one contact, then work until nothing is left", Args: cobra.NoArgs,
		Long: `One contact with the server, then work until nothing is left. Exit code 0 when every package succeeded; 1, with
a line for each that did not, when one failed, when the time is over, or at once when the rest can never be due.`,
		RunE: func(command *cobra.Command, _ []string) error {
			f.once = true
			return p.work(command.Context(), f)
		},
	}
	p.runFlags(command, &f)
	p.jsonFlag(command)
	command.Flags().Var((*durationValue)(&f.maxTime), "max-time", "how long it may take, such as 10m or 1d; 0: no end")
	return command
}

// runAs runs the agent until ctx ends, or, where a manager starts and stops services by calls, until it says so.
func (p *program) runAs(ctx context.Context, f runFlags) error {
	work := p.work
	if f.service {
		p.started, work = true, p.serve
	}
	if runtime.GOOS != "windows" || service.Interactive() {
		return work(ctx, f)
	}
	manager, err := service.New(&serviceProgram{run: func(ctx context.Context) error { return work(ctx, f) }},
		&service.Config{Name: Name})
	if err != nil {
		return err
	}
	return manager.Run()
}

// work runs the agent.
func (p *program) work(ctx context.Context, f runFlags) (err error) {
	p.started = true
	if f.maxTime < 0 {
		return &usageError{errors.New("--max-time: use a time such as 10m, or 0 for no end")}
	}
	settings, err := f.settings()
	if err != nil {
		return err
	}
	settings.Debug = settings.Debug || f.debug
	proxy, err := chosenProxy(settings, f.proxy)
	if err != nil {
		return err
	}
	open := state.Open
	if f.once { // which enrols nobody
		open = state.Find
	}
	folder, err := open(settings.State)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("the agent's own program: %w", err)
	}
	log, closeLog, err := p.log(settings, f.service)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	options := daemon.Options{
		State: folder, Program: self, Log: log, Proxy: proxy, Once: f.once, MaxTime: f.maxTime,
		SwarmMDNS: settings.MDNS, SwarmTunnels: settings.Tunnels,
	}
	if f.mdns != nil {
		options.SwarmMDNS = *f.mdns
	}
	if options.VaultBytes, err = config.ParseSize(settings.VaultMax); err != nil {
		return err
	}
	if options.VaultReserve, err = config.ParseSize(settings.VaultReserve); err != nil {
		return err
	}
	if options.SwarmPort, options.SwarmOff, err = chosenListen(settings, f.listen); err != nil {
		return err
	}
	if !f.once {
		err = joining{folder: folder, settings: settings, proxy: proxy, log: log, service: f.service}.join(ctx)
	}
	if err == nil {
		err = daemon.Run(ctx, options)
	}
	if f.once && p.json { // what it came to, also where a package failed
		found, readErr := readPackages(f.place)
		if readErr == nil {
			readErr = p.print(map[string]any{"good": err == nil, "packages": found}, nil)
		}
		err = errors.Join(err, readErr)
	}
	if ctx.Err() != nil && !f.once && (err == nil || errors.Is(err, ctx.Err())) {
		return nil // a service that was asked to end has done what it should
	}
	return errors.Join(err, ctx.Err())
}

// shim is the hidden command that the agent starts to run a package's command.
func (p *program) shim() *cobra.Command {
	return &cobra.Command{
		Use: execute.ShimCommand + " [FOLDER]", Short: "run one command for the agent", Args: cobra.MaximumNArgs(1),
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			p.started = true
			return execute.Run(execute.JobFolder(args), p.stdin)
		},
	}
}
