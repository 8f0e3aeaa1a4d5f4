package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"enjambre/agent/internal/diagnose"
)

// diagnoseFlags are the flags of "diagnose".
type diagnoseFlags struct {
	*place
	proxy string
}

func (p *program) diagnose() *cobra.Command {
	var f diagnoseFlags
	command := &cobra.Command{
		Use: "diagnose", Short: "say what keeps the agent from its work, and what to do", Args: cobra.NoArgs,
		Long: `Say what keeps the agent from its work, and what to do: looks at the state folder, the way to the server
and the computer, and changes nothing. Exit code 0 when no check fails, else 1.`,
		RunE: func(command *cobra.Command, _ []string) error {
			p.started = true
			return p.runDiagnose(command.Context(), f)
		},
	}
	f.place = p.place(command)
	command.Flags().StringVar(&f.proxy, "proxy", "",
		"none, system, or the address of a proxy (default: what the settings say)")
	p.jsonFlag(command)
	return command
}

func (p *program) runDiagnose(ctx context.Context, f diagnoseFlags) error {
	settings, err := f.settings()
	if err != nil {
		return err
	}
	proxy, err := chosenProxy(settings, f.proxy)
	if err != nil {
		return err
	}
	checks := diagnose.Run(ctx, diagnose.Options{Settings: settings, Proxy: proxy})
	if err := ctx.Err(); err != nil {
		return err
	}
	failed := diagnose.Failed(checks)
	err = p.print(map[string]any{"good": failed == 0, "checks": checks}, func(w io.Writer) {
		for _, check := range checks {
			fmt.Fprintf(w, "%s\t%s\t%s\n", check.Level, check.Name, check.Found)
			if check.Advice != "" {
				fmt.Fprintf(w, "\t\t-> %s\n", check.Advice)
			}
		}
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d checks failed", failed, len(checks))
	}
	return err
}
