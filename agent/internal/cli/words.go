package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"enjambre/core"
)

// inOurWords makes a command and those below it report mistakes of the command line in our words: what is wrong, what was
// perhaps meant, and the command whose help says more.
func inOurWords(p *program, command *cobra.Command) {
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		p.path = pathOf(command)
		return &usageError{flagError(command, err)}
	})
	if check := command.Args; check != nil {
		command.Args = func(command *cobra.Command, args []string) error {
			p.path = pathOf(command)
			err := check(command, args)
			if err != nil && len(strings.Fields(command.Use)) == 1 {
				err = fmt.Errorf("unexpected argument %.40q: %q takes none", args[0], pathOf(command))
			}
			return err
		}
	}
	for _, sub := range command.Commands() {
		inOurWords(p, sub)
	}
}

// pathOf names a command without the program.
func pathOf(command *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(command.CommandPath(), Name), " ")
}

// didYouMean is the part of a message that names what was perhaps meant; "" where nothing is near.
func didYouMean(word string, candidates []string, prefix string) string {
	if near := core.Nearest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q? ", prefix+near)
	}
	return ""
}

// unknownCommand says that a group has no such command, or needs one.
func unknownCommand(command *cobra.Command, args []string) error {
	var names []string
	for _, sub := range command.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	if len(args) == 0 {
		return fmt.Errorf("%q needs one of %s", command.CommandPath(), strings.Join(names, ", "))
	}
	return fmt.Errorf("unknown command %.40q for %q; %sthere are %s", args[0], command.CommandPath(),
		didYouMean(args[0], names, ""), strings.Join(names, ", "))
}

// flagError adds to a mistake in flags which one was perhaps meant.
func flagError(command *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	command.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return fmt.Errorf("%w; %sthere are --%s", err, didYouMean(unknown.GetSpecifiedName(), names, "--"),
		strings.Join(names, ", --"))
}

// A durationValue is a flag that [core.ParseDuration] reads.
type durationValue time.Duration

func (d *durationValue) String() string { return core.DurationText(time.Duration(*d)) }

// Type names the value in the help.
func (d *durationValue) Type() string { return "duration" }

// Set reads a text.
func (d *durationValue) Set(text string) error {
	read, err := core.ParseDuration(text)
	*d = durationValue(read)
	return err
}
