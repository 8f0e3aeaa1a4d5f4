// Package cli is the command line of enjambre-server: one file for each group of commands.
//
// What a command found out goes to stdout, as a table or with --json as one JSON document; everything
// else goes to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"enjambre/server/internal/datafolder"
)

// Name is the program's name in messages.
const Name = "enjambre-server"

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// errInterrupted is the cause with which an interrupt ends the context.
var errInterrupted = errors.New("interrupted")

// Main runs the program and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case received := <-signals:
			if received == os.Interrupt {
				cancel(errInterrupted)
			} else {
				cancel(errTerminated)
			}
		case <-done:
		}
	}()
	return run(ctx, args, stdin, stdout, stderr)
}

// errTerminated is the cause with which a service manager ends the context.
var errTerminated = errors.New("terminated")

// run runs one command and reports its error.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now}
	root := p.command()
	root.SetArgs(numbersLast(args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	inOurWords(p, root)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(context.Cause(ctx), errInterrupted):
		fmt.Fprintf(stderr, "%s: interrupted\n", Name)
		return exitInterrupted
	}
	p.report(err)
	var usage *usageError
	if !p.started || errors.As(err, &usage) {
		fmt.Fprintf(stderr, "%s: hint: see \"%s --help\"\n", Name, strings.TrimSpace(Name+" "+p.path))
		return exitUsage
	}
	return exitFailed
}

// numbersLast moves negative numbers of "config set" behind "--", so that "config set FREQUENCY -1" means
// what it says: the flag parser would take -1 for a flag. No flag of that command has a number for its value.
func numbersLast(args []string) []string {
	if len(args) < 2 || args[0] != "config" || args[1] != "set" {
		return args
	}
	var words, numbers []string
	for _, arg := range args {
		if arg == "--" {
			return args // whoever writes -- means it
		}
		if _, err := strconv.Atoi(arg); err == nil && strings.HasPrefix(arg, "-") {
			numbers = append(numbers, arg)
		} else {
			words = append(words, arg)
		}
	}
	if len(numbers) == 0 {
		return args
	}
	return append(append(words, "--"), numbers...)
}

// report writes an error: one problem a line, each with the program's name, so that logs stay readable.
func (p *program) report(err error) {
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		fmt.Fprintf(p.stderr, "%s: error: %s\n", Name, line)
	}
}

// A usageError is a mistake of the command line itself.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// usage marks err, if there is one, as a mistake of the command line.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

// A program is one run of the command line.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	data           string // --data
	json           bool   // --json
	started        bool   // the command line was understood and its action began
	path           string // of the command, without the program's name
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   Name,
		Short: "build, sign and publish packages, and serve them to agents",
		Long: `enjambre-server builds, signs and publishes packages, and serves them to agents.

Every command works while a server runs on the same data folder, and when none does.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentPreRun = func(command *cobra.Command, _ []string) {
		p.path = strings.TrimPrefix(strings.TrimPrefix(command.CommandPath(), Name), " ")
	}
	root.AddCommand(p.initCommand(), p.runCommand(), p.tlsCommand(), p.hostCommand(), p.serviceCommand(), p.packageCommand(),
		p.activationCommand(), p.siteCommand(), p.computerCommand(), p.affectCommand(), p.unaffectCommand(),
		p.rolloutCommand(), p.configCommand(), p.enrollCommand(), p.agentCommand(), p.installerCommand())
	return root
}

// version says which source the program was built from, as far as the build knew.
func version() string {
	build, known := debug.ReadBuildInfo()
	if !known {
		return "unknown"
	}
	text := build.Main.Version + " " + build.GoVersion
	for _, setting := range build.Settings {
		if setting.Key == "vcs.revision" {
			text += " " + setting.Value
		}
	}
	return strings.TrimSpace(text)
}

// group makes a command that only has sub-commands; without one it is wrong usage.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	command := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		// The flags of a command that is misspelt are not what is wrong.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE:               func(command *cobra.Command, args []string) error { return usage(unknownCommand(command, args)) },
	}
	command.AddCommand(commands...)
	return command
}

// action makes a command of its text and what it does. Arguments are checked by args. Every command prints JSON, if asked
// to.
func (p *program) action(use, short string, args cobra.PositionalArgs,
	do func(context.Context, []string) error) *cobra.Command {
	command := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(command *cobra.Command, args []string) error {
			p.started = true
			return do(command.Context(), args)
		},
	}
	p.jsonFlag(command)
	return command
}

// printing makes a command that works on the data folder.
func (p *program) printing(use, short string, args cobra.PositionalArgs,
	do func(context.Context, *datafolder.Folder, []string) error) *cobra.Command {
	command := p.action(use, short, args, func(ctx context.Context, args []string) (err error) {
		folder, err := datafolder.Open(ctx, p.data)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, folder.Close()) }()
		return do(ctx, folder, args)
	})
	p.dataFlag(command)
	return command
}

func (p *program) dataFlag(command *cobra.Command) {
	command.Flags().StringVar(&p.data, "data", "", "data folder")
	require(command, "data")
}

func (p *program) jsonFlag(command *cobra.Command) {
	command.Flags().BoolVar(&p.json, "json", false, "print one JSON document")
}

// require marks flags that must be given.
func require(command *cobra.Command, names ...string) {
	for _, name := range names {
		if err := command.MarkFlagRequired(name); err != nil {
			panic(err) // no such flag: our mistake
		}
	}
}

// print writes data as JSON, or lets table write it for people.
func (p *program) print(data any, table func(*tabwriter.Writer)) error {
	if p.json {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(data)
	}
	writer := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	table(writer)
	return writer.Flush()
}

// did says what a command has done: as JSON what, or as a sentence.
func (p *program) did(what any, format string, args ...any) error {
	return p.print(what, func(w *tabwriter.Writer) { row(w, fmt.Sprintf(format, args...)) })
}

// row writes one row of a table.
func row(w *tabwriter.Writer, cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, cell)
	}
	fmt.Fprintln(w)
}

// note writes a remark that is not data.
func (p *program) note(format string, args ...any) {
	fmt.Fprintf(p.stderr, "%s: note: %s\n", Name, fmt.Sprintf(format, args...))
}

// warn writes what is allowed but may surprise.
func (p *program) warn(texts ...string) {
	for _, text := range texts {
		fmt.Fprintf(p.stderr, "%s: warning: %s\n", Name, text)
	}
}

// log writes what commands do on the side, on stderr.
func (p *program) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// when writes a time for people: local, "-" for never.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// dash writes a text, or "-" for none.
func dash[T ~string](text T) string {
	if text == "" {
		return "-"
	}
	return string(text)
}

// size writes a number of bytes for people.
func size(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
