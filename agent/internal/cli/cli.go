// Package cli is the command line of enjambre-agent.
//
// What a command found out goes to stdout, with --json as one JSON document; everything else goes to stderr.
// Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; of the shim also
// execute.NotBegun.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/agent/internal/execute"
)

// Name is the program's name in messages.
const Name = "enjambre-agent"

// Main runs the program and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr}
	root := p.command()
	inOurWords(p, root)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, execute.ErrNotBegun): // the agent tells people
		return execute.NotBegun
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "%s: interrupted\n", Name)
		return 130
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(stderr, "%s: error: %s\n", Name, line)
	}
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() > 0 {
		fmt.Fprintf(stderr, "%s: hint: run this as root (sudo)\n", Name)
	}
	var usage *usageError
	if !p.started || errors.As(err, &usage) {
		fmt.Fprintf(stderr, "%s: hint: see \"%s --help\"\n", Name, strings.TrimSpace(Name+" "+p.path))
		return 2
	}
	return 1
}

// A usageError is a mistake of the command line itself.
type usageError struct{ error }

// A program is one run of the command line.
type program struct {
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	json    bool
	started bool   // the command line was understood
	path    string // of the command, without the program's name
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use: Name, Short: "the service on every computer that is deployed to",
		Version: version(), SilenceErrors: true, SilenceUsage: true,
	}
	root.AddCommand(p.enroll(), p.once(), p.run(), p.status(), p.packages(), p.diagnose(), p.configCommand(),
		p.serviceCommand(), p.shim())
	return root
}

// group makes a command that only has sub-commands; without one it is wrong usage.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	command := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		// The flags of a command that is misspelt are not what is wrong.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(command *cobra.Command, args []string) error {
			return &usageError{unknownCommand(command, args)}
		},
	}
	command.AddCommand(commands...)
	return command
}

// did says what a command has done: as JSON what, or as a sentence.
func (p *program) did(what any, format string, args ...any) error {
	return p.print(what, func(w io.Writer) { fmt.Fprintf(w, format+"\n", args...) })
}

// jsonFlag adds --json, which every command has.
func (p *program) jsonFlag(command *cobra.Command) {
	command.Flags().BoolVar(&p.json, "json", false, "print one JSON document")
}

// print writes what a command found out: as JSON, or as text by write.
func (p *program) print(found any, write func(io.Writer)) error {
	if p.json {
		return json.NewEncoder(p.stdout).Encode(found)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	write(table)
	return table.Flush()
}
