package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"enjambre/core"
)

// inOurWords makes a command and those below it report mistakes of the command line in our words: what is wrong, what was
// perhaps meant, and the command whose help says more.
func inOurWords(p *program, command *cobra.Command) {
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		p.path = pathOf(command)
		return usage(flagError(command, err))
	})
	if check := command.Args; check != nil {
		command.Args = func(command *cobra.Command, args []string) error {
			p.path = pathOf(command)
			if check(command, args) == nil {
				return nil
			}
			return usage(argumentsError(command, args))
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

// subcommands returns the names of the commands below one.
func subcommands(command *cobra.Command) (names []string) {
	for _, sub := range command.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	return names
}

// unknownCommand says that a group has no such command, or needs one.
func unknownCommand(command *cobra.Command, args []string) error {
	names := subcommands(command)
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
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, flag.Name)
		}
	})
	hint := didYouMean(unknown.GetSpecifiedName(), names, "--")
	return fmt.Errorf("%w; %sthere are --%s", err, hint, strings.Join(names, ", --"))
}

// argumentsError says which arguments a command takes, by the words of its usage line.
func argumentsError(command *cobra.Command, args []string) error {
	wanted := strings.Fields(command.Use)[1:]
	needed := slices.DeleteFunc(slices.Clone(wanted), func(word string) bool { return strings.HasPrefix(word, "[") })
	switch {
	case len(args) < len(needed):
		return fmt.Errorf("%q needs %s", pathOf(command), strings.Join(needed, " and "))
	case len(wanted) == 0:
		if _, err := core.ParsePackageID(args[0]); err == nil && command.Flags().Lookup("package") != nil {
			return fmt.Errorf("unexpected argument %q; say --package %s", args[0], args[0])
		}
		hint := ""
		if names := subcommands(command); len(names) > 0 {
			hint = strings.TrimSuffix("; "+didYouMean(args[0], names, "")+"below it are "+strings.Join(names, ", "), " ")
		}
		return fmt.Errorf("unexpected argument %.40q: %q takes none%s", args[0], pathOf(command), hint)
	}
	return fmt.Errorf("unexpected argument %.40q: %q takes %s only", args[min(len(wanted), len(args)-1)], pathOf(command),
		strings.Join(wanted, " "))
}

// oneOf makes a command refuse to run unless exactly one of the flags is given.
func oneOf(command *cobra.Command, names ...string) {
	before := command.PreRunE
	command.PreRunE = func(command *cobra.Command, args []string) error {
		var given []string
		for _, name := range names {
			if command.Flags().Changed(name) {
				given = append(given, "--"+name)
			}
		}
		choices := "--" + strings.Join(names[:len(names)-1], ", --") + " or --" + names[len(names)-1]
		switch {
		case len(given) == 0:
			return usage(fmt.Errorf("%q needs one of %s", pathOf(command), choices))
		case len(given) > 1:
			return usage(fmt.Errorf("%s exclude each other: give one of %s", strings.Join(given, " and "), choices))
		case before != nil:
			return before(command, args)
		}
		return nil
	}
}
