package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"enjambre/agent/internal/daemon"
	"enjambre/agent/internal/execute"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/state"
)

// runFlags are the flags of "run" and "once".
type runFlags struct {
	state   *string
	proxy   string
	debug   bool
	maxTime time.Duration
}

func (p *program) runFlags(command *cobra.Command, f *runFlags) {
	f.state = p.common(command)
	command.Flags().StringVar(&f.proxy, "proxy", "none", "none, system, or the address of a proxy")
	command.Flags().BoolVar(&f.debug, "debug", false, "log every decision")
}

func (p *program) run() *cobra.Command {
	var f runFlags
	command := &cobra.Command{
		Use: "run", Short: "be the service: call the server, fetch packages, run them", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return p.work(command, f, false) },
	}
	p.runFlags(command, &f)
	return command
}

func (p *program) once() *cobra.Command {
	var f runFlags
	command := &cobra.Command{
		Use: "once", Short: "one contact, then work until nothing is left", Args: cobra.NoArgs,
		Long: `One contact with the server, then work until nothing is left. Exit code 0 when every package succeeded; 1, with
a line for each that did not, when one failed, when the time is over, or at once when the rest can never be due.`,
		RunE: func(command *cobra.Command, _ []string) error { return p.work(command, f, true) },
	}
	p.runFlags(command, &f)
	command.Flags().DurationVar(&f.maxTime, "max-time", 0, "how long it may take, such as 10m; 0: no end")
	return command
}

// work runs the agent.
func (p *program) work(command *cobra.Command, f runFlags, once bool) error {
	p.started = true
	proxy, err := origin.ParseProxy(f.proxy)
	if err != nil {
		return &usageError{fmt.Errorf("--proxy: %w", err)}
	}
	if f.maxTime < 0 {
		return &usageError{errors.New("--max-time: use a time such as 10m, or 0 for no end")}
	}
	folder, err := state.Open(*f.state)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("the agent's own program: %w", err)
	}
	err = daemon.Run(command.Context(), daemon.Options{
		State: folder, Program: self, Log: p.log(f.debug), Proxy: proxy, Once: once, MaxTime: f.maxTime,
	})
	if command.Context().Err() != nil && !once && err == nil {
		return nil // a service that was asked to end has done what it should
	}
	return errors.Join(err, command.Context().Err())
}

// log returns a log on stderr.
func (p *program) log(debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
}

// shim is the hidden command that the agent starts to run a package's command.
func (p *program) shim() *cobra.Command {
	return &cobra.Command{
		Use: execute.ShimCommand + " FOLDER", Short: "run one command for the agent", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			p.started = true
			return execute.Run(args[0])
		},
	}
}
